"""The files that the configs of `models` and `runs` name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.data.tokenizers.vocabularies import scored_file

TEXT = "".join(f"{number} and {number + 1} makes {2 * number + 1}\n" for number in range(40))


def write_files(folder: Path) -> None:
    """The corpora and the tokenizer files that the configs name."""
    (folder / "text").write_text(TEXT)
    (folder / "folder").mkdir()
    records = [{"text": line, "other": line[::-1]} for line in TEXT.splitlines()]
    (folder / "folder" / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "folder" / "text").write_text(TEXT)
    kinds = [
        {"text": f"{n} for {n}", "label": "spam" if n % 3 else "ham", "other": "spam" if n % 2 else "ham"}
        for n in range(60)
    ]
    (folder / "labelled.jsonl").write_text("".join(json.dumps(record) + "\n" for record in kinds))
    asked = [
        {"instruction": line.split()[0], "output": line * (1 + 9 * (n % 2))} for n, line in enumerate(TEXT.splitlines())
    ]
    (folder / "instructions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in asked))
    pairs = [
        {
            "instruction": record["instruction"],
            "input": "",
            "chosen": record["output"],
            "rejected": record["output"][::-1],
        }
        for record in asked
    ]
    (folder / "preferences.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    (folder / "one.txt").write_text("Q: {instruction} {input}\nA: {response}")
    (folder / "other.txt").write_text("Question: {instruction} {input}\nAnswer: {response}")
    for name, size in (("one.json", 280), ("other.json", 290)):
        byte_pairs(size).save(str(folder / name))
        (folder / name).with_suffix(".bin").write_bytes(scored_file("ab ba abba", size - 278))


def byte_pairs(size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet))
    return tokenizer
