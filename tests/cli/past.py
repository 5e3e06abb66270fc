"""What the test stores remember."""

S = 1_000_000_000
DAY = 1_767_225_600 * S  # 2026-01-01T00:00:00Z
TEXTS = ("Anna puts the red mug on the table.", "Ben opens the door.", "The lamp is on; nobody is there.")
