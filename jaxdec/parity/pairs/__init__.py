"""Pairs that come with the package: our models and their PyTorch twins, and transformers."""
