"""What changed between two runs, as a person reads it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.state.differences import Difference, differences, render
from sdg_stream.state.fingerprint import Facts, digest, make_facts, plain


def block(name: str, kind: str = "LLMBlock", /, **config: Any) -> dict[str, Any]:
    """An entry of a pipeline file."""
    return {"name": name, "type": kind, "config": config}


def facts(*blocks: dict[str, Any], files: dict[str, Any] | None = None, model: str = "mixtral-8x7b") -> Facts:
    """Facts of a pipeline with these blocks and files."""
    made = make_facts(
        data={"blocks": list(blocks)}, folder=Path(), files=[], settings={"num_instructions": 30}, model=model
    )
    return made | {"files": plain(files or {})}


def told(old: Facts, new: Facts) -> list[str]:
    """The lines that a person reads."""
    return render(differences(old, new)).split("\n")


def test_row_64_a_change_is_told_with_its_place() -> None:
    """A setting in a block, a line in a prompt, and the model: where each was, what it was, what it is."""
    before = facts(
        block("gen_questions", gen_kwargs={"temperature": 0.7, "max_tokens": 2048}),
        files={"prompts/judge.yaml": {"principles": "Be fair.\nRate from 1 to 5.\nBe brief.\n"}},
    )
    after = facts(
        block("gen_questions", gen_kwargs={"temperature": 0.9, "max_tokens": 2048}),
        files={"prompts/judge.yaml": {"principles": "Be fair.\nRate from 1 to 3.\nBe brief.\n"}},
        model="mistral-large",
    )
    assert told(before, after) == [
        "block gen_questions: gen_kwargs.temperature was 0.7, is 0.9",
        "prompts/judge.yaml: principles changed:",
        "    Be fair.",
        "  - Rate from 1 to 5.",
        "  + Rate from 1 to 3.",
        "    Be brief.",
        "model was mixtral-8x7b, is mistral-large",
    ]


def test_blocks_are_matched_by_name() -> None:
    """Blocks that come, go, move or get another name are one difference each, not one per block behind."""
    names = ["a", "b", "c", "d", "e"]
    blocks = [block(name, number=number) for number, name in enumerate(names)]
    before = facts(*blocks)
    filter_x = block("filter_x", "FilterByValueBlock")
    assert told(before, facts(*blocks[:2], filter_x, *blocks[2:])) == ["blocks: added filter_x after b"]
    assert told(before, facts(filter_x, *blocks)) == ["blocks: added filter_x at the beginning"]
    assert told(before, facts(*blocks[1:])) == ["blocks: removed a at the beginning"]
    assert told(before, facts(*blocks[:3], *blocks[4:])) == ["blocks: removed d after c"]
    assert told(before, facts(blocks[4], *blocks[:4])) == ["blocks: moved e was after d, is at the beginning"]
    renamed = block("judge", number=2)
    assert told(before, facts(*blocks[:2], renamed, *blocks[3:])) == ["block c: name was c, is judge"]
    assert told(before, facts(renamed, *blocks[:2], *blocks[3:])) == [
        "blocks: moved judge was after b, is at the beginning",
        "block c: name was c, is judge",
    ]


def test_a_block_renamed_and_changed_is_known_by_its_place() -> None:
    """With another name and another setting, a block of the same type in the same place is the same block."""
    before = facts(block("a"), block("b", n=1), block("c"))
    after = facts(block("a"), block("judge", n=2), block("c"))
    assert told(before, after) == ["block b: name was b, is judge", "block judge: n was 1, is 2"]
    other = facts(block("a"), block("judge", "FilterByValueBlock", n=2), block("c"))
    assert told(before, other) == ["blocks: removed b after a", "blocks: added judge after a"]


def test_blocks_of_one_name_are_matched_in_order() -> None:
    """Equal names are paired first with first; what is left over was added."""
    before = facts(block("a", n=1), block("a", n=2))
    assert told(before, facts(block("a", n=1), block("a", n=2), block("a", n=3))) == [
        "blocks: added a after a"
    ]
    assert told(before, facts(block("a", n=1), block("a", n=5))) == ["block a: n was 2, is 5"]


def test_values_are_shown_so_that_they_are_told_apart() -> None:
    """Text that reads like a number is quoted, what was not there is said so, tags are understood."""
    before = facts(
        block("a", t="1", u=1, s="no", p=r"\d+ .*", gone=True, day=date(2024, 1, 31), mark="!x y", tags={"q"})
    )
    after = facts(
        block("a", t=1, u=1.0, s="yes", p=r"\d+", new=None, day="2024-01-31", mark="!x", tags={"q", "r"})
    )
    assert told(before, after) == [
        'block a: t was "1", is 1',
        "block a: u was 1, is 1.0",
        'block a: s was "no", is "yes"',
        r'block a: p was "\d+ .*", is "\d+"',
        "block a: new was not set, is null",
        'block a: day was !timestamp 2024-01-31, is "2024-01-31"',
        'block a: mark was "!x y", is "!x"',
        'block a: tags was ["q"], is ["q", "r"]',
        "block a: gone was true, is not set",
    ]


def test_lists_are_told_whole_or_item_by_item() -> None:
    """A short list is shown, a long one by the items that changed, one of mappings by the item's key."""
    words = [f"column_number_{number}" for number in range(12)]
    before = facts(block("a", short=[1, 2], long=words, items=[{"k": 1}, {"k": 2}]))
    after = facts(block("a", short=[1, 3], long=[*words, "x"], items=[{"k": 1}, {"k": 3}]))
    assert told(before, after) == [
        "block a: short was [1, 2], is [1, 3]",
        "block a: long changed:",
        '    "column_number_11"',
        '  + "x"',
        "block a: items[1].k was 2, is 3",
    ]


