"""What the parity commands share: their arguments, an exact JAX, and the files of a report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdec.cli.flags.options import argument, option
from jaxdec.config.files import write_text
from jaxdec.errors import Different, UserError

if TYPE_CHECKING:
    from jaxdec.parity.report.report import Report
    from jaxdec.parity.setting import PrecisionName, WeightInit

SPEC = """SPEC is a Python file that defines `pair` (a jaxdec.parity.Pair, or a function
without arguments that returns one), FILE.py:NAME for another name, or one of ours:
a rung of the ladder (char-gpt, moe-gpt ...), reverse, translate, a later stage
(instruct), an outside oracle (hf:llama ...), or a Hugging Face folder, which is
compared with transformers. A Python file is run, as any program: give only what
you trust."""
CODES = "Exit code: 0 equal, 1 different, 2 wrong use, 3 an internal error (a bug)."
WEIGHT_INITS: tuple[WeightInit, ...] = ("init", "generic")
PRECISIONS: tuple[PrecisionName, ...] = ("float64", "float32", "bfloat16")


def spec_argument() -> Any:
    return argument("SPEC", "FILE.py, FILE.py:NAME or a name")


def seed_option() -> int:
    return option(0, "of weights and batches")


def html_option() -> Any:
    return option(None, "write the report as one HTML page", metavar="FILE")


def report_json_option() -> Any:
    return option(None, "write the whole report as JSON", metavar="FILE")


@contextlib.contextmanager
def loaded(spec: str | None, action: str) -> Iterator[Any]:
    """The pair, and an exact JAX for the length of the block: float64 on, matrix products in full precision."""
    if spec is None:
        raise UserError(f"say what to {action}: jaxdec parity {action} SPEC, as char-gpt, hf:llama or FILE.py")
    from jaxdec.parity.spec import load_pair, needed_packages, require_spec

    require_spec(spec)  # a slip does not wait for jax
    with exact(), needed_packages(f"jaxdec parity {action}"):
        yield load_pair(spec)


@contextlib.contextmanager
def exact() -> Iterator[None]:
    from jaxdec.cli.startup import start_jax

    start_jax()
    import jax

    # Not jax.config.update: a caller in the same process gets its own settings back.
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield


@contextlib.contextmanager
def saying() -> Iterator[Callable[[str], None]]:
    """What is being done, on a line that goes away, where there is a terminal; nothing elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("") as status:
        yield lambda text: status.update(Text(text))


def require_writable(paths: Mapping[str, Path | None]) -> None:
    """Refuses the paths of flags before minutes are spent on what shall be written there."""
    for flag, path in paths.items():
        if path is not None and path.is_dir():
            raise UserError(f"{flag} {path} is a folder: give the path of a file")
        if path is not None and not path.absolute().parent.is_dir():
            raise UserError(f"{flag} {path}: there is no folder {path.parent}; make it first")


def write(report: Report, html: Path | None, report_json: Path | None) -> dict[str, str]:
    """Writes the files that were asked for; kind -> path."""
    files = {}
    if html is not None:
        from jaxdec.parity.report.html import write_html

        write_html(report, html)
        files["HTML"] = str(html)
    if report_json is not None:
        from jaxdec.parity.report.report import to_json

        write_text(report_json, to_json(report))
        files["JSON"] = str(report_json)
    return files


def answer(report: Report, files: Mapping[str, str]) -> dict[str, Any]:
    from jaxdec.parity.report.report import summary

    result = {**summary(report), **{kind.lower(): path for kind, path in files.items()}}
    if not report.equal:
        raise Different(result)
    return result
