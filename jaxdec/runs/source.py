"""What a command may be given where it takes a model: a run directory, or weights that another program wrote.

Weights are a Hugging Face folder, the id of one on the hub, or a file of any format that `weights/formats` knows. They
are described here as a run that has not trained and has no corpus. Needs no jax: only headers are read.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jaxdec.config.model import AnyModel, DecoderConfig
from jaxdec.config.run import NO_CORPUS, DataConfig, FloatType, Precision, RunConfig, TrainConfig
from jaxdec.config.tokenizers import BPE, GPT2, AnyTokenizer, Characters, HuggingFace, SentencePiece, Words
from jaxdec.config.yaml import differences
from jaxdec.data.tokenizers.registry import (
    BPETokenizer,
    CharTokenizer,
    GPT2Tokenizer,
    HuggingFaceTokenizer,
    SentencePieceTokenizer,
    Tokenizer,
    WordTokenizer,
)
from jaxdec.errors import UserError
from jaxdec.runs.directory import require_run
from jaxdec.runs.lock import LOCK
from jaxdec.weights.folder.hub import is_hub_id, local_place
from jaxdec.weights.formats.base import StoredModel
from jaxdec.weights.formats.registry import UnknownFormat, open_model
from jaxdec.weights.huggingface.function import plain

MOST_WINDOW, TOKENS = 1024, 4096  # of weights, whose training nobody has described: a window, and tokens of a step


def is_run(given: Path | str) -> bool:
    """Whether a path is a run directory, complete or not."""
    path = Path(given)
    return any((path / name).exists() for name in ("config.yaml", "checkpoints", LOCK))


def describe(given: Path | str) -> RunConfig:
    """The settings of a run, or those that weights are given. Raises UserError where it is neither."""
    return require_run(Path(given)) if is_run(given) else settings_of(open_weights(given))


def require_tokens(model: AnyModel, given: Path | str) -> None:
    """Raises UserError for a classifier, where a command needs a model that predicts tokens."""
    if getattr(model, "classes", None) is not None:
        raise UserError(f"{given} is a classifier, which predicts no tokens: use jaxdec classify {given} TEXT")


def open_weights(given: Path | str) -> StoredModel:
    """The model that is meant, none of its tensors read yet. Raises UserError where there is none, or it has no
    tokenizer."""
    if not Path(given).expanduser().exists() and not is_hub_id(str(given)):
        raise UserError(
            f"{given} is not a run directory, nor the weights of another program: it does not exist. Give the --out of "
            "a 'jaxdec train', a folder or file with weights, or a hub id as openai-community/gpt2"
        )
    try:
        return open_model(local_place(given))
    except UserError as error:
        if Path(given).expanduser().exists() and not isinstance(error, UnknownFormat):
            raise  # weights they are: the error says what is wrong with them
        raise error.within(f"{given} is not a run directory: {error}") from None


def require_tokenizer(model: StoredModel) -> Tokenizer:
    """The tokenizer of weights. Raises UserError where they have none, or one with more tokens than the model."""
    if model.tokenizer is None:
        raise UserError(
            f"{model.place} has no tokenizer: make a run of it with one, 'jaxdec convert {model.place} DST "
            "--tokenizer gpt2', or the path of a tokenizer.json"
        )
    if (rows := model.config.vocab_size or 0) < model.tokenizer.vocab_size:
        raise UserError(
            f"the tokenizer of {model.place} has {model.tokenizer.vocab_size} tokens, its model {rows}: it is another "
            "model's, or 'jaxdec convert --vocab-size' makes room for new ones"
        )
    return model.tokenizer


def settings_of(model: StoredModel, dtype: FloatType = "float32") -> RunConfig:
    """A run that has not trained, of this model, in a precision. Raises UserError where it has no tokenizer."""
    return settings(model.config, tokenizer_settings(require_tokenizer(model), model.place), dtype)


def settings(model: DecoderConfig, tokenizer: AnyTokenizer, dtype: FloatType = "float32") -> RunConfig:
    """A run of a model that has not trained and has no corpus."""
    window = min(model.context, MOST_WINDOW)
    return RunConfig(
        model=model,
        data=DataConfig(NO_CORPUS, tokenizer, window=None if window == model.context else window),
        train=TrainConfig(tokens_per_step=window * max(1, TOKENS // window)),
        precision=Precision(dtype, "float64" if dtype == "float64" else "float32"),
    )


def tokenizer_settings(tokenizer: Tokenizer, place: Path) -> AnyTokenizer:
    """What a config says of a tokenizer; `place` is the folder or file that it was read from."""
    match tokenizer:
        case CharTokenizer():
            return Characters()
        case WordTokenizer():
            return Words()
        case GPT2Tokenizer():
            return GPT2()
        case BPETokenizer():
            return BPE(tokenizer.vocab_size)
        case HuggingFaceTokenizer():
            return HuggingFace(str(place / "tokenizer.json" if place.is_dir() else place))
        case SentencePieceTokenizer():
            return SentencePiece(str(place))
        case _:
            raise UserError(f"a tokenizer of kind {tokenizer.kind} cannot be named in a config")


def with_data(config: RunConfig, data: DataConfig) -> RunConfig:
    """A run with other data, cut as `data` says. Raises UserError where it asks for another tokenizer: the model knows
    the ids of its own."""
    if data.tokenizer != config.data.tokenizer:
        raise UserError(
            f"the model reads the tokens of its own tokenizer, {config.data.tokenizer}, not of {data.tokenizer}: leave "
            "the flags of data.tokenizer out"
        )
    window = data.window or config.model.context
    unit = window * config.sequences_per_example
    tokens = unit * max(1, config.train.tokens_per_step // unit)
    return replace(config, data=data, train=replace(config.train, tokens_per_step=tokens)).check()


def changed_settings(source: RunConfig, run: RunConfig) -> list[str]:
    """The settings in which a run's model computes something else than that of `source`, or reads other tokens:
    "model.layers: 2 -> 3". Dropout and first values may differ."""
    free = {"dropout": 0.0, "init_std": 0.02}

    def compared(config: RunConfig) -> RunConfig:
        model = config.model
        if isinstance(model, DecoderConfig):
            model = replace(plain(model), init_std=0.02)
        else:
            model = replace(model, **{name: value for name, value in free.items() if hasattr(model, name)})
        data = replace(source.data, tokenizer=config.data.tokenizer)
        return replace(source, model=model, data=data)

    return differences(compared(source), compared(run))
