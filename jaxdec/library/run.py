"""A run in memory: its settings, its model, its parameters and its numbers, and what can be done with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdec.checkpoints.checkpoints import Checkpoints
from jaxdec.config.instruct import Instruct
from jaxdec.config.preference import Preference
from jaxdec.config.run import RunConfig
from jaxdec.config.yaml import build
from jaxdec.data.shards import Dataset
from jaxdec.data.tokenizers.registry import Tokenizer
from jaxdec.errors import UserError
from jaxdec.evaluation.classification import Answer, classify_texts
from jaxdec.evaluation.suites.options import SuiteOptions
from jaxdec.evaluation.suites.registry import run_suites
from jaxdec.evaluation.text import full_sweep, make_window_losses
from jaxdec.generation.generate import generate_text
from jaxdec.generation.responses import respond_to_texts
from jaxdec.generation.sampling import Sampling
from jaxdec.inspection.look import TOP
from jaxdec.inspection.text import Inspection, inspect_text
from jaxdec.library.activations import activations
from jaxdec.library.folder import save_run
from jaxdec.models.functional import Model, Params
from jaxdec.runs import directory as run_directory
from jaxdec.runs.loading import LoadedRun, load_run
from jaxdec.runs.metrics import read_metrics
from jaxdec.runs.source import is_run
from jaxdec.stages.run import open_stage, open_training
from jaxdec.training.loop import Trainer
from jaxdec.training.reporting import LogLine, OnMetrics


class TrainingRun:
    """What `jaxdec.start`, `train` and `load` return.

    config: its settings; `config.model.vocab_size` is known. tokenizer: text to token ids and back.
    metrics: the lines of the log as dicts, each with its `step`; names are those of `metrics.jsonl`.
    """

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        metrics: list[dict[str, Any]],
        open_trainer: Callable[[], Trainer],
    ) -> None:
        self.config, self.tokenizer, self.metrics = config, tokenizer, metrics
        self.seconds = 0.0  # spent in training here
        self._open_trainer = open_trainer
        self._trainer: Trainer | None = None
        self._window_losses: Any = None

    @classmethod
    def new(cls, config: RunConfig, tokenizer: Tokenizer | None) -> TrainingRun:
        """A run at step 0. Raises UserError for settings and data that do not fit each other."""
        config, stage, initial = open_training(config, tokenizer=tokenizer)

        def open_trainer() -> Trainer:
            trainer = Trainer(config, stage)
            trainer.start(None if initial is None else initial())
            return trainer

        return cls(config, stage.tokenizer, [], open_trainer)

    @classmethod
    def load(cls, run_dir: Path) -> TrainingRun:
        """A run at the newest good checkpoint of its directory, or weights of another program. Raises UserError where
        there is none."""
        found = load_run(run_dir)
        known = read_metrics(run_dir / "metrics.jsonl") if is_run(run_dir) else []
        lines = [line for line in known if line["step"] <= found.step]

        def open_trainer() -> Trainer:
            config, stage = open_stage(found.config, tokenizer=found.tokenizer)
            trainer = Trainer(config, stage)
            checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
            unchanged = partial(run_directory.require_unchanged, run_dir, config, stage.tokenizer, stage.data)
            trainer.restore(checkpoints, accept=unchanged)
            return trainer

        run = cls(found.config, found.tokenizer, lines, open_trainer)
        run._loaded = found
        return run

    _loaded: LoadedRun | None = None  # of a run from a folder, until it is trained on

    def __repr__(self) -> str:
        model = self.config.model
        return f"TrainingRun({model.kind} of width {model.width}, step {self.step} of {self.config.train.steps})"

    @property
    def model(self) -> Model:
        """The pure functions `init(key)` and `apply(params, tokens)`."""
        return Model.of(self.config)

    @property
    def params(self) -> Params:
        """The current parameters, by name. Further training donates these arrays: copy those you want to keep."""
        return self._loaded.params if self._loaded is not None else self._open().state["params"]

    @property
    def step(self) -> int:
        """Train steps done."""
        return self._loaded.step if self._loaded is not None else self._open().step

    @property
    def losses(self) -> np.ndarray:
        """Training losses in nats per target, float64 [lines of the log]."""
        return np.array([line["loss"] for line in self.metrics if line.get("loss") is not None])

    def reports(self) -> Iterator[LogLine]:
        """Trains to `config.train.steps`; yields (step, values) with each line of the log, in order.

        The last line is the final evaluation. What is left of the loop goes on at the next call. Raises TrainingError
        when a number is not finite.
        """
        trainer, self._loaded = self._open(), None
        started = time.monotonic()
        for step, values in trainer.run():
            self.metrics.append({"step": step, **values})
            self.seconds += time.monotonic() - started
            yield step, values
            started = time.monotonic()

    def train(self, steps: int, on_metrics: OnMetrics | None = None) -> TrainingRun:
        """Trains `steps` more and returns the run itself. Where the config sets no `optim.decay_steps`, the learning
        rate follows the cosine of the new length from here on, so that it may rise again."""
        if steps < 1:
            raise UserError(f"steps is {steps}: give a whole number from 1")
        before = self._open()
        self.config = replace(self.config, train=replace(self.config.train, steps=before.step + steps)).check()
        self._trainer = Trainer(self.config, before.stage)
        self._trainer.take_over(before)
        for step, values in self.reports():
            if on_metrics is not None:
                on_metrics(step, values)
        return self

    def evaluate(
        self, text: str | None = None, *, suite: str | Sequence[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """The mean loss on a text in nats per token, as `sweep_loss`, with its standard error. Without a text: all that
        training reports at its end, on the validation split.

        suite: what `jaxdec evaluate --suite` returns, of one suite, or of several by their names. options: theirs, as
        limit=100 or file="questions.jsonl". Raises UserError for an unknown suite or option.
        """
        if suite is not None:
            return self._run_suites([suite] if isinstance(suite, str) else list(suite), text, options)
        if options:
            raise UserError(f"{next(iter(options))} is for suites: give one, as suite='loss'")
        if text is None:
            trainer = self._open()
            return trainer.evaluate(trainer.stage.final_evaluators)
        if getattr(self.config.model, "classes", None) is not None:
            raise UserError("a classifier is scored on texts with labels: call evaluate() without a text")
        if self.config.model.kind == "encoder_decoder":
            raise UserError("an encoder-decoder is scored on pairs, not on a text: call evaluate() without one")
        ids = self.tokenizer.encode(text)
        window = min(self.config.window, max(1, len(ids) - 1))
        config = replace(self.config, data=replace(self.config.data, window=window, sweep_stride=None))
        dataset = Dataset(ids, ids, self.tokenizer, "text", None, "")  # type: ignore[arg-type]
        self._window_losses = self._window_losses or make_window_losses(self.model)
        return dict(full_sweep(self._window_losses, config, dataset)(self.params))

    def _run_suites(self, names: list[str], text: str | None, options: dict[str, Any]) -> dict[str, Any]:
        if text is not None:
            raise UserError("a suite has examples of its own: leave the text out")
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
        run = LoadedRun(self.config, self.model, self.params, self.tokenizer, self.step)
        found = run_suites(run, names, build(SuiteOptions, plain, ""))
        return dict(found[names[0]] if len(names) == 1 else found)

    def generate(
        self,
        prompt: str = "",
        *,
        max_tokens: int = 200,
        temperature: float = 0.8,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        stop: str | None = None,
        seed: int = 0,
    ) -> str:
        """The continuation of a prompt, without it. Temperature 0 takes the most probable token each time. Raises
        UserError for a prompt with characters that the tokenizer does not know."""
        sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
        run = LoadedRun(self.config, self.model, self.params, self.tokenizer, self.step)
        return generate_text(run, [prompt], max_tokens=max_tokens, sampling=sampling, seed=seed, stop=stop)[0]

    def respond(
        self, instruction: str, input: str = "", *, max_tokens: int = 256, temperature: float = 0.0, seed: int = 0
    ) -> str:
        """The response to an instruction by a run of the stage instruct, or preference, up to the end token.
        Temperature 0 takes the most probable token each time. Raises UserError for a run of another stage."""
        stage = self.config.resolved_stage
        if not isinstance(stage, Instruct | Preference):
            raise UserError(
                f"this run was not trained on instructions: its stage is {stage.kind}; generate() continues"
            )
        run = LoadedRun(self.config, self.model, self.params, self.tokenizer, self.step)
        sampling = Sampling(temperature)
        return respond_to_texts(
            run, stage.template, [instruction], input=input, max_tokens=max_tokens, sampling=sampling, seed=seed
        )[0].text

    def classify(self, text: str) -> Answer:
        """The class of a text by a run of the stage classify: its `label` and `probability`, and the `probabilities` of
        all classes. Raises UserError for a run of another stage, and for an empty text."""
        run = LoadedRun(self.config, self.model, self.params, self.tokenizer, self.step)
        return classify_texts(run, [text])[0]

    def activations(self, text: str) -> dict[str, np.ndarray]:
        """What every module returns for a text, by its path, in the order of execution, and the logits last: arrays
        of one row, [1,T,...]. Raises UserError for a text that is empty or longer than the context."""
        return activations(self.model, self.params, self.tokenizer.encode(text))

    def inspect(self, text: str, *, top: int = TOP) -> Inspection:
        """What the model does with a text: attention weights [L,H,T,S], the experts of each token, and what is
        predicted after each layer, of which the `top` likeliest are kept. Raises UserError for a text that is empty or
        longer than the context, and for an encoder-decoder."""
        run = LoadedRun(self.config, self.model, self.params, self.tokenizer, self.step)
        return inspect_text(run, text, top=top)

    def save(self, run_dir: Path | str) -> Path:
        """Writes a run directory, which must not exist; `jaxdec generate`, `evaluate` and `resume` read it.

        A text that was given in memory is written beside the model, so that the folder is complete.
        """
        return save_run(self._open(), self.metrics, self.seconds, Path(run_dir))

    def _open(self) -> Trainer:
        if self._trainer is None:
            self._trainer = self._open_trainer()
        return self._trainer
