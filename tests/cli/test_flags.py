"""What is typed becomes the config it says, and every slip gets one line that names the right flag."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from jaxdec.cli import train
from jaxdec.cli.flags import flags
from jaxdec.cli.flags.config_flags import flags_in_use
from jaxdec.cli.flags.options import whole_config
from jaxdec.config.model import BigramConfig, DecoderConfig, EncoderDecoderConfig
from jaxdec.config.parts import MLP, Full, GatedMLP, Local, MoE, RMSNorm, Strided
from jaxdec.config.positions import LinearScaling, NoPosition, RoPE, Sinusoidal, YarnScaling
from jaxdec.config.run import RunConfig
from jaxdec.config.tokenizers import BPE, GPT2, HuggingFace
from jaxdec.config.trainable import Matching
from jaxdec.config.yaml import config_to_dict, differences, save_config
from jaxdec.recipes import load_recipe
from tests.configs import any_config


@dataclasses.dataclass(frozen=True)
class Base:
    run: RunConfig = whole_config()


def read(*words: str) -> RunConfig:
    return train.read(words)[0].run


@pytest.fixture(autouse=True)
def _empty_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def leaves(plain: Any, flag: str = "-") -> dict[str, Any]:
    """flag -> value for every leaf of a config's plain data."""
    if isinstance(plain, list) and all(isinstance(item, str) for item in plain):
        return {flag: ",".join(plain)}
    if isinstance(plain, list):
        plain = {str(index): item for index, item in enumerate(plain)}
    if not isinstance(plain, dict):
        return {flag: plain}
    dot = "-" if flag == "-" else "."
    return {key: leaf for name, item in plain.items() for key, leaf in leaves(item, f"{flag}{dot}{name}").items()}


@given(run=any_config(RunConfig))
def test_every_config_is_within_reach_of_flags(run: RunConfig) -> None:
    """Whatever the kinds, from any recipe: all leaves of a config typed out, in any order, are that config."""
    settings = flags.ConfigSections(Base(load_recipe("char-gpt")))
    typed = [(flag, str(value)) for flag, value in leaves(config_to_dict(run)).items()]
    for order in (typed, typed[::-1]):
        assert settings.override(order, lambda flag: AssertionError(flag)) == {"run": run}


def test_the_help_shows_each_setting_in_use_and_the_kinds_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    words = "--model.mlp.1.kind moe --model.mlp.1.experts 8 --model.position rope --model.position.scaling linear"
    words += " --model.position.scaling.factor 3 --data.tokenizer bpe --data.tokenizer.vocab-size 999"
    run = read("char-gpt", *words.split())
    with pytest.raises(SystemExit):
        read("char-gpt", *words.split(), "--help")
    page = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for flag in flags_in_use(RunConfig, config_to_dict(run), "--"):
        assert f" {flag} " in page
    kinds = "{learned,sinusoidal,rope,none}"
    assert f"--model.position.kind {kinds} how the model knows the order of tokens (default: rope)" in page
    assert "--model.position.scaling.factor FLOAT positions are divided by this (default: 3.0)" in page
    assert "--model.mlp.1.experts INT experts of a layer (default: 8)" in page
    assert "--data.tokenizer.vocab-size INT tokens, the 256 bytes and <|endoftext|> among them (default: 999)" in page


