"""OpenAI's TensorFlow checkpoints, from files written here by the description of the format, whole and damaged."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdec.config.model import DecoderConfig
from jaxdec.errors import UserError
from jaxdec.weights.formats.crc32c import crc32c, masked
from jaxdec.weights.formats.registry import open_model, write_model
from jaxdec.weights.formats.tensor_bundle import open_bundle
from tests.weights.formats.loading import TOKENS, logits_of, params_of, random_params
from tests.weights.formats.numpy_models import gpt2_logits

SIZES = {"n_vocab": 11, "n_ctx": 8, "n_embd": 16, "n_head": 2, "n_layer": 2}


def slow_crc(data: bytes) -> int:
    """Bit by bit, as it is defined."""
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def stored_crc(data: bytes) -> bytes:
    crc = slow_crc(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def varint(number: int) -> bytes:
    out = b""
    while number >= 128:
        out, number = out + bytes([number % 128 + 128]), number // 128
    return out + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, bytes):
        return varint(number * 8 + 2) + varint(len(value)) + value
    return varint(number * 8) + varint(value) if value else b""


def block(entries: list[tuple[bytes, bytes]], every: int) -> bytes:
    """Keys share the beginning with the key before, but for one in `every`, which is whole."""
    out, restarts, before = b"", [], b""
    for number, (key, value) in enumerate(entries):
        shared = 0
        if number % every == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    restarts = restarts or [0]
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def table(entries: list[tuple[bytes, bytes]], per_block: int = 5, kind: int = 0) -> bytes:
    out, index = b"", []

    def add(content: bytes) -> bytes:
        nonlocal out
        handle = varint(len(out)) + varint(len(content))
        out += content + bytes([kind]) + stored_crc(content + bytes([kind]))
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        index.append((part[-1][0] + b"~", add(block(part, 3))))
    footer = add(block([], 1)) + add(block(index, 1))
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def bundle(folder: Path, tensors: dict[str, np.ndarray], shards: int = 1, name: str = "model.ckpt") -> None:
    data = [b""] * shards
    entries = [(b"", field(1, shards) + field(3, field(1, 1)))]
    for number, (key, array) in enumerate(sorted(tensors.items())):
        shard, content = number % shards, array.tobytes()
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        kind = {"float32": 1, "float64": 2, "float16": 19, "int64": 9}[array.dtype.name]
        entry = field(1, kind) + field(2, shape) + field(3, shard) + field(4, len(data[shard]))
        entries.append((key.encode(), entry + field(5, len(content)) + varint(6 * 8 + 5) + stored_crc(content)))
        data[shard] += content
    (folder / f"{name}.index").write_bytes(table(entries))
    for shard, content in enumerate(data):
        (folder / f"{name}.data-{shard:05}-of-{shards:05}").write_bytes(content)


def tensors_of(rng: np.random.Generator) -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {"wte": (11, 16), "wpe": (8, 16), "ln_f/g": (16,), "ln_f/b": (16,)}
    for layer in range(2):
        parts = {"ln_1/g": (16,), "ln_1/b": (16,), "attn/c_attn/w": (1, 16, 48), "attn/c_attn/b": (48,)}
        parts |= {"attn/c_proj/w": (1, 16, 16), "attn/c_proj/b": (16,), "ln_2/g": (16,), "ln_2/b": (16,)}
        parts |= {"mlp/c_fc/w": (1, 16, 64), "mlp/c_fc/b": (64,), "mlp/c_proj/w": (1, 64, 16), "mlp/c_proj/b": (16,)}
        shapes |= {f"h{layer}/{part}": shape for part, shape in parts.items()}
    return {f"model/{name}": (rng.normal(size=shape) * 0.3).astype(np.float32) for name, shape in shapes.items()}


def checkpoint(folder: Path, shards: int = 1) -> dict[str, np.ndarray]:
    (folder / "hparams.json").write_text(json.dumps(SIZES))
    tensors = tensors_of(np.random.default_rng(3))
    bundle(folder, tensors, shards)
    return tensors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("openai")
    checkpoint(folder)
    return folder


@given(data=st.binary(max_size=80), more=st.integers(0, 40))
def test_checksums(data: bytes, more: int) -> None:
    assert crc32c(np.frombuffer(data, np.uint8)) == slow_crc(data)
    assert struct.pack("<I", masked(slow_crc(data))) == stored_crc(data)


def test_checksums_of_long_arrays_are_those_of_their_parts() -> None:
    assert crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283  # the check value of the standard
    data = np.random.default_rng(0).integers(0, 256, 2**16 + 12_345, dtype=np.uint8)
    assert crc32c(data) == slow_crc(data.tobytes())
    assert crc32c(data[: 2**16]) == slow_crc(data[: 2**16].tobytes())


@pytest.mark.parametrize("shards", [1, 3])
def test_the_logits_are_the_same(tmp_path: Path, shards: int) -> None:
    tensors = checkpoint(tmp_path, shards)
    model = open_model(tmp_path)
    assert model.format == "openai" and model.tokenizer is None
    assert model.config == replace(
        DecoderConfig(layers=2, heads=2, width=16, context=8, vocab_size=11), position=model.config.position
    )

    def theirs(name: str) -> np.ndarray:
        path, _, kind = name.replace("h.", "h").replace(".", "/").rpartition("/")
        scale = "ln_" in path and kind == "weight"
        matrix = path.rpartition("/")[2].startswith("c_") and kind == "weight"
        found = tensors[f"model/{path}" + ("/g" if scale else "/w" if matrix else "/b" if kind == "bias" else "")]
        return (found[0].T if matrix else found).astype(float)

    expected = gpt2_logits(theirs, TOKENS, 2, 2)
    assert np.abs(logits_of(model) - expected).max() <= 1e-11 and np.ptp(expected) > 1


def test_it_goes_on_in_another_format(folder: Path, tmp_path: Path) -> None:
    model = open_model(folder)
    write_model("llm.c", tmp_path / "out", params_of(model), model.config)
    back = params_of(open_model(tmp_path / "out"))
    assert all(array.tobytes() == back[name].tobytes() for name, array in params_of(model).items())
    with pytest.raises(UserError, match="openai is read, not written: choose "):
        write_model("openai", tmp_path / "b", random_params(model.config), model.config)


def test_which_checkpoint_is_taken(tmp_path: Path) -> None:
    tensors = checkpoint(tmp_path)
    extra = {"model/wte/Adam": tensors["model/wte"], "global_step": np.array(3)}
    bundle(tmp_path, {**tensors, "model/ln_f/b": np.full(16, 2, np.float32), **extra}, name="model-7")
    with pytest.raises(UserError, match=r"several checkpoints \(model-7\.index, model\.ckpt\.index\): give one"):
        open_model(tmp_path)
    assert (params_of(open_model(tmp_path / "model-7.index"))["final_norm.bias"] == 2).all()
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model-7"\nall_model_checkpoint_paths: "model-7"\n')
    assert (params_of(open_model(tmp_path))["final_norm.bias"] == 2).all()
    (tmp_path / "encoder.json").write_text("{}")
    with pytest.raises(UserError, match=r"encoder\.json is not GPT-2's"):
        open_model(tmp_path)


def test_files_cut_anywhere_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in sorted(tmp_path.glob("model.ckpt*")):
        content = path.read_bytes()
        for length in range(0, len(content), max(1, len(content) // 200)):
            path.write_bytes(content[:length])
            with pytest.raises(UserError, match=r"is damaged") as caught:
                open_model(tmp_path)
            assert "\n" not in str(caught.value)
        path.unlink()
        if ".data" in path.name:
            with pytest.raises(UserError, match=r"data-00000-of-00001 cannot be read"):
                open_model(tmp_path)
        path.write_bytes(content)


@settings(max_examples=20)
@given(place=st.integers(0, 2**20), byte=st.integers(0, 255))
def test_a_changed_byte_is_found(folder: Path, tmp_path_factory: pytest.TempPathFactory, place: int, byte: int) -> None:
    copy = tmp_path_factory.getbasetemp() / "openai copy"
    copy.mkdir(exist_ok=True)
    (copy / "hparams.json").write_text(json.dumps(SIZES))
    files = {name: (folder / name).read_bytes() for name in ("model.ckpt.index", "model.ckpt.data-00000-of-00001")}
    for name, content in files.items():
        for each, whole in files.items():
            (copy / each).write_bytes(whole)
        at = place % len(content)
        if content[at] == byte:
            continue
        (copy / name).write_bytes(content[:at] + bytes([byte]) + content[at + 1 :])
        footer = name.endswith("index") and at >= len(content) - 48  # has bytes that mean nothing, and no checksum
        with suppress(UserError) if footer else pytest.raises(UserError):
            for tensor in open_model(copy).tensors.values():
                tensor.read()


def index(entries: list[tuple[bytes, bytes]], **settings: int) -> bytes:
    return table([(b"", field(1, 1)), *entries], **settings)


SHAPE = field(2, field(2, field(1, 1)))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (index([(b"w", field(1, 7) + SHAPE)]), "w is of TensorFlow's kind 7, which is not supported"),
        (index([(b"w", field(1, 1) + SHAPE + field(7, b"x"))]), "w is cut into slices"),
        (index([(b"w", field(1, 1) + SHAPE + field(5, 8))]), "w of shape .1,. in float32 is said to take 8 bytes"),
        (index([(b"w", field(1, 1) + SHAPE + field(3, 2) + field(5, 4))]), "part 2 of 1"),
        (index([(b"w", field(1, 1) + SHAPE + field(4, 2**60) + field(5, 4))]), "4 bytes from 1152921504606846976 on"),
        (index([(b"w", field(1, 1) + field(2, 3) + field(5, 4))]), "a shape is no shape"),
        (index([(b"w", b"\x0b")]), "unknown form 3"),
        (index([(b"w", b"\x0a\x7f")]), "reaches out of its entry"),
        (index([(b"w", b"\xff" * 12)]), "a number does not end"),
        (index([(b"\xff", field(1, 1) + SHAPE)]), "is no text"),
        (index([(b"w", b"")], kind=1), "a block is compressed .kind 1., which TensorFlow does not do"),
        (table([(b"", field(1, 1) + field(2, 1))]), "big-endian"),
        (b"x" * 60, "does not end as an index of a checkpoint does"),
    ],
)
def test_what_an_index_may_not_say(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.index").write_bytes(content)
    (tmp_path / "a.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(UserError, match=expected) as caught:
        open_bundle(tmp_path / "a.index")
    assert "\n" not in str(caught.value)
