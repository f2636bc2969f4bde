"""Text out of a model: sampling, beam search, cached decoding, translation."""
