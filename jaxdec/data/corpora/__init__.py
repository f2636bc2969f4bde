"""Texts and sentence pairs by name, one file per corpus."""
