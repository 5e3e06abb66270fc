"""`python -m taskmem_ros.cli`: the `taskmem` command."""

import sys

from taskmem_ros.cli import main

sys.exit(main())
