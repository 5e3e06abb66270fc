"""Judges of memories: of helpfulness to recent questions, and of quality against the video."""
