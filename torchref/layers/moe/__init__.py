"""The mixture of experts of `jaxdec.layers.moe`, in plain PyTorch."""
