"""Stages of training: each builds a `Stage` value (batches, loss, evaluators) and passes it to the one loop."""
