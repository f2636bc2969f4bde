"""The folder of a run: config, tokenizer, metrics, plots, and loading a model from it."""
