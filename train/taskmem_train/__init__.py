"""The workstation's side of taskmem: training and measuring memorization policies."""
