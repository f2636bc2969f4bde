"""How sensitive a check is: seeded bugs, and how many of them it catches."""
