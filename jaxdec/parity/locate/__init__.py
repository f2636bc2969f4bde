"""Where two sides part: which module, which step, which cast."""
