"""What a model is worth: losses on whole splits, and scores of tasks."""
