"""Devices: the mesh and the sharding of parameters and batches."""
