"""taskmem: a long-term memory for robots that learns what is worth remembering."""

__version__ = "0.1.0"
