"""What is written is read back equal; what does not fit is named with its nearest key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given

from jaxdec.config.model import BigramConfig, DecoderConfig
from jaxdec.config.parts import MLP, Config, Full, Local, MoE, RMSNorm
from jaxdec.config.positions import RoPE
from jaxdec.config.run import DataConfig, RunConfig
from jaxdec.config.yaml import (
    build,
    config_from_dict,
    config_to_dict,
    differences,
    load_config,
    save_config,
)
from jaxdec.errors import UserError
from tests.configs import any_config

RUN = RunConfig(model=DecoderConfig(layers=2, heads=2, width=8, context=16), data=DataConfig("playlets"))


@given(run=any_config(RunConfig))
def test_written_and_read_back_is_equal(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("run") / "config.yaml"
    save_config(run, path)
    assert load_config(path) == run
    assert config_from_dict(config_to_dict(run)) == run


def test_keys_left_out_keep_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("model: {layers: 2, heads: 2, width: 8, context: 16}\ndata: {corpus: playlets}\n")
    assert load_config(path) == RUN


def test_exponents_without_a_dot_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    save_config(RUN, path)
    path.write_text(path.read_text().replace("learning_rate: 0.001", "learning_rate: 3e-4"))
    assert load_config(path).optim.learning_rate == 3e-4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  steps:", "  step:", "unknown key train.step (did you mean 'steps'?)"),
        ("optim:", "optimizer:", "unknown key optimizer (did you mean 'optim'?)"),
        ("  steps: 2000", "  steps: many", "train.steps is 'many': give a whole number"),
        ("  steps: 2000", "  steps: true", "train.steps is True: give a whole number"),
        ("  steps: 2000", "  steps: 2.5", "train.steps is 2.5: give a whole number"),
        ("  steps: 2000", "  steps: null", "train.steps is None: give a whole number"),
        ("  bias: true", "  bias: maybe", "model.bias is 'maybe': give True or False"),
        ("compute: float32", "compute: bfloat", "precision.compute is 'bfloat' (did you mean 'bfloat16'?)"),
        ("  corpus: playlets", "  corpus: 3", "data.corpus is 3: give text"),
        ("  width: 8\n", "", "model.width is missing: give a whole number"),
        ("  heads: 2", "  heads: 3", "model.heads 3 does not divide model.width 8"),
        ("mesh:\n  data: null\n  fsdp: 1\n", "mesh: 4\n", "mesh must be a mapping of settings, not 4"),
    ],
)
def test_what_does_not_fit_is_named(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    save_config(RUN, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_config(path)
    assert str(error.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no config file at"),
        (b"model: [", "is not YAML"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"", "the config must be a mapping of settings, not None"),
        (b"just words", "the config must be a mapping of settings, not 'just words'"),
    ],
)
def test_what_is_no_config_file_is_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load_config(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_differences_name_each_changed_leaf() -> None:
    other = dataclasses.replace(
        RUN, train=dataclasses.replace(RUN.train, steps=4000), data=dataclasses.replace(RUN.data, window=8)
    )
    assert differences(RUN, other) == ["data.window: None -> 8", "train.steps: 2000 -> 4000"]
    assert differences(RUN, RUN) == []


@dataclass(frozen=True)
class Small(Config):
    size: int = 1


@dataclass(frozen=True)
class Large(Config):
    size: int = 2
    depth: int = 3


@dataclass(frozen=True)
class Holder(Config):
    part: Small | Large = field(default_factory=Small)


def test_a_field_of_several_variants_says_which() -> None:
    values = config_to_dict(Holder(Large(depth=4)))
    assert values == {"part": {"kind": "large", "size": 2, "depth": 4}}
    assert build(Holder, values, "") == Holder(Large(depth=4))
    assert build(Holder, {"part": {"size": 5}}, "") == Holder(Small(5)), "without a kind it is the first"
    assert build(Holder, {"part": "large"}, "") == Holder(Large())
    for wrong, said in (
        ({"kind": "huge"}, "part.kind is 'huge'"),
        ("huge", "part.kind is 'huge'"),
        ({"depth": 1}, "unknown key part.depth"),
        ({"kind": "small", "depth": 1}, "unknown key part.depth"),
    ):
        with pytest.raises(UserError, match=said):
            build(Holder, {"part": wrong}, "")


def test_parts_are_named_by_their_kinds(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        """
        model:
          layers: 2
          heads: 2
          width: 8
          context: 16
          position: {kind: rope, theta: 1e5}
          qk_norm: {kind: rms_norm}
          attention: [{kind: local, window: 4}, full]
          mlp: [mlp, {kind: moe, experts: 4}]
        data: {corpus: playlets}
        """
    )
    parts = {
        "position": RoPE(1e5),
        "qk_norm": RMSNorm(),
        "attention": (Local(window=4), Full()),
        "mlp": (MLP(), MoE(4)),
    }
    assert load_config(path) == dataclasses.replace(RUN, model=dataclasses.replace(RUN.model, **parts))
    path.write_text("{model: bigram, data: {corpus: playlets}}")
    assert load_config(path).model == BigramConfig()


def test_an_item_of_a_list_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("{model: {layers: 2, heads: 2, width: 8, context: 16, mlp: [mlp, moe]}, data: {corpus: playlets}}")
    with pytest.raises(UserError, match=r"model\.mlp\.1\.experts is missing: give a whole number"):
        load_config(path)
