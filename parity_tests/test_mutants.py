"""Every seeded bug is caught and named where it sits; changes that change no function are not taken for bugs.

`pytest -s` prints the stage and the residual that gave each bug away. The whole certificate, with the usual tolerances
and honest runs over many seeds, is `python -m parity_tests.mutants`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdec.errors import UserError
from jaxdec.parity.certificate.alarms import Alarms, add_alarms
from jaxdec.parity.certificate.certificate import Certificate, certify
from jaxdec.parity.certificate.mutant import Mutant
from jaxdec.parity.certificate.mutants import generic_mutants
from jaxdec.parity.certificate.trial import MutantTrial, divergence, trial, up_to_failure, usual_tolerances
from jaxdec.parity.check import MODEL
from jaxdec.parity.compare.null import compare_gradients, null_masks, wholly_null
from jaxdec.parity.locate.replay import replay_backward, replay_forward, replay_loss, without_side_results
from jaxdec.parity.pairs.pairs import pair_of
from jaxdec.parity.setting import Setting
from jaxdec.parity.sides.recording import Backward, Forward
from jaxdec.parity.sides.stages import Sides
from parity_tests.mutants import EQUIVALENT, MUTANTS
from parity_tests.mutants.page import filled
from parity_tests.mutants.tiny import tiny_pair
from parity_tests.plain import plain_pair

STEPS = 12


@functools.cache
def sides(name: str) -> Sides:
    return Sides(tiny_pair(name), STEPS)


@pytest.fixture(scope="module")
def plain() -> Sides:
    return Sides(plain_pair(), STEPS)


def every_fifth(mutants: Sequence[Mutant]) -> list[Any]:
    """All of them, pair by pair; four of five are for `make test-long`, which CI runs too."""
    ordered = sorted(mutants, key=lambda each: each.pair)
    return [
        pytest.param(mutant, id=mutant.name, marks=[pytest.mark.long] * (place % 5 > 0))
        for place, mutant in enumerate(ordered)
    ]


@pytest.mark.parametrize("mutant", every_fifth(MUTANTS))
def test_seeded_bug_is_caught_and_located(mutant: Mutant) -> None:
    done = trial(mutant, sides(mutant.pair), usual=False)
    print(done)
    assert done.caught and done.named == (mutant.named or mutant.where)


@pytest.mark.parametrize("mutant", EQUIVALENT, ids=lambda mutant: mutant.name)
def test_change_that_is_none_raises_no_alarm(mutant: Mutant) -> None:
    """On the pair whose programs other tests need as well by every stage, on others by those of the model."""
    done = trial(
        mutant, sides(mutant.pair), usual=False, stages=None if mutant.pair == "gpt" else (*MODEL, "optimizer")
    )
    assert done.right and not done.caught and len(mutant.reason) > 20, str(done)


def test_there_are_enough_of_them_and_few_that_cannot_be_located() -> None:
    names = [mutant.name for mutant in [*MUTANTS, *EQUIVALENT]]
    assert len(set(names)) == len(names) >= 150 and len(EQUIVALENT) >= 3
    assert sum(bool(mutant.named) for mutant in MUTANTS) <= 0.05 * len(MUTANTS)
    assert {mutant.where for mutant in MUTANTS} > {"generation", "checkpoint", "dropout", "optimizer", "schedule"}


# What bisecting does without a bug, and where taps are not all that a module hands on


@pytest.mark.parametrize("name", ["gpt", "moe-gpt"])
def test_replay_finds_nothing_in_the_right_pair(name: str) -> None:
    """Also where one side has taps that the other has not: those of dropout, of fused projections."""
    for at in (Setting("init"), Setting("generic")):
        for replay in (replay_forward, replay_backward, replay_loss):
            assert not replay(sides(name), at)


def test_a_router_that_hands_on_its_weights_is_not_cut_at_its_scores() -> None:
    values = {"router": np.ones(2), "mlp": np.ones(2), "stopped": np.ones(2)}
    forward = Forward(values, values, {})
    none = np.zeros(2)
    backward = Backward(
        {"router": np.ones(2), "mlp": np.ones(2), "stopped": none},
        {"router": none, "mlp": np.ones(2), "stopped": none},
        {},
        {},
    )
    for part in without_side_results(forward, backward):
        assert set(part.entered) == set(part.left) == {"mlp", "stopped"}


def test_a_wrong_loss_is_named_before_what_it_makes_of_a_router() -> None:
    """A router's losses pass the logits by: with the whole loss scaled, they differ too."""
    scaled = next(each for each in generic_mutants(sides("moe-gpt")) if each.name == "loss_off_by_1e-8")
    done = trial(scaled, sides("moe-gpt"), usual=False)
    assert (done.stage, done.named) == ("loss", "loss")


