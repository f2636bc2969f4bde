"""Is a JAX model the same function as a PyTorch one? Weights, taps, comparisons and bars."""
