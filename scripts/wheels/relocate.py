"""Make the CMake files of ROS 2's wheels fit this interpreter; run by it once they are installed.

They name the include folders of the Python and numpy they were built with, which do not exist here.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

BUILT_WITH = {
    r"/opt/python/cp3\d+-cp3\d+/lib/python3\.\d+/site-packages/numpy/_core/include": numpy.get_include(),
    r"/opt/python/cp3\d+-cp3\d+/include/python3\.\d+": sysconfig.get_path("include"),
}

changed = 0
for path in Path(sys.prefix, "share").rglob("*.cmake"):
    before = after = path.read_text()
    for pattern, here in BUILT_WITH.items():
        after = re.sub(pattern, lambda _, here=here: here, after)
    if after != before:
        path.write_text(after)
        changed += 1
print(f"{changed} CMake files changed")
