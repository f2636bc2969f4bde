"""The speed of a run, measured over finished work: tokens and FLOPs per second, and MFU against a stated peak.

MFU (model FLOPs utilization; Chowdhery et al. 2022, section 4.1) is the FLOPs that the model needs, by the rule of
`models.flops`, divided by what the device could do at its peak in the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxdec.config.run import RunConfig
from jaxdec.models.flops import training_flops

WINDOW = 1.0  # seconds: shorter ones measure the moment of reading more than the work

# Dense peaks of a device in TFLOP/s, (bfloat16, float32), by the name that jax gives the device. From NVIDIA's data
# sheets of H100, H200, A100, L4 and L40S and the Ada white paper (where a sheet gives only the figure with sparsity,
# half of it), and from Google's page "TPU system architecture" of each generation. jax multiplies float32 matrices in
# TF32 on these GPUs and in bfloat16 on TPUs unless told otherwise, so float32 has the peak of that. A device that is
# not named here, a slice of one (MIG) among them, has no known peak: give train.peak_tflops.
PEAKS: dict[str, tuple[float, float]] = {
    "NVIDIA H200": (989.5, 494.7),
    "NVIDIA H200 NVL": (835.5, 417.5),
    "NVIDIA H100 80GB HBM3": (989.5, 494.7),
    "NVIDIA H100 PCIe": (756.0, 378.0),
    "NVIDIA H100 NVL": (835.5, 417.5),
    **dict.fromkeys(
        (
            *("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-80GB"),
            *("NVIDIA A100-PCIE-40GB", "NVIDIA A100-PCIE-80GB", "NVIDIA A100 80GB PCIe"),
        ),
        (312.0, 156.0),
    ),
    "NVIDIA L4": (121.0, 60.0),
    "NVIDIA L40S": (362.05, 183.0),
    "NVIDIA GeForce RTX 4090": (165.2, 82.6),
    "TPU v4": (275.0, 275.0),
    "TPU v5 lite": (197.0, 197.0),
    "TPU v5": (459.0, 459.0),
    "TPU v6 lite": (918.0, 918.0),
}


def peak_tflops(config: RunConfig, device_kind: str) -> float | None:
    """The dense peak of one device in TFLOP/s for the type that the run computes in: `train.peak_tflops`, or else the
    published figure; None where neither is there."""
    if config.train.peak_tflops is not None:
        return config.train.peak_tflops
    bfloat16, float32 = PEAKS.get(device_kind, (None, None))
    return {"bfloat16": bfloat16, "float32": float32}.get(config.precision.compute)


class Throughput:
    """Turns moments at which steps were finished into speeds. `devices` share the work equally."""

    def __init__(self, config: RunConfig, devices: Sequence[Any]) -> None:
        self.flops_per_step = step_flops(config)
        self.peak_tflops = peak_tflops(config, devices[0].device_kind)
        self._tokens_per_step, self._devices = config.train.tokens_per_step, len(devices)
        self._marks: list[tuple[float, int]] = []  # (seconds, steps finished by then), ascending

    def start(self, now: float, step: int) -> None:
        """Begins a stretch of training at `now`, when `step` steps are finished and nothing is under way."""
        self._marks = [(now, step)]

    def measure(self, now: float, step: int) -> dict[str, float]:
        """The speeds up to `now`, when `step` steps are finished: over the last second or since the last call,
        whichever is longer, within this stretch. Empty where no step was finished in that time."""
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW:
            self._marks.pop(0)
        since, before = self._marks[0]
        self._marks.append((now, step))
        if step <= before or now <= since:
            return {}
        seconds = (now - since) / (step - before)
        flops = self.flops_per_step / seconds / self._devices
        values = {
            "seconds_per_step": seconds,
            "tokens_per_second": self._tokens_per_step / seconds,
            "tokens_per_second_per_device": self._tokens_per_step / seconds / self._devices,
            "flops_per_step": self.flops_per_step,
            "flops_per_second_per_device": flops,
        }
        return values if self.peak_tflops is None else values | {"mfu": flops / (self.peak_tflops * 1e12)}


def step_flops(config: RunConfig) -> float:
    """FLOPs of one training step of the whole job. The model's `vocab_size` is resolved."""
    per_token = training_flops(config.model, config.model.vocab_size or 0, config.window)
    return per_token * config.train.tokens_per_step