def test_a_list_of_names_is_one_flag(refused, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("char-gpt", "--trainable", "matching", "--trainable.patterns", "head.*, blocks.3.*")
    assert read(*words).trainable == Matching(patterns=("head.*", "blocks.3.*"))
    assert refused("train", *words, "--trainable.pattern", "x") == (
        "unknown flag --trainable.pattern (did you mean '--trainable.patterns'?)"
    )
    with pytest.raises(SystemExit):
        read(*words, "--help")
    page = " ".join(capsys.readouterr().out.split())
    assert (
        "--trainable.patterns TEXT,... names of parameters, as blocks.3.*,head.* (default: head.*,blocks.3.*)" in page
    )


def test_flags_override_the_recipe_and_nothing_else() -> None:
    run = read(
        *("char-gpt", "--data.corpus", "tinyshakespeare", "--train.steps", "3000", "--optim.learning-rate", "3e-4"),
        *("--optim.clip-norm", "None", "--model.bias", "True", "--data.window=32", "--mesh.data", "2"),
    )
    assert differences(load_recipe("char-gpt"), run) == [
        "model.bias: False -> True",
        "data.corpus: playlets -> tinyshakespeare",
        "data.window: None -> 32",
        "optim.learning_rate: 0.001 -> 0.0003",
        "optim.clip_norm: 1.0 -> None",
        "train.steps: 2000 -> 3000",
        "mesh.data: None -> 2",
    ]


def test_underscores_are_read_as_hyphens() -> None:
    assert read("char-gpt", "--train.tokens_per_step", "640") == read("char-gpt", "--train.tokens-per-step", "640")


def test_the_config_of_a_run_is_reused(tmp_path: Path) -> None:
    earlier = read("baby-gpt", "--train.steps", "300")
    save_config(earlier, tmp_path / "config.yaml")
    run = read("--config", "config.yaml", "--out", "again", "--train.seed", "3")
    assert differences(earlier, run) == ["train.seed: 1337 -> 3"]


def test_the_run_is_named_after_its_recipe() -> None:
    assert train.read(["char-gpt"])[1] == Path("runs/char-gpt")
    assert train.read(["char-gpt", "--out", "elsewhere"])[1] == Path("elsewhere")


def model(**changes: Any) -> DecoderConfig:
    return dataclasses.replace(load_recipe("char-gpt").model, **changes)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--model.position.kind rope", model(position=RoPE())),
        ("--model.position rope", model(position=RoPE())),
        ("--model.position none", model(position=NoPosition())),
        ("--model.position.theta 1e5 --model.position.kind rope", model(position=RoPE(theta=1e5))),
        (
            "--model.position rope --model.position.scaling.kind yarn --model.position.scaling.original-context 64",
            model(position=RoPE(scaling=YarnScaling(original_context=64))),
        ),
        (
            "--model.position rope --model.position.scaling linear --model.position.scaling.factor 4",
            model(position=RoPE(scaling=LinearScaling(4.0))),
        ),
        ("--model.position sinusoidal --model.position.base 500", model(position=Sinusoidal(500.0))),
        ("--model.norm rms-norm", model(norm=RMSNorm())),
        ("--model.qk-norm.epsilon 1e-6", model(qk_norm=RMSNorm(1e-6))),
        ("--model.qk-norm rms_norm", model(qk_norm=RMSNorm())),
        ("--model.mlp.kind swiglu --model.mlp.hidden 96", model(mlp=GatedMLP(96))),
        ("--model.mlp.hidden 96", model(mlp=MLP(hidden=96))),
        ("--model.mlp.kind moe --model.mlp.experts 8", model(mlp=MoE(8))),
        ("--model.mlp.1.kind moe --model.mlp.1.experts 8", model(mlp=(MLP(), MoE(8)))),
        ("--model.mlp.3.kind moe --model.mlp.3.experts 8", model(mlp=(MLP(), MLP(), MLP(), MoE(8)))),
        (
            "--model.mlp.1.kind moe --model.mlp.1.experts 4 --model.mlp.1.expert swiglu --model.mlp.1.expert.hidden 32",
            model(mlp=(MLP(), MoE(4, expert=GatedMLP(32)))),
        ),
        (
            "--model.mlp.expansion 2 --model.mlp.1.kind moe --model.mlp.1.experts 4 --model.mlp.1.shared mlp",
            model(mlp=(MLP(2), MoE(4, shared=MLP()))),
        ),
        (
            "--model.attention.0.kind local --model.attention.0.window 8 --model.attention.1.kind full",
            model(attention=(Local(window=8), Full())),
        ),
        ("--model.attention local,full --model.attention.0.window 8", model(attention=(Local(window=8), Full()))),
        ("--model.attention.0.kind strided --model.attention.0.stride 4", model(attention=Strided(stride=4))),
        ("--model.attention.alibi 8 --model.attention.softcap 30", model(attention=Full(alibi=8.0, softcap=30.0))),
        ("--model.kind bigram --data.sweep-stride None", BigramConfig()),
        ("--model bigram --model.width 16 --data.sweep-stride None", BigramConfig(width=16)),
        (
            "--model encoder-decoder --model.layers 2 --model.heads 2 --model.width 16 --model.context 64",
            EncoderDecoderConfig(layers=2, heads=2, width=16, context=64),
        ),
    ],
)
def test_kinds_and_layers_are_flags(words: str, expected: Any) -> None:
    assert read("char-gpt", *words.split()).model == expected


