"""Is `jaxdec` the same function as `torchref`: outputs, losses, gradients, whole training runs?"""
