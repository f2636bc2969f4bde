"""Attention: heads, the kernel that turns scores into sums, the KV cache, attention to another sequence."""
