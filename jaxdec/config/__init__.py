"""Every setting of a run as frozen dataclasses, and the same as YAML. Imports neither jax nor torch."""
