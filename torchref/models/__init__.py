"""Models built from `torchref.layers`."""
