"""Batches of the later stages for the parity checker: random, in the shapes and with the masks of each stage."""
