"""The losses, the optimizer and the train step of `jaxdec.training`, in plain PyTorch."""
