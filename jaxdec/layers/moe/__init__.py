"""Mixtures of experts: the router, the experts, and the layer that joins them."""
