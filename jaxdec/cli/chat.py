"""`jaxdec chat RUN`: a conversation with a run's model on the terminal."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.cli.instructed import TEMPLATE_HELP, template_of
from jaxdec.errors import UserError
from jaxdec.runs.source import describe

ABOUT = """Talk to a run that was trained on instructions (jaxdec train instruct). Each line is a message; the answer
ends at the end token. The oldest turns are forgotten when the context is full. Ctrl-D ends it, Ctrl-C too. Messages may
come from a pipe: printf 'What is 2 plus 3?\\n' | jaxdec chat RUN"""


@dataclasses.dataclass(frozen=True)
class ChatOptions:
    run: Path | None = run_argument()
    template: str | None = option(None, TEMPLATE_HELP, metavar="KIND", unset="the run's")
    system: str = option("", "what the model is told before the conversation", metavar="TEXT", unset="nothing")
    max_tokens: int = option(256, "tokens of an answer at most")
    temperature: float = option(0.0, "0 takes the most probable token; above it answers differ by the seed")
    top_k: int | None = option(None, "keep the k most probable tokens", metavar="INT", unset="off")
    top_p: float | None = option(
        None, "keep the fewest tokens that hold this probability", metavar="FLOAT", unset="off"
    )
    seed: int = option(1337, "of the random choices")
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Talks until the input ends; returns the turns."""
    arguments = parse("chat", ChatOptions(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec chat RUN")
    template = template_of(describe(arguments.run), arguments.template, str(arguments.run))
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.data.instructions.templates import form_of
    from jaxdec.generation.chat import Chat
    from jaxdec.generation.sampling import Sampling
    from jaxdec.runs.loading import load_run

    sampling = Sampling(arguments.temperature, arguments.top_k, arguments.top_p)
    form = form_of(template)
    chat = Chat(
        load_run(arguments.run, arguments.step), form, sampling=sampling,
        max_tokens=arguments.max_tokens, seed=arguments.seed, system=arguments.system,
    )  # fmt: skip
    turns: list[dict[str, str]] = []
    typed = sys.stdin.isatty()
    if typed:
        print("a message per line; Ctrl-D ends")
    try:
        while (message := next_message(typed)) is not None:
            if message.strip():
                turns += answered(chat, message.strip(), typed)
    except KeyboardInterrupt:
        print(flush=True)
        raise
    return {"turns": turns, "forgotten": chat.forgotten}


@contextlib.contextmanager
def interrupted_later() -> Iterator[Callable[[], bool]]:
    """Holds Ctrl-C back while the block lasts, and says whether it came: an exception inside a program of JAX can end
    the process with a fault of memory. A second Ctrl-C acts at once."""
    if threading.current_thread() is not threading.main_thread():  # where Python cannot set handlers
        yield lambda: False
        return
    asked, before = threading.Event(), signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
    if asked.is_set():
        raise KeyboardInterrupt


def next_message(typed: bool) -> str | None:
    """The next line of the input; None at its end. Lines that come from a pipe are shown, so that the answers below
    have their questions."""
    if typed:
        try:
            return input("> ")
        except EOFError:
            print()
            return None
    try:
        line = sys.stdin.readline()
    except UnicodeDecodeError:
        raise UserError("the input is not UTF-8 text: convert it") from None
    if not line:
        return None
    if line.strip():
        print(f"> {line.strip()}", flush=True)
    return line


def answered(chat: Any, message: str, typed: bool) -> list[dict[str, str]]:
    """Streams the answer; the turn, or nothing for a message that is refused, which is told in a line."""
    forgotten, shown = chat.forgotten, ""
    try:
        with interrupted_later() as is_interrupted:
            for piece in chat.ask(message):
                piece = piece if shown else piece.lstrip()
                shown += piece
                print(piece, end="", flush=True)
                if is_interrupted():
                    raise KeyboardInterrupt
    except UserError as error:
        if not typed:
            raise
        print(f"jaxdec: {error}", file=sys.stderr, flush=True)
        return []
    print("\n" if typed else "", flush=True)
    if chat.forgotten > forgotten:
        print(f"(the context is full: {chat.forgotten} turns forgotten)", file=sys.stderr, flush=True)
    return [{"message": message, "response": chat.turns[-1].response}]
