"""Our own pairs: every model of the ladder and its twin in `torchref`."""
