"""Weight rule tables: carried there and back bit for bit, and every planted fault is reported with its name."""

from __future__ import annotations

from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jaxdec.errors import UserError
from jaxdec.parity.rules import WeightRules
from jaxdec.parity.weight_ops import parse_ops, place

Shape = tuple[int, ...]
small = st.integers(1, 4)


@dataclass
class Table:
    """Rules with the two sets of shapes that they connect. `fused` are the names whose pieces are picked one by one."""

    rules: list[str] = field(default_factory=list)
    candidate: dict[str, Shape] = field(default_factory=dict)
    reference: dict[str, Shape] = field(default_factory=dict)
    fused: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.rules)

    def plan(self):
        return WeightRules.parse(self.text).plan(self.candidate, self.reference)

    def found(self) -> set[tuple[str, str]]:
        return {(problem.kind, problem.name) for problem in self.plan().problems}


def moved(draw: st.DrawFn, shape: Shape) -> tuple[str, Shape]:
    """Ops that keep every element, and the shape after them."""
    ops = []
    for op in draw(st.lists(st.sampled_from(["T", "reshape", "halves", "plus"]), max_size=3)):
        if op == "T" and len(shape) > 1:
            ops.append("T")
            shape = (*shape[:-2], shape[-1], shape[-2])
        elif op == "reshape":
            cut = draw(st.integers(0, len(shape)))
            shape = (int(np.prod(shape[:cut])), *shape[cut:])
            ops.append(f"reshape(-1,{','.join(map(str, shape[1:]))})" if shape[1:] else "reshape(-1)")
        elif op == "halves" and shape[0] % 4 == 0:
            ops.append(f"halves({draw(st.sampled_from([1, 2]))})")
        elif op == "plus":
            ops.append(f"plus({draw(st.integers(-3, 3))})")
    return " ".join(ops), shape


@st.composite
def tables(draw: st.DrawFn) -> Table:
    table = Table()
    for number in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["plain", "fused", "rows", "stacked", "left out"]))
        ours, theirs = f"a{number}", f"h.{number}.t"
        shape = tuple(draw(st.lists(small, min_size=2, max_size=3)))
        if kind == "plain":
            ops, made = moved(draw, (shape[0] * 4, *shape[1:]))
            table.reference[theirs] = (shape[0] * 4, *shape[1:])
            table.candidate[f"{ours}.w"] = made
            table.rules.append(line(f"{ours}.w", theirs, ops))
        elif kind == "fused":
            count, axis = draw(st.integers(2, 3)), draw(st.integers(-len(shape), len(shape) - 1))
            whole = list(shape)
            whole[axis] *= count
            table.reference[theirs] = tuple(whole)
            table.fused.append(theirs)
            how = draw(st.sampled_from(["chunk", "every"]))
            for piece in draw(st.permutations(range(count))):
                ops, made = moved(draw, shape)
                table.candidate[f"{ours}.{piece}"] = made
                table.rules.append(line(f"{ours}.{piece}", theirs, f"{how}({piece},{count},{axis}) {ops}"))
        elif kind == "rows":
            table.reference[theirs] = (shape[0] + 2, *shape[1:])
            table.candidate[ours] = shape
            table.rules += [f"{ours} <- {theirs} : rows(2)", f"- <- {theirs} : rows(0,2)"]
        elif kind == "stacked":
            count = draw(st.integers(1, 11))
            ops, made = moved(draw, (count, *shape))
            table.candidate[f"{ours}.{number}.up"] = made
            table.reference |= {f"{ours}.l{number}.experts.{e}.up": shape for e in range(count)}
            table.rules.append(line(f"{ours}.{{i}}.up", f"{ours}.l{{i}}.experts.{{e}}.up", ops))
        else:
            table.reference[theirs] = shape
            table.left_out.append(theirs)
            table.rules.append(f"- <- {theirs}")
    return table


def line(candidate: str, reference: str, ops: str) -> str:
    return f"{candidate} <- {reference} : {ops}" if ops.strip() else f"{candidate} <- {reference}"


