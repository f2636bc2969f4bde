"""Measures of generated text beside the same of held-out text, and of how a model uses its context."""
