"""The texts of documents of all kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from taxonomies import write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.documents import Document
from sdg_stream.taxonomy.texts import read_text

pytestmark = pytest.mark.anyio

PAGE = """<html><head><title>T</title><style>p {}</style></head><body><h2>Tides</h2>
<p>High and <b>low</b>, see <a href="javascript:x">there</a>.<script>alert(1)</script></p>
<ul><li>neap<li>spring</ul><table><tr><th>a<th>b</tr><tr><td>1<td>2</tr></table><img src="x"></body></html>"""


def document(folder: Path, name: str, content: bytes | str) -> Document:
    """A document with that content."""
    write_files(folder, {name: content})
    return Document(name, folder / name)


async def test_markdown_and_plain_text_stay_as_they_are(tmp_path: Path) -> None:
    """Without a byte order mark, and with line feeds only."""
    text = "# Tides\r\n\r\n| a | \u00fc |\r\n"
    for name in ("a.md", "b.MD", "c.txt", "d.markdown"):
        read = await read_text(document(tmp_path, name, b"\xef\xbb\xbf" + text.encode()))
        assert read == text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("content", "words"), [(b"\xff\xfe", r"is not UTF-8 text \(byte 0\)"), (b"a\0b", "holds a zero byte")]
)
async def test_what_is_no_text_is_told(tmp_path: Path, content: bytes, words: str) -> None:
    """With the file, since a document under a wrong name is what it mostly is."""
    with pytest.raises(ConfigError, match=words):
        await read_text(document(tmp_path, "a.md", content))
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        await read_text(Document("b.md", tmp_path / "b.md"))


async def test_html_becomes_markdown(tmp_path: Path) -> None:
    """Headings, lists and tables stay; scripts, styles, pictures and the targets of links go."""
    text = await read_text(document(tmp_path, "a.html", PAGE))
    assert text.startswith("## Tides\n\nHigh and **low**, see there.\n")
    assert "| 1 | 2 |" in text
    assert "* neap\n* spring" in text
    assert not any(word in text for word in ("alert", "javascript", "{", "!["))


async def test_html_in_any_encoding(tmp_path: Path) -> None:
    """As the page says, else as it looks; an XML declaration is no hindrance."""
    for number, page in enumerate([
        b'<meta charset="iso-8859-1"><p>\xfcber', "<p>\u00fcber".encode(), "<p>\u00fcber".encode("utf-16"),
        '<?xml version="1.0" encoding="utf-8"?><html><p>\u00fcber</p></html>'.encode(),
    ]):  # fmt: skip
        assert await read_text(document(tmp_path, f"{number}.html", page)) == "\u00fcber\n"


async def test_a_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    write_files(tmp_path / "path", {"lxml.py": "raise ImportError(name='lxml')"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    with pytest.raises(ConfigError, match=r"'lxml' is missing; pip install 'sdg-stream\[documents\]'"):
        await read_text(document(tmp_path, "a.html", PAGE))


async def test_a_conversion_does_not_see_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No key of the user is in the process that reads a stranger's document."""
    write_files(tmp_path / "path", {"lxml.py": "import os\nraise ValueError(' '.join(os.environ))"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
    monkeypatch.setenv("MY_SECRET_KEY", "x")
    with pytest.raises(ConfigError, match="PYTHONPATH") as caught:
        await read_text(document(tmp_path, "a.html", PAGE))
    assert "MY_SECRET_KEY" not in str(caught.value)
    assert "OPENAI_API_KEY" not in str(caught.value)
