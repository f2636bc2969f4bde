"""`jaxdec convert RUN state.pt --to training-state` and `jaxdec convert state.pt RUN`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxdec.errors import UserError

NAME = "training-state"
PARTS = {"model", "optimizer", "step"}  # what makes a file of torch.save one


def is_training_state(source: str) -> bool:
    """Whether it is a file with parameters, moments and step; whatever cannot be read is for others to name."""
    from jaxdec.weights.formats.torch_file import is_torch_file, read_torch_file

    path = Path(source)
    if not path.is_file() or not is_torch_file(path):
        return False
    try:
        content = read_torch_file(path)
    except UserError:
        return False
    return isinstance(content, Mapping) and content.keys() >= PARTS


def convert(source: str, place: Path, step: int | None, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A run as a training state, or a training state as a checkpoint of a run. `changes`: the options that ask for
    another model, of which there may be none: moments belong to the parameters that they were made with."""
    from jaxdec.stages.torch_state import load_torch_state, save_torch_state

    if asked := [name for name, value in changes.items() if value is not None]:
        raise UserError(f"a training state is carried over as it is: leave --{asked[0].replace('_', '-')} out")
    if not is_training_state(source):
        done = save_torch_state(Path(source), place, step)
        print(f"{place} holds the training state of step {done}: torchref.training.state.restore goes on from it")
        return {"source": source, "place": str(place), "layout": NAME, "step": done}
    if step is not None:
        raise UserError(f"{source} is of one step: leave --step out")
    done = load_torch_state(Path(source), place)
    print(f"{place} has a checkpoint of step {done}: go on with 'jaxdec resume {place}'")
    return {"source": source, "place": str(place), "layout": "run", "step": done}
