"""The same decoder-only models, losses and training step as `jaxdec`, in the plainest PyTorch.

File, class and parameter names are those of `jaxdec`; the bridge between the two is `jaxdec.weights.torchref`. It is
the reference that `parity_tests` holds the JAX code against, so it is written to be read and checked by eye.
"""
