"""Makes the shards of a corpus: the tokenizer, the two files of token ids, and work that can go on after a kill.

All is made in a work folder. Now and then what is written is brought to disk, and then `progress.json`, which says how
far the corpus is read and how long each file was then. A process that goes on cuts the files to that length and reads
on from there, so that the bytes are those of a run that nobody stopped.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxdec.config.files import write_json
from jaxdec.config.run import DataConfig
from jaxdec.data.corpora.base import Corpus
from jaxdec.data.tokenizers.registry import Tokenizer, UnseenCharacter, WordTokenizer, load_tokenizer, train_tokenizer
from jaxdec.data.tokens.encode import Encoder, Unencodable, encode_stream
from jaxdec.data.tokens.file import token_dtype
from jaxdec.data.tokens.output import Output
from jaxdec.data.tokens.split import SPLITS, Reading, Splitter, place_in
from jaxdec.data.tokens.work import forget, work_folder
from jaxdec.errors import UserError

SAVE_EVERY = 5.0  # seconds between two states that a killed process can go on from
PROGRESS = "progress.json"
TOKENIZER = "tokenizer"


@dataclass(frozen=True)
class Progress:
    """What is being done, and how far it is. `share` of the corpus, 0 to 1; None if unknown."""

    what: str
    characters: int = 0
    tokens: int = 0
    share: float | None = None


Report = Callable[[Progress], None]


class Unusable(UserError):
    """The corpus cannot be used with these settings, however often it is tried."""


def make_shards(folder: Path, corpus: Corpus, data: DataConfig, tokenizer: Tokenizer | None, report: Report) -> None:
    """Makes `folder`, unless another process does so meanwhile. Raises UserError."""
    what = f"waiting for another process that prepares {corpus.name}"
    try:
        with work_folder(folder, lambda: report(Progress(what))) as work:
            if work is None:
                return
            try:
                Maker(work, corpus, data, report).make(tokenizer)
            except UserError as error:
                # A corpus that cannot be read now can be read later: then what is done already counts.
                if isinstance(error, Unusable) or not (work / PROGRESS).exists():
                    forget(work)
                raise
            os.replace(work / "shards", folder)
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror}): free space there and run "
            f"it again, which goes on where it was, or choose another folder with JAXDEC_CACHE_DIR"
        ) from None


class Maker:
    """The shards of one corpus in one work folder, as `work/shards`."""

    def __init__(self, work: Path, corpus: Corpus, data: DataConfig, report: Report) -> None:
        self.work, self.corpus, self.data, self.report = work, corpus, data, report
        self.shards = work / "shards"
        try:
            self.splitter = Splitter(corpus, data.validation_fraction)
        except UserError as error:
            raise Unusable(str(error)) from None

    def make(self, tokenizer: Tokenizer | None) -> None:
        self.shards.mkdir(exist_ok=True)
        tokenizer = self._tokenizer(tokenizer)
        boundary = boundary_of(tokenizer) if self.splitter.many else None
        dtype = token_dtype(tokenizer.vocab_size)
        outputs = {
            split: Output(self.shards / f"{split}.safetensors", self.work / f"{split}.starts", dtype)
            for split in SPLITS
        }
        try:
            reading, characters = self._where_it_was(outputs)
            self._encode(Encoder(tokenizer, boundary, dtype), outputs, reading, characters)
            for split, output in outputs.items():
                self._require_tokens(split, output, outputs)
                output.finish(boundary, self._about(split, tokenizer, boundary))
        finally:
            for output in outputs.values():
                output.close()

    def _tokenizer(self, given: Tokenizer | None) -> Tokenizer:
        """The one that is given, that of a process that was killed, or a new one; in the folder `tokenizer`."""
        folder = self.shards / TOKENIZER
        if folder.exists():
            try:
                kept = load_tokenizer(folder)
                if given is None or given.hash == kept.hash:
                    return kept
            except UserError:
                pass
            shutil.rmtree(folder)
            (self.work / PROGRESS).unlink(missing_ok=True)
        tokenizer = given or train_tokenizer(self.data.tokenizer, self._training_texts())
        tokenizer.save(folder)
        return tokenizer

    def _training_texts(self) -> Iterator[str]:
        """The training split, cut between words, where tokenizers of every kind that is trained may be cut."""
        cut = WordTokenizer([]).last_cut
        if self.splitter.many:
            yield "\n"  # which stands between documents where there is no <|endoftext|>
        characters = 0
        for stretches, reading in self.splitter.stretches(cut, Reading()):
            texts = [stretch.text for stretch in stretches if stretch.split == SPLITS[0]]
            yield from texts
            if len(texts) < len(stretches) and not self.splitter.many:
                break  # the rest is for validation
            characters += sum(map(len, texts))
            self.report(Progress("reading for the tokenizer", characters, 0, self._share(reading, characters)))
        if characters:
            self.report(Progress("training the tokenizer", characters))

    def _where_it_was(self, outputs: Mapping[str, Output]) -> tuple[Reading, int]:
        """How far a process that was killed has read, with the outputs as they were then; else the beginning."""
        try:
            saved = json.loads((self.work / PROGRESS).read_bytes())
            reading, characters = Reading.from_dict(saved["reading"]), int(saved["characters"])
            counts = {split: (int(saved[split]["tokens"]), int(saved[split]["documents"])) for split in SPLITS}
            if all(output.has(*counts[split]) for split, output in outputs.items()):
                for split, output in outputs.items():
                    output.cut(*counts[split])
                return reading, characters
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass
        for output in outputs.values():
            output.cut(0, 0)
        return Reading(), 0

    def _encode(self, encoder: Encoder, outputs: Mapping[str, Output], reading: Reading, characters: int) -> None:
        stretches = self.splitter.stretches(encoder.tokenizer.last_cut, reading)
        saved = time.monotonic()
        try:
            for encoded in encode_stream(encoder, stretches):
                for split, output in outputs.items():
                    output.append(encoded.ids[split], encoded.starts[split])
                reading, characters = encoded.reading, characters + encoded.characters
                if time.monotonic() - saved >= SAVE_EVERY:
                    self._save(outputs, reading, characters)
                    saved = time.monotonic()
                tokens = sum(output.tokens for output in outputs.values())
                self.report(Progress("encoding", characters, tokens, self._share(reading, characters)))
        except Unencodable as error:
            raise self._unusable(error) from None
        except UserError:  # in reading, as of a connection that is gone: later it may go on
            self._save(outputs, reading, characters)
            raise
        self._save(outputs, reading, characters)

    def _save(self, outputs: Mapping[str, Output], reading: Reading, characters: int) -> None:
        for output in outputs.values():
            output.sync()
        counts = {split: {"tokens": output.tokens, "documents": output.documents} for split, output in outputs.items()}
        write_json(self.work / PROGRESS, {"reading": reading.to_dict(), "characters": characters, **counts})

    def _share(self, reading: Reading, characters: int) -> float | None:
        if self.splitter.length is not None:
            return characters / self.splitter.length
        if self.corpus.share is None or reading.place is None:
            return None
        return self.corpus.share(reading.place)

    def _unusable(self, found: Unencodable) -> Unusable:
        where = f"the {found.stretch.split} split of the corpus {self.corpus.name}"
        place = place_in(self.corpus, found.stretch.document, found.offset)
        if not isinstance(found.error, UnseenCharacter):
            return Unusable(f"{where}, in the stretch that begins at {place}: {found.error}")
        character = found.stretch.text[found.error.offset]
        return Unusable(
            f"{where} has the character {character!r} ({place}), which the text that its tokenizer was trained on "
            f"never has: remove or replace it, or move the split with --data.validation-fraction"
        )

    def _require_tokens(self, split: str, output: Output, outputs: Mapping[str, Output]) -> None:
        documents = sum(each.documents for each in outputs.values())
        if self.splitter.many and not output.documents:
            raise Unusable(
                f"the {split} split of the corpus {self.corpus.name} has no document: it has {documents} in all. Give "
                f"more of them, or another --data.validation-fraction than {self.data.validation_fraction}"
            )
        if output.tokens == (output.documents if self.splitter.many else 0):
            raise Unusable(
                f"the {split} split of the corpus {self.corpus.name} has no token: give a text with words in it"
            )

    def _about(self, split: str, tokenizer: Tokenizer, boundary: int | None) -> dict[str, str]:
        """The metadata of a shard: the same whoever makes it, and when."""
        return {
            "corpus": self.corpus.name[-200:],
            "corpus_hash": self.corpus.hash,
            "split": split,
            "validation_fraction": repr(self.data.validation_fraction),
            "tokenizer": tokenizer.kind,
            "tokenizer_hash": tokenizer.hash,
            "vocab_size": str(tokenizer.vocab_size),
            "boundary": "" if boundary is None else str(boundary),
        }


def boundary_of(tokenizer: Tokenizer) -> int | None:
    """The token that begins and ends each of many documents: <|endoftext|>, or else a newline, where that is one token;
    else None, and documents follow each other without a token between."""
    if tokenizer.end_of_text is not None:
        return tokenizer.end_of_text
    try:
        found = tokenizer.encode("\n").tolist()
    except UserError:
        return None
    return found[0] if len(found) == 1 else None
