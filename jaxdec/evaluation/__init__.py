"""How good a model is: losses on whole splits, and scores of tasks."""
