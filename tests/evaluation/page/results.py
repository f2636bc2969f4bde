"""Results of an evaluation and a log, as the tests of the page need them."""

from __future__ import annotations

from typing import Any

from jaxdec.config.run import RunConfig
from tests import tiny

HOSTILE = "</pre></main><script>document.title = 'taken'</script><img src=x onerror=console.error(1)> & <b>\"'"
CONFIG: RunConfig = tiny.run_config()


def two(samples: float, held_out: float, error: float | None = 0.01) -> dict[str, Any]:
    return {
        "samples": samples,
        "samples_standard_error": error,
        "held_out": held_out,
        "held_out_standard_error": error,
    }


def result(text: str = "To be.", **suites: Any) -> dict[str, Any]:
    quality = {
        "drawn": {
            "samples": 3, "tokens_each": 9, "temperature": 1.0, "seed": 5, "held_out_pieces": 1, "corpus": text,
        },
        "repetition": {"distinct_1": two(0.25, 0.5), "loops": two(0.0, 0.0, 0.0), "distinct_2": two(0.51, 0.5)},
        "stability": {"known_words": two(0.0, 1.0, 0.0)},
        "structure": {"sentence_words": two(3.5, 3.0, None), "sentence_distance": {"samples": 2.0,
                                                                                     "samples_standard_error": 0.5}},
        "left_out": text,
        "texts": [text, "one", " \n"],
        "held_out_texts": ["Held out."],
    }  # fmt: skip
    long_range = {
        "targets": 7,
        "context": {
            "1": {"loss": 2.5, "loss_standard_error": 0.2},
            "2": {"loss": 2.0, "loss_standard_error": 0.1, "gain": 0.5, "gain_standard_error": 0.05},
        },
        "copying": {"passages": 4, "tokens_each": 3, "first_copy": 4.0, "first_copy_standard_error": 0.1,
                    "second_copy": 1.0, "second_copy_standard_error": 0.1, "copy_score": 0.75,
                    "copy_score_standard_error": 0.03},
    }  # fmt: skip
    return {"run": text, "step": 20, "suites": {"quality": quality, "long_range": long_range, **suites}}


LOG = [
    {"step": 10 * step, "loss": 3 - 0.01 * step, "gradient_norm": 1.5 - 0.01 * step, "update_ratio": 1e-3,
     "update_ratio/blocks.0": 2e-3, "update_ratio/blocks.1": 3e-3, "update_ratio/head": 1e-3}
    for step in range(1, 101)
] + [{"step": 1000, "validation_loss": 2.5, "training_loss": 2.25, "sweep_loss": 2.6}]  # fmt: skip
