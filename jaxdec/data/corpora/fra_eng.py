"""English sentences with French translations: the first 76,037 pairs of the list that manythings.org makes of Tatoeba's
(CC BY 2.0 FR).

The list there grows, so no address holds these very bytes: the file is looked up in the data folder, and known by its
checksum.
"""

from __future__ import annotations

from pathlib import Path

from jaxdec.data.files import decode, read_bytes, sha256, write_whole
from jaxdec.data.folders import data_folder
from jaxdec.errors import UserError

SIZE = 3_996_938  # bytes
SHA256 = "0054ea2102484f4800d0b2cca57460b6b4a2e05328e6954240601065b001b1a6"


def read(from_file: Path | None) -> str:
    """The file's text: lines `English<TAB>French`. `from_file`, the user's copy, is put into the data folder.

    Raises UserError where there is no such file, or another one.
    """
    place = data_folder() / "fra_eng" / "fra.txt"
    if from_file is not None:
        content = read_bytes(from_file, "the file given with --from-file")
        if sha256(content) != SHA256:
            raise UserError(
                f"--from-file {from_file} is not fra_eng: it has {len(content):,} bytes, sha256 {sha256(content)}, not "
                f"{SIZE:,} bytes, {SHA256}. To train on it anyway, give its path as the corpus"
            )
        if not place.exists():
            write_whole(place, content, "the data file")
    elif not place.exists():
        raise UserError(
            "the corpus fra_eng is not on this machine, and no address is known that has it. Two ways: put the file at "
            f"{place} ($JAXDEC_DATA_DIR/fra_eng/fra.txt; {SIZE:,} bytes, sha256 {SHA256}); or give a copy with "
            "--from-file PATH. Any UTF-8 file of lines source<TAB>target can be the corpus instead, by its path"
        )
    content = read_bytes(place, "the corpus fra_eng in")
    if sha256(content) != SHA256:
        raise UserError(
            f"{place} is not fra_eng: its sha256 is {sha256(content)}, expected is {SHA256}. Delete it, then put "
            "the right file there or give a copy with --from-file PATH"
        )
    return decode(content, place, "the corpus")
