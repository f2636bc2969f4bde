"""Layers, one idea a file: pure functions on arrays, and nnx modules that only own parameters."""
