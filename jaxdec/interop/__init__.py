"""Weights of other formats, both ways."""
