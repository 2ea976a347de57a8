"""Files that are there as a whole or not at all: written beside, brought to the disk, then renamed.

The file beside has a fixed name that patterns such as ``*.jsonl`` do not match: a killed process leaves no
more than one, which the next one replaces. Of two processes that write the same file at once, the one that
began first is told so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..disk import sync_folder
from ..errors import OutputError, RunStateError
from ..io.row_file import STDOUT, RowFile

__all__ = ["WholeFile", "is_replaced"]

_HELD_BYTES = 256 * 1024
_PACKED = ".gz"  # an ending that a row file is packed by


def is_replaced(output: str | Path) -> bool:
    """Whether an output is written beside and renamed; standard output, pipes and devices cannot be."""
    return str(output) != STDOUT and (not Path(output).exists() or Path(output).is_file())


class WholeFile:
    """Takes lines in a ``with`` block; the file appears under its name at its end, unless the block raises.

    ``-`` is standard output, which like other things that are no files is written to as lines come. A name
    that ends with ``.gz`` is packed.

    Attributes:
        rows: how many lines have been taken.
    """

    def __init__(self, output: str | Path) -> None:
        self.rows = 0
        self._target: Path | None = None
        name: str | Path = output
        if is_replaced(output):
            self._target = Path(os.path.realpath(output))  # a link stays, and what it names is replaced
            name = self._target.with_name(_name_beside(self._target.name))
        self._file = RowFile(name)
        self._new = Path(name)
        self._begun: os.stat_result | None = None
        self._lines: list[bytes] = []
        self._held = 0

    def write(self, line: bytes) -> None:
        """Take one line, with its line feed.

        Raises:
            OutputError: the file does not take what was held back.
        """
        self.rows += 1
        self._lines.append(line)
        self._held += len(line)
        if self._held >= _HELD_BYTES:
            self._flush()

    def __enter__(self) -> WholeFile:
        if self._target is not None:
            with suppress(OSError):  # left by a killed process; if it cannot go, opening it tells why
                self._new.unlink(missing_ok=True)
        self._file.open()
        if self._target is not None:
            self._begun = self._new.stat()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._file.close()
                self._appear()
        finally:
            with suppress(OutputError):
                self._file.close()
            if self._is_ours():
                self._new.unlink()

    def _flush(self) -> None:
        self._file.write(self._lines)
        self._lines.clear()
        self._held = 0

    def _appear(self) -> None:
        if self._target is None:
            return
        try:
            with self._new.open("rb") as written:
                os.fsync(written.fileno())
            if not self._is_ours():
                raise RunStateError(
                    f"{self._target} is being written by another process; this one has stopped"
                )
            self._new.replace(self._target)
        except FileNotFoundError:
            raise RunStateError(f"{self._new} was taken away while it was being written") from None
        except OSError as error:
            raise OutputError(f"{self._target}: cannot be written: {error.strerror}") from error
        sync_folder(self._target.parent)

    def _is_ours(self) -> bool:
        """Whether what lies beside is the file that was opened here."""
        if self._begun is None:
            return False
        try:
            return os.path.samestat(self._begun, self._new.stat())
        except OSError:
            return False


def _name_beside(name: str) -> str:
    plain = name.removesuffix(_PACKED)
    return f"{plain}.new" if plain == name else f"{plain}.new{_PACKED}"
