"""Sampling and beam search of `jaxdec.generation`, in plain PyTorch."""
