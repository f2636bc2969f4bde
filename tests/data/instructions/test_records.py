"""Instructions and chats out of files: what is read, and the place in every error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from jaxdec.data.instructions.records import Conversation, Turn, load_conversations
from jaxdec.data.splits import split
from jaxdec.errors import UserError

USER = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "good day"}


def written(folder: Path, *records: Any) -> str:
    path = folder / "own.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_alpaca_records_and_both_forms_of_chats(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Wait.", "output": "Yes."},
        {"messages": [{"role": "system", "content": "Be kind."}, USER, ANSWER, USER, ANSWER]},
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "good day"}]},
    )
    turn = Turn("hello", "", "good day")
    assert load_conversations(path) == [
        Conversation((Turn("Add.", "1 2", "3"),)),
        Conversation((Turn("Wait.", "", "Yes."),)),
        Conversation((turn, turn), "Be kind."),
        Conversation((turn,)),
    ]


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"input": "", "output": "x"}, "line 2 of {} has no field 'instruction'"),
        ({"instruction": "x", "input": ""}, "line 2 of {} has no field 'output'"),
        ({"instruction": "x", "output": " "}, "line 2 of {} has an empty 'output'"),
        ({"messages": "x"}, "line 2 of {} has a 'messages' that is no list"),
        ({"messages": [USER]}, "line 2 of {} has 'messages' of user: after a system"),
        ({"messages": [ANSWER, USER]}, "'messages' of assistant, user"),
        ({"messages": [USER, {"role": "asistant", "content": "x"}]}, "did you mean 'assistant'"),
        ({"messages": [USER, {"role": "assistant"}]}, "message 2 of 'messages', is no object with"),
        ({"messages": [USER, {"role": "assistant", "content": ""}]}, "has an empty 'content'"),
    ],
)
def test_a_wrong_record_is_named_with_its_line(tmp_path: Path, record: Any, said: str) -> None:
    path = written(tmp_path, {"instruction": "x", "output": "y"}, record)
    with pytest.raises(UserError) as error:
        load_conversations(path)
    assert said.format(path) in str(error.value)


def test_an_unknown_corpus_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match="did you mean 'instruct'"):
        load_conversations("instuct")


def test_embedded_instructions_are_many_and_different() -> None:
    found = load_conversations("embedded")
    asked = {(each.turns[0].instruction, each.turns[0].input) for each in found}
    assert len(found) == len(asked) > 400
    right = {each.turns[0].input: each.turns[0].response for each in found if "backwards" in each.turns[0].instruction}
    assert len(right) > 5 and all(answer == word[::-1] for word, answer in right.items())


def test_a_split_by_seed_keeps_equal_keys_together() -> None:
    keys = [str(number // 2) for number in range(200)]
    options = {"validation": 0.05, "test": 0.1, "corpus": "c"}
    parts = split(keys, seed=0, **options)
    assert [len(part) for part in parts] == [170, 10, 20]
    assert sorted(index for part in parts for index in part) == list(range(200))
    assert all(len({keys[index] for index in part}) == len(part) // 2 for part in parts)
    assert parts == split(keys, seed=0, **options) != split(keys, seed=1, **options)
    training, validation, test = split(keys, seed=None, **options)
    assert (training[-1], test[0], test[-1], validation[0]) == (169, 170, 189, 190), "as the book cuts its file"
    with pytest.raises(UserError, match="too few"):
        split(["a", "b"], seed=0, **options)
