"""From a run directory to text: loading, prompts, stop strings, and text in pieces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.model import DecoderConfig
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.config.yaml import config_to_dict
from jaxdec.data.tokenizers.registry import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from jaxdec.errors import UserError
from jaxdec.generation.generate import generate, generate_text
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import TextStream, start_tokens
from jaxdec.models.functional import Model
from jaxdec.runs.loading import LoadedRun, load_run

TOKENIZER = CharTokenizer("\nabcdef")
FREE = Sampling()
WORDS = WordTokenizer.train('I had (tea)--"')
BYTES = BPETokenizer.train("ab ab ba €€", 265)


class ByteTokenizer:
    """One token a byte, so that a character may be cut by the end of a piece."""

    def decode(self, ids: Any) -> str:
        return bytes(np.asarray(ids, np.uint8).tolist()).decode("utf-8", errors="replace")


@pytest.fixture(scope="module")
def loaded() -> LoadedRun:
    config = RunConfig(
        model=DecoderConfig(layers=1, heads=2, width=8, context=16, vocab_size=TOKENIZER.vocab_size + 2),
        data=DataConfig(corpus="playlets"),
    )
    model = Model(config.model, config.precision)
    return LoadedRun(config, model, model.init(jax.random.key(0)), TOKENIZER, 3)


@pytest.fixture(scope="module")
def run_dir(loaded: LoadedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints 3 and 7, whose parameters are all ones at 7."""
    folder = tmp_path_factory.mktemp("run")
    checkpoints = Checkpoints(folder / "checkpoints", keep=5)
    meta = {"seed": 1, "config": config_to_dict(loaded.config), "tokenizer": TOKENIZER.to_dict()}
    for step, params in {3: loaded.params, 7: jax.tree.map(jax.numpy.ones_like, loaded.params)}.items():
        checkpoints.save(step, {"step": jax.numpy.int32(step), "params": params, "opt": ()}, meta)
    checkpoints.close()
    return folder


@given(
    text=st.text("ab€𝄞", max_size=30),
    stop=st.none() | st.text("ab€", min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 6), min_size=1),
)
@example("aab", "ab", [2, 1])
@example("aaab", "aab", [3, 1])
@example("a€", None, [2, 1, 1])
def test_pieces_join_to_the_text_before_stop(text: str, stop: str | None, cuts: list[int]) -> None:
    stream, shown, ids = TextStream(ByteTokenizer(), stop), "", list(text.encode())  # type: ignore[arg-type]
    expected = text if stop is None else text.partition(stop)[0]
    while ids:
        cut = cuts[len(ids) % len(cuts)]
        shown += stream.add(np.array(ids[:cut]))
        assert expected.startswith(shown)  # nothing is ever taken back
        ids = ids[cut:]
    shown += stream.finish()
    assert shown == stream.text == expected
    assert stream.ended == (stop is not None and stop in text)


def test_text_is_given_out_as_soon_as_it_is_settled() -> None:
    stream = TextStream(TOKENIZER, "abc")
    assert stream.add(TOKENIZER.encode("de")) == "de"
    assert stream.add(TOKENIZER.encode("fab")) == "f"
    assert stream.add(TOKENIZER.encode("d")) == "abd"
    assert stream.add(TOKENIZER.encode("abca")) == ""
    assert stream.finish() == ""
    assert stream.text == "defabd"


@given(text=st.text("ab €𝄞🧿", max_size=30), cuts=st.lists(st.integers(1, 3), min_size=1))
@example("a🧿", [1])
def test_no_piece_holds_half_a_character(text: str, cuts: list[int]) -> None:
    stream, shown, ids = TextStream(BYTES, None, before=BYTES.encode("b ")), "", BYTES.encode(text)
    for place in range(0, len(ids), cuts[0]):
        piece = stream.add(ids[place : place + cuts[0]])
        assert "\ufffd" not in piece
        shown += piece
    assert shown == stream.text == text
    assert stream.finish() == ""


def test_a_continuation_is_spaced_as_its_prompt_asks() -> None:
    for prompt, expected in (
        ("I had", " tea--I had"),
        ("", "tea--I had"),
        ("I had (", "tea--I had"),
        ('"', "tea--I had"),
    ):
        stream = TextStream(WORDS, None, before=WORDS.encode(prompt))
        pieces = [stream.add(WORDS.encode(word)) for word in ("tea", "--", "I", "had")]
        assert "".join(pieces) == stream.text == expected
        assert all(pieces)


