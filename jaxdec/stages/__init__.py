"""Stages of a model's life: each makes a `Stage` value (batches, loss, evaluators) and hands it to the one loop."""
