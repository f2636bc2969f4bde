"""The train step, the only loop around it, and what a stage of training is."""