def test_start_tokens() -> None:
    assert start_tokens(CharTokenizer("\t\nab")).tolist() == [1, 1]
    assert start_tokens(CharTokenizer("ab")).tolist() == [0]
    for tokenizer in (WORDS, BYTES):
        assert start_tokens(tokenizer).tolist() == [tokenizer.end_of_text]


class Blank(CharTokenizer):
    """As some files of others do, it makes nothing of newlines."""

    def encode(self, text: str, allow_special: bool = False) -> np.ndarray:
        return super().encode(text.strip(), allow_special)


@pytest.mark.parametrize("tokenizer", [WORDS, BYTES, Blank("ab")], ids=["words", "bpe", "none for newlines"])
@pytest.mark.parametrize("prompt", ["", "\n "])
def test_empty_prompts_of_every_tokenizer(loaded: LoadedRun, tokenizer: Tokenizer, prompt: str) -> None:
    model = Model(replace(loaded.model.config, vocab_size=tokenizer.vocab_size), loaded.config.precision)
    run = replace(loaded, model=model, params=model.init(jax.random.key(0)), tokenizer=tokenizer)
    (text,) = generate_text(run, [prompt], max_tokens=12, sampling=FREE, seed=4)
    assert text


def test_a_stop_string_of_unknown_words_is_not_the_unknown_word(loaded: LoadedRun) -> None:
    model = Model(replace(loaded.model.config, vocab_size=WORDS.vocab_size), loaded.config.precision)
    run = replace(loaded, model=model, params=model.init(jax.random.key(0)), tokenizer=WORDS)
    texts = [generate_text(run, ["tea"], max_tokens=40, sampling=FREE, seed=4, stop=stop) for stop in (None, "coffee")]
    assert texts[0] == texts[1]
    assert "<|unk|>" in texts[0][0]


def test_text_is_the_decoded_tokens(loaded: LoadedRun) -> None:
    prompts = ["abc", "", "fade\n" * 5]
    texts = generate_text(loaded, prompts, max_tokens=50, sampling=FREE, seed=4)
    rows = [TOKENIZER.encode("abc"), start_tokens(TOKENIZER), TOKENIZER.encode("fade\n" * 5)]
    tokens = generate(
        loaded.model,
        loaded.params,
        rows,
        max_tokens=50,
        sampling=FREE,
        key=jax.random.key(4),
        vocab_size=TOKENIZER.vocab_size,
    )
    assert texts == [TOKENIZER.decode(row) for row in tokens]
    assert [len(text) for text in texts] == [50] * 3
    assert texts != generate_text(loaded, prompts, max_tokens=50, sampling=FREE, seed=5)


@pytest.mark.parametrize("length", [1, 2])
def test_stop_strings_and_pieces(loaded: LoadedRun, length: int) -> None:
    prompts = ["abc", "", "f"]
    whole = generate_text(loaded, prompts, max_tokens=80, sampling=FREE, seed=4)
    stop = whole[1][30 : 30 + length]
    pieces: list[tuple[int, str]] = []
    texts = generate_text(
        loaded,
        prompts,
        max_tokens=80,
        sampling=FREE,
        seed=4,
        stop=stop,
        on_text=lambda *piece: pieces.append(piece),
        chunk=7,
    )
    assert texts == [text.partition(stop)[0] for text in whole]
    assert min(map(len, texts)) < 31
    for row, text in enumerate(texts):
        assert "".join(piece for index, piece in pieces if index == row) == text
    assert all(piece for _, piece in pieces)


def test_what_was_held_back_comes_in_the_end(loaded: LoadedRun) -> None:
    (whole,) = generate_text(loaded, ["abc"], max_tokens=30, sampling=FREE, seed=4)
    stop = next(whole[-1] + end for end in TOKENIZER.characters if whole[-1] + end not in whole)
    pieces: list[str] = []
    texts = generate_text(
        loaded, ["abc"], max_tokens=30, sampling=FREE, seed=4, stop=stop, on_text=lambda _, piece: pieces.append(piece)
    )
    assert texts == ["".join(pieces)] == [whole]


