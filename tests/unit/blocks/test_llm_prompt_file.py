"""Prompt files: what is read, what is a mistake and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_workshop import Workshop

from sdg_stream.blocks.prompt_file import PromptFile, load_prompt
from sdg_stream.errors import ConfigError


@pytest.fixture
def shop(tmp_path: Path) -> Workshop:
    """A folder for prompt files."""
    return Workshop(tmp_path)


def load(shop: Workshop, text: str) -> PromptFile:
    """Read this text as a prompt file."""
    (shop.folder / "p.yaml").write_text(text, encoding="utf-8")
    return load_prompt("p.yaml", shop.context(None))


WHOLE = "system: s\nintroduction:\nprinciples:\nexamples: |\n  one\n  two\ngeneration: '{{q}}'\n"


def test_a_prompt_file(shop: Workshop) -> None:
    """Parts make the template, tags are pairs; other keys are ignored."""
    prompt = load(shop, WHOLE + "start_tags: ['[a]', null]\nend_tags: ['[/a]', '']\nauthor: me\n")
    assert prompt.template.render({"q": "hi"}) == "s\n\n\none\ntwo\n\nhi"
    assert prompt.tags == (("[a]", "[/a]"), (None, ""))
    assert shop.warnings == []


def test_null_tags_are_no_tags(shop: Workshop) -> None:
    """Absent and null lists of tags are empty."""
    assert load(shop, WHOLE + "start_tags:\n").tags == ()


def test_q_prompt_1_a_missing_part_is_told(shop: Workshop) -> None:
    """Q-PROMPT-1: a part without a key counts as empty, with a warning that sees misspellings."""
    prompt = load(shop, "sytem: s\nintroduction: i\nprinciples: p\nexamples: e\ngeneration: '{{q}}'\n")
    assert prompt.template.render({"q": "hi"}) == "i\np\ne\nhi"
    [warning] = shop.warnings
    assert warning.startswith("prompt_part_missing: ask: ")
    assert warning.endswith("p.yaml: no 'system', taken as empty; is 'sytem' a misspelling of it?")


def test_uneven_tags_are_told(shop: Workshop) -> None:
    """Tags without a partner are not used, which is told."""
    prompt = load(shop, WHOLE + "start_tags: [a, b]\nend_tags: [c]\n")
    assert prompt.tags == (("a", "c"),)
    assert "tags_uneven: ask: " in shop.warnings[0]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("- a\n", ["p.yaml:1: $: a prompt file is a mapping with the keys system, introduction"]),
        ("", ["p.yaml: $: a prompt file is a mapping"]),
        ("start_tags: ['']\n", ["p.yaml:1: $: a prompt file needs at least one of system"]),
        (WHOLE + "start_tags: '[a]'\n", ["p.yaml:8: $.start_tags: expected a list of texts"]),
        (WHOLE + "end_tags:\n- '[a]'\n- 7\n", ["p.yaml:10: $.end_tags[1]: a tag is text, or null; quote it"]),
        (WHOLE.replace("two", "{{ + }}"), ["p.yaml:4: $.examples: line 2 of this part: "]),
        (WHOLE.replace("two", "{% if q %}") + "end_tags: 1\n", ["$.end_tags: expected", "endif"]),
        ("a: [}", ["p.yaml:1: not valid YAML"]),
    ],
)
def test_mistakes_have_a_place(shop: Workshop, text: str, problems: list[str]) -> None:
    """Every mistake names the file and, where there is one, the line and the key."""
    with pytest.raises(ConfigError) as caught:
        load(shop, text)
    told = [str(problem) for problem in caught.value.problems]
    assert len(told) == len(problems)
    assert all(words in line for words, line in zip(problems, told, strict=True)), told


def test_a_missing_file_is_named(shop: Workshop) -> None:
    """A path that leads nowhere is told with the folder that it was looked for in."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_prompt("nowhere.yaml", shop.context(None))


def test_an_absolute_path_is_used_as_it_is(shop: Workshop, tmp_path: Path) -> None:
    """Only relative paths start at the pipeline's folder."""
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "p.yaml"
    path.write_text(WHOLE, encoding="utf-8")
    assert load_prompt(str(path), shop.context(None)).document.file == str(path)
