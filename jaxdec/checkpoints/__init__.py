"""Checkpoints on disk: written atomically, fingerprinted, restored onto any mesh."""