def arrays_of(table: Table, dtype: type, seed: int) -> dict[str, np.ndarray]:
    """Any bits at all; where constants are added, small integers, for which that is exact."""
    rng = np.random.default_rng(seed)
    if "plus" in table.text:
        return {name: rng.integers(-64, 64, shape).astype(dtype) for name, shape in table.reference.items()}
    size = np.dtype(dtype).itemsize
    return {
        name: np.frombuffer(rng.bytes(int(np.prod(shape)) * size), dtype).reshape(shape)
        for name, shape in table.reference.items()
    }


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


def linears(*sizes: Shape) -> Table:
    """Linear layers of the given [in, out] sizes, each with a rule of its own."""
    return Table(
        [f"{n}.kernel <- {n}.weight : T" for n in range(len(sizes))],
        {f"{n}.kernel": shape for n, shape in enumerate(sizes)},
        {f"{n}.weight": shape[::-1] for n, shape in enumerate(sizes)},
    )


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


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ("T", [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
        ("chunk(1,3,0)", [[4, 5, 6, 7]]),
        ("chunk(1,2,-1)", [[2, 3], [6, 7], [10, 11]]),
        ("every(1, 2, 1)", [[1, 3], [5, 7], [9, 11]]),
        ("rows(1)", [[4, 5, 6, 7], [8, 9, 10, 11]]),
        ("rows(1,2)", [[4, 5, 6, 7]]),
        ("reshape(2,-1)", [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]),
        ("T halves(1)", [[0, 4, 8], [2, 6, 10], [1, 5, 9], [3, 7, 11]]),
        ("T halves(2)", [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
        ("rows(2) plus(-1.5)", [[6.5, 7.5, 8.5, 9.5]]),
    ],
)
def test_what_each_op_does(ops: str, expected: list[list[float]]) -> None:
    given = np.arange(12.0).reshape(3, 4)
    plan = WeightRules.parse(f"a <- b : {ops}").plan({"a": np.shape(expected)}, {"b": (3, 4)})
    np.testing.assert_array_equal(plan.to_candidate({"b": given})["a"], expected)


def test_tensors_gathered_are_stacked_in_numeric_order() -> None:
    names = [f"layer.0.experts.{e}.w" for e in (10, 2, 0, 1)]
    plan = WeightRules.parse("l.{i}.up <- layer.{i}.experts.{e}.w").plan({"l.0.up": (4, 1)}, dict.fromkeys(names, (1,)))
    arrays = {name: np.array([float(name.split(".")[3])]) for name in names}
    np.testing.assert_array_equal(plan.to_candidate(arrays)["l.0.up"], [[0], [1], [2], [10]])


def test_the_first_rule_whose_reference_exists_is_used() -> None:
    rules = WeightRules.parse("{*p}.scale <- {*p}.gamma : plus(1)\n{*p}.scale <- {*p}.weight\n{*all} <- {*all}")
    plan = rules.plan({"a.b.scale": (1,), "c.scale": (1,), "d": ()}, {"a.b.weight": (1,), "c.gamma": (1,), "d": ()})
    assert plan.problems == ()
    carried = plan.to_candidate({"a.b.weight": np.ones(1), "c.gamma": np.ones(1), "d": np.zeros(())})
    assert {name: float(value.sum()) for name, value in carried.items()} == {"a.b.scale": 1, "c.scale": 2, "d": 0}


def test_a_constant_is_no_part_of_a_gradient() -> None:
    plan = WeightRules.parse("a <- b : plus(1)").plan({"a": (2,)}, {"b": (2,)})
    np.testing.assert_array_equal(plan.tangents_to_candidate({"b": np.ones(2)})["a"], [1, 1])


@pytest.mark.parametrize("op", ["T", "halves(2)", "reshape(3,8)", "chunk(1,2,0) T", "T every(0,2,1) reshape(-1)"])
def test_writing_back_leaves_other_elements_alone(op: str) -> None:
    ops, whole = parse_ops(op), np.arange(48.0).reshape(8, 6)[:, 1:4]
    before = whole.copy()
    plan_ids = np.arange(24).reshape(8, 3)
    for step in ops:
        plan_ids = step(plan_ids)
    place(ops, -np.ones(plan_ids.shape), whole)
    expected = before.ravel()
    expected[plan_ids.ravel()] = -1
    np.testing.assert_array_equal(whole, expected.reshape(8, 3))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a <- b\n\n c <- d : U  # odd", r"line 3: 'c <- d : U': 'U' is not an op \(allowed: T, chunk\(i,n,axis\), "),
        ("a <- b : chunk(3,3,0)", r"line 1: .*piece 3 of 3 does not exist"),
        ("a <- b : chunk(1,3)", r"line 1: .*'chunk\(1,3\)' is not written as chunk\(i,n,axis\)"),
        ("a <- b : T()", "'T\\(\\)' is not written as T"),
        ("a <- b : halves(0)", "at least one head"),
        ("a <- b : rows(3,1)", "not below the first"),
        ("a <- b : T; T", "'T; T' is not an op"),
        ("a <- b :", "no op stands after ':'"),
        ("a = b", "a rule is written 'CANDIDATE <- REFERENCE : OP OP ...'"),
        ("a.{i} <- b", r"\{i\} is on the left side alone"),
        ("a.{i} <- b.{*i}", r"i is written both \{i\} and \{\*i\}"),
        ("a <- b.{x}.{y}", "x and y are on the right side alone"),
        ("a <- b.{*x}", r"\{\*x\} is on the right side alone"),
        ("a.{ <- b", r"'a\.\{' is not a name"),
        ("a <- ", "'' is not a name"),
        ("a <- b\na <- b : T", "line 2: 'a <- b : T': line 1 has the same names"),
    ],
)
def test_a_line_that_is_no_rule_is_shown(text: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        WeightRules.parse(text)
    assert "\n" not in str(caught.value)


def test_errors_name_tensors_and_what_is_wrong() -> None:
    rules = WeightRules.parse("a.{i} <- h.{i}.weight : chunk(0,2,0)\nb <- s.{e}\nc <- c : T\n- <- gone")
    plan = rules.plan(
        {"a.0": (2, 2), "a.1": (2, 2), "b": (2, 3), "c": (3,), "d": (1,)},
        {"h.0.weight": (4, 2), "h.0.weights": (1,), "s.0": (3,), "s.1": (2,), "c": (3,)},
    )
    texts = {(problem.kind, problem.name): problem.text for problem in plan.problems}
    assert "asks for h.1.weight, which is not there (did you mean 'h.0.weight'?)" in texts["missing", "a.1"]
    assert "no left side matches" in texts["missing", "d"]
    assert "8 elements, the first at [2, 0], go nowhere (a.0 takes the rest)" in texts["unmapped", "h.0.weight"]
    assert "write '- <- h.0.weights'" in texts["unmapped", "h.0.weights"]
    assert "shapes (3,) and (2,) cannot be stacked" in texts["shape", "b"]
    assert "T needs two axes" in texts["shape", "c"]
    assert len(texts) == 6 and not any("\n" in text for text in texts.values())
    with pytest.raises(UserError, match=r"weight rules: a\.1 .* \(and 5 more\)"):
        plan.require()
    with pytest.raises(UserError, match=r"a\.1"):
        plan.to_candidate({})


def test_arrays_unlike_the_plan_are_refused() -> None:
    plan = WeightRules.parse("a <- b : T").plan({"a": (2, 3)}, {"b": (3, 2)})
    with pytest.raises(UserError, match="the reference's arrays lack b"):
        plan.to_candidate({})
    with pytest.raises(UserError, match=r"b has shape \(2, 3\) where the weight rules were planned for \(3, 2\)"):
        plan.to_candidate({"b": np.zeros((2, 3))})
    with pytest.raises(UserError, match=r"a has shape \(3,\)"):  # which numpy would spread over all rows
        plan.to_reference({"a": np.zeros(3)})
    wrong = WeightRules.parse("a <- b").plan({"a": (2, 3)}, {"b": (3, 2)})
    for carry in (
        lambda: wrong.to_candidate({"b": np.zeros((3, 2))}),
        lambda: wrong.to_reference({"a": np.ones((2, 3))}),
    ):
        with pytest.raises(UserError, match=r"makes \(3, 2\) where the candidate has \(2, 3\)"):
            carry()
