"""What is typed becomes the config it says, and every slip gets one line that names the right flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from jaxdec.cli import flags, train
from jaxdec.config import RunConfig
from jaxdec.config_file import config_to_dict, differences, save_config
from jaxdec.recipes import load_recipe


def read(*words: str) -> RunConfig:
    return train.read(words)[0].run


@pytest.fixture(autouse=True)
def _empty_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_config_field_is_a_flag() -> None:
    def leaves(values: dict, prefix: str = "--") -> list[str]:
        return [
            name
            for key, value in values.items()
            for name in (
                leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}".replace("_", "-")]
            )
        ]

    known = dict(flags.known_flags(train.Arguments))
    assert set(leaves(config_to_dict(load_recipe("char-gpt")))) | {"--config", "--out", "--from-file", "--json"} == set(
        known
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--train.step 3", "unknown flag --train.step (did you mean '--train.steps'?)"),
        ("--trian.steps 3", "unknown flag --trian.steps (did you mean '--train.steps'?)"),
        ("--learning-rate 3", "unknown flag --learning-rate (did you mean '--optim.learning-rate'?)"),
        ("--optim.steps 3", "unknown flag --optim.steps (did you mean '--train.steps'?)"),
        ("--model.use-moe True", "unknown flag --model.use-moe"),
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
        ("--model.mlp.activation swish", "--model.mlp.activation is 'swish' (known: gelu, gelu_tanh, relu)"),
        ("extra", "unexpected argument 'extra'"),
        ("--model.heads 3", "model.heads 3 does not divide model.width 128"),
        ("--data.window 65", "data.window 65 is longer than model.context 64"),
        (
            "--train.tokens-per-step 100",
            "train.tokens_per_step 100 is not a multiple of the window of 64 tokens: try 64",
        ),
        ("--optim.learning-rate -1", "optim.learning_rate is -1.0: give 0 or more"),
        ("--train.steps 50", "optim.warmup_steps 100 is longer than the schedule of 50 steps"),
        ("--config other.yaml", "give either the recipe 'char-gpt' or --config other.yaml, not both"),
    ],
)
def test_a_slip_gets_one_line(words: str, said: str, refused, tmp_path: Path) -> None:
    assert refused("train", "char-gpt", *words.split()).startswith(said)
    assert list(tmp_path.iterdir()) == []


def test_what_tyro_refuses_is_one_line_too(monkeypatch: pytest.MonkeyPatch, refused) -> None:
    monkeypatch.setattr(flags, "check", lambda *_: None)
    assert "train.steps" in refused("train", "char-gpt", "--train.steps", "many")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("trian", "unknown command 'trian' (did you mean 'train'?)"),
        ("train", "give a recipe (baby-gpt, char-gpt) or --config FILE"),
        ("train char-gtp", "unknown recipe 'char-gtp' (did you mean 'char-gpt'?)"),
        ("train --config nowhere.yaml --out x", "no config file at nowhere.yaml"),
        ("resume", "give the run directory"),
        ("resume nowhere", "nowhere is not a run directory"),
        ("resume nowhere --train.steps 3", "a resumed run keeps its settings, --train.steps included"),
        ("evaluate", "give the run directory"),
        ("evaluate nowhere", "nowhere is not a run directory"),
        ("evaluate nowhere --step x", "--step is 'x': give a whole number or None"),
        ("generate nowhere --prompt a", "nowhere is not a run directory"),
        ("prepare --data.corpos x", "unknown flag --data.corpos (did you mean '--data.corpus'?)"),
        ("bench", "say what to measure: jaxdec bench train"),
        ("bench trian", "say what to measure: jaxdec bench train, or start (did you mean 'train'?)"),
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
