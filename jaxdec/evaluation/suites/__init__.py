"""Suites: what a trained model can be scored on, one file each; `registry` has their names."""
