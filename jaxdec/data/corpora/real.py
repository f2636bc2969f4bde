"""Corpora that people wrote: files known by their checksums, taken from the data folder or else downloaded into it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jaxdec.data.corpora.base import Corpus, one_text
from jaxdec.data.download import fetch
from jaxdec.data.files import decode, read_bytes, sha256, write_whole
from jaxdec.data.folders import data_folder
from jaxdec.errors import UserError


@dataclass(frozen=True)
class RealCorpus:
    """<name>/<file> in the data folder, of `size` bytes."""

    name: str
    about: str
    file: str
    size: int
    sha256: str
    mirrors: tuple[str, ...]

    def load(self, from_file: Path | None) -> Corpus:
        """`from_file`, the user's copy, is put into the data folder. Raises UserError when it is another file."""
        if from_file is not None:
            content = read_bytes(from_file, "the file given with --from-file")
            if (found := sha256(content)) != self.sha256:
                raise UserError(
                    f"--from-file {from_file} is not {self.name}: it has {len(content):,} bytes, sha256 {found}, "
                    f"not {self.size:,} bytes, {self.sha256}. To train on it anyway, give its path as the corpus"
                )
            if not self.place.exists():
                write_whole(self.place, content, "the data file")
        return one_text(self.name, self.sha256, self.read)

    @property
    def place(self) -> Path:
        return data_folder() / self.name / self.file

    def read(self) -> str:
        """The text, downloaded where it is missing. Raises UserError where it is not available or is another file."""
        if not self.place.exists():
            fetch(self.name, self.mirrors, self.size, self.sha256, self.place)
        content = read_bytes(self.place, f"the corpus {self.name} in")
        if sha256(content) != self.sha256:
            raise UserError(
                f"{self.place} is not {self.name}: its sha256 is {sha256(content)}, expected is {self.sha256}. "
                f"Delete it (it is downloaded again), or replace it with --from-file PATH"
            )
        return decode(content, self.place, "the corpus")


TINYSHAKESPEARE = RealCorpus(
    name="tinyshakespeare",
    about="40,000 lines of Shakespeare's plays, 1.1 MB (downloaded once; from karpathy/char-rnn)",
    file="input.txt",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
    mirrors=(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
    ),
)

THE_VERDICT = RealCorpus(
    name="the_verdict",
    about="Edith Wharton, The Verdict (1908), a short story, 20 kB (downloaded once; from rasbt/LLMs-from-scratch)",
    file="the-verdict.txt",
    size=20_479,
    sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
    mirrors=(
        "https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/01_main-chapter-code/the-verdict.txt",
    ),
)
