"""What a command shows at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SAMPLE_TOKENS = 400
LABELS = {
    "training_loss": "training loss, nanoGPT's protocol",
    "validation_loss": "validation loss, nanoGPT's protocol",
    "sweep_loss": "validation loss, complete sweep",
    "sweep_standard_error": "its standard error",
    "floor": "entropy floor",
    "excess": "excess over the floor",
}


def show_summary(summary: Mapping[str, Any], run_dir: Path) -> dict[str, Any]:
    """Prints a sample of the trained model and where it stands; returns the summary with the sample."""
    from jaxdec.cli.typewriter import Typewriter
    from jaxdec.generate import generate_text
    from jaxdec.sampling import Sampling

    print("\nsample")
    typewriter = Typewriter([""])
    (sample,) = generate_text(
        run_dir,
        [""],
        max_tokens=SAMPLE_TOKENS,
        sampling=Sampling(temperature=0.8),
        seed=0,
        on_text=typewriter.add,
    )
    typewriter.close()
    print("\nresult (nats per token)")
    show_values({name: value for name, value in summary.items() if name not in ("run", "corpus")})
    print(f"\nwritten to {run_dir}; more text: jaxdec generate {run_dir} --prompt TEXT")
    return {**summary, "sample": sample}


def show_values(values: Mapping[str, Any], indent: str = "  ") -> dict[str, Any]:
    """Prints one aligned line per value, nested mappings indented, and returns `values`."""
    labels = {name: LABELS.get(name, str(name).replace("_", " ")) for name in values}
    width = max(map(len, labels.values()), default=0)
    for name, value in values.items():
        if isinstance(value, Mapping):
            print(f"{indent}{name}")
            show_values(value, indent + "  ")
        elif value is not None:
            print(f"{indent}{labels[name]:<{width}}  {_shown(value)}")
    return dict(values)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3e}"
