# The environment that `make setup` made, for one shell (bash or zsh). From anywhere:
#
#     . path/to/taskmem/scripts/env.sh
#
# Then `taskmem`, python with rclpy and taskmem.msg, colcon and pytest work. Python takes taskmem_ros and taskmem_train
# from src/ and train/ (edit and run); only changed .msg and .srv files need `make build`.
# With a ROS 2 of your own, source that first: this adds the virtual environment and the built interfaces to it.

_taskmem_root="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." && pwd)"
_taskmem_venv="$_taskmem_root/.venv"

if [ ! -x "$_taskmem_venv/bin/python" ]; then
    echo "taskmem: $_taskmem_venv is missing: run \`make setup\` in $_taskmem_root" >&2
    return 1
fi

export VIRTUAL_ENV="$_taskmem_venv"
export PATH="$_taskmem_venv/bin:$PATH"

if [ -e "$_taskmem_venv/share/rclpy" ]; then  # ROS 2 from wheels: what a ROS 2 installation's setup.bash would do
    export ROS_VERSION=2 ROS_PYTHON_VERSION=3 ROS_DISTRO=jazzy
    export AMENT_PREFIX_PATH="$_taskmem_venv" CMAKE_PREFIX_PATH="$_taskmem_venv"
    for _taskmem_libs in "$_taskmem_venv"/lib/python3.*/site-packages/ros_*.libs; do
        [ -d "$_taskmem_libs" ] && export LD_LIBRARY_PATH="$_taskmem_libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    done
    export LD_LIBRARY_PATH="$_taskmem_venv/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    # The wheels would start the interpreter a second time to set LD_LIBRARY_PATH; it is set.
    export _ROS_WHEELS_BOOTSTRAP_COMPLETE=1
fi

if [ -n "${ZSH_VERSION:-}" ] && [ -e "$_taskmem_root/.ros/install/local_setup.zsh" ]; then
    . "$_taskmem_root/.ros/install/local_setup.zsh"
elif [ -e "$_taskmem_root/.ros/install/local_setup.bash" ]; then
    . "$_taskmem_root/.ros/install/local_setup.bash"
fi
export PYTHONPATH="$_taskmem_root/src:$_taskmem_root/train${PYTHONPATH:+:$PYTHONPATH}"

unset _taskmem_root _taskmem_venv _taskmem_libs
