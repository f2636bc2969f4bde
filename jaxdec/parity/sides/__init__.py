"""The two sides of a comparison: how a model is called, trained, recorded, and fed with weights."""
