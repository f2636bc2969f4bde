"""`jaxdec inspect RUN --prompt TEXT`: what a model does with a text, on the terminal, as pictures and as a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxdec.cli.flags.flags import parse
from jaxdec.cli.flags.options import json_option, option, run_argument, step_option
from jaxdec.config.model import AnyModel, EncoderDecoderConfig
from jaxdec.errors import UserError
from jaxdec.runs.source import describe

if TYPE_CHECKING:
    from jaxdec.inspection.text import Inspection

ABOUT = """Show what a model does with a text: which tokens each attention head reads, which experts each token goes to,
and what would be predicted after each layer (the logit lens). Layers and heads count from 0. With --out, as pictures
and as a page for the browser."""
TABLE = 24  # so many heads still make a table that can be read


@dataclasses.dataclass(frozen=True)
class InspectOptions:
    run: Path | None = run_argument()
    prompt: str | None = option(None, "the text that the model reads", metavar="TEXT", unset="it must be given")
    layer: int | None = option(None, "links, heads and pictures of this layer alone", metavar="INT", unset="all")
    head: int | None = option(None, "links, heads and pictures of this head alone", metavar="INT", unset="all")
    top: int = option(5, "how many predictions and links to show")
    most: int = option(128, "of a longer text, the first so many tokens are read")
    out: Path | None = option(
        None, "the folder to write pictures and page to", metavar="PATH", unset="nothing is written"
    )
    step: int | None = step_option()
    json: bool = json_option()


def run(argv: Sequence[str]) -> dict[str, Any]:
    """Inspects, prints what stands out, writes the folder and returns the figures."""
    arguments = parse("inspect", InspectOptions(), argv, about=ABOUT)
    if arguments.run is None:
        raise UserError("give the run directory: jaxdec inspect RUN --prompt TEXT")
    if not arguments.prompt:
        raise UserError(f"there is no text to read: jaxdec inspect {arguments.run} --prompt TEXT")
    layers, heads = chosen_heads(describe(arguments.run).model, arguments.layer, arguments.head)
    from jaxdec.inspection.folder import require_free, write_folder  # matplotlib is loaded when a picture is drawn

    if arguments.out is not None:
        require_free(arguments.out)
    from jaxdec.cli.startup import start_jax

    start_jax()
    from jaxdec.inspection.figures import figures
    from jaxdec.inspection.text import inspect_text
    from jaxdec.runs.loading import load_run

    loaded = load_run(arguments.run, arguments.step)
    seen = inspect_text(loaded, arguments.prompt, top=arguments.top, most=arguments.most)
    about = in_a_line(loaded.config.model, seen, str(arguments.run), loaded.step)
    whole = arguments.layer is not None or arguments.head is not None
    result = {"step": loaded.step, **figures(seen, layers, heads, arguments.top, whole)}
    show(seen, result, about)
    if arguments.out is not None:
        title = f"{arguments.run.resolve().name}: what it does with a text"
        names = write_folder(seen, arguments.out, title=title, about=about, layers=layers, heads=heads)
        print(f"\nwritten to {arguments.out}: {', '.join(names)}")
        result["files"] = [str(arguments.out / name) for name in names]
    return result


def chosen_heads(model: AnyModel, layer: int | None, head: int | None) -> tuple[list[int], list[int]]:
    """The layers and heads that are meant. Raises UserError outside of those there are."""
    if isinstance(model, EncoderDecoderConfig):
        raise UserError("this is an encoder-decoder, which reads two texts: jaxdec inspect shows models of one text")
    decoder = model.decoder
    if decoder is None:
        if layer is not None or head is not None:
            raise UserError(f"a {model.kind} model has no attention: leave --layer and --head out")
        return [], []
    from jaxdec.inspection.figures import chosen

    return chosen("layer", layer, decoder.layers), chosen("head", head, decoder.heads)


def in_a_line(model: AnyModel, seen: Inspection, name: str, step: int) -> str:
    """What was looked at, and how much of the text was left out."""
    decoder = model.decoder
    size = "no attention" if decoder is None else f"layers: {decoder.layers}, heads: {decoder.heads}"
    read, cut = len(seen.tokens), ""
    if seen.left_out:
        limit = "the model's context" if read == model.context else "--most"
        cut = f" (the first of {read + seen.left_out}: {limit} is {read})"
    return f"{name} at step {step}, {model.kind}, {size}, tokens read: {read}{cut}"


def show(seen: Inspection, result: dict[str, Any], about: str) -> None:
    """Prints what stands out."""
    print(about)
    what = "class" if seen.classes else "next token"
    print(f"\n{what} after {place(seen, len(seen.tokens) - 1)}, layer by layer (logit lens)")
    stages = ["embeddings", *(f"after layer {layer}" for layer in range(len(result["lens"]) - 1))]
    rows = [positions[-1]["top"] for positions in result["lens"]]
    rows.append(result["classes" if seen.classes else "next"][-1]["top"])
    width = max(len(each["label"]) for row in rows for each in row) + 6
    for stage, row in zip([*stages, "the model"], rows, strict=True):
        cells = (f"{each['label']} {shown(each['probability'])}" for each in row)
        print(f"  {stage:<15}" + "  ".join(cell.ljust(width) for cell in cells).rstrip())
    if not seen.classes and len(seen.tokens) > 1:
        show_text(seen, result)
    if seen.attention is None:
        print("\nthis model has no attention: it reads the last token alone")
    else:
        show_attention(seen, result)
    for layer, each in result["routing"].items():
        gone = sum(map(sum, each["dropped"]))
        loads = "  ".join(f"{expert}: {load}" for expert, load in enumerate(each["load"]))
        print(
            f"\nexperts of layer {layer}, choices that each got ({gone} of {sum(each['load'])} were dropped)\n  {loads}"
        )
        sent = zip(each["expert"][-1], each["gate"][-1], each["dropped"][-1], strict=True)
        parts = [f"expert {e} ({'dropped' if lost else shown(gate)})" for e, gate, lost in sent]
        print(f"  {place(seen, len(seen.tokens) - 1)} goes to {' and '.join(parts)}")


def show_text(seen: Inspection, result: dict[str, Any]) -> None:
    """How well the text was predicted, and the tokens that surprised most."""
    import math

    truths = [entry["true"] for entry in result["next"][:-1]]
    loss = sum(-math.log(max(each["probability"], 1e-30)) for each in truths) / len(truths)
    first = sum(each["rank"] == 0 for each in truths)
    print(f"\nthe text itself: loss {loss:.3f} nats per token; {first} of {len(truths)} tokens were the likeliest ones")
    rarest = sorted(range(len(truths)), key=lambda token: truths[token]["probability"])[:3]
    for token in rarest:
        best, share = result["next"][token]["top"][0], truths[token]["probability"]
        had = f"{share:.4f}" if share >= 1e-4 else f"{share:.0e}"
        likeliest = f"the likeliest was {best['label']} with {shown(best['probability'])}"
        print(f"  {place(seen, token + 1)} had a probability of {had}; {likeliest}")


def show_attention(seen: Inspection, result: dict[str, Any]) -> None:
    if result["links"]:
        print("\nstrongest links to an earlier token, one of each head")
    for link in result["links"]:
        print(
            f"  layer {link['layer']} head {link['head']}: {place(seen, link['query'])} reads "
            f"{place(seen, link['key'])} with {link['weight']:.2f}"
        )
    rows = result["heads"]
    if not rows:
        return
    if len(rows) > TABLE:
        print(f"\n{len(rows)} heads: give --layer for what the heads of one read")
        return
    sink = any("sink" in each for each in seen.patterns)
    names = ["itself", "previous", "first", "others", *(["sink"] if sink else []), "distance"]
    print("\nwhat the heads read: mean weights, and the mean distance in tokens")
    print("  layer  head" + "".join(f"{name:>10}" for name in names))
    for row in rows:
        print(f"  {row['layer']:>5}{row['head']:>6}" + "".join(f"{row[name]:>10.2f}" for name in names))
    if sink:
        print("  (what a sink takes goes to no token: the rows of such a layer sum to less than 1)")


def place(seen: Inspection, token: int) -> str:
    return f"{seen.labels[token]} [{token}]"


def shown(share: float) -> str:
    return "<0.01" if 0 < share < 0.005 else f"{share:.2f}"
