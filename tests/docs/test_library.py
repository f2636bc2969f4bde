"""`docs/library.md` runs as it stands, in order, and says the truth where a comment gives a value."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parent.parent.parent / "docs" / "library.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The names that the page's code leaves behind, run in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("library"))
        names: dict[str, object] = {"here": Path.cwd()}
        for number, block in enumerate(BLOCK.findall(PAGE.read_text(encoding="utf-8"))):
            exec(compile(block, f"{PAGE.name}, block {number + 1}", "exec"), names)
            if "run.losses" in block:
                names["first"] = names["run"].losses.copy()  # type: ignore[attr-defined]
    return names


def test_the_page_runs(after: dict[str, object]) -> None:
    first = after["first"]
    assert isinstance(first, np.ndarray) and len(first) == 60
    assert first[-5:].mean() < first[:5].mean() - 0.5  # it learns


def test_a_saved_run_is_read_again(after: dict[str, object]) -> None:
    again = after["again"]
    assert again.step == 100 and len(again.losses) == 100  # type: ignore[attr-defined]
    prompt = {"max_tokens": 20, "temperature": 0}
    import jaxdec

    twice = jaxdec.load(after["here"] / "runs" / "sums")  # type: ignore[operator]
    assert twice.generate("10 and ", **prompt) == again.generate("10 and ", **prompt)  # type: ignore[attr-defined]
    assert (after["here"] / "runs" / "sums" / "corpus.txt").is_file()  # type: ignore[operator]


def test_values_in_comments(after: dict[str, object]) -> None:
    seen = after["seen"]
    assert list(seen)[:3] == ["token_embed", "position_embed", "blocks.0.attention_norm"]  # type: ignore[call-overload]
    assert seen["blocks.0.attention"].shape == (1, 9, 32)  # type: ignore[index]
    assert list(seen)[-1] == "logits"  # type: ignore[call-overload]
    found = after["found"]
    assert found.attention.shape == (2, 2, 17, 17)  # type: ignore[attr-defined]
    assert np.abs(found.attention.sum(-1) - 1).max() < 1e-5  # type: ignore[attr-defined]
    assert found.labels[:4] == ("1", "0", "␣", "a")  # type: ignore[attr-defined]
    assert found.next.probability.shape == (17, 3) and found.lens.probability.shape == (3, 17, 3)  # type: ignore[attr-defined]
    assert found.choices == {}  # type: ignore[attr-defined]
