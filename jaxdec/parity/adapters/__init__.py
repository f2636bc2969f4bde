"""Any JAX or PyTorch model as functions that the checker can call, record and feed."""
