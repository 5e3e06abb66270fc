"""What works on this machine, what does not, and what to do about it."""

from taskmem_ros.doctor.check import FAIL, OK, WARN, Check
from taskmem_ros.doctor.database import check_database
from taskmem_ros.doctor.environment import check_environment, check_gpu
from taskmem_ros.doctor.model import check_model
from taskmem_ros.doctor.ros import check_ros

__all__ = [
    "FAIL",
    "OK",
    "WARN",
    "Check",
    "check_database",
    "check_environment",
    "check_gpu",
    "check_model",
    "check_ros",
]
