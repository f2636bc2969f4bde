"""Weights as other programs write them: one file per format, read and written tensor by tensor."""
