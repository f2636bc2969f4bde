"""From what a user types to a pair: a Python file that defines one, or the name of one of ours."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxdec.errors import UserError, nearest
from jaxdec.models.ladder import LADDER
from jaxdec.parity.pair import Pair
from jaxdec.weights.folder.hub import is_hub_id
from jaxdec.weights.formats.huggingface import recognise

FILE = re.compile(r"(?P<path>.+\.py)(?::(?P<name>\w+))?")
OUTSIDE = "hf:"  # begins the names of pairs whose reference is not ours
TASKS = ("reverse", "translate")  # recipes of the encoder-decoder, each with a model of its own
LATER = ("classify", "instruct", "preference", "lora", "reinforce")  # tiny decoders: `jaxdec.parity.pairs.later`
PACKAGES = {
    "torch": "PyTorch, which is not installed: pip install 'jaxdec[torch]'",
    "safetensors": "safetensors, which is not installed: pip install 'jaxdec[torch]'",
    "transformers": "transformers, which is not installed: pip install 'jaxdec[torch,huggingface]'",
}


def load_pair(spec: str) -> Pair:
    """The pair that `spec` names: `FILE.py` defines `pair`, a Pair or a function without arguments that returns one;
    `FILE.py:NAME` defines it under another name; a Hugging Face folder is compared with transformers; other texts are
    names of our own pairs.

    A file is run like any program. Raises UserError, in one line, for whatever stands in the way.
    """
    require_spec(spec)
    with needed_packages(spec):
        if match := FILE.fullmatch(spec):
            return _from_file(Path(match["path"]), match["name"] or "pair")
        if spec.startswith(OUTSIDE):
            return _outside_pairs()[spec]()
        if is_weights(spec):
            from jaxdec.parity.pairs.huggingface import pair_of_folder

            return pair_of_folder(spec)
        return _of_our_twins(spec)


def require_spec(spec: str) -> None:
    """Raises UserError when `spec` is neither a file nor a name of ours. Loads nothing, and needs neither framework."""
    if match := FILE.fullmatch(spec):
        if not Path(match["path"]).is_file():
            raise UserError(
                f"no such file: {match['path']}; give a Python file that defines a pair, or one of our names"
            )
        return
    if is_weights(spec):
        return
    if "/" in spec or "\\" in spec or Path(spec).exists():
        raise UserError(f"{spec} is no Python file: give FILE.py, FILE.py:NAME or one of our names, as char-gpt")
    known = pair_names()
    if spec not in known:
        close = nearest(spec, known)
        listed = close if "did you mean" in close else f" (ours: {', '.join(known)}; or give FILE.py)"
        raise UserError(f"unknown pair '{spec}'{listed}")


def pair_names() -> list[str]:
    """Our own pairs: every rung of the ladder, the two translation tasks, the later stages, and the outside oracles."""
    return [rung.name for rung in LADDER] + [*TASKS, *LATER, *_outside_pairs()]


def is_weights(spec: str) -> bool:
    """Whether `spec` is a Hugging Face folder, or may be the id of one on the hub, which has an owner: gpt2 is ours."""
    if Path(spec).exists() or spec in pair_names():
        return recognise(Path(spec))
    return "/" in spec and is_hub_id(spec)


@contextmanager
def needed_packages(what: str) -> Iterator[None]:
    """A missing optional package is a UserError, whichever module imports it first inside the block."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in PACKAGES:
            raise
        raise UserError(f"{what} needs {PACKAGES[package]}") from None


def _of_our_twins(name: str) -> Pair:
    from jaxdec.parity.pairs.pairs import pair_of, pair_of_model, reduced

    if name in LATER:
        from jaxdec.parity.pairs.later import later_pair

        return later_pair(name)
    if name not in TASKS:
        return pair_of(name)
    from jaxdec.recipes import load_recipe

    return pair_of_model(name, reduced(load_recipe(name).model))


def _outside_pairs() -> Mapping[str, Callable[[], Pair]]:
    from jaxdec.parity.pairs.huggingface import PAIRS

    return PAIRS


def _from_file(path: Path, name: str) -> Pair:
    with _faults_of(path):
        module = _run(path)
    if not hasattr(module, name):
        pairs = [key for key, value in vars(module).items() if isinstance(value, Pair)]
        meant = (
            f"did you mean {path}:{pairs[0]}?" if pairs else f"define {name} = Pair(...), or a function that returns it"
        )
        raise UserError(f"{path} does not define '{name}': {meant}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, Pair):
        _refuse_arguments(found, path, name)
        with _faults_of(path):
            found = found()
    if not isinstance(found, Pair):
        kind = "a function that returned " if callable(getattr(module, name)) else ""
        raise UserError(f"'{name}' in {path} is {kind}{type(found).__name__}: it must be a jaxdec.parity.Pair")
    return found


def _refuse_arguments(function: Callable[..., Any], path: Path, name: str) -> None:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        raise UserError(f"'{name}' in {path} needs arguments: make it a Pair, or a function without any") from None


def _run(path: Path) -> ModuleType:
    """Runs the file as a module with a unique name. Modules beside it can be imported, as in a program."""
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    name = f"_jaxdec_pair_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up the module that they stand in
    with suppress(ModuleNotFoundError):
        import torch

        torch.manual_seed(0)  # what the file initialises is the same at each check, and on each machine
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """What goes wrong in the user's file becomes a line that names the place in the file."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{path}{_place(error, path)}: {error}") from None
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in PACKAGES:
            raise
        raise UserError(
            f"{path}{_place(error, path)} cannot import {error.name}: install it, or mend the name"
        ) from None
    except (Exception, SystemExit) as error:
        text = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise UserError(f"{path}{_place(error, path)} raised {shown}") from None


def _place(error: BaseException, path: Path) -> str:
    """`, line 7`: the last line of the file on the way to the error."""
    own = str(path.absolute())  # as the import machinery calls it
    if isinstance(error, SyntaxError) and error.filename == own:
        return f", line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == own]
    return f", line {lines[-1]}" if lines else ""
