"""What a check is worth: seeded bugs, and how many of them it catches."""
