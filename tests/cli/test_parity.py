"""The commands of the parity checker: what they pass on, print and write; exit codes; specs that do not load."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jaxdec.cli.main import main
from jaxdec.cli.parity.command import ABOUT
from jaxdec.models.ladder import LADDER
from jaxdec.parity.report.report import from_json
from jaxdec.parity.spec import load_pair, pair_names
from jaxdec.recipes import load_recipe
from tests.cli.conftest import Refused
from tests.reports import failing, passing

PAIR = """
from jaxdec.parity.pair import Pair

def make(name):
    return Pair(name, reference=None, candidate=None, vocab_size=5, context=4)

pair = make("mine")
"""
Calls = list[tuple[Any, dict[str, Any]]]


@pytest.fixture
def spec(tmp_path: Path) -> Callable[..., Path]:
    """A file with a pair, followed by `more`."""

    def write(more: str = "", name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(PAIR + more, encoding="utf-8")
        return path

    return write


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Calls]:
    """Replaces the check by one that returns a report that is ready, and says with what it was called."""

    def replace(report: Any) -> Calls:
        calls: Calls = []

        def check(pair: Any, **options: Any) -> Any:
            import jax

            calls.append((pair, {**options, "x64": jax.config.jax_enable_x64}))  # type: ignore[attr-defined]
            options["say"]("on the way")
            return report

        monkeypatch.setitem(sys.modules, "jaxdec.parity.check", SimpleNamespace(check=check))
        return calls

    return replace


def test_check_shows_the_report_and_exits_with_0(spec: Any, checks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    import jax

    calls = checks(passing())
    assert main(["parity", "check", str(spec())]) == 0
    captured = capsys.readouterr()
    assert "EQUAL  char-gpt: 347 comparisons" in captured.out and captured.err == ""
    ((pair, options),) = calls
    assert pair.name == "mine" and options.pop("x64") and options.pop("say")
    assert options == {
        "steps": 100,
        "seed": 0,
        "weight_inits": ("init", "generic"),
        "precisions": ("float64", "float32", "bfloat16"),
        "stages": None,
        "bisect": True,
    }
    assert not jax.config.jax_enable_x64  # type: ignore[attr-defined]  # the caller has its settings back


@pytest.mark.parametrize(
    "words",
    [
        "SPEC --weight-inits generic --precisions float32 float64 --stages taps loss --steps 7 --seed 3 --no-bisect",
        "--weight-inits generic SPEC --precisions=float32,float64 --seed 3 --stages taps,loss --no-bisect --steps=7",
    ],
)
def test_options_reach_the_check(words: str, spec: Any, checks: Any) -> None:
    calls = checks(passing())
    path = str(spec())
    assert main(["parity", "check", *(path if word == "SPEC" else word for word in words.split())]) == 0
    options = calls[0][1]
    assert options["weight_inits"] == ("generic",) and options["precisions"] == ("float64", "float32")
    assert options["stages"] == ("taps", "loss") and (options["steps"], options["seed"]) == (7, 3)
    assert options["bisect"] is False


def test_a_difference_exits_with_1_and_writes_its_files(
    spec: Any, checks: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checks(failing())
    html, full = tmp_path / "a.html", tmp_path / "a.json"
    words = ["parity", "check", str(spec()), "--html", str(html), "--report-json", str(full), "--json"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    result = json.loads(captured.out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert result["equal"] is False and result["over"] == len(failing().over) and result["html"] == str(html)
    assert result["findings"][0]["where"] == "blocks.1.mlp" and "DIFFERENT" in captured.err
    assert "<!DOCTYPE html>" in html.read_text(encoding="utf-8")
    assert repr(from_json(full.read_text(encoding="utf-8"))) == repr(failing())
    written = [path.name for path in tmp_path.iterdir() if path.suffix in (".html", ".json", ".tmp")]
    assert sorted(written) == ["a.html", "a.json"]


def test_bisect_shows_what_is_at_fault_alone(spec: Any, checks: Any, capsys: pytest.CaptureFixture[str]) -> None:
    calls = checks(failing())
    assert main(["parity", "bisect", str(spec())]) == 1
    out = capsys.readouterr().out
    assert "blocks.1.mlp: semantic, forward" in out and "matches at 2e-15 with erf GELU" in out
    assert "DIFFERENT" in out and "closest to tolerance" not in out
    assert calls[0][1]["bisect"] is True


@pytest.mark.parametrize("complete", [True, False])
def test_mutate_shows_the_certificate_and_exits_by_it(
    complete: bool, spec: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Certificate(SimpleNamespace):
        def __str__(self) -> str:
            return "12 of 12 caught"

    calls = []

    def certify(pair: Any, *, only: Any, seeds: int, say: Any) -> Certificate:
        calls.append((pair.name, only, seeds))
        return Certificate(complete=complete, table=lambda: "| a | b |\n", summary=lambda: {"caught": 12})

    monkeypatch.setitem(sys.modules, "jaxdec.parity.certificate.certificate", SimpleNamespace(certify=certify))
    words = ["parity", "mutate", str(spec()), "--only", "rope", "--seeds", "3", "--table", str(tmp_path / "t.md")]
    assert main([*words, "--json"]) == (0 if complete else 1)
    captured = capsys.readouterr()
    assert "12 of 12 caught" in captured.err and json.loads(captured.out)["caught"] == 12
    assert calls == [("mine", "rope", 3)] and (tmp_path / "t.md").read_text(encoding="utf-8") == "| a | b |\n"


def test_seams_are_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seams = (SimpleNamespace(name="gelu form", differs="tanh [bold] here, erf there", effect="2e-5 to 2e-4"),)
    monkeypatch.setitem(sys.modules, "jaxdec.parity.hints.seams", SimpleNamespace(SEAMS=seams))
    assert main(["parity", "seams"]) == 0
    out = capsys.readouterr().out
    assert "gelu form" in out and "[bold]" in out and "2e-5 to 2e-4" in out


@pytest.mark.parametrize("what", ABOUT)
def test_every_action_has_a_page(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["parity", what, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: jaxdec parity {what}")
    assert main(["parity", "--help"]) == 0
    page = capsys.readouterr().out
    assert f"\n  {what} " in page and "run, as any program" in page and max(map(len, page.splitlines())) <= 84


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--steps 3", "say what to do: jaxdec parity check"),
        ("chekc char-gpt", "did you mean 'check'?"),
        ("check", "say what to check: jaxdec parity check SPEC"),
        ("check char-gpt --step 3", "unknown flag --step (did you mean '--steps'?)"),
        ("check char-gpt --steps 0", "--steps is 0: give a whole number from 1"),
        ("check char-gpt --weight-inits int", "--weight-inits has 'int' (did you mean 'init'?)"),
        ("check char-gpt --precisions float16", "--precisions has 'float16' (did you mean 'bfloat16'?)"),
        ("check char-gpt --precisions ,", "--precisions is empty"),
        ("check char-gpt --html .", "--html . is a folder: give the path of a file"),
        ("check char-gpt --html no/a.html", "--html no/a.html: there is no folder no; make it first"),
        ("check char-gpt more", "unexpected argument 'more'"),
        ("dump char-gpt --out a", "give --side candidate or --side reference"),
        ("dump char-gpt --side left --out a", "--side is 'left' (known: candidate, reference)"),
        ("dump char-gpt --side candidate", "give --out DIR"),
        ("compare a", "give two dumps: jaxdec parity compare CANDIDATE REFERENCE"),
        ("compare a b", "a is not a dump"),
        ("check char-gtp", "unknown pair 'char-gtp' (did you mean 'char-gpt'?)"),
        ("check hf:lama", "unknown pair 'hf:lama' (did you mean 'hf:llama'?)"),
        ("check zzzzzzzz", "unknown pair 'zzzzzzzz' (ours: bigram, "),
        ("check no.py", "no such file: no.py; give a Python file that defines a pair, or one of our names"),
        ("check .", ". is no Python file: give FILE.py"),
    ],
)
def test_wrong_use_is_one_line(
    words: str, line: str, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert line in refused("parity", *words.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "name", "line"),
    [
        ("\nraise ValueError('two\\nlines')", "", "{path}, line 9 raised ValueError: two lines"),
        ("\nmake()", "", "{path}, line 9 raised TypeError: make() missing"),
        ("\nmake('a', 'b' 'c'", "", "{path}, line 9 raised SyntaxError"),
        ("\nimport sys; sys.exit(3)", "", "{path}, line 9 raised SystemExit: 3"),
        ("\nimport no_such_thing", "", "{path}, line 9 cannot import no_such_thing: install it"),
        (
            "\nimport transformers.models",
            "",
            "needs transformers, which is not installed: pip install 'jaxdec[torch,hug",
        ),
        ("\nimport torch.nn", "", "needs PyTorch, which is not installed: pip install 'jaxdec[torch]'"),
        ("\nPair('a', None, None, vocab_size=0, context=1)", "", "{path}, line 9: the pair a has vocab_size 0"),
        ("\ndel pair\nother = make('other')", "", "{path} does not define 'pair': did you mean {path}:other?"),
        ("\ndel pair", "", "{path} does not define 'pair': define pair = Pair(...)"),
        ("", ":nothing", "{path} does not define 'nothing': did you mean {path}:pair?"),
        ("", ":make", "'make' in {path} needs arguments"),
        ("\npair = 3", "", "'pair' in {path} is int: it must be a jaxdec.parity.Pair"),
        ("\ndef pair():\n    return 'x'", "", "'pair' in {path} is a function that returned str: it must be"),
        ("\ndef pair():\n    return 1 / 0", "", "{path}, line 10 raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_without_a_usable_pair_is_one_line(
    more: str, name: str, line: str, spec: Any, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("torch", "transformers"):
        for module in [key for key in sys.modules if key == package or key.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [_Missing(), *sys.meta_path])
    path = spec(more)
    assert line.format(path=path) in refused("parity", "check", f"{path}{name}")
    monkeypatch.chdir(path.parent)
    assert line.format(path=path.name) in refused("parity", "check", f"{path.name}{name}")
    assert not any("_jaxdec_pair" in module and "raise" in more for module in sys.modules)


@pytest.mark.parametrize("words", ["--help", "check --help", "check char-gtp", "check no.py", "seams --sem"])
def test_help_and_slips_wait_for_neither_framework(words: str) -> None:
    code = f"""
