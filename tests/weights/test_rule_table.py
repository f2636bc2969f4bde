"""What each op of a weight rule does, which rule is used, and the error lines."""

from __future__ import annotations

import numpy as np
import pytest

from jaxdec.errors import UserError
from jaxdec.weights.op_syntax import parse_ops
from jaxdec.weights.ops import place
from jaxdec.weights.rules import WeightRules


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ("T", [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]),
        ("chunk(1,3,0)", [[4, 5, 6, 7]]),
        ("chunk(1,2,-1)", [[2, 3], [6, 7], [10, 11]]),
        ("every(1, 2, 1)", [[1, 3], [5, 7], [9, 11]]),
        ("reshape(12) per_head(1,2,3)", [2, 3, 6, 7, 10, 11]),
        ("reshape(12) per_head(0,3,2,2)", [0, 1, 2, 3, 6, 7, 8, 9]),
        ("reshape(12) halves(2,4)", [0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11]),
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


@pytest.mark.parametrize(
    "op",
    [
        "T",
        "halves(2)",
        "per_head(1,2,2)",
        "T reshape(24) per_head(1,3,4,2)",
        "T reshape(24) halves(2,8)",
        "T reshape(24) per_head(0,3,4)",
        "reshape(3,8)",
        "chunk(1,2,0) T",
        "T every(0,2,1) reshape(-1)",
    ],
)
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


UNUSED = {  # rules beside a table that serves everything: what is said of them
    "blocks.{i}.mpl.up.kernel <- h.{i}.up.weight : T": "matches no parameter of the candidate (nearest: blocks.0",
    "blocks.{i}.mlp.{x}.kernel <- h.{i}.{x}.wieght": "asks for h.0.up.wieght, which is not there (nearest: h.0.up",
    "{*name}.kernel <- {*name}.weight": "asks for blocks.0.mlp.up.weight, which is not there (nearest: h.0.up.weight",
    "blocks.0.mlp.up.kernel <- h.0.up.weight": "serves nothing: the rules before it serve all that it matches",
    "- <- h.{i}.mask": "matches no tensor of the reference (nearest: h.0.up.weight",
}


@pytest.mark.parametrize("line", UNUSED)
def test_a_rule_that_serves_nothing_is_an_error_unless_it_says_so(line: str) -> None:
    shapes = {f"blocks.{n}.mlp.up.kernel": (2, 3) for n in range(12)}, {f"h.{n}.up.weight": (3, 2) for n in range(12)}
    table = "blocks.{i}.mlp.up.kernel <- h.{i}.up.weight : T\n"
    assert not WeightRules.parse(table).plan(*shapes).problems
    plan = WeightRules.parse(table + line).plan(*shapes)
    assert [(problem.kind, problem.name) for problem in plan.problems] == [("unused", line)]
    with pytest.raises(UserError) as caught:
        plan.require()
    said = str(caught.value)
    assert said.startswith(f"weight rules: line 2 '{line}' {UNUSED[line]}") and "\n" not in said
    assert said.count("blocks.") <= 2, "of names that differ by a number, one is enough"
    assert not WeightRules.parse(table + line.replace("<-", "<-?")).plan(*shapes).problems


def test_a_rule_whose_parameter_is_missing_is_told_once() -> None:
    plan = WeightRules.parse("a.{i} <- h.{i}").plan({"a.0": (1,)}, {"g.0": (1,)})
    assert [problem.kind for problem in plan.problems] == ["missing", "unmapped"]


def test_the_reference_follows_from_the_candidate() -> None:
    rules = WeightRules.parse(
        "q.kernel <- qkv : rows(0,4) T\nk.kernel <- qkv : rows(4,6) T\nup <- e.{n}.up : T halves(1)\n{*name} <- {*name}"
    )
    given = {"q.kernel": (3, 4), "k.kernel": (3, 2), "up": (2, 4, 5), "other": (7,)}
    assert rules.reference_shapes(given) == {"qkv": (6, 3), "e.0.up": (5, 4), "e.1.up": (5, 4), "other": (7,)}
    for text, shape, says in (
        ("a <- b", (1,), "z .* has no rule"),
        ("z <- b : reshape(2,3)", (2, 3), "does not follow"),
        ("z <- b : T", (2,), "T makes no array of shape"),
    ):
        with pytest.raises(UserError, match=says):
            WeightRules.parse(text).reference_shapes({"z": shape})
    with pytest.raises(UserError, match=r"shape \(2, 2\) of a tensor that another rule takes to be \(2, 3\)"):
        WeightRules.parse("a <- c\nb <- c").reference_shapes({"a": (2, 3), "b": (2, 2)})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a <- b\n\n c <- d : U  # odd", r"line 3: 'c <- d : U': 'U' is not an op \(allowed: T, chunk\(i,n,axis\), "),
        ("a <- b : chunk(3,3,0)", r"line 1: .*piece 3 of 3 does not exist"),
        ("a <- b : chunk(1,3)", r"line 1: .*'chunk\(1,3\)' is not written as chunk\(i,n,axis\)"),
        ("a <- b : T()", "'T\\(\\)' is not written as T"),
        ("a <- b : halves(0)", "at least one head"),
        ("a <- b : per_head(0,3,0)", "at least one head"),
        ("a <- b : per_head(2,3,1,2)", "piece 3 of 3 does not exist"),
        ("a <- b : halves(2,3)", "3 is no even number"),
        ("a <- b : per_head(3,3,2)", "piece 3 of 3 does not exist"),
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
    assert "line 4 '- <- gone' matches no tensor of the reference" in texts["unused", "- <- gone"]
    assert len(texts) == 7 and not any("\n" in text for text in texts.values())
    with pytest.raises(UserError, match=r"weight rules: a\.1 .* \(and 6 more\)"):
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
