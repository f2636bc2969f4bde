"""Recordings of two sides, compared under one table of tolerances."""
