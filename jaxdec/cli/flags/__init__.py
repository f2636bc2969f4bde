"""Typed flags and help pages, read from the dataclasses of the config."""
