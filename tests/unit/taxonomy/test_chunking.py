"""Documents cut into chunks: what stays together, what is kept, how long chunks are."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from taxonomies import write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.chunking import CHUNK_TOKENS, MarkdownChunker, cut
from sdg_stream.taxonomy.documents import Document
from sdg_stream.taxonomy.tokens import TokenCounter, load_tokens

LINES = [
    "# One", "## Two", "###### Six", "Rule\n====", "a b c. d e! f", "- a", "- b\n  c", "1. x", "> quote", "",
    "```py", "```", "~~~~", "    code  here", "| a | b |\n|---|---|", "| 1 | 2 |", "---", "[l]: x", "<p>",
    "\u65e5\u672c\u8a9e\u3002\u6587", "wordwordword" * 3, "\u2028", "\x0c", "\t", "e: 1", "* * *",
]  # fmt: skip
texts = st.lists(
    st.sampled_from(LINES) | st.text(st.characters(exclude_characters="\r"), max_size=8), max_size=25
).map("\n".join)


def words(text: str) -> int:
    """Counts words."""
    return len(text.split())


def chunks(text: str, most: int) -> list[str]:
    """The chunks of a text, by words."""
    return list(cut(text, words, most))


def solid(text: str) -> str:
    """A text without white space."""
    return "".join(text.split())


@given(texts, st.integers(1, 40), st.sampled_from([words, len]))
def test_all_text_is_kept_in_order(text: str, most: int, count: Callable[[str], int]) -> None:
    """What is repeated besides are headings, fences and heads of tables; no chunk is empty, or too long."""
    made = list(cut(text, count, most))
    found = iter(solid("".join(made)))
    assert all(sign in found for sign in solid(text))
    assert all(chunk.strip() for chunk in made)
    assert all(count(chunk) <= most for chunk in made)
    assert made == list(cut(text, count, most))


@given(texts, st.integers(1, 40))
def test_plain_text_is_kept_exactly(text: str, most: int) -> None:
    """Nothing is repeated where there is no Markdown."""
    made = list(cut(text, len, most, is_plain=True))
    assert solid("".join(made)) == solid(text)
    assert all(len(chunk) <= most for chunk in made)


def test_what_fits_stays_as_it_is() -> None:
    """One chunk, without empty lines around it; an empty document has none."""
    assert chunks("\n\n    code\n\ntext\n\n\n", 10) == ["    code\n\ntext"]
    assert chunks(" \n\n", 10) == []


def test_chunks_begin_with_their_headings() -> None:
    """Sections that fit stay whole, neighbours below the same heading share a chunk, others do not."""
    text = "# A\n\na b c\n\n## B\n\nd e\n\n## C\n\nf g h\n\ni j k\n\n# D\n\nl m\n"
    first = "# A\n\na b c\n\n## B\n\nd e"
    assert chunks(text, 10) == [first, "# A\n\n## C\n\nf g h\n\ni j k", "# D\n\nl m"]
    assert chunks(text, 9) == [first, "# A\n## C\n\nf g h", "# A\n## C\n\ni j k", "# D\n\nl m"]


def test_a_heading_that_leaves_no_room_is_text() -> None:
    """It is cut as such, and stands above nothing; nor does a paragraph of lines with a rule below."""
    assert chunks("# a b c d e f\n\ng h i\n", 4) == ["# a b c", "d e f", "g h i"]
    assert chunks("a b\nc d\n---\n\ne f\n", 5) == ["a b\nc d\n---", "e f"]


def test_code_keeps_its_fences() -> None:
    """It stays whole where it fits into a chunk of its own; else it is cut between lines."""
    code = "```py\na = 1\nb = 2\nc = 3\n```"
    assert chunks(f"Intro:\n\n{code}\n\nafter this\n", 11) == ["Intro:", code, "after this"]
    parts = [f"# T\n\n```py\n{line}\n```" for line in ("a = 1", "b = 2", "c = 3")]
    assert chunks(f"# T\n\nIntro\n\n{code}\n\nafter\n", 9) == [
        "# T\n\nIntro", *parts[:2], f"{parts[2]}\n\nafter",
    ]  # fmt: skip
    assert chunks("~~~\na b\n\nc d", 4) == ["~~~\na b\n~~~", "~~~\nc d\n~~~"]


def test_tables_keep_their_heads() -> None:
    """They are cut between rows, each piece with the names of the columns, unless these leave no room."""
    head = "| a | b |\n|---|---|"
    rows = [f"| {number} | x |" for number in range(4)]
    table = "\n".join([head, *rows])
    assert chunks(f"{table}\n", 16) == [f"{head}\n{rows[0]}\n{rows[1]}", f"{head}\n{rows[2]}\n{rows[3]}"]
    assert chunks(f"{table}\n", 7) == [head, *rows]


def test_lists_are_cut_between_items() -> None:
    """Not between the lines of one, unless it is too long itself."""
    text = "- a b c\n- d e\n  f\n- g h i\n"
    assert chunks(text, 7) == ["- a b c", "- d e\n  f", "- g h i"]
    assert chunks(text, 3)[2:4] == ["- d e", "  f"]


def test_text_is_cut_where_it_hurts_least() -> None:
    """Behind paragraphs, lines, sentences, words, in that order; at last behind any sign."""
    assert chunks("a b\n\nc d e\n", 3) == ["a b", "c d e"]
    assert chunks("a b c\nd e f\n", 4) == ["a b c", "d e f"]
    assert chunks("A b. C d e. F g!\nH i.", 5) == ["A b. C d e.", "F g!", "H i."]
    assert chunks("a b c d e", 2) == ["a b", "c d", "e"]
    assert list(cut("abcdefg", len, 3)) == ["abc", "def", "g"]
    assert list(cut("\u65e5\u672c\u3002\u6587", len, 3)) == ["\u65e5\u672c\u3002", "\u6587"]


def test_a_sign_of_many_tokens_is_a_chunk() -> None:
    """There is nothing to cut it into."""
    assert list(cut("ab", lambda text: 5 * len(text), 3)) == ["a", "b"]


def test_yaml_in_front_is_no_heading() -> None:
    """It is kept as text; targets of links are as well, wherever they stand."""
    assert chunks("```\na b\nc d\n```\n[l]: x\n\n| a |\n|---|\n| b |\n\n[m]: y\n", 4) == [
        "```\na b\n```", "```\nc d\n```", "[l]: x", "| a |\n|---|", "| b |", "[m]: y",
    ]  # fmt: skip
    assert chunks("---\ntitle: x\n---\n\n# H\n\ntext\n", 5) == ["---\ntitle: x\n---", "# H\n\ntext"]
    assert chunks("[k]: y\n\na [l]\n\n# h\n\n[l]: x\n\nb\n", 4) == [
        "[k]: y\n\na [l]", "# h\n\n[l]: x", "# h\n\nb",
    ]  # fmt: skip


def test_huge_pieces_are_cut_in_time() -> None:
    """What has no structure, or nothing but structure, takes no square of its size."""
    for text in (
        "a" * 100_000,
        "." * 50_000,
        "# a\n" * 5000,
        "- a\n" * 5000,
        "x " * 50_000,
        "\n \n" * 20_000,
    ):
        assert all(len(chunk) <= 500 for chunk in cut(text, len, 500))


@pytest.mark.anyio
async def test_documents_are_cut_in_a_thread(tmp_path: Path) -> None:
    """The loop goes on meanwhile; the name says what the chunks depend on."""
    write_files(tmp_path, {"a.md": "# A\n\na b\n\nc d\n", "b.txt": "# A\n\na b\n\nc d\n"})
    threads = set()

    def count(text: str) -> int:
        threads.add(threading.get_ident())
        return words(text)

    chunker = MarkdownChunker(TokenCounter("words", count), 4)
    made = {
        name: [chunk async for chunk in chunker.chunks(Document(name, tmp_path / name))]
        for name in ("a.md", "b.txt")
    }
    assert made == {"a.md": ["# A\n\na b", "# A\n\nc d"], "b.txt": ["# A\n\na b", "c d"]}
    assert threading.get_ident() not in threads
    assert inspect.isgeneratorfunction(cut)  # nothing of it is done where it is called
    assert chunker.name == "markdown, up to 4 tokens by words"


@pytest.mark.anyio
async def test_q_chunk_2_the_limit_is_500_tokens_unless_said(tmp_path: Path) -> None:
    """With the headings; and Q-CHUNK-1: it needs no tokenizer."""
    write_files(tmp_path, {"a.md": "# A\n\n" + "Ebb. " * 1000})
    tokens = load_tokens()
    chunker = MarkdownChunker(tokens)
    made = [chunk async for chunk in chunker.chunks(Document("a.md", tmp_path / "a.md"))]
    assert {CHUNK_TOKENS - 5 < tokens.count(chunk) <= CHUNK_TOKENS for chunk in made[:-1]} == {True}
    with pytest.raises(ConfigError, match="cannot be read"):
        await anext(chunker.chunks(Document("b.md", tmp_path / "b.md")))
