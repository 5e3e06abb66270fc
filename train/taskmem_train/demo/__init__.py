"""The demo model: a small Qwen3-VL, trained from scratch on the demo home."""
