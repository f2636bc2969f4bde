"""Every setting of a run, as frozen dataclasses; the command line makes each field a flag.

Imports neither jax nor torch, so that both model packages share it. A variant is a value (`Learned(...)`,
`LayerNorm(...)`) that holds only what concerns it. A value that lives here has no second default in any function. Each
class checks what it can see alone; `RunConfig.check` holds the rules that join two of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxdec.config.model import AnyModel
from jaxdec.config.parts import Config, require

FloatType = Literal["float32", "bfloat16", "float64"]


@dataclass(frozen=True)
class Characters(Config):
    """One token per character of the training text."""

    kind: ClassVar[str] = "char"


@dataclass(frozen=True)
class Words(Config):
    """Words and punctuation of the training text, with <|unk|> for all others: the one to learn from, it loses text."""

    kind: ClassVar[str] = "words"


@dataclass(frozen=True)
class GPT2(Config):
    """The byte-pair encoding of GPT-2, 50,257 tokens (Radford et al. 2019, section 2.2), through tiktoken."""

    kind: ClassVar[str] = "gpt2"


@dataclass(frozen=True)
class BPE(Config):
    """Byte-pair encoding (Sennrich et al. 2016) of bytes, trained on the training text."""

    kind: ClassVar[str] = "bpe"
    vocab_size: int = 10_000  # the 256 bytes and <|endoftext|> among them

    def __post_init__(self) -> None:
        require(
            self.vocab_size >= 257,
            f"data.tokenizer.vocab_size is {self.vocab_size}: give at least 257, for the bytes and <|endoftext|>",
        )


@dataclass(frozen=True)
class HuggingFace(Config):
    """A tokenizer.json of Hugging Face's `tokenizers`."""

    kind: ClassVar[str] = "huggingface"
    path: str


@dataclass(frozen=True)
class DataConfig(Config):
    """What is read: a corpus by name or the path of a UTF-8 text file, and how it is cut."""

    corpus: str
    tokenizer: Characters | Words | GPT2 | BPE | HuggingFace = field(default_factory=Characters)
    window: int | None = None  # tokens a training example holds; None: model.context
    validation_fraction: float = 0.1  # the last part of the text, never trained on
    sweep_stride: int | None = None  # tokens between validation windows; None: the window, so that none overlap

    def __post_init__(self) -> None:
        require(self.window is None or self.window >= 1, f"data.window is {self.window}: give a whole number from 1")
        require(
            0 < self.validation_fraction < 1,
            f"data.validation_fraction is {self.validation_fraction}: give a number between 0 and 1",
        )


@dataclass(frozen=True)
class OptimConfig(Config):
    """AdamW (Loshchilov and Hutter 2019) with linear warm-up, cosine decay and a global-norm clip."""

    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    decay_steps: int | None = None  # the step at which the cosine ends; None: train.steps
    beta1: float = 0.9
    beta2: float = 0.99
    epsilon: float = 1e-8
    weight_decay: float = 0.1  # of matrices; vectors (norms, biases) are never decayed
    clip_norm: float | None = 1.0  # None: no clipping

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

    steps: int = 2000
    tokens_per_step: int = 768  # of the whole job: sequences per step is this over the window
    microbatch: int | None = None  # sequences a device holds at once; None: its whole share. Accumulation follows
    steps_per_dispatch: int = 10  # train steps that one call of the compiled program runs
    log_every: int = 10
    eval_every: int = 250
    eval_batches: int = 20  # random batches of nanoGPT's protocol; the complete sweep runs at the end
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    seed: int = 1337

    def __post_init__(self) -> None:
        for name in ("steps", "tokens_per_step", "steps_per_dispatch", "log_every", "eval_every", "eval_batches"):
            require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}: give a whole number from 1")
        for name in ("checkpoint_every", "keep_checkpoints"):
            require(getattr(self, name) >= 1, f"train.{name} is {getattr(self, name)}: give a whole number from 1")
        require(
            self.microbatch is None or self.microbatch >= 1,
            f"train.microbatch is {self.microbatch}: give a whole number from 1, or None",
        )
        require(0 <= self.seed < 2**31, f"train.seed is {self.seed}: give a whole number from 0 to 2147483647")


@dataclass(frozen=True)
class Precision(Config):
    """`params` is what the optimizer updates, `compute` what matrices are multiplied in; norms, softmax and loss use
    at least float32."""

    params: FloatType = "float32"
    compute: FloatType = "float32"


@dataclass(frozen=True)
class MeshConfig(Config):
    """Devices along each axis of the mesh: `data` splits the batch, `fsdp` the batch and the parameters."""

    data: int | None = None  # None: all devices that the other axes leave
    fsdp: int = 1

    def __post_init__(self) -> None:
        require(self.data is None or self.data >= 1, f"mesh.data is {self.data}: give a whole number from 1, or None")
        require(self.fsdp >= 1, f"mesh.fsdp is {self.fsdp}: give a whole number from 1")


@dataclass(frozen=True)
class LogConfig(Config):
    """Sinks beside `metrics.jsonl` and the console. Off by default: nothing leaves the machine unasked."""

    tensorboard: bool = False
    wandb: bool = False


@dataclass(frozen=True)
class RunConfig(Config):
    """One run. `check()` is called before anything is read or written."""

    model: AnyModel
    data: DataConfig
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    precision: Precision = field(default_factory=Precision)
    mesh: MeshConfig = field(default_factory=MeshConfig)
    log: LogConfig = field(default_factory=LogConfig)

    @property
    def window(self) -> int:
        """Tokens per training example."""
        return self.data.window or self.model.context

    @property
    def batch_size(self) -> int:
        """Sequences per step over all devices."""
        return self.train.tokens_per_step // self.window

    @property
    def decay_steps(self) -> int:
        """The step at which the learning rate reaches its minimum."""
        return self.train.steps if self.optim.decay_steps is None else self.optim.decay_steps

    def check(self) -> RunConfig:
        """Raises UserError where two sections contradict each other; returns the config itself."""
        require(
            self.window <= self.model.context,
            f"data.window {self.window} is longer than model.context {self.model.context}: "
            "shorten one or lengthen the other",
        )
        require(
            self.train.tokens_per_step % self.window == 0,
            f"train.tokens_per_step {self.train.tokens_per_step} is not a multiple of the window of "
            f"{self.window} tokens: try {max(1, self.batch_size) * self.window}",
        )
        stride = self.data.sweep_stride
        require(
            stride is None or 1 <= stride <= self.window,
            f"data.sweep_stride {stride} must lie between 1 and the window of {self.window} tokens",
        )
        require(
            self.optim.warmup_steps <= self.decay_steps,
            f"optim.warmup_steps {self.optim.warmup_steps} is longer than the schedule of {self.decay_steps} steps",
        )
        return self
