"""Layers, one idea per file: pure functions on arrays, and nnx modules that only own parameters."""
