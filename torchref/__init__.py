"""The same decoder-only models, losses and training step as `jaxdec`, in the plainest PyTorch.

File, class and parameter names are those of `jaxdec`; `jaxdec.weights.torchref` converts weights between the two. It is
the reference that `parity_tests` compares the JAX code with, so it is written to be read and checked by eye.
"""
