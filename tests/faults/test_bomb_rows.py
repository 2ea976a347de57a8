"""Row 80: documents that would take all memory, all time or all disk of whoever reads them."""

from __future__ import annotations

import io
import os
import resource
import zipfile
import zlib
from itertools import pairwise
from pathlib import Path

import pytest

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.documents import Document
from sdg_stream.taxonomy.processes import Bounds
from sdg_stream.taxonomy.texts import CONVERSION, read_text

pytestmark = pytest.mark.anyio

MIB = 1024**2
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
TIGHT = Bounds(seconds=20, memory=512 * MIB, file_size=0, output=MIB)


def document(folder: Path, name: str, content: bytes) -> Document:
    """A document with that content."""
    file = folder / name
    file.write_bytes(content)
    return Document(name, file)


async def refusal(doc: Document, bounds: Bounds = TIGHT) -> str:
    """Why a document is not read; its name is part of it, and no process used more memory than it may."""
    with pytest.raises(ConfigError) as caught:
        await read_text(doc, bounds)
    assert doc.name in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 < CONVERSION.memory
    return caught.value.problems[0].message


def pdf(content: bytes, *, filters: str = "", kids: str = "3 0 R") -> bytes:
    """A PDF of one page that shows ``content``."""
    font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count 1 >>".encode(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R "
        + f"/Resources << /Font << /F1 {font} >> >> >>".encode(),
        f"<< /Length {len(content)} {filters} >>\nstream\n".encode() + content + b"\nendstream",
    ]
    body, table = b"%PDF-1.4\n", b"0000000000 65535 f \n"
    for number, text in enumerate(objects, start=1):
        table += b"%010d 00000 n \n" % len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    end = b"trailer\n<< /Root 1 0 R /Size 5 >>\nstartxref\n%d\n%%%%EOF\n" % len(body)
    return body + b"xref\n0 5\n" + table + end


def docx(body: str, *, says: int | None = None, document_xml: str = "") -> bytes:
    """A DOCX with that body or part; ``says`` is what it says of its size."""
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    parts = {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        "_rels/.rels": '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{relation}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": document_xml or f"<w:document {WORD}><w:body>{body}</w:body></w:document>",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
        if says is not None:
            archive.getinfo("word/document.xml").file_size = says
    return packed.getvalue()


async def test_what_is_sound_is_read(tmp_path: Path) -> None:
    """The makers of this file make documents that are read, so that what they break is broken on purpose."""
    shown = b"BT /F1 12 Tf 50 700 Td (High water) Tj ET"
    assert (await read_text(document(tmp_path, "a.pdf", pdf(shown)), TIGHT)).strip() == "High water"
    packed = pdf(zlib.compress(shown), filters="/Filter /FlateDecode")
    assert (await read_text(document(tmp_path, "b.PDF", packed), TIGHT)).strip() == "High water"
    text = "<w:p><w:r><w:t>High water</w:t></w:r></w:p>"
    assert await read_text(document(tmp_path, "c.docx", docx(text)), TIGHT) == "High water\n"


async def test_row_80_a_pdf_whose_page_grows_a_thousandfold(tmp_path: Path) -> None:
    """A page of a megabyte whose content is a quarter of a gigabyte ends within its bounds."""
    packed = zlib.compress(b" " * 256 * MIB, 1)
    assert await refusal(document(tmp_path, "bomb.pdf", pdf(packed, filters="/Filter /FlateDecode")))


async def test_row_80_a_pdf_whose_pages_have_no_end(tmp_path: Path) -> None:
    """A tree of pages that holds itself."""
    assert await refusal(document(tmp_path, "loop.pdf", pdf(b"", kids="2 0 R 2 0 R")))


async def test_row_80_a_pdf_that_is_none(tmp_path: Path) -> None:
    """Broken, cut off, encrypted or without text: the cause is told in one line."""
    for number, content in enumerate([b"", b"%PDF-1.4\n", os.urandom(10_000), pdf(b"")[:200], pdf(b"")]):
        words = await refusal(document(tmp_path, f"{number}.pdf", content))
        assert words.startswith("cannot be read: ")
        assert "\n" not in words


async def test_row_80_a_docx_that_unpacks_to_a_gigabyte(tmp_path: Path) -> None:
    """What the parts say of their size is added up before any is unpacked; one that lies is not believed."""
    honest = docx("", says=2**30)
    assert "unpacks to more than" in await refusal(document(tmp_path, "bomb.docx", honest))
    lying = docx("<w:p/>" * (40 * MIB // 6), says=1000)
    assert await refusal(document(tmp_path, "lying.docx", lying))


async def test_row_80_a_docx_whose_entities_grow(tmp_path: Path) -> None:
    """A billion laughs."""
    names = "abcdefghij"
    lines = [f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(names)]
    bomb = f'<!DOCTYPE x [<!ENTITY a "ha">{"".join(lines)}]><w:document {WORD}><w:t>&j;</w:t></w:document>'
    words = await refusal(document(tmp_path, "x.docx", docx("", document_xml=bomb)))
    assert "amplification" in words or "memory" in words


async def test_row_80_html_nested_without_end(tmp_path: Path) -> None:
    """A hundred thousand elements in each other."""
    words = await refusal(document(tmp_path, "deep.html", b"<div>" * 100_000 + b"x"))
    assert "memory" in words


async def test_row_80_a_page_of_countless_elements(tmp_path: Path) -> None:
    """What takes hundreds of bytes of memory for each of its own ends at the bound on memory."""
    bounds = Bounds(seconds=30, memory=192 * MIB, file_size=0, output=MIB)
    assert await refusal(document(tmp_path, "wide.html", b"<b>x</b>" * 1_000_000), bounds)


async def test_row_80_a_text_longer_than_the_cap(tmp_path: Path) -> None:
    """Plain text is not read beyond the cap; what a conversion gives is cut off, and the process ended."""
    assert "is longer than" in await refusal(document(tmp_path, "a.md", b"x" * (MIB + 1)))
    assert "gave more than" in await refusal(document(tmp_path, "b.html", b"<p>" + b"x " * MIB))


async def test_row_80_a_conversion_that_takes_too_long(tmp_path: Path) -> None:
    """It is ended at its bound on time."""
    slow = Bounds(seconds=0.01, memory=512 * MIB, file_size=0, output=MIB)
    words = await refusal(document(tmp_path, "a.html", b"<p>x"), slow)
    assert words == "is not read: its conversion took longer than 0.01 s"


async def test_row_80_a_conversion_writes_no_files(tmp_path: Path) -> None:
    """A process that is bound to files of no size cannot fill the disk."""
    bounds = Bounds(seconds=20, memory=512 * MIB, file_size=0, output=100)
    assert bounds.file_size == CONVERSION.file_size == 0
    before = {file.name for file in tmp_path.iterdir()}
    await read_text(document(tmp_path, "a.html", b"<p>x"), bounds)
    assert {file.name for file in tmp_path.iterdir()} == before | {"a.html"}
