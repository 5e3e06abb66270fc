"""What needs cv2, rosbags or torch loads them on first use, and the other commands work without them."""

import subprocess
import sys

import pytest

WITHOUT = (
    "import sys; sys.modules.update(dict.fromkeys(('cv2', 'rosbags', 'torch', 'transformers', 'rclpy')))\n"
)


@pytest.mark.parametrize(
    "code",
    [
        "from taskmem_ros.cli import main; sys.exit(main(['timeline', '--database', sys.argv[1]]))",
        "from taskmem_ros.cli import main; sys.exit(main(['ask', 'Who?', '--database', sys.argv[1]]) - 1)",
    ],
)
def test_without_heavy_libraries(tmp_path, code):
    from taskmem_ros.memory import Store

    Store.open(tmp_path / "memory.db").close()
    command = [sys.executable, "-c", WITHOUT + code, str(tmp_path / "memory.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
