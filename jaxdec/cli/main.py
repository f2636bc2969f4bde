"""`jaxdec COMMAND ...`: finds the command, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 the training failed, or a comparison found a difference (`errors.Different` carries the command's
result, which `--json` prints like any other); 2 the input is wrong (one line on stderr says what, where and what to
do); 3 an internal error, which is a bug: its traceback is printed; 130 interrupted. With `--json` the last line on
stdout is one JSON object, also after an error (`{"error": ...}`), and everything meant for people goes to stderr.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from jaxdec.cli.console import silence
from jaxdec.errors import INTERNAL_ERROR, Different, TrainingError, UserError, nearest

COMMANDS = {
    "train": "train a model: a recipe, or the settings of an earlier run",
    "resume": "go on with a run that was interrupted, bit for bit",
    "evaluate": "score a run's model on the whole validation split, or on suites such as hellaswag",
    "generate": "write text with a run's model",
    "respond": "answer instructions with a finetuned run, and score the answers",
    "chat": "talk to a finetuned run",
    "inspect": "show what a run's model does with a text: attention, experts, logit lens",
    "classify": "tell which class texts belong to, with a classifier's run",
    "translate": "translate texts with an encoder-decoder's run",
    "convert": "read other programs' weights, and write a run's model in their layouts",
    "prepare": "read and cut a corpus into token shards",
    "parity": "prove that a JAX model equals a PyTorch model, or name what differs",
    "bench": "measure training speed against PyTorch",
    "ladder": "train the small rungs on one corpus with the same number of tokens, and compare",
    "list": "show the ladder of models, recipes, corpora, tokenizers and suites",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. `argv` None: the process's arguments."""
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words
    answer = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            result, code = _run(words), 0
        answer.flush()  # here a reader that has gone is noticed; at exit it would be a line on stderr
    except Different as found:
        result, code = found.result, found.exit_code
    except (UserError, TrainingError) as error:
        result, code = _failed(str(error), getattr(error, "details", ())), error.exit_code
    except KeyboardInterrupt:
        result, code = _failed("interrupted"), 130
    except BrokenPipeError:  # the reader of our output has gone, as in `jaxdec list | head -1`
        silence(answer)
        return 0
    except OSError as error:
        result, code = _failed(_os_line(error)), 2
    except Exception as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            line = "out of memory: give a smaller --train.microbatch, --model.context or --model.width"
            result, code = _failed(line), TrainingError.exit_code
        else:
            import traceback  # costs every start 5 ms, and is needed by none that goes well

            traceback.print_exc()
            line = f"internal error, a bug in jaxdec ({type(error).__name__}: {error}); please report the lines above"
            result, code = _failed(line), INTERNAL_ERROR
    if as_json:
        try:
            print(json.dumps(result), file=answer, flush=True)
        except BrokenPipeError:
            silence(answer)
    return code


def _run(words: list[str]) -> dict[str, Any]:
    if not words or words[0] in ("-h", "--help"):
        print(overview())
        return {"commands": COMMANDS}
    if words[0] == "--version":
        from importlib.metadata import version

        print(f"jaxdec {version('jaxdec')}")
        return {"version": version("jaxdec")}
    command = words[0]
    if command not in COMMANDS:
        raise UserError(f"unknown command '{command}'{nearest(command, COMMANDS)}")
    try:
        return importlib.import_module(f"jaxdec.cli.{command}").run(words[1:])
    except SystemExit as stop:
        if {"-h", "--help"} & set(words):  # the command's page is printed
            return {}
        if isinstance(stop.__context__, BrokenPipeError):  # rich's way to end a program whose reader has gone
            raise stop.__context__ from None
        raise RuntimeError(f"a library wanted to end the program with SystemExit({stop.code!r})") from stop


def overview() -> str:
    """The page of `jaxdec --help`."""
    lines = [
        "usage: jaxdec COMMAND [OPTIONS]",
        "",
        "Train small decoder-only language models in JAX and sample from them.",
        "",
    ]
    lines += [f"  {name:<10}{about}" for name, about in COMMANDS.items()]
    lines += [
        "",
        "  jaxdec train char-gpt --out runs/first",
        "  jaxdec generate runs/first --prompt 'Enter '",
        "",
        "jaxdec COMMAND --help shows every flag of a command. --json ends a command with one JSON line on stdout.",
    ]
    return "\n".join(lines)


def _failed(line: str, details: Sequence[str] = ()) -> dict[str, Any]:
    line = " ".join(line.split())
    print("\n  ".join([f"jaxdec: {line}", *details]), file=sys.stderr, flush=True)
    return {"error": line, **({"details": list(details)} if details else {})}


def _os_line(error: OSError) -> str:
    place = f" {error.filename}" if error.filename else ""
    return f"cannot read or write{place}: {error.strerror or error}"


if __name__ == "__main__":
    sys.exit(main())
