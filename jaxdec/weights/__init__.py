"""Weights of other formats: a table of rules, read in both directions and checked element by element."""
