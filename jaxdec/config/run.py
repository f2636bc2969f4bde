"""Every setting of a run, as frozen dataclasses; the command line makes each field a flag, with its text as the help.

Imports neither jax nor torch, so that both model packages share it. A variant is a value (`Learned(...)`,
`LayerNorm(...)`) that holds only its own settings. A value that is set here has no second default in any function. Each
class checks its own fields; `RunConfig.check` has the rules that involve two sections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jaxdec.config.classify import Classify
from jaxdec.config.model import AnyModel
from jaxdec.config.parts import Config, require
from jaxdec.config.setting import setting
from jaxdec.config.stages import AnyStage, default_stage
from jaxdec.config.tokenizers import AnyTokenizer, Characters
from jaxdec.config.trainable import Everything, LoRA, Trainable

FloatType = Literal["float32", "bfloat16", "float64"]
NO_CORPUS = "none"  # of a run that was made of weights: it has not been trained here, and says not on what


@dataclass(frozen=True)
class DataConfig(Config):
    """What is read: a corpus by name or the path of a file or folder, and how it is cut."""

    corpus: str = field(
        metadata={
            "help": "a corpus by name (see jaxdec list), or the path of a text file, a file of records (.jsonl .json "
            ".csv .tsv .parquet) or a folder of such files"
        }
    )
    tokenizer: AnyTokenizer = setting(Characters(), "how text is cut into tokens")
    window: int | None = setting(None, "tokens of a training example; None: model.context")
    stride: int | None = setting(
        None, "tokens between the starts of training windows; fewer than the window overlap; None: the window"
    )
    validation_fraction: float = setting(
        0.1, "share that is never trained on: the end of one text, or some of many documents"
    )
    sweep_stride: int | None = setting(
        None, "tokens between the starts of validation windows; None: the window, so that none overlap"
    )
    text_field: str | None = setting(
        None, "the field of records that holds the text; None: `text`, or else the only one with text"
    )
    limit_documents: int | None = setting(None, "read this many documents of a corpus, its first ones; None: all")
    limit_files: int | None = setting(
        None, "read this many files of a folder or a corpus of many files, the first ones; None: all"
    )

    def __post_init__(self) -> None:
        require(self.corpus != "", "data.corpus is empty: give the name of a corpus or the path of a text file")
        require(self.text_field != "", "data.text_field is empty: give the name of a field, or None")
        for name in ("limit_documents", "limit_files"):
            limit = getattr(self, name)
            require(limit is None or limit >= 1, f"data.{name} is {limit}: give a whole number from 1, or None")
        require(self.window is None or self.window >= 1, f"data.window is {self.window}: give a whole number from 1")
        require(
            0 < self.validation_fraction < 1,
            f"data.validation_fraction is {self.validation_fraction}: give a number between 0 and 1",
        )


@dataclass(frozen=True)
class OptimConfig(Config):
    """AdamW (Loshchilov and Hutter 2019) with linear warm-up, cosine decay and a global-norm clip."""

    learning_rate: float = setting(1e-3, "the peak, at the end of the warm-up")
    min_learning_rate: float = setting(1e-4, "what the cosine falls to")
    warmup_steps: int = setting(100, "steps in which the learning rate rises from 0 to its peak")
    decay_steps: int | None = setting(None, "the step at which the cosine ends; None: train.steps")
    beta1: float = setting(0.9, "decay of the running mean of gradients")
    beta2: float = setting(0.99, "decay of the running mean of squared gradients")
    epsilon: float = setting(1e-8, "added to the root of the second mean")
    weight_decay: float = setting(0.1, "weight decay of matrices; vectors (norms, biases) are never decayed")
    clip_norm: float | None = setting(1.0, "gradients of a larger global norm are scaled down to it; None: no clipping")

    def __post_init__(self) -> None:
        for name in ("learning_rate", "min_learning_rate", "warmup_steps", "weight_decay"):
            require(getattr(self, name) >= 0, f"optim.{name} is {getattr(self, name)}: give 0 or more")
        for name in ("beta1", "beta2"):
            require(0 <= getattr(self, name) < 1, f"optim.{name} is {getattr(self, name)}: give a number in [0, 1)")
        require(self.epsilon > 0, f"optim.epsilon is {self.epsilon}: give a positive number")
        require(
            self.clip_norm is None or self.clip_norm > 0,
            f"optim.clip_norm is {self.clip_norm}: give more than 0, or None",
        )


@dataclass(frozen=True)
class TrainConfig(Config):
    """The loop: how long, how large a step, and how often to look."""

    steps: int = setting(2000, "optimizer steps of the whole run")
    tokens_per_step: int = setting(768, "tokens of a step over all devices: sequences times the window")
    microbatch: int | None = setting(
        None,
        "sequences, or pairs of them, that a device computes at once, the gradients of several being added up; None: "
        "its whole share",
    )
    steps_per_dispatch: int = setting(10, "train steps that one call of the compiled program runs")
    log_every: int = setting(10, "steps between lines of metrics")
    evaluate: Literal["all", "none"] = setting(
        "all", "none: no validation during the run, no sweep and no sample at its end"
    )
    eval_every: int = setting(250, "steps between evaluations on random batches")
    eval_batches: int = setting(20, "random batches of an evaluation, as nanoGPT does it; the sweep runs at the end")
    checkpoint_every: int = setting(500, "steps between checkpoints")
    keep_checkpoints: int = setting(2, "checkpoints that are kept, the newest ones")
    seed: int = setting(1337, "seed of the first weights, the order of the data and dropout")
    peak_tflops: float | None = setting(
        None, "TFLOP/s that a device can do at most, for MFU; None: the published figure where it is known"
    )

    def __post_init__(self) -> None:
        for name in ("steps", "tokens_per_step", "steps_per_dispatch", "log_every", "eval_every", "eval_batches"):
            require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}: give a whole number from 1")
        for name in ("checkpoint_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}: give a whole number from 1")
        require(
            self.microbatch is None or self.microbatch >= 1,
            f"train.microbatch is {self.microbatch}: give a whole number from 1, or None",
        )
        require(
            self.peak_tflops is None or self.peak_tflops > 0,
            f"train.peak_tflops is {self.peak_tflops}: give a positive number, or None",
        )
        require(0 <= self.seed < 2**31, f"train.seed is {self.seed}: give a whole number from 0 to 2147483647")


@dataclass(frozen=True)
class Precision(Config):
    """The float types of a run. Norms, softmax and loss use at least float32."""

    params: FloatType = setting("float32", "what the optimizer updates")
    compute: FloatType = setting("float32", "what matrices are multiplied in")


@dataclass(frozen=True)
class MeshConfig(Config):
    """Devices along each axis of the mesh."""

    data: int | None = setting(None, "devices that split the batch; None: all that the other axes leave")
    fsdp: int = setting(1, "devices that split the batch and the parameters")

    def __post_init__(self) -> None:
        require(self.data is None or self.data >= 1, f"mesh.data is {self.data}: give a whole number from 1, or None")
        require(self.fsdp >= 1, f"mesh.fsdp is {self.fsdp}: give a whole number from 1")


@dataclass(frozen=True)
class LogConfig(Config):
    """Sinks beside `metrics.jsonl` and the console, off by default: nothing leaves the machine unasked. And what is
    measured for the log alone."""

    tensorboard: bool = setting(False, "write event files beside the metrics (needs the extra tensorboard)")
    wandb: bool = setting(False, "send metrics to Weights & Biases (needs the extra wandb)")
    updates: bool = setting(
        False, "also log the norm of each update over that of the parameters, of all and of each block (about 1e-3)"
    )


@dataclass(frozen=True)
class RunConfig(Config):
    """One run. `check()` is called before anything is read or written."""

    model: AnyModel
    data: DataConfig
    stage: AnyStage | None = setting(None, "what it is trained to do; None: the first stage of its kind of model")
    init_from: str | None = setting(
        None,
        "a run directory, whose newest good checkpoint gives the first weights, or weights of another program; their "
        "tokenizer is used",
    )
    trainable: Trainable = setting(Everything(), "the parameters that are trained")
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    precision: Precision = field(default_factory=Precision)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def resolved_stage(self) -> AnyStage:
        """What the model is trained to do."""
        return self.stage or default_stage(self.model)

    @property
    def lora(self) -> LoRA | None:
        """The adapters of the model, where they are what is trained."""
        return self.trainable if isinstance(self.trainable, LoRA) else None

    @property
    def window(self) -> int:
        """Tokens per training example."""
        return self.data.window or self.model.context

    @property
    def sequences_per_example(self) -> int:
        """Windows that are trained on together: two of a pair of answers, otherwise one."""
        return getattr(self.resolved_stage, "sequences", 1)

    @property
    def example_tokens(self) -> int:
        """Tokens of the windows of an example."""
        return self.sequences_per_example * self.window

    @property
    def batch_size(self) -> int:
        """Examples per step over all devices: sequences, or pairs of them."""
        return self.train.tokens_per_step // self.example_tokens

    @property
    def decay_steps(self) -> int:
        """The step at which the learning rate reaches its minimum."""
        return self.train.steps if self.optim.decay_steps is None else self.optim.decay_steps

    def check(self) -> RunConfig:
        """Raises UserError where two sections contradict each other; returns the config itself."""
        stage = self.resolved_stage
        require(
            isinstance(self.model, stage.models),
            f"stage {stage.kind} does not train a model of kind {self.model.kind}: leave the stage out, or give "
            f"--stage {default_stage(self.model).kind}",
        )
        classes = getattr(self.model, "classes", None)
        if isinstance(stage, Classify):
            self._check_classes(stage)
        require(
            classes is None or isinstance(stage, Classify),
            f"model.classes {classes} makes the model a classifier, and stage {stage.kind} trains models that predict "
            "tokens: leave model.classes out",
        )
        require(self.init_from != "", "init_from is empty: give a run directory, or None")
        require(
            self.window <= self.model.context,
            f"data.window {self.window} is longer than model.context {self.model.context}: "
            "shorten one or lengthen the other",
        )
        unit = f"the window of {self.window} tokens"
        if self.sequences_per_example > 1:
            unit = f"{self.example_tokens} tokens, the {self.sequences_per_example} windows of a pair"
        require(
            self.train.tokens_per_step % self.example_tokens == 0,
            f"train.tokens_per_step {self.train.tokens_per_step} is not a multiple of {unit}: "
            f"try {max(1, self.batch_size) * self.example_tokens}",
        )
        for name in ("stride", "sweep_stride"):
            stride = getattr(self.data, name)
            require(
                stride is None or 1 <= stride <= self.window,
                f"data.{name} {stride} must lie between 1 and the window of {self.window} tokens",
            )
        require(
            self.optim.warmup_steps <= self.decay_steps,
            f"optim.warmup_steps {self.optim.warmup_steps} is longer than the schedule of {self.decay_steps} steps",
        )
        return self

    def _check_classes(self, stage: Classify) -> None:
        classes = getattr(self.model, "classes", None)
        require(
            classes is None or stage.labels is None or classes == len(stage.labels),
            f"model.classes is {classes}, and stage.labels names {len(stage.labels or ())}: leave model.classes out",
        )
        held = self.data.validation_fraction + stage.test_fraction
        require(
            held < 1,
            f"data.validation_fraction and stage.test_fraction are {held:g} together, which leaves nothing to train "
            "on: lower one",
        )


def warmup_within(run: RunConfig, longer: RunConfig) -> int:
    """The warm-up of a run that was made from `longer` by other lengths: the same number of steps, or the same share of
    the schedule where they would fill more than half of it."""
    warmup, steps = run.optim.warmup_steps, run.decay_steps
    return warmup if 2 * warmup <= steps else warmup * steps // longer.decay_steps