def test_long_lines_are_broken_before_they_are_compared() -> None:
    """Of a prompt that is one long line, the sentence that changed is shown."""
    same = "This sentence says the same in both of them, at some length. " * 4
    before = facts(files={"p.yaml": {"system": f"{same}Rate from 1 to 5. {same}"}})
    after = facts(files={"p.yaml": {"system": f"{same}Rate from 1 to 3. {same}"}})
    assert told(before, after) == [
        "p.yaml: system changed:",
        "    This sentence says the same in both of them, at some length.",
        "  - Rate from 1 to 5.",
        "  + Rate from 1 to 3.",
        "    This sentence says the same in both of them, at some length.",
    ]


def test_white_space_alone_is_told() -> None:
    """A difference that no eye can see is named."""
    before, after = ({"p.yaml": {"system": text}} for text in ("One.\nTwo.", "One.\r\nTwo. "))
    assert told(facts(files=before), facts(files=after)) == [
        "p.yaml: system changed:",
        "  only white space differs",
    ]


def test_files_that_come_and_go() -> None:
    """Files are told by name; one with the same content and another name has been renamed."""
    before = facts(files={"a.yaml": {"x": 1}, "b.yaml": {"x": 2}, "c.yaml": {"x": 2}})
    after = facts(files={"d.yaml": {"x": 3}, "e.yaml": {"x": 2}})
    assert told(before, after) == [
        "files: added d.yaml",
        "files: b.yaml is named e.yaml now",
        "files: removed a.yaml",
        "files: removed c.yaml",
    ]
    large = [{"p.dat": {"!digest": f"{n:032x}", "bytes": n}} for n in (70_000, 70_001)]
    assert render(differences(*({"files": files} for files in large))) == (
        "p.dat was 70000 bytes (00000000), is 70001 bytes (00000000)"
    )


def test_settings_and_templates_are_told_by_their_names() -> None:
    """Settings need no more than their name; a chat template is told with its block."""
    before = {"settings": {"num_instructions": 30}, "templates": {"gen_questions": "mixtral"}}
    after = {"settings": {"num_instructions": 3}, "templates": {"gen_questions": "llama"}}
    assert told(before, after) == [
        "num_instructions was 30, is 3",
        "chat template of gen_questions was mixtral, is llama",
    ]


def test_facts_of_another_shape_are_compared_as_they_are() -> None:
    """Facts with sections that are missing or odd, as another version may have kept, still compare."""
    before: Facts = {"pipeline": {"blocks": ["a"], "more": 1}, "teacher": {"model": "m"}}
    after: Facts = {"pipeline": {"blocks": []}, "files": {}}
    assert told(before, after) == [
        'pipeline: blocks was ["a"], is []',
        "pipeline: more was 1, is not set",
        "files was not set, is {}",
        'teacher was {"model": "m"}, is not set',
    ]


def test_much_is_cut() -> None:
    """A long diff ends after twelve lines, a long list of differences after forty, both with what is left."""
    before = facts(files={"p.yaml": {"system": "\n".join(map(str, range(40)))}})
    after = facts(files={"p.yaml": {"system": "\n".join(f"{n}x" for n in range(40))}})
    (one,) = differences(before, after)
    assert len(one.lines) == 13
    assert one.lines[-1] == "... 68 more lines"
    lines = render([Difference(f"place {n}", "a", "b") for n in range(100)]).split("\n")
    assert len(lines) == 40
    assert lines[-1] == "... and 61 more differences"
    long = told(facts(block("x" * 500)), facts(block("x" * 500, **{"a": "y" * 10_000, "k" * 500: 1})))
    assert max(map(len, long)) < 200


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["!x", "!str !x", "a" * 90, "a\nb", "a\nb ", ""])
    | st.dates()
    | st.binary(max_size=3)
    | st.frozensets(st.text(max_size=2), max_size=2)
)
KEYS = st.text(max_size=3) | st.integers(0, 3) | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
BLOCKS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("abcd"), "type": st.sampled_from(["L", "F"])},
        optional={"config": st.dictionaries(KEYS, VALUES, max_size=2), "drop_columns": st.just(["x"])},
    ),
    max_size=5,
)
FACTS = st.builds(
    lambda blocks, files: facts(*blocks, files=files),
    BLOCKS,
    st.dictionaries(st.sampled_from(["a.yaml", "b.yaml", "c.yaml"]), VALUES),
)


@settings(max_examples=150, deadline=None)
@given(FACTS, FACTS)
def test_differences_and_digests_agree(old: Facts, new: Facts) -> None:
    """Facts have a difference exactly if they have different digests, and none to themselves."""
    assert differences(old, old) == []
    assert bool(differences(old, new)) == (digest(old) != digest(new))
    assert len(told(old, new)) <= 40


def form(value: Any) -> Any:
    """A value with its type at every level, to tell by `==` what Python takes for the same."""
    if isinstance(value, dict):
        return sorted(((form(key), form(item)) for key, item in value.items()), key=repr)
    if isinstance(value, list):
        return ["list", *map(form, value)]
    return [type(value).__name__, sorted(value) if isinstance(value, frozenset) else repr(value)]


@settings(max_examples=150, deadline=None)
@given(VALUES, VALUES)
def test_any_change_of_a_value_is_seen(old: Any, new: Any) -> None:
    """Whatever YAML values stand in a block: if they differ, so do the digests, and the place is told."""
    before, after = facts(block("a", key=old)), facts(block("a", key=new))
    assert (digest(before) != digest(after)) == (form(old) != form(new))
    assert all(found.where.startswith("block a: key") for found in differences(before, after))
