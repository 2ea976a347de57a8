"""The text of a document, whatever its format; formats that need parsing are parsed in a bounded process.

A PDF of a few kilobytes can ask for any amount of memory, and so can what is packed in a DOCX. So a parser
runs in a process of its own (:mod:`.convert`), with bounds on time, memory and what it gives, and sees
nothing of this process: no keys, no open files.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from anyio.to_thread import run_sync as in_thread

from ..errors import ConfigError, Problem
from .documents import Document
from .processes import Bounds, Exceeded, run_bounded

__all__ = ["CONVERSION", "INHERITED", "LONGEST_TEXT", "read_text"]

LONGEST_TEXT = 64 * 1024**2
"""Bytes of the longest text of one document, in UTF-8."""

CONVERSION = Bounds(seconds=120, memory=2 * 1024**3, file_size=0, output=LONGEST_TEXT)
"""What the conversion of one document may use."""

PLAIN = (".md", ".markdown", ".txt")
_CONVERT = Path(__file__).with_name("convert.py")
INHERITED = ("HOME", "LANG", "PATH", "PYTHONHOME", "PYTHONPATH", "SYSTEMROOT", "TMPDIR", "VIRTUAL_ENV")
"""Of the environment, what a parser gets to know."""


async def read_text(document: Document, bounds: Bounds = CONVERSION) -> str:
    """The text of a document: Markdown and plain text as they are, HTML and DOCX as Markdown, PDF as text.

    Raises:
        ConfigError: it is no document of its kind, needs more than ``bounds``, or the library for its kind is
            not installed.
    """
    if document.name.lower().endswith(PLAIN):
        return await in_thread(_plain, document, bounds.output)
    command = [sys.executable, "-P", str(_CONVERT), str(document.file.absolute())]
    env = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        done = await run_bounded(command, bounds, env=env, folder=document.file.parent)
    except Exceeded as error:
        raise _unreadable(document, f"is not read: its conversion {error}") from error
    if done.code != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        words = lines[-1][:300] if lines else f"exit code {done.code}"
        raise _unreadable(document, f"cannot be read: {words}")
    return done.stdout.decode("utf-8")


def _plain(document: Document, longest: int) -> str:
    try:
        with document.file.open("rb") as opened:
            data = opened.read(longest + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(document, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _unreadable(document, f"is not UTF-8 text (byte {error.start})") from error
    if len(data) > longest:
        raise _unreadable(document, f"is longer than {longest} bytes")
    if "\0" in text:
        raise _unreadable(document, "is no text: it holds a zero byte")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unreadable(document: Document, words: str) -> ConfigError:
    return ConfigError(Problem(file=str(document.file), message=words))