def test_decoding_ends_with_the_last_row(loaded: LoadedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxdec.generation.decoding import Decoding

    taken = []
    advance = Decoding.advance

    def counted(self: Decoding, limit: int) -> tuple[int, list[np.ndarray]]:
        steps, new = advance(self, limit)
        taken.append(steps)
        return steps, new

    monkeypatch.setattr(Decoding, "advance", counted)
    whole = generate_text(loaded, ["a", "b"], max_tokens=60, sampling=FREE, seed=1)
    stop = next(pair for pair in (whole[0][at : at + 2] for at in range(40)) if pair in whole[1][:40])
    taken.clear()
    generate_text(loaded, ["a", "b"], max_tokens=10_000, sampling=FREE, seed=1, stop=stop, chunk=5)
    assert sum(taken) <= 45


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": ["ab?"]}, "the prompt: the character '?' (offset 2"),
        ({"prompts": ["ab", "Z"]}, "prompt 2: the character 'Z' (offset 0"),
        ({"stop": "."}, "the stop string: the character '.'"),
        ({"stop": ""}, "the stop string is empty"),
        ({"seed": -1}, "seed is -1: give a whole number from 0"),
        ({"seed": 2**31}, "seed is 2147483648"),
        ({"max_tokens": -5}, "max-tokens is -5"),
    ],
)
def test_wrong_input_is_named(loaded: LoadedRun, change: dict[str, Any], message: str) -> None:
    arguments = {"prompts": ["a"], "max_tokens": 2, "sampling": FREE, "seed": 0} | change
    with pytest.raises(UserError) as error:
        generate_text(loaded, **arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_load_run(loaded: LoadedRun, run_dir: Path) -> None:
    newest, chosen = load_run(run_dir), load_run(run_dir, step=3)
    assert (newest.step, chosen.step) == (7, 3)
    assert chosen.config == loaded.config
    assert chosen.model == loaded.model
    assert chosen.tokenizer.hash == TOKENIZER.hash
    assert all((leaf == 1).all() for leaf in newest.params.values())
    assert chosen.params.keys() == loaded.params.keys()
    for name, leaf in loaded.params.items():
        np.testing.assert_array_equal(chosen.params[name], leaf)
    arguments: dict[str, Any] = {"max_tokens": 20, "sampling": FREE, "seed": 1}
    assert generate_text(str(run_dir), ["abc"], **arguments) == generate_text(newest, ["abc"], **arguments)


def test_an_unresolved_vocabulary_is_the_tokenizers(loaded: LoadedRun, tmp_path: Path) -> None:
    config = replace(loaded.config, model=replace(loaded.config.model, vocab_size=None))
    model = Model(replace(config.model, vocab_size=TOKENIZER.vocab_size), config.precision)
    save_one(tmp_path, config, model.init(jax.random.key(0)))
    assert load_run(tmp_path).config.model.vocab_size == TOKENIZER.vocab_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"final_norm.bias": None}, "lacks parameter final_norm.bias"),
        ({"final_norm.gain": np.ones(8, np.float32)}, "has an unknown parameter final_norm.gain"),
        ({"final_norm.scale": np.ones(4, np.float32)}, "final_norm.scale has shape (4,), the config asks for (8,)"),
    ],
)
def test_parameters_of_another_model_are_named(
    loaded: LoadedRun, tmp_path: Path, change: dict[str, np.ndarray | None], message: str
) -> None:
    params = {name: leaf for name, leaf in (loaded.params | change).items() if leaf is not None}
    save_one(tmp_path, loaded.config, {name: jax.numpy.asarray(leaf) for name, leaf in params.items()})
    with pytest.raises(UserError) as error:
        load_run(tmp_path)
    assert message in str(error.value)
    assert "checkpoint 1 in" in str(error.value)


def test_a_folder_that_is_no_run(tmp_path: Path, run_dir: Path) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        load_run(tmp_path)
    with pytest.raises(UserError, match="no checkpoint 5"):
        load_run(run_dir, step=5)


def save_one(folder: Path, config: RunConfig, params: dict[str, jax.Array]) -> None:
    checkpoints = Checkpoints(folder / "checkpoints", keep=1)
    meta = {"seed": 1, "config": config_to_dict(config), "tokenizer": TOKENIZER.to_dict()}
    checkpoints.save(1, {"step": jax.numpy.int32(1), "params": params, "opt": ()}, meta)
    checkpoints.close()
