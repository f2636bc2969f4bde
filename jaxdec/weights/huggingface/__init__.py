"""Decoders of Hugging Face's transformers as configs and weight rules of ours, and back: one file per family."""