def test_a_parameter_is_null_only_if_it_is_on_both_sides() -> None:
    """A frozen parameter has no gradient, and the other side's has a small element."""
    ours = {"table": np.array([1.0, 1e-16]), "other": np.array([1.0, 1.0])}
    theirs = {"table": np.zeros(2), "other": np.array([1.0, 1.0])}
    masks = null_masks(ours, theirs)
    assert set(masks) == {"table"} and not wholly_null(masks, ours, theirs)
    wrong = [each for each in compare_gradients("gradients", ours, theirs, masks) if not each.equal]
    assert [each.name for each in wrong] == ["table"]


# A pair that is not ours


@pytest.fixture
def _broadcasting() -> object:
    """A user's function may broadcast."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.usefixtures("_broadcasting")
def test_generic_bugs_are_caught_and_located(plain: Sides) -> None:
    mutants = generic_mutants(plain)
    done = [trial(mutant, plain, usual=False) for mutant in mutants]
    assert not [str(each) for each in done if not each.right]
    assert not [str(each) for each in done if each.caught and not each.located]
    kinds = {mutant.name.partition(":")[0] for mutant in mutants}
    assert len(mutants) >= 70 and {"gradient_stopped", "frozen", "epsilon_times_ten", "beta2_changed"} <= kinds


@pytest.mark.usefixtures("_broadcasting")
def test_the_certificate_of_a_users_pair(plain: Sides) -> None:
    said: list[str] = []
    done = certify(plain.pair, only="epsilon_times_ten", seeds=1, say=said.append)
    summary = json.loads(json.dumps(done.summary(), allow_nan=False))
    assert done.complete and summary["caught"] == summary["located"] == summary["bugs"] == 3
    assert summary["honest_runs"]["false_alarms"] == 0 < summary["honest_runs"]["comparisons"]
    assert summary["caught_by_kl"] == 0, "a look at logits would have let them pass"
    assert sum("epsilon_times_ten" in line for line in said) == 3
    assert "caught     3 of 3" in str(done) and done.table().count("\n") == 5
    with pytest.raises(UserError, match=r"no mutant 'epsilon_times_tenn' of plain.*did you mean"):
        certify(plain.pair, only="epsilon_times_tenn", say=said.append)


# What the certificate says, of what was found


BUG = Mutant("bug", lambda sides: None, "here")  # type: ignore[arg-type,return-value]
NONE = Mutant("none", lambda sides: None, "", reason="it is the same function")  # type: ignore[arg-type,return-value]
CAUGHT = MutantTrial(BUG, "taps", "here", 1e-3, "here", True, False)


@pytest.mark.parametrize(
    ("trials", "wrong", "complete", "line"),
    [
        ([CAUGHT, MutantTrial(NONE)], 0, True, "caught     1 of 1 bugs"),
        ([CAUGHT, MutantTrial(BUG)], 0, False, "NOT CAUGHT"),
        ([MutantTrial(BUG, "taps", "x", np.inf, "there")], 0, False, "in there, NOT here"),
        ([CAUGHT] * 19 + [MutantTrial(BUG, "taps", "x", 1.0, "there")], 0, True, "located    19 of 20"),
        ([CAUGHT, MutantTrial(NONE, "taps", "x", 1.0)], 0, False, "FALSE ALARM at taps"),
        ([CAUGHT], 1, False, "1 false alarms"),
    ],
)
def test_what_makes_a_certificate(trials: list[MutantTrial], wrong: int, complete: bool, line: str) -> None:
    alarms = Alarms(2, 10, ["p"], [("p", 0, up)] * wrong if (up := _over()) else [])
    made = Certificate("p", tuple(trials), alarms, 1.0)
    assert made.complete == complete and line in str(made)
    json.dumps(made.summary(), allow_nan=False)
    rows = [row for row in made.table().splitlines() if row.startswith("|")]
    assert len({row.count("|") for row in rows if "bug" in row}) == 1


@pytest.mark.parametrize(
    ("trials", "wrong", "says"),
    [
        ([CAUGHT], 0, "complete   yes"),
        (
            [CAUGHT, MutantTrial(BUG)],
            0,
            "complete   NO: 1 of 2 bugs not caught: bug; 1 of 2 bugs located, fewer than 95%",
        ),
        (
            [CAUGHT, MutantTrial(NONE, "taps", "x", 1.0)],
            0,
            "complete   NO: 1 of 1 harmless changes taken for a bug: none",
        ),
        ([CAUGHT], 2, "complete   NO: 2 false alarms in honest runs"),
    ],
)
def test_the_last_line_says_what_is_missing(trials: list[MutantTrial], wrong: int, says: str) -> None:
    made = Certificate("p", tuple(trials), Alarms(2, 10, ["p"], [("p", 0, _over())] * wrong), 1.0)
    assert str(made).splitlines()[-1] == says
    assert made.summary()["complete"] == (says == "complete   yes")


PAGE = Path(__file__).parent.parent / "docs" / "certificate.md"


def test_the_page_takes_new_tables_and_keeps_its_prose() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = filled(page, Certificate("p", (CAUGHT, MutantTrial(NONE)), Alarms(0), 1.0), own=1)
    assert "| caught in float64 | **1 of 1** |" in made and "1 in our own code, 0 generic ones in `p`" in made
    assert "| taps | 1 | 1 | 0 |" in made and "| none | the pair itself, generic | no alarm |" in made
    prose = [line for line in page.splitlines() if not line.startswith("|")]
    assert [line for line in made.splitlines() if not line.startswith("|")] == prose
    with pytest.raises(UserError, match="no place for the table 'stages'"):
        filled(page.replace("<!-- stages -->", ""), Certificate("p", (CAUGHT,), Alarms(0), 1.0), own=1)


def test_the_page_holds_every_bug_of_ours() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [each.name for each in [*MUTANTS, *EQUIVALENT] if f"| {each.name.replace('_', ' ')} |" not in page]
    assert not missing and f": {len(MUTANTS)} in our own code" in page


def _over() -> object:
    from jaxdec.parity.compare.comparison import Comparison

    return Comparison("taps", "x", 1.0, 0.5)


@pytest.mark.usefixtures("_broadcasting")
def test_honest_runs_are_counted_and_alarms_seen(plain: Sides) -> None:
    alarms, said = Alarms(2), []
    add_alarms(alarms, plain.pair, 3, said.append)
    assert not alarms.wrong and alarms.comparisons > 100 and len(said) == 2
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("jaxdec.parity.compare.tolerances.SEMANTIC", type("Tolerance", (), {"limit": 0.0}))
        strict = Alarms(1)
        add_alarms(strict, plain.pair, 3, said.append)
    assert strict.wrong and "FALSE ALARMS" in said[-1]


@pytest.mark.usefixtures("_broadcasting")
def test_the_usual_bars_see_a_large_bug_and_no_honest_run(plain: Sides) -> None:
    assert usual_tolerances(plain, Setting()) == (False, False)
    lost = next(mutant for mutant in generic_mutants(plain) if mutant.name == "sign_lost:head")
    with lost.apply(plain):
        assert usual_tolerances(plain, Setting()) == (True, True)
    p = np.random.default_rng(0).standard_normal((2, 3, 5))
    assert divergence(p, p + 7) == pytest.approx(0, abs=1e-12), "a softmax does not see a constant"
    assert divergence(p, -p) > 0


@pytest.mark.long
@pytest.mark.parametrize("name", ["char-gpt", "modern"])
def test_the_certificate_of_a_rung(name: str) -> None:
    done = certify(pair_of(name), seeds=1, say=lambda line: None)
    assert done.complete and len(done.bugs) >= 70, str(done)


@pytest.mark.long
@pytest.mark.parametrize("name", ["char-gpt", "moe-gpt", "modern", "sinks", "alibi", "encoder-decoder"])
def test_honest_runs_of_a_rung_raise_no_alarm(name: str) -> None:
    alarms = Alarms(3)
    add_alarms(alarms, pair_of(name), 20, lambda line: None)
    assert not alarms.wrong and alarms.comparisons > 1000


def test_a_pair_that_differs_already_is_refused(plain: Sides) -> None:
    from dataclasses import replace

    broken = replace(plain.pair, weights="{*path}.mix.kernel <- {*path}.mix.weight\n" + plain.pair.weights)
    with jax.numpy_rank_promotion("allow"), pytest.raises(UserError, match="differs without any bug, in taps"):
        certify(broken, say=lambda line: None)


def test_nothing_is_left_of_a_mutant() -> None:
    mutant = next(each for each in MUTANTS if each.name == "square_kernel_not_transposed")
    with mutant.apply(sides("gpt")):
        pass
    found = up_to_failure(sides("gpt"), Setting(), ("weights", "taps"))
    assert found and all(each.equal for each in found)
