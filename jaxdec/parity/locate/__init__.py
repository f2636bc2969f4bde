"""Where two sides start to differ: which module, which step, which cast."""
