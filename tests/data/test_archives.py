"""Archives, friendly and hostile: what is in them lies in the folder, or nothing does and one line says why."""

from __future__ import annotations

import io
import stat
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest

from jaxdec.data.archives import Limits, unpack
from jaxdec.errors import UserError
from tests.data.sources.files import compressed

FORMATS = ("zip", "tar", "tar.gz", "tgz", "tar.zst")
Entry = tuple[str, bytes | None]  # None: a folder


def packed(entries: list[Entry], kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in entries:
                archive.writestr(name if content is not None else f"{name}/", content or b"")
        return out.getvalue()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content or b""), tarfile.DIRTYPE if content is None else tarfile.REGTYPE
            archive.addfile(info, io.BytesIO(content or b""))
    return compressed(out.getvalue(), {"tgz": ".gz"}.get(kind, f".{kind.rpartition('.')[2]}"))


def write(folder: Path, entries: list[Entry], kind: str) -> Path:
    path = folder / f"archive.{kind}"
    path.write_bytes(packed(entries, kind))
    return path


def refused(archive: Path, **limits: Any) -> str:
    folder = archive.parent / "out"
    before = sorted(archive.parent.rglob("*"))
    with pytest.raises(UserError) as caught:
        unpack(archive, folder, Limits(**limits))
    assert sorted(archive.parent.rglob("*")) == before
    line = str(caught.value)
    assert "\n" not in line
    assert str(archive) in line
    return line


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_in_it_lies_in_the_folder(tmp_path: Path, kind: str) -> None:
    entries = [("a.txt", b"first"), ("inner", None), ("inner/b.txt", b"x" * 10**6), ("new/c", b"")]
    unpack(write(tmp_path, [*entries], kind), tmp_path / "out")
    found = {str(path.relative_to(tmp_path / "out")): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
    assert found == {"a.txt": b"first", "inner/b.txt": b"x" * 10**6}
    assert (tmp_path / "out" / "new" / "c").read_bytes() == b""


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "its path is absolute"),
        ("C:/windows", "its path is absolute"),
        ("../out.txt", "leads out of the folder"),
        ("a/../../out.txt", "leads out of the folder"),
        ("a\\..\\..\\out.txt", "leads out of the folder"),
        ("n" * 300, "its name has more than 255 bytes"),
    ],
)
def test_no_path_leads_out(tmp_path: Path, kind: str, name: str, reason: str) -> None:
    line = refused(write(tmp_path, [("good.txt", b"good"), (name, b"bad")], kind))
    assert reason in line
    assert repr(name) in line


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("names", [("a", "a"), ("a", "A"), ("é", "e\u0301"), ("a", "a/b"), ("a/b", "a"), ("a", "./a")])
def test_no_two_members_have_one_name(tmp_path: Path, kind: str, names: tuple[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile has its own opinion on what we ask of it
        path = write(tmp_path, [(name, b"text") for name in names], kind)
    line = refused(path)
    assert "another member has its name already" in line
    assert repr(names[1]) in line


@pytest.mark.parametrize(
    ("type", "said"),
    [
        (tarfile.SYMTYPE, "a link"),
        (tarfile.LNKTYPE, "a link"),
        (tarfile.CHRTYPE, "a device or a pipe"),
        (tarfile.FIFOTYPE, "a device or a pipe"),
    ],
)
def test_no_links_or_devices_of_tar(tmp_path: Path, type: bytes, said: str) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("evil")
        info.type, info.linkname = type, "/etc/passwd"
        archive.addfile(info)
    assert f"the member 'evil' is refused, since it is {said}" in refused(path)


@pytest.mark.parametrize(("mode", "said"), [(stat.S_IFLNK, "a link"), (stat.S_IFCHR, "a device")])
def test_no_links_or_devices_of_zip(tmp_path: Path, mode: int, said: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("evil")
        info.external_attr = (mode | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert f"the member 'evil' is refused, since it is {said}" in refused(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_size_count_and_ratio_have_bounds(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, [(f"{number}.txt", b"0" * 10**6) for number in range(12)], kind)
    assert "the member '4.txt' is refused, since it would bring more than 4,500,000 bytes" in refused(
        path, bytes=4_500_000
    )
    assert "has more than 11 members" in refused(path, members=11)
    if kind != "tar":
        assert "grow more than 20 times, as bombs do" in refused(path, ratio=20, free=10**6)
    unpack(path, tmp_path / "out", Limits(bytes=12 * 10**6, members=12))


def test_a_length_that_lies_is_not_believed(tmp_path: Path) -> None:
    """A zip says how long its members are; what counts is what comes out."""
    content = bytearray(packed([("a.txt", b"0" * 10**6)], "zip"))
    for signature, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = content.index(signature) + place
        content[at : at + 4] = (100).to_bytes(4, "little")
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert "is damaged or cut off" in refused(path)


@pytest.mark.parametrize("kind", FORMATS)
def test_damage_is_noticed(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, [("a.txt", bytes(range(256)) * 400), ("b.txt", bytes(range(255)) * 400)], kind)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cut off" in refused(path)
    path.write_bytes(b"no archive at all")
    assert "damaged" in refused(path) or "cut off" in refused(path)


@pytest.mark.parametrize("type", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_header_fills_the_memory(tmp_path: Path, type: bytes) -> None:
    info = tarfile.TarInfo("header")
    info.type, info.size = type, 2**24
    path = tmp_path / "a.tar.gz"
    path.write_bytes(compressed(info.tobuf() + bytes(2**24), ".gz"))
    tracemalloc.start()
    try:
        assert "a header of 16,777,216 bytes" in refused(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_an_encrypted_member(tmp_path: Path) -> None:
    content = bytearray(packed([("a.txt", b"secret")], "zip"))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    assert "the member 'a.txt' is refused, since it is encrypted" in refused(path)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "a.rar"
    path.write_bytes(b"Rar!")
    assert ".zip, .tar, .tar.gz and .tar.zst can" in refused(path)
