"""How well a model answers instructions: losses, responses, their scores, and a judge."""
