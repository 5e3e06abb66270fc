"""transport: how files get into an exchange and out of it, for each kind of place. No ROS, no torch."""

from taskmem_ros.exchange.transport.address import Address, read_url
from taskmem_ros.exchange.transport.choose import Transport, open_transport
from taskmem_ros.exchange.transport.patience import Patience, is_transient

__all__ = ["Address", "Patience", "Transport", "is_transient", "open_transport", "read_url"]
