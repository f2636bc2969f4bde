"""What a check ran on: everything that may change a figure or its last bit."""

from __future__ import annotations

import os
import platform
import sys

from jaxdec.config.versions import versions

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch", "transformers")
VARIABLES = ("XLA_FLAGS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE")


def environment() -> dict[str, str]:
    """Versions, devices and settings as they are now, by name. A package that is not installed is left out; torch's
    settings are read only where something else has imported it."""
    import jax

    found = versions(PACKAGES)
    devices = jax.devices()
    found |= {
        "platform": platform.platform(),
        "processor": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": f"{len(devices)} x {devices[0].device_kind} ({devices[0].platform})",
        "jax x64": "on" if jax.config.jax_enable_x64 else "off",  # type: ignore[attr-defined]
        "jax matmul precision": str(jax.config.jax_default_matmul_precision or "default"),  # type: ignore[attr-defined]
    }
    if "torch" in sys.modules:
        found |= _torch_settings()
    return found | {name: value for name in VARIABLES if (value := os.environ.get(name))}


def _torch_settings() -> dict[str, str]:
    import torch

    return {
        "torch threads": str(torch.get_num_threads()),
        "torch matmul precision": torch.get_float32_matmul_precision(),
        "torch deterministic": "on" if torch.are_deterministic_algorithms_enabled() else "off",
    }
