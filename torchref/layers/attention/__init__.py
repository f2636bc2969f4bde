"""The attention layers of `jaxdec.layers.attention`, in plain PyTorch."""
