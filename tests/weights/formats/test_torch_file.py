"""Files of torch.save, read and written without torch; pickles with code, and files that are damaged."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdec.errors import UserError
from jaxdec.weights.formats import torch_write
from jaxdec.weights.formats.base import Lazy
from jaxdec.weights.formats.torch_file import TorchTensor, is_torch_file, read_torch_file
from jaxdec.weights.formats.torch_write import write_torch_file


def lazy(array: np.ndarray) -> Lazy:
    return Lazy(array.shape, array.dtype.name, lambda: array)


TIED = lazy(np.arange(6, dtype=np.float32).reshape(2, 3))
CONTENT: dict[str, Any] = {
    "model": {
        "a.weight": TIED,
        "head.weight": TIED,
        "half": lazy(np.array([1.5, -2], np.float16)),
        "short": lazy(np.array([[0.1], [3e38]], ml_dtypes.bfloat16)),
        "scalar": lazy(np.array(7, np.int64)),
        "none": lazy(np.zeros((0, 4))),
        "mask": lazy(np.array([[True, False]])),
    },
    "args": {"n": 3, "large": 2**40, "negative": -129, "rate": 6e-4, "on": True, "off": False, "none": None},
    "list": ["a", (1, 2), []],
    "état": {0: {"step": 1.0}},
}


PLAIN = (dict, list, tuple, np.ndarray, str, int, float, bool, type(None))  # what a file may hold


def arrays(value: Any) -> Any:
    """The value with its tensors read."""
    if isinstance(value, dict):
        return {key: arrays(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(arrays(each) for each in value)
    return value.read() if isinstance(value, TorchTensor | Lazy) else value


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other) or isinstance(one, np.ndarray)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    else:
        assert one == other


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("torch") / "ours.pt"
    write_torch_file(path, CONTENT)
    return path


def test_there_and_back_bit_for_bit(file: Path) -> None:
    assert is_torch_file(file)
    found = read_torch_file(file)
    assert_same(arrays(found), arrays(CONTENT))
    model = found["model"]
    assert model["a.weight"].same_place(model["head.weight"]) and not model["a.weight"].same_place(model["half"])


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("mapped", [False, True])
def test_torch_reads_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool, mapped: bool
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch_write, "LARGE", 1 if large else 2**31)
    path = tmp_path / "ours.pt"
    write_torch_file(path, CONTENT)
    found = torch.load(path, weights_only=True, mmap=mapped)
    assert found["args"] == CONTENT["args"] and found["list"] == CONTENT["list"]
    for name, tensor in found["model"].items():
        ours = CONTENT["model"][name].read()
        if ours.dtype == ml_dtypes.bfloat16:
            assert tensor.dtype == torch.bfloat16 and (tensor.float().numpy() == ours.astype(np.float32)).all()
        else:
            assert tensor.numpy().dtype == ours.dtype and (tensor.numpy() == ours).all()
    assert found["model"]["a.weight"].data_ptr() == found["model"]["head.weight"].data_ptr()
    assert_same(arrays(read_torch_file(path)), arrays(CONTENT))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_writes_is_read(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(layer.parameters())
    layer(torch.ones(3)).sum().backward()
    optimizer.step()
    content = {
        "transposed": base.T,
        "part": base[1:3, 2:],
        "tied": base,
        "parameter": torch.nn.Parameter(torch.ones(2, dtype=torch.float64)),
        "bfloat16": torch.tensor([0.5, 3], dtype=torch.bfloat16),
        "layer": layer.state_dict(),
        "optimizer": optimizer.state_dict(),
        "size": base.size(),
        "empty": torch.zeros(0, 3),
    }
    path = tmp_path / "theirs.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert is_torch_file(path)
    found = read_torch_file(path)
    for name in ("transposed", "part", "tied", "parameter", "empty"):
        theirs = content[name].detach().numpy()
        assert found[name].shape == theirs.shape and (found[name].read() == theirs).all(), name
    assert found["bfloat16"].read().tolist() == [0.5, 3]
    assert (found["layer"]["weight"].read() == layer.weight.detach().numpy()).all()
    moment = optimizer.state_dict()["state"][0]["exp_avg"].numpy()
    assert (found["optimizer"]["state"][0]["exp_avg"].read() == moment).all()
    assert found["size"] == (4, 6)


class Evil:
    """Unpickling this runs a command that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", content)
    return buffer.getvalue()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [zipped, bytes])
