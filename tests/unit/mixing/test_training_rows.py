"""Generated rows to training rows; the differential tests compare them with upstream's."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

import pytest

from sdg_stream.mixing.knowledge import auxiliary_row, choose_documents, qa_row, raft_row
from sdg_stream.mixing.legacy import messages_row, rows_for_test, train_row
from sdg_stream.mixing.qa import question_of, response_of, unusable
from sdg_stream.mixing.randomness import chooser, row_id
from sdg_stream.mixing.skills import skill_row


@pytest.mark.parametrize(
    ("row", "question", "response"),
    [
        ({"question": " q ", "response": " r "}, " q ", " r "),
        ({"question": None, "output": "a? b"}, None, "b"),
        ({"output": " a ?  b? c "}, "a?", "b? c"),
        ({"output": " no mark "}, "", "no mark"),
        ({"output": "a?"}, "a?", ""),
        ({"output": ""}, None, ""),
        ({"output": None}, None, None),
        ({"output": 7}, None, None),
        ({"question": "q"}, "q", None),
        ({}, None, None),
    ],
)
def test_question_and_response(row: dict[str, Any], question: str | None, response: str | None) -> None:
    """Columns of these names win over the output, which is cut at its first question mark."""
    assert question_of(row) == question
    assert response_of(row) == response


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"document": "d", "question": "q", "response": "r"}, ""),
        ({"document": "d", "question": "", "response": ""}, ""),
        ({"document": "", "question": "q", "response": "r"}, "no document"),
        ({"question": "q", "response": "r"}, "no document"),
        ({"document": "d", "question": None, "response": "r"}, "no question"),
        ({"document": "d", "question": "q", "response": None}, "no response"),
        ({"document": "d", "output": None}, "no output"),
        ({"document": "d", "other": 1}, "no question"),
    ],
)
def test_q_gen_3_rows_that_cannot_be_used_say_why(row: dict[str, Any], reason: str) -> None:
    """Null or missing texts are reasons to leave a row out, not to end the run."""
    assert unusable(row, knowledge=True) == reason
    if reason == "no document":
        assert unusable(row, knowledge=False) == ""


def test_a_skill_row() -> None:
    """All columns stay; messages are stripped; columns of the same names are replaced where they stand."""
    row = skill_row({"id": 3, "question": " q ", "response": " r ", "score": 1}, "s ", "leaf", 0)
    assert list(row) == ["id", "question", "response", "score", "messages", "unmask"]
    assert uuid.UUID(row["id"]).version == 4
    assert [message["content"] for message in row["messages"]] == ["s ", "q", "r"]
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
    assert row["unmask"] is False


def test_a_question_about_a_document() -> None:
    """The document stands before the question; nothing is stripped; metadata is ASCII, in order."""
    row = qa_row({"document": "d ", "domain": "ü", "question": " q", "response": " r"}, place=("leaf",))
    assert [message["content"] for message in row["messages"]] == ["d \n\n q", " r"]
    assert row["metadata"] == (
        '{"sdg_document": "d ", "domain": "\\u00fc", "dataset": "document_knowledge_qa"}'
    )
    assert row["unmask"] is True
    both = {"document": "d", "domain": "x", "question": "q", "response": "r", "dataset_type": "t"}
    assert "raw_document" not in json.loads(qa_row(both, place=())["metadata"])
    assert list(json.loads(qa_row({**both, "raw_document": None}, place=())["metadata"]))[3:] == [
        "raw_document",
        "dataset_type",
    ]


def test_a_raft_row() -> None:
    """Four newlines stand between the last document and the question."""
    source = {"document": "one", "domain": "x", "question": "q", "response": "r"}
    row = raft_row(source, ["one", "two"], place=())
    assert row["messages"][0]["content"] == "Document:\none\n\n\nDocument:\ntwo\n\n\n\nq"
    assert json.loads(row["metadata"])["dataset"] == "document_knowledge_qa_raft_p0.4"
    assert row["unmask"] is False


def test_an_auxiliary_row() -> None:
    """The raw document and the instruction, answered by the document."""
    source = {"document": "d", "raw_document": "raw", "dataset_type": "spellcheck", "domain": "x"}
    row = auxiliary_row(source, "Mend it.", place=(), unmask=True)
    assert [message["content"] for message in row["messages"]] == ["raw\n\nMend it.", "d"]
    assert list(json.loads(row["metadata"]).items()) == [
        ("dataset_type", "spellcheck"),
        ("raw_document", "raw"),
        ("dataset", "document_spellcheck"),
        ("domain", "x"),
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 20])
def test_documents_of_a_raft_row(count: int) -> None:
    """Distinct; with its own three others, without it four others, or as many as there are; 40 % have it."""
    rng, with_own, rounds = random.Random(1), 0, 2000
    for _ in range(rounds):
        own = rng.randrange(count)
        chosen = choose_documents(own, count, rng)
        assert len(set(chosen)) == len(chosen)
        assert all(0 <= number < count for number in chosen)
        others = 3 if own in chosen else 4
        assert len(chosen) - (own in chosen) == min(others, count - 1)
        with_own += own in chosen
    assert with_own == rounds if count == 1 else 0.36 < with_own / rounds < 0.44


def test_every_place_and_document_comes_up() -> None:
    """The own document may stand anywhere, and any other may be chosen."""
    rng = random.Random(2)
    chosen = [choose_documents(2, 6, rng) for _ in range(500)]
    assert {number for documents in chosen for number in documents} == set(range(6))
    assert {documents.index(2) for documents in chosen if 2 in documents} == {0, 1, 2, 3}


def test_train_and_messages() -> None:
    """A context stands below the question; a row without response is none."""
    row = train_row({"question": " q", "response": " r ", "context": "c "}, "s")
    assert row == {"system": "s", "user": "q\nc", "assistant": "r"}
    assert messages_row(row) == {
        "messages": [{"content": "q\nc", "role": "user"}, {"content": "r", "role": "assistant"}],
        "metadata": '{"system": "s"}',
    }
    assert train_row({"question": "q", "response": " "}, "s") is None


def test_q_gen_1_a_context_that_the_question_begins_with_stands_there_twice() -> None:
    """Kept: the older formats are what they were."""
    row = train_row({"question": "c\n\nq", "response": "r", "context": "c"}, "s")
    assert row == {"system": "s", "user": "c\n\nq\nc", "assistant": "r"}


def test_q_gen_2_a_null_context_is_none() -> None:
    """As is an empty one."""
    for context in (None, ""):
        row = train_row({"question": "q", "response": "r", "context": context}, "s")
        assert row == {"system": "s", "user": "q", "assistant": "r"}


def test_q_gen_4_rows_for_testing_repeat_for_every_chunk() -> None:
    """Kept: a sample gives its first three pairs, whatever its chunk is."""
    pairs = {f"icl_query_{number}": f"q{number}" for number in range(1, 5)}
    answers = {f"icl_response_{number}": f"r{number}" for number in range(1, 5)}
    first, second = ({"document": chunk, "icl_document": "d", **pairs, **answers} for chunk in ("one", "two"))
    rows = list(rows_for_test(first, None))
    assert rows == [{"user": f"q{number}\nd", "assistant": f"r{number}"} for number in (1, 2, 3)]
    assert list(rows_for_test(second, None)) == rows


def test_rows_for_testing_have_no_system_without_a_prompt() -> None:
    """An empty prompt is none."""
    sample = {"seed_question": "q", "seed_response": "r", "leaf_node_type": "freeform_skill"}
    assert list(rows_for_test(sample, "")) == [{"user": "q", "assistant": "r"}]
    assert list(rows_for_test(sample, "s")) == [{"user": "q", "assistant": "r", "system": "s"}]


def test_q_mix_4_choices_depend_on_seed_and_purpose_alone() -> None:
    """Ids on what a row says and where it stands."""
    assert chooser(1, "a").random() == chooser(1, "a").random()
    assert len({chooser(1, "a").random(), chooser(2, "a").random(), chooser(1, "b").random()}) == 3
    assert row_id("leaf", "0", "q") == row_id("leaf", "0", "q")
    assert row_id("leaf", "0", "q") != row_id("leaf", "1", "q")
    assert uuid.UUID(row_id("x")).version == 4
