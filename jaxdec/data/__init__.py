"""Text to token batches, in numpy alone: corpora, tokenizers, shards on disk, and batches as a function of the step."""
