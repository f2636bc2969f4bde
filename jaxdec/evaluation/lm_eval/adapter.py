"""A run as a model of `lm-eval` (extra `lm-eval`), registered as `jaxdec`.

    from jaxdec.evaluation.lm_eval.adapter import JaxdecLM
    lm_eval.simple_evaluate(JaxdecLM("runs/mine"), tasks=["mine"], task_manager=TaskManager(include_path="tasks"))

or `model="jaxdec", model_args={"run": "runs/mine"}`. Log-probabilities come from the same code as those of our suites.
No token is put before a text unless it is empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from jaxdec.errors import UserError
from jaxdec.evaluation.suites.continuations import Continuations, Request
from jaxdec.evaluation.suites.registry import require_language_model
from jaxdec.generation.generate import stream
from jaxdec.generation.sampling import Sampling
from jaxdec.generation.text_stream import TextStream, start_tokens
from jaxdec.runs.loading import LoadedRun, load_run

MOST_NEW = 256  # tokens of an answer, where a task does not say, as in lm-eval's other models
ROWS = 32  # answers that are generated side by side
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
KNOWN = {*LENGTHS, "until", "do_sample", "temperature", "top_k", "top_p"}


@register_model("jaxdec")
class JaxdecLM(TemplateLM):
    """`run`: a run directory, weights, a hub id, or a run that is loaded. Rows are batched by length, so `batch_size`
    has no effect, and neither has `device`: JAX chooses it. Raises UserError for a model that predicts no tokens."""

    def __init__(
        self,
        run: str | Path | LoadedRun,
        step: int | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.run = run if isinstance(run, LoadedRun) else load_run(run, step)
        require_language_model(self.run.config, "lm-eval")
        self.continuations = Continuations(self.run.model, self.run.params)

    @property
    def eot_token_id(self) -> int:
        """What an empty context is taken for: <|endoftext|>, or the end of an empty line."""
        return int(start_tokens(self.run.tokenizer)[-1])

    @property
    def max_length(self) -> int:
        return self.run.model.config.context

    @property
    def tokenizer_name(self) -> str:
        return f"{self.run.tokenizer.kind} {self.run.tokenizer.hash}"

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        return self.run.tokenizer.encode(string).tolist()

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        scores = self.continuations.score([Request(context, ids) for _, context, ids in requests])
        answers = [(score.logprob, score.greedy) for score in scores]
        for (texts, _, _), answer in zip(requests, answers, strict=True):
            if texts is not None:
                self.cache_hook.add_partial("loglikelihood", texts, answer)
        return answers

    def loglikelihood_rolling(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[float]:
        """log p of whole texts, in windows of the context that do not overlap but for the last."""
        asked: list[tuple[None, list[int], list[int]]] = []
        owners: list[int] = []
        for owner, request in enumerate(requests):
            windows = get_rolling_token_windows(
                self.tok_encode(request.args[0]), self.prefix_token_id, self.max_length, context_len=1
            )
            for context, ids in map(make_disjoint_window, windows):
                asked.append((None, context, ids))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, (logprob, _) in zip(owners, self._loglikelihood_tokens(asked), strict=True):
            totals[owner] += logprob
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: Sequence[Instance], disable_tqdm: bool = False) -> list[str]:
        """The answer to each prompt, cut before the first of its stop strings; the model's own <|endoftext|> ends it
        too. Greedy, unless the task asks for samples. Raises UserError for settings that there are none of."""
        arguments: list[tuple[str, dict[str, Any]]] = [request.args for request in requests]  # type: ignore[misc]
        groups: dict[str, list[int]] = defaultdict(list)
        for place in range(len(requests)):
            groups[repr(arguments[place][1])].append(place)
        answers = [""] * len(requests)
        for places in groups.values():
            places.sort(key=lambda place: len(arguments[place][0]))  # rows of like length side by side
            left = iter(places)
            while batch := list(islice(left, ROWS)):
                prompts, settings = [arguments[place][0] for place in batch], arguments[batch[0]][1]
                for place, text in zip(batch, self._answers(prompts, settings), strict=True):
                    answers[place] = text
                    self.cache_hook.add_partial("generate_until", arguments[place], text)
        return answers

    def _answers(self, prompts: Sequence[str], settings: Mapping[str, Any]) -> list[str]:
        if unknown := sorted(settings.keys() - KNOWN):
            raise UserError(f"lm-eval: generation_kwargs has {unknown[0]!r}, known are {', '.join(sorted(KNOWN))}")
        until = settings.get("until") or []
        until = [until] if isinstance(until, str) else until
        most = next((settings[name] for name in LENGTHS if settings.get(name) is not None), MOST_NEW)
        tokenizer, room = self.run.tokenizer, max(1, self.max_length - most)
        rows = [np.array(self.tok_encode(prompt) or [self.eot_token_id], np.int32)[-room:] for prompt in prompts]
        texts = [TextStream(tokenizer, None, before=row) for row in rows]
        pieces = stream(
            self.run.model, self.run.params, rows, max_tokens=most, sampling=_sampling(settings),
            key=jax.random.key(0), stop=tokenizer.end_of_text, vocab_size=tokenizer.vocab_size,
        )  # fmt: skip
        for piece in pieces:
            for text, tokens in zip(texts, piece, strict=True):
                text.add(tokens)
            if all(any(stop in text.text for stop in until) for text in texts):
                break
        return [_before_first(text.text, until) for text in texts]


def _sampling(settings: Mapping[str, Any]) -> Sampling:
    """Greedy, unless the settings ask for samples, by `do_sample` or by a temperature alone."""
    temperature = settings.get("temperature")
    if not settings.get("do_sample", bool(temperature)):
        return Sampling(temperature=0.0)
    top_k, top_p = settings.get("top_k"), settings.get("top_p")
    return Sampling(temperature=1.0 if temperature is None else temperature, top_k=top_k, top_p=top_p)


def _before_first(text: str, stops: Sequence[str]) -> str:
    """The text up to the first place where one of the strings begins."""
    for stop in stops:
        text = text.split(stop, 1)[0] if stop else text
    return text
