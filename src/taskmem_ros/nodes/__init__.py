"""The ROS 2 side of taskmem: the only room that imports rclpy and generated messages.

Nothing is re-exported here, so that `taskmem up --help` and the parameter checks work where no ROS 2 is
sourced.
"""
