"""Weight rule tables: carried there and back bit for bit, and every planted fault is reported with its name."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxdec.errors import UserError
from jaxdec.weights.rules import WeightRules
from tests.weights.rule_tables import Shape, Table, arrays_of, linears, tables


@given(tables(), st.sampled_from([np.float32, np.float64, ml_dtypes.bfloat16]), st.integers(0, 2**32 - 1))
def test_there_and_back_is_the_same_in_every_bit(table: Table, dtype: type, seed: int) -> None:
    plan = table.plan()
    assert plan.problems == ()
    arrays = arrays_of(table, dtype, seed)
    carried = plan.to_candidate(arrays)
    assert {name: value.shape for name, value in carried.items()} == table.candidate
    back = plan.to_reference(carried, base=arrays)
    assert set(back) == set(arrays)
    for name, value in arrays.items():
        assert back[name].dtype == value.dtype and back[name].tobytes() == value.tobytes(), name
    without = plan.to_reference(carried)  # the arrays themselves do not help here
    assert set(without) == set(arrays) - set(table.left_out)
    for name, value in without.items():
        first = 2 if f"- <- {name} : rows(0,2)" in table.rules else 0
        assert value[first:].tobytes() == arrays[name][first:].tobytes(), name


@given(tables())
def test_the_reference_follows_from_the_candidate(table: Table) -> None:
    """Names and shapes of all that is not left out, from the candidate's alone; a reshape says that nothing follows."""
    rules = WeightRules.parse(table.text)
    if "reshape" in table.text:
        with pytest.raises(UserError, match="does not follow"):
            rules.reference_shapes(table.candidate)
    else:
        expected = {name: shape for name, shape in table.reference.items() if name not in table.left_out}
        assert rules.reference_shapes(table.candidate) == expected


@given(tables())
def test_elements_arrive_once_by_another_count(table: Table) -> None:
    """Numbered over all tensors: the numbers that arrive are distinct, and what lacks is what was left out."""
    numbers, start = {}, 0
    for name, shape in table.reference.items():
        size = int(np.prod(shape))
        numbers[name] = np.arange(start, start + size).reshape(shape)
        start += size
    arrived = [n for value in table.plan().tangents_to_candidate(numbers).values() for n in value.ravel().tolist()]
    lacking = {n for name in table.left_out for n in numbers[name].ravel().tolist()}
    for rule in table.rules:
        if "rows(0,2)" in rule:
            lacking |= set(numbers[rule.split()[2]][:2].ravel().tolist())
    assert sorted(arrived) == sorted(set(range(start)) - lacking)


@given(tables(), st.data())
def test_a_rule_removed_is_reported(table: Table, data: st.DataObject) -> None:
    gone = table.rules.pop(data.draw(st.integers(0, len(table.rules) - 1)))
    names = {pattern.replace("{i}", str(n)) for pattern in [gone.split()[0]] for n in range(5)}
    lost = {("missing", name) for name in names & set(table.candidate)}
    found = table.found()
    assert lost == {problem for problem in found if problem[0] == "missing"}
    if gone.startswith("-") or not lost:
        assert ("unmapped", gone.split()[2]) in found
    assert {kind for kind, _ in found} == ({"missing", "unmapped"} if lost else {"unmapped"})


@given(tables(), st.data())
def test_a_rule_doubled_is_reported(table: Table, data: st.DataObject) -> None:
    """Two parameters, or a parameter and what is left out, made of the same elements."""
    name = data.draw(st.sampled_from(sorted(table.reference)))
    table.rules.append(f"again <- {name}")
    table.candidate["again"] = table.reference[name]
    assert table.found() == {("doubly mapped", name)}
    assert "again" in next(iter(table.plan().problems)).text


@given(tables(), st.data())
def test_a_piece_taken_twice_is_reported(table: Table, data: st.DataObject) -> None:
    assume(table.fused)
    name = data.draw(st.sampled_from(table.fused))
    first, second, *_ = (number for number, rule in enumerate(table.rules) if f"<- {name} " in rule)
    old, new = (table.rules[number].split("(")[1].split(",")[0] for number in (first, second))
    table.rules[first] = table.rules[first].replace(f"({old},", f"({new},", 1)
    assert table.found() == {("unmapped", name), ("doubly mapped", name)}


oblong = st.tuples(st.integers(1, 5), st.integers(1, 5)).filter(lambda shape: shape[0] != shape[1])


@given(st.lists(oblong, min_size=1, max_size=4), st.data())
def test_a_transposition_left_out_is_a_wrong_shape(sizes: list[Shape], data: st.DataObject) -> None:
    table = linears(*sizes)
    assert table.found() == set()
    fault = data.draw(st.integers(0, len(sizes) - 1))
    table.rules[fault] = table.rules[fault].replace(" : T", "")
    assert table.found() == {("shape", f"{fault}.kernel")}
    assert "(T) it would fit" in table.plan().problems[0].text


@given(st.lists(oblong, min_size=1, max_size=4), st.integers(2, 5), st.booleans())
def test_a_square_kernel_turned_unlike_the_others_is_suspected(sizes: list[Shape], size: int, others: bool) -> None:
    """Whether the others are the ones transposed, or the square one is."""
    table = linears((size, size), *sizes)
    if not others:
        table.rules = [rule.replace(" : T", "") for rule in table.rules]
        table.reference = {name: shape[::-1] for name, shape in table.reference.items()}
    assert table.found() == set()
    table.rules[0] = "0.kernel <- 0.weight" if others else "0.kernel <- 0.weight : T"
    assert table.found() == {("square", "0.kernel")}
    table.plan().require()  # a suspicion is no error


def test_a_known_layout_decides_about_square_kernels() -> None:
    table = linears((3, 3), (3, 4))
    rules = WeightRules.parse(table.text)
    assert rules.plan(table.candidate, table.reference, {"0.weight": "out_in"}).problems == ()
    (problem,) = rules.plan(table.candidate, table.reference, {"0.weight": "in_out"}).problems
    assert (problem.kind, problem.name) == ("square", "0.kernel") and "its layout is in_out" in problem.text
    alone = linears((3, 3))
    alone.rules = ["0.kernel <- 0.weight"]
    assert alone.found() == set()  # nothing tells
    (problem,) = WeightRules.parse(alone.text).plan(alone.candidate, alone.reference, {"0.weight": "out_in"}).problems
    assert problem.kind == "square"


def test_kernels_of_both_kinds_tell_nothing_about_a_square_one() -> None:
    table = linears((3, 3), (3, 4), (4, 5))
    table.rules[2] = "2.kernel <- 2.weight"
    table.reference["2.weight"] = (4, 5)
    assert table.found() == set()