def test_a_pickle_with_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int, wrap: Any) -> None:
    made = tmp_path / "made"
    content = pickle.dumps({"model": Evil(made)}, protocol)
    path = tmp_path / "evil.pt"
    path.write_bytes(wrap(content))
    assert is_torch_file(path)
    with pytest.raises(UserError, match=r"asks for (posix|nt)\.mkdir\. Loading such a file can run any code") as caught:
        read_torch_file(path)
    assert "\n" not in str(caught.value) and not made.exists()
    pickle.loads(content)  # the trap works
    assert made.exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
        b"(X\x01\x00\x00\x001ibuiltins\neval\n.",  # INST
        b"ccollections\nOrderedDict\n)\x81.",  # NEWOBJ
        b"ctorch._utils\n_rebuild_tensor\n.",
        b"ctorch.storage\n_load_from_bytes\n(B\x00\x00\x00\x00tR.",
        b"ccollections\nOrderedDict.fromkeys\n.",
        b"\x82\x01.",  # EXT1
        b"P0\n.",  # PERSID
    ],
)
def test_other_ways_to_code_are_refused(tmp_path: Path, code: bytes) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(zipped(b"\x80\x02" + code))
    with pytest.raises(UserError, match=r"asks for|damaged"):
        read_torch_file(path)


BROKEN = {
    "takes too much": b"\x80\x02R.",
    "no end": b"\x80\x02N",
    "no mark": b"\x80\x02u.",
    "nothing": b"",
    "unknown memo": b"\x80\x02h\x07.",
    "a key of a list": b"\x80\x02}]Ns.",
    "appends to a dict": b"\x80\x02}Na.",
    "calls a dict": b"\x80\x02})R.",
    "a tensor of nothing": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    "holds itself": b"\x80\x02]q\x00h\x00a.",
    "not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
    "no instruction": b"\x80\x02\xff.",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pickle_is_said_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / "broken.pt"
    path.write_bytes(zipped(BROKEN[name]))
    with pytest.raises(UserError, match="is damaged") as caught:
        read_torch_file(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_lists_that_hold_one_another_take_no_time(tmp_path: Path) -> None:
    """Each list holds the one before it a hundred times: 100^15 places."""
    code = b"\x80\x02]q\x00"
    for number in range(15):
        code += b"](" + b"h" + bytes([number]) + (b"h" + bytes([number])) * 99 + b"eq" + bytes([number + 1])
    path = tmp_path / "many.pt"
    path.write_bytes(zipped(code + b"."))
    assert len(read_torch_file(path)) == 100


def test_a_file_cut_anywhere_is_refused(file: Path, tmp_path: Path) -> None:
    content = file.read_bytes()
    path = tmp_path / "cut.pt"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match="is damaged"):
            read_torch_file(path)


def test_a_legacy_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "cut.pt"
    torch.save({"a": torch.ones(3), "b": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"is damaged|asks for"):
            read_torch_file(path)


@given(place=st.integers(0, 2**20), byte=st.integers(0, 255))
def test_a_changed_byte_gives_an_error_or_arrays(
    file: Path, tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    content = bytearray(file.read_bytes())
    content[place % len(content)] = byte
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    path.write_bytes(content)
    said = f"{path}"
    try:
        read = arrays(read_torch_file(path))
    except UserError as error:
        read, said = None, str(error)
    assert isinstance(read, PLAIN) and str(path) in said and "\n" not in said


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (3,), (1,)), (1, (2,), (1,)), (0, (2,), (2,)), (0, (2**40,), (0,)), (2**62, (1,), (1,)), (0, (2, 1), (1,))],
)
def test_a_tensor_that_reaches_out_of_its_storage_is_refused(
    tmp_path: Path, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    """A storage of two elements, of which a view is described."""
    path = tmp_path / "out.pt"
    for place, size, steps in ((0, (2,), (1,)), (offset, shape, strides)):
        code = torch_write._Pickle(path)
        code.code += b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
        for part in ("0", "cpu", 2):
            code.add(part)
        code.code += b"tQ"
        for part in (place, size, steps, False):
            code.add(part)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", b"\x80\x02" + bytes(code.code) + b"ccollections\nOrderedDict\n)RtR.")
            archive.writestr("archive/data/0", np.array([1, 2], np.float32).tobytes())
        if steps == (1,) and size == (2,) and place == 0:
            assert read_torch_file(path).read().tolist() == [1, 2]
    with pytest.raises(UserError, match=r"does not fit its 2 elements|a shape and strides of different lengths"):
        read_torch_file(path)
