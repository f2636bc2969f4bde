"""Decoders of transformers as configs and weight rules of ours."""