def test_a_run_whose_layers_differ_is_changed_value_by_value(tmp_path: Path) -> None:
    save_config(read("char-gpt", "--model.mlp.1.kind", "moe", "--model.mlp.1.experts", "8"), tmp_path / "config.yaml")

    def again(*words: str) -> Any:
        return read("--config", "config.yaml", "--out", "again", *words).model.mlp

    assert again("--model.mlp.1.top-k", "1") == (MLP(), MoE(8, top_k=1))
    assert again("--model.mlp.0.expansion", "2") == (MLP(2), MoE(8))
    assert again("--model.mlp.2.expansion", "2") == (MLP(), MoE(8), MLP(2))
    assert again("--model.mlp", "mlp") == MLP()
    assert again("--model.mlp.1.kind", "moe") == (MLP(), MoE(8)), "the kind it has already changes nothing"


def test_tokenizers_are_kinds_too() -> None:
    assert read("char-gpt", "--data.tokenizer.kind", "bpe", "--data.tokenizer.vocab-size", "300").data.tokenizer == BPE(
        300
    )
    assert read("char-gpt", "--data.tokenizer", "gpt2").data.tokenizer == GPT2()
    words = ("--data.tokenizer", "huggingface", "--data.tokenizer.path", "None")
    assert read("char-gpt", *words).data.tokenizer == HuggingFace("None"), "a text may be 'None'"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--train.step 3", "unknown flag --train.step (did you mean '--train.steps'?)"),
        ("--trian.steps 3", "unknown flag --trian.steps (did you mean '--train.steps'?)"),
        ("--learning-rate 3", "unknown flag --learning-rate (did you mean '--optim.learning-rate'?)"),
        ("--optim.steps 3", "unknown flag --optim.steps (did you mean '--train.steps'?)"),
        ("--model.use-moe True", "unknown flag --model.use-moe"),
        ("--model.mlp.x.kind moe", "unknown flag --model.mlp.x.kind (did you mean '--model.mlp.kind'?)"),
        ("--epsilon 3", "unknown flag --epsilon (did you mean '--optim.epsilon'?)"),
        ("--hlep", "unknown flag --hlep (did you mean '--help'?)"),
        ("--outt x", "unknown flag --outt (did you mean '--out'?)"),
        ("-x", "unknown flag -x"),
        ("--train.steps many", "--train.steps is 'many': give a whole number"),
        ("--train.steps 2.5", "--train.steps is '2.5': give a whole number"),
        ("--train.steps None", "--train.steps is 'None': give a whole number"),
        ("--train.steps", "--train.steps needs a value: give a whole number"),
        ("--train.steps --json", "--train.steps needs a value: give a whole number"),
        ("--data.window wide", "--data.window is 'wide': give a whole number or None"),
        ("--model.bias", "--model.bias needs a value: give True or False"),
        ("--model.bias maybe", "--model.bias is 'maybe': give True or False"),
        ("--json=yes", "--json is a switch and takes no value"),
        ("--precision.compute bf16", "--precision.compute is 'bf16' (did you mean 'bfloat16'?)"),
        (
            "--model.mlp.activation swish",
            "--model.mlp.activation is 'swish' (known: gelu, gelu_sigmoid, gelu_tanh, relu, relu_squared, silu)",
        ),
        ("extra", "unexpected argument 'extra'"),
        ("--optim 3", "--optim has several settings: give one of them, as --optim.learning-rate"),
        ("--train.steps.more 3", "unknown flag --train.steps.more (did you mean '--train.steps'?)"),
        ("--model.position.kind ropes", "--model.position.kind is 'ropes' (did you mean 'rope'?)"),
        ("--model.position ropes", "--model.position is 'ropes' (did you mean 'rope'?)"),
        ("--model.position None", "--model.position is 'None' (did you mean 'none'?)"),
        ("--model.position.kind", "--model.position.kind needs a value: give learned or sinusoidal or rope or none"),
        ("--model.position.kind.x 3", "unknown flag --model.position.kind.x (did you mean '--model.position.kind'?)"),
        (
            "--model.position.theta 1e4",
            "--model.position.theta belongs to position kind rope; this run has learned: add --model.position.kind",
        ),
        (
            "--model.position.scaling.kind yarn",
            "--model.position.scaling.kind belongs to position kind rope; this run has learned: add --model.position",
        ),
        (
            "--model.position rope --model.position.scaling.factor 4",
            "--model.position.scaling.factor: this run has no such part: add --model.position.scaling.kind linear or",
        ),
        (
            "--model.position rope --model.position.scaling None --model.position.scaling.factor 4",
            "--model.position.scaling.factor: this run has no such part",
        ),
        ("--model.position.thet 1", "unknown flag --model.position.thet (did you mean '--model.position.theta'?)"),
        ("--model.mlp.kind moe", "model.mlp.experts is missing: give a whole number"),
        ("--model.mlp.1.kind moe", "model.mlp.1.experts is missing: give a whole number"),
        (
            "--model.mlp.1.experts 8",
            "--model.mlp.1.experts belongs to mlp kind moe; this run has mlp: add --model.mlp.1.kind moe",
        ),
        ("--model.attention local,fulll", "--model.attention is 'fulll' (did you mean 'full'?)"),
        (
            "--model.attention local,full --model.attention.window 4",
            "--model.attention has 2 values in this run: say which is meant, as --model.attention.0.window",
        ),
        ("--model.attention.123456789.kind local", "--model.attention.123456789: values are counted from 0"),
        ("--model.attention.9.kind local", "model.attention has 10 values for 4 layers"),
        ("--model.norm.0.kind rms_norm", "unknown flag --model.norm.0.kind"),
        (
            "--model.kind one_block --model.layers 2 --model.position rope",
            "--model.position belongs to model kind decoder",
        ),
        ("--model.kv-heads 3", "model.kv_heads 3 does not divide model.heads 4"),
        ("--model.position rope --model.head-dim 3", "rotary positions turn channels in pairs"),
        ("--model.attention local --model.attention.window 0", "model.attention.window is 0"),
        (
            "--model.mlp moe --model.mlp.experts 2 --model.mlp.top-k 3",
            "model.mlp.top_k 3 is more than the 2 experts there are",
        ),
        ("--data.tokenizer bpe --data.tokenizer.vocab-size 99", "data.tokenizer.vocab_size is 99: give at least 257"),
        ("--data.tokenizer.kind huggingface", "data.tokenizer.path is missing: give text"),
        ("--model.heads 3", "model.heads 3 does not divide model.width 128"),
        ("--data.window 65", "data.window 65 is longer than model.context 64"),
        (
            "--train.tokens-per-step 100",
            "train.tokens_per_step 100 is not a multiple of the window of 64 tokens: try 64",
        ),
        ("--optim.learning-rate -1", "optim.learning_rate is -1.0: give 0 or more"),
        ("--train.steps 50 --optim.warmup-steps 100", "optim.warmup_steps 100 is longer than the schedule of 50 steps"),
        ("--config other.yaml", "give either the recipe 'char-gpt' or --config other.yaml, not both"),
    ],
)
def test_a_slip_gets_one_line(words: str, said: str, refused, tmp_path: Path) -> None:
    assert refused("train", "char-gpt", *words.split()).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_a_value_of_the_wrong_type_is_refused_before_the_run_is_looked_for(refused) -> None:
    assert "top-k" in refused("generate", "nowhere", "--top-k", "many")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "unknown command 'trian' (did you mean 'train'?)"),
        ("train", "give a recipe (alibi, "),
        ("train char-gtp", "unknown recipe 'char-gtp' (did you mean 'char-gpt'?)"),
        ("train --config nowhere.yaml --out x", "no config file at nowhere.yaml"),
        ("resume", "give the run directory"),
        ("resume nowhere", "nowhere is not a run directory"),
        ("resume nowhere --data.window 3", "a resumed run keeps its settings, --data.window included"),
        ("evaluate", "give the run directory"),
        ("evaluate nowhere", "nowhere is not a run directory"),
        ("evaluate nowhere --step x", "--step is 'x': give a whole number or None"),
        ("generate nowhere --prompt a", "nowhere is not a run directory"),
        ("prepare --data.corpos x", "unknown flag --data.corpos (did you mean '--data.corpus'?)"),
        ("bench", "say what to measure: jaxdec bench train"),
        (
            "bench trian",
            "say what to measure: jaxdec bench train, start, moe, prepare or convert (did you mean 'train'?)",
        ),
        ("bench train --size huge", "--size is 'huge' (known: both, medium, small)"),
        ("bench train --rounds 0", "--rounds is 0: give a whole number from 1"),
        ("list extra", "unexpected argument 'extra'"),
    ],
)
def test_every_command_refuses_in_one_line(words: str, said: str, refused, tmp_path: Path) -> None:
    assert refused(*words.split()).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_directory_is_left_alone(refused, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("mine")
    assert "taken exists already" in refused("train", "char-gpt", "--out", "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["notes.txt"]
