"""nanoGPT's vocabulary of characters: `meta.json`, made of the `meta.pkl` in its data folders.

A pickle can run any code when it is loaded, so `meta.pkl` itself is never read.
"""

from __future__ import annotations

import json
from pathlib import Path

from jaxdec.data.files import read_bytes
from jaxdec.data.tokenizers.char import CharTokenizer
from jaxdec.errors import UserError

PICKLE_TO_JSON = (
    "python -c \"import json, pathlib, pickle; meta = pickle.loads(pathlib.Path('meta.pkl').read_bytes()); "
    "pathlib.Path('meta.json').write_text(json.dumps(meta['itos']))\""
)


def characters_in(folder: Path) -> CharTokenizer | None:
    """The tokenizer of the characters in a folder's `meta.json`: a list, or `itos` with a list or a map from ids.

    None where the folder has none. UserError where it is no vocabulary, and where there is a `meta.pkl` alone.
    """
    meta = folder / "meta.json"
    if not meta.exists():
        if (folder / "meta.pkl").exists():
            raise UserError(
                f"{folder / 'meta.pkl'} is a pickle, which can run any code when it is read: give its characters as "
                f"JSON, made in that folder by {PICKLE_TO_JSON}"
            )
        return None
    try:
        itos = json.loads(read_bytes(meta, "the vocabulary"))
        itos = itos.get("itos", itos) if isinstance(itos, dict) else itos
        if isinstance(itos, dict):
            itos = [itos[str(number)] for number in range(len(itos))]
        if not all(isinstance(one, str) and len(one) == 1 for one in itos):
            raise ValueError
        return CharTokenizer("".join(itos))
    except (ValueError, KeyError, TypeError):
        raise UserError(
            f"{meta} is no vocabulary of characters: it must hold them by id, each once and in the order of their code "
            f'points, as a list or as {{"itos": {{"0": "a", ...}}}}'
        ) from None
