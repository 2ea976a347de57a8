"""Prints the text of a PDF, DOCX or HTML file; started as a process of its own, bounded from outside.

    python -P convert.py FILE

What goes wrong is the last line of standard error. Nothing of the package is imported here.
"""

import importlib
import sys
import zipfile
from pathlib import Path

MOST_PAGES = 10_000
MOST_UNPACKED = 512 * 1024**2  # bytes
HIDDEN = ["script", "style", "template", "noscript", "head", "svg"]


class Unreadable(Exception):
    """The document cannot be read; the text says why."""


def main(name: str) -> None:
    """Print the text of a file, as its suffix tells."""
    file = Path(name)
    convert = {".pdf": pdf, ".docx": docx}.get(file.suffix.lower(), html)
    try:
        sys.stdout.buffer.write(convert(file).encode("utf-8", "replace"))
    except ImportError as error:
        sys.exit(f"the library {error.name!r} is missing; pip install 'sdg-stream[documents]'")
    except (MemoryError, RecursionError) as error:
        sys.exit(f"needs more memory than it may have ({type(error).__name__})")
    except Unreadable as error:
        sys.exit(str(error))
    except Exception as error:  # noqa: BLE001 -- parsers raise anything on broken files
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")


def pdf(file: Path) -> str:
    """The text of the pages, an empty line between two."""
    reader = importlib.import_module("pypdf").PdfReader(file)
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("is encrypted")
    if len(reader.pages) > MOST_PAGES:
        raise Unreadable(f"has more than {MOST_PAGES} pages")
    text = "\n\n".join(page.extract_text() for page in reader.pages)
    if not text.strip():
        raise Unreadable("has pages without text: it may be scanned")
    return text


def docx(file: Path) -> str:
    """The document as Markdown, without its pictures."""
    with zipfile.ZipFile(file) as packed:
        if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
            raise Unreadable(f"unpacks to more than {MOST_UNPACKED} bytes")
    mammoth = importlib.import_module("mammoth")
    pictures = mammoth.images.img_element(lambda _: {"src": ""})
    with file.open("rb") as opened:
        return markdown(mammoth.convert_to_html(opened, convert_image=pictures).value)


def html(file: Path) -> str:
    """The page as Markdown."""
    return markdown(file.read_bytes())


def markdown(page: str | bytes) -> str:
    """HTML as Markdown; pictures are left out, of links the text stays.

    What HTML need not say, such as the end of a list's item, is supplied before.
    """
    lxml = importlib.import_module("lxml.html")
    text = importlib.import_module("bs4.dammit").UnicodeDammit(page, is_html=True).unicode_markup
    parser = lxml.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True)
    tree = lxml.document_fromstring((text or "").encode("utf-8", "replace"), parser=parser)
    for hidden in list(tree.iter(*HIDDEN)):
        hidden.drop_tree()
    markdownify = importlib.import_module("markdownify").markdownify
    whole = lxml.tostring(tree, encoding="unicode")
    return f"{markdownify(whole, heading_style='ATX', strip=['img', 'a']).strip()}\n"


if __name__ == "__main__":
    main(sys.argv[1])
