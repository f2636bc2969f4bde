"""A run directory is made whole, or its leftovers are recognised and made again."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from jaxdec.config.yaml import load_config
from jaxdec.data.tokenizers.registry import CharTokenizer, load_tokenizer
from jaxdec.errors import UserError
from jaxdec.runs import directory
from jaxdec.runs.lock import LOCK, locked
from tests import tiny

CONFIG = tiny.run_config()
TOKENIZER = CharTokenizer("abc")


KILLED = """
import os, signal, sys
from pathlib import Path
from jaxdec.data.tokenizers.registry import CharTokenizer
from jaxdec.runs import directory
from jaxdec.runs.lock import locked

def kill(config, path):
    path.with_name(".config.yaml.77-abcd").write_text("half a")
    os.kill(os.getpid(), signal.SIGKILL)

directory.save_config = kill
with locked(Path(sys.argv[1])):
    directory.create(Path(sys.argv[1]), None, CharTokenizer("xyz"))
"""


def cut_short(run_dir: Path) -> None:
    """Kills a process between the tokenizer and the config."""
    assert subprocess.run([sys.executable, "-c", KILLED, str(run_dir)], timeout=120).returncode == -signal.SIGKILL


def test_a_creation_that_was_cut_short_is_done_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    cut_short(run)
    assert {path.name for path in run.iterdir()} == {LOCK, "tokenizer", ".config.yaml.77-abcd"}
    with pytest.raises(UserError, match="was left before it was complete: start it again with the 'jaxdec train'"):
        directory.require_run(run)
    directory.require_new(run)
    with locked(run):
        directory.create(run, CONFIG, TOKENIZER)
    assert {path.name for path in run.iterdir()} == {"config.yaml", "tokenizer"}
    assert load_config(run / "config.yaml") == CONFIG
    assert load_tokenizer(run / "tokenizer").hash == TOKENIZER.hash


@pytest.mark.parametrize("name", ["notes.txt", "tokenizer", ".config.yaml.old"])
def test_files_of_the_user_are_not_taken_for_leftovers(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        directory.require_new(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_file_of_the_user_beside_leftovers(tmp_path: Path) -> None:
    cut_short(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists already"), locked(tmp_path):
        directory.create(tmp_path, CONFIG, TOKENIZER)
    assert {"notes.txt", "tokenizer"} <= {path.name for path in tmp_path.iterdir()}


def test_an_empty_folder_is_taken_and_a_finished_run_is_not(tmp_path: Path) -> None:
    with locked(tmp_path):
        directory.create(tmp_path, CONFIG, TOKENIZER)
    (tmp_path / LOCK).write_text("")  # of a run that was killed
    with pytest.raises(UserError, match="exists already: continue it with 'jaxdec resume"):
        directory.require_new(tmp_path)
    assert directory.require_run(tmp_path) == CONFIG


def test_what_a_resumed_run_may_change() -> None:
    longer = replace(
        CONFIG, train=replace(CONFIG.train, steps=99, eval_every=7), optim=replace(CONFIG.optim, beta1=0.5)
    )
    assert directory.refused_changes(CONFIG, longer) == [f"optim.beta1: {CONFIG.optim.beta1} -> 0.5"]
    reseeded = replace(CONFIG, train=replace(CONFIG.train, seed=1, tokens_per_step=128))
    assert len(directory.refused_changes(CONFIG, reseeded)) == 2
