"""Benchmarks that alternate the two sides in one process."""
