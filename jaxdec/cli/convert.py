"""`jaxdec convert SRC DST`: weights of other programs as a run, and a run's model in their layouts."""

from __future__ import annotations

import dataclasses
import re
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jaxdec.cli import training_state
from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import argument, json_option, option, step_option
from jaxdec.errors import UserError, nearest

if TYPE_CHECKING:
    from jaxdec.runs.loading import Source

ABOUT = """Read a trained model and write it in another form. SRC is a run directory, a Hugging Face folder or hub id
(gpt2, OWNER/NAME, OWNER/NAME@REVISION), or a file of nanoGPT, minGPT, llm.c, llama2.c, GGUF or torchref. DST, which
must not exist, becomes a run directory that every command takes, or with --to another program's layout:
jaxdec convert runs/mine folder --to huggingface

--to training-state keeps moments and step, with which torchref goes on; jaxdec convert STATE.pt RUN takes them back.

Adapters of a run (LoRA) are merged into its weights, but for --to peft: that writes them alone, as peft reads them, and
names the base model that --base says. An adapter that peft saved is read with its base, and merged.

A run that is made of weights has no corpus and no training state: jaxdec train RECIPE --init-from DST goes on from it.
Tensors are read, changed and written one by one."""
PEFT = "peft"
SIZE = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[KMG]B)?", re.IGNORECASE)
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclasses.dataclass(frozen=True)
class ConvertOptions:
    source: str | None = argument("SRC", "a run directory, a folder or file with weights, or a hub id")
    place: Path | None = argument("DST", "what is written; it must not exist")
    to: str = option(
        "run", "run, huggingface, peft, training-state, or another layout (docs/weights.md)", metavar="LAYOUT"
    )
    base: str | None = option(
        None,
        "of peft: the Hugging Face folder of the model without the adapter; with --to peft it is made if it is not "
        "there",
        metavar="FOLDER",
        unset="what the run or the adapter names",
    )
    family: str | None = option(
        None,
        "of huggingface and peft: the model_type, as llama",
        metavar="NAME",
        unset="the first that has all of the model",
    )
    dtype: Literal["float32", "bfloat16", "float16", "float64"] | None = option(
        None, "what the numbers are stored in", unset="as in SRC; of weights as a run float32"
    )
    vocab_size: int | None = option(
        None, "rows of the embedding: more for new tokens, or fewer without padding", metavar="INT", unset="as in SRC"
    )
    new_rows: Literal["mean", "normal"] = option("mean", "a new token is the mean of the others, or drawn at random")
    seed: int = option(0, "of --new-rows normal")
    context: int | None = option(
        None, "positions: fewer cut it, more stretch it (docs/weights.md)", metavar="INT", unset="as in SRC"
    )
    tokenizer: str | None = option(
        None, "for weights without one: gpt2, or the path of a tokenizer.json", metavar="gpt2|PATH", unset="SRC's"
    )
    step: int | None = step_option()
    max_shard: str = option("5GB", "of huggingface: the most bytes of a file", metavar="SIZE")
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Converts, says what was written, and returns it."""
    arguments = parse("convert", ConvertOptions(), argv, about=ABOUT)
    if arguments.source is None or arguments.place is None:
        raise UserError("give what to read and what to write: jaxdec convert SRC DST")
    check(arguments)
    started = time.monotonic()
    from jaxdec.cli.startup import start_jax

    start_jax()
    taken_back = arguments.to == "run" and training_state.is_training_state(arguments.source)
    if taken_back or arguments.to == training_state.NAME:
        changes = {name: getattr(arguments, name) for name in ("family", "dtype", "vocab_size", "context", "tokenizer")}
        return training_state.convert(arguments.source, arguments.place, arguments.step, changes)
    from jaxdec.runs import converting
    from jaxdec.runs.start import merged

    converting.require_free(arguments.place)
    source = opened(arguments)
    if arguments.to != PEFT:
        source = merged(source)
    changes = converting.Changes(
        arguments.dtype, arguments.vocab_size, arguments.context, arguments.new_rows, arguments.seed
    )
    if changes != converting.Changes():
        source = converting.changed(source, changes)
    layout = write(arguments, source)
    result = {
        "source": arguments.source,
        "place": str(arguments.place),
        "layout": layout,
        "parameters": converting.count(source),
        "step": source.step,
        "vocab_size": source.config.model.vocab_size,
        "context": source.config.model.context,
        "seconds": round(time.monotonic() - started, 2),
        "peak_memory_mb": peak_memory(),
    }
    for name, value in result.items():
        print(f"{name.replace('_', ' '):<16} {value:,}" if isinstance(value, int) else f"{name:<16} {value}")
    return result


def write(arguments: ConvertOptions, source: Source) -> str:
    """Writes the model in the layout that was asked for; returns what that is called."""
    from jaxdec.runs import converting
    from jaxdec.runs.adapters import write_adapter_folder

    assert arguments.source is not None and arguments.place is not None
    match arguments.to:
        case "run":
            converting.write_run(source, arguments.place, arguments.dtype, arguments.source)
            return "run"
        case "peft":
            return f"peft, of {write_adapter_folder(source, arguments.place, arguments.base, arguments.family)}"
        case layout:
            return converting.write_weights(
                source,
                arguments.place,
                layout,
                family=arguments.family,
                max_shard=size(arguments.max_shard),
                figures=converting.summary_of(Path(arguments.source)),
            )


def check(arguments: ConvertOptions) -> None:
    """Raises UserError for options that cannot be right, before anything is read."""
    from jaxdec.weights.formats.registry import FORMATS

    layouts = ["run", PEFT, training_state.NAME, *(name for name, each in FORMATS.items() if each.write)]
    if arguments.to not in layouts:
        raise UserError(f"--to is {arguments.to!r}{nearest(arguments.to, layouts)}")
    for name in ("vocab_size", "context"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}: give a whole number from 1")
    if arguments.seed < 0:
        raise UserError(f"--seed is {arguments.seed}: give a whole number from 0")
    if arguments.family is not None and arguments.to not in ("huggingface", PEFT):
        raise UserError(
            f"--family {arguments.family} says which family of --to huggingface; here --to is {arguments.to}"
        )
    changed = [name for name in ("dtype", "vocab_size", "context") if getattr(arguments, name) is not None]
    if arguments.to == PEFT and changed:
        raise UserError(f"--to peft writes the adapters as they are: leave --{changed[0].replace('_', '-')} out")
    size(arguments.max_shard)


def opened(arguments: ConvertOptions) -> Source:
    """The model to convert, with the tokenizer that was given. Raises UserError where weights have one already."""
    from jaxdec.runs.loading import of_weights, open_source
    from jaxdec.runs.source import is_run, open_weights
    from jaxdec.weights.formats.peft import is_adapter_folder, open_adapter

    assert arguments.source is not None
    adapter = Path(arguments.source).expanduser()
    if arguments.base is not None and is_adapter_folder(adapter):
        return of_weights(open_adapter(adapter, arguments.base))
    if arguments.base is not None and arguments.to != PEFT:
        raise UserError(f"--base {arguments.base} is the base model of an adapter, and {adapter} is none: leave it out")
    if arguments.tokenizer is None:
        return open_source(arguments.source, arguments.step)
    if is_run(arguments.source):
        raise UserError(f"{arguments.source} is a run, which has its tokenizer: leave --tokenizer out")
    stored = open_weights(arguments.source)
    return of_weights(dataclasses.replace(stored, tokenizer=given_tokenizer(arguments.tokenizer)))


def given_tokenizer(text: str) -> Any:
    """GPT-2's tokenizer, or that of a file, or of a folder of Hugging Face or of a run."""
    from jaxdec.config.tokenizers import GPT2
    from jaxdec.data.tokenizers.registry import fixed_tokenizer, load_tokenizer
    from jaxdec.weights.folder.tokenizer_files import read_tokenizer

    path = Path(text).expanduser()
    if text == "gpt2" and not path.exists():
        return fixed_tokenizer(GPT2())
    if not path.exists():
        raise UserError(f"--tokenizer {text}: there is no such file; give gpt2 or the path of a tokenizer.json")
    if (path / "tokenizer" / "tokenizer.json").is_file() and (path / "config.yaml").is_file():
        return load_tokenizer(path / "tokenizer")
    found = read_tokenizer(path)
    if found is None:
        raise UserError(f"--tokenizer {text} has no tokenizer.json, vocab.json or tokenizer.model")
    return found


def size(text: str) -> int:
    """Bytes: 5GB, 200MB, 4000."""
    found = SIZE.fullmatch(text.strip())
    if not found or not float(found["number"]):
        raise UserError(f"--max-shard is {text!r}: give bytes, as 5GB or 200MB")
    return int(float(found["number"]) * UNITS[(found["unit"] or "").upper()])


def peak_memory() -> int:
    """The most memory that this process has held so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (10**6 if sys.platform == "darwin" else 10**3))