import sys
from jaxdec.cli.main import main
main(["parity", *{words.split()}])
sys.exit(7 if {{"jax", "flax", "torch", "transformers"}} & set(sys.modules) else 0)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and "Traceback" not in result.stderr


class _Missing:
    """Finds torch and transformers missing, whatever is installed."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


def test_a_pair_may_be_a_value_a_function_or_have_another_name(spec: Any) -> None:
    path = spec("\ndef other():\n    from beside import NAME\n    return make(NAME)\n")
    (path.parent / "beside.py").write_text("NAME = 'from beside'", encoding="utf-8")
    assert load_pair(str(path)).name == "mine"
    try:
        assert load_pair(f"{path}:other").name == "from beside"
    finally:
        sys.modules.pop("beside", None)


def test_every_rung_and_every_outside_oracle_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    names = pair_names()
    assert {rung.name for rung in LADDER} <= set(names) and {"reverse", "translate", "hf:gpt2"} <= set(names)
    asked = []
    twins = SimpleNamespace(
        pair_of=asked.append, reduced=lambda model: model, pair_of_model=lambda name, model: asked.append((name, model))
    )
    monkeypatch.setitem(sys.modules, "jaxdec.parity.pairs.pairs", twins)
    for name in ("char-gpt", "reverse"):
        load_pair(name)
    assert asked == ["char-gpt", ("reverse", load_recipe("reverse").model)]


def test_two_dumps_of_one_run_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np = pytest.importorskip("numpy")
    pytest.importorskip("safetensors")
    from jaxdec.parity.compare.dump import Recording, dump

    stages = {
        "weights": {"a": np.ones(3)},
        "taps": {"first": np.ones(4), "second": np.ones(4)},
        "losses": {"loss": np.asarray([2.0, 1.0])},
    }
    ours = Recording("candidate", "mine", stages, [{"tokens": np.arange(3)}], environment={"jax": "1"})
    theirs = dataclasses.replace(ours, side="reference", environment={"torch": "2"})
    wrong = dataclasses.replace(ours, stages={**stages, "taps": {**stages["taps"], "second": np.ones(4) + 1e-6}})
    for name, recording in (("ours", ours), ("theirs", theirs), ("wrong", wrong)):
        dump(tmp_path / name, recording)
    full = tmp_path / "a.json"
    words = ["parity", "compare", str(tmp_path / "ours"), str(tmp_path / "theirs"), "--report-json", str(full)]
    assert main(words) == 0
    report = from_json(full.read_text(encoding="utf-8"))
    assert report.environment == {"candidate: jax": "1", "reference: torch": "2"}
    assert report.curves == {"candidate loss": [2.0, 1.0], "reference loss": [2.0, 1.0]}
    assert main(["parity", "compare", str(tmp_path / "wrong"), str(tmp_path / "theirs")]) == 1
    out = capsys.readouterr().out
    assert "first  second " in out and "taps: 1 of 2" in out
    assert main(["parity", "compare", str(tmp_path / "ours"), str(tmp_path / "wrong")]) == 2
    assert "the reference belongs" in capsys.readouterr().err
