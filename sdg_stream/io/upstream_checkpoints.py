"""Rows that upstream has made already: its folders of ``data_checkpoint_<32 hex digits>.jsonl`` files.

Format (instructlab-sdg 0.8.3, ``checkpointing.py``): JSONL of finished rows as pandas writes it: every column
in every row, null where there was nothing, also inside mappings, floats of ten decimals. Nothing says which
input row a row was made from, so the two are held against each other: a row belongs to an input row if they
are equal in all columns that both have, a column that the pipeline renames under its new name. Whole numbers
and floats of the same value are equal, null is the same as nothing. What nobody can know from such files is
told by ``weaknesses``.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigError, OutputError, Problem
from ..record import Columns
from .jsonl import MAX_LINE_BYTES

__all__ = ["UpstreamCheckpoints", "digest_of", "plural"]

PATTERN = "data_checkpoint_*.jsonl"
DECIMALS = 10  # what pandas keeps of a float
CHUNK_BYTES = 1024 * 1024

_CUT_OFF = "the last row is cut off and left out; input rows that end this file may lack rows"


class UpstreamCheckpoints:
    """The finished rows of a folder, found by the input row that they belong to; made by :meth:`load`.

    Memory does not grow with their number: where they stand is held in a temporary file, and they are read
    when asked for. The methods block for a short time; one thread at a time may call them.

    Attributes:
        warnings: for people, about files that end in the midst of a row.
        weaknesses: for people, what cannot be known from files of this format.
        overwritten: columns of the input by which rows are recognised though the pipeline writes to them.
        repeated: input rows so far that had their rows given to an equal one before.
    """

    def __init__(self, files: list[Path], carried: Mapping[str, str]) -> None:
        self.warnings: list[str] = []
        self.weaknesses: tuple[str, ...] = ()
        self.overwritten: tuple[str, ...] = ()
        self.repeated = 0
        self._files = files
        self._carried = carried
        self._compared: frozenset[str] = frozenset()
        self._found: set[str] = set()
        self._index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._index.execute("PRAGMA journal_mode = OFF")  # it is thrown away if anything goes wrong
        self._index.execute("CREATE TABLE rows (digest INTEGER, file INTEGER, place INTEGER, given INTEGER)")

    @classmethod
    def load(
        cls,
        folder: str | Path,
        columns: Iterable[str],
        *,
        carried: Mapping[str, str] | None = None,
        written: Iterable[str] | None = None,
    ) -> UpstreamCheckpoints:
        """Read through all files of a folder once; blocks for as long as that takes.

        Args:
            folder: where the files lie; upstream makes one for each leaf of a taxonomy.
            columns: those of the input, as the first input row has them.
            carried: columns of the input that rows have under another name, and that name.
            written: columns that the pipeline's blocks write, if they are known.

        Raises:
            ConfigError: there is no such folder, no file or row in it, a line that is not a JSON object, or
                no column that the input has as well.
            OutputError: there is no room for the temporary file.
        """
        made = cls(_files_of(Path(folder)), carried or {})
        try:
            made._read_all(set(columns))
            made._compared = made._common(Path(folder), set(columns))
        except sqlite3.Error as error:
            made.close()
            raise OutputError(f"no temporary file for the rows of {folder}: {error}") from error
        except BaseException:
            made.close()
            raise
        overwritten = made._compared & set(written if written is not None else made._compared)
        made.overwritten = tuple(sorted(overwritten - made._carried.keys()))
        missing = set(columns) - made._compared
        made.weaknesses = _weaknesses(made._compared, missing, made.overwritten, known=written is not None)
        return made

    def rows_of(self, columns: Columns) -> list[Columns] | None:
        """The finished rows of an input row, in the order of their files; each row is given once.

        Ask for every input row in turn. An input row with rows counts as done. Of equal input rows the first
        gets the rows; the others count as done as well and get an empty list.

        Args:
            columns: the input row.

        Returns:
            The rows, or None if there are none: then the input row is to be run.

        Raises:
            ConfigError: a file has changed since it was loaded.
        """
        compared = self._compared | (columns.keys() & self._found)
        wanted = _form(columns, compared)
        query = "SELECT rowid, file, place, given FROM rows WHERE digest = ? ORDER BY rowid"
        rows: list[Columns] = []
        known = False
        for number, file, place, given in self._index.execute(
            query, (_digest(columns, self._compared),)
        ).fetchall():
            row = _read_row(self._files[file], place)
            if _form(self._as_input(row), compared) != wanted:
                continue
            known = True
            if not given:
                self._index.execute("UPDATE rows SET given = 1 WHERE rowid = ?", (number,))
                rows.append(row)
        self.repeated += known and not rows
        return rows if known else None

    def unused(self) -> int:
        """Number of rows that have not been given to any input row so far."""
        (count,) = self._index.execute("SELECT COUNT(*) FROM rows WHERE NOT given").fetchone()
        return int(count)

    def close(self) -> None:
        """Remove the temporary file; the folder stays as it is."""
        self._index.close()

    def _read_all(self, columns: set[str]) -> None:
        self._index.execute("BEGIN")
        self._index.executemany("INSERT INTO rows VALUES (?, ?, ?, 0)", self._entries(columns))
        self._index.execute("CREATE INDEX by_digest ON rows (digest)")
        self._index.execute("COMMIT")

    def _entries(self, columns: set[str]) -> Iterator[tuple[int, int, int]]:
        for number, file in enumerate(self._files):
            for place, row in self._rows(file):
                compared = self._as_input(row)
                self._found.update(compared)
                yield _digest(compared, columns), number, place

    def _as_input(self, row: Columns) -> Columns:
        """A finished row with the input's columns under their own names, to be compared."""
        if not self._carried:
            return row
        return row | {name: row[kept] for name, kept in self._carried.items() if kept in row}

    def _rows(self, file: Path) -> Iterator[tuple[int, Columns]]:
        """Rows of a file with the offset of each, without a last line that was cut off."""
        for line, place, text in _lines(file):
            if not text.strip():
                continue
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                if not text.endswith(b"\n"):
                    self.warnings.append(f"{file}:{line}: {_CUT_OFF}")
                    continue
                raise _mistake(file, f"not JSON: {error.msg} (column {error.colno})", line) from error
            if not isinstance(row, dict):
                raise _mistake(file, "not a JSON object", line)
            yield place, row

    def _common(self, folder: Path, columns: set[str]) -> frozenset[str]:
        if not self._found:
            raise _mistake(folder, "its checkpoint files hold no row")
        common = self._found & columns
        if not common:
            words = f"its rows ({_list(self._found)}) have no column of the input ({_list(columns)})"
            raise _mistake(folder, f"{words}, so nobody can tell which input row they belong to")
        return frozenset(common)


def digest_of(folder: Path) -> str:
    """What a folder holds, in words that are the same for the same files; blocks while it reads them.

    Raises:
        ConfigError: there is no such folder, or no file in it, or one cannot be read.
    """
    files, digest = _files_of(folder), hashlib.blake2b(digest_size=16)
    for file in files:
        digest.update(file.name.encode())
        try:
            with file.open("rb") as stream:
                while data := stream.read(CHUNK_BYTES):
                    digest.update(data)
        except OSError as error:
            raise _mistake(file, f"cannot be read: {error.strerror}") from error
    return f"{plural(len(files), 'file')}, {digest.hexdigest()}"


def _files_of(folder: Path) -> list[Path]:
    try:
        files = sorted(folder.glob(PATTERN)) if folder.is_dir() else None
        others = sorted({file.parent.name for file in folder.glob(f"*/{PATTERN}")})
    except OSError as error:
        raise _mistake(folder, f"cannot be read: {error.strerror}") from error
    if files:
        return files
    if files is None:
        raise _mistake(folder, f"no such folder; a folder with {PATTERN} files is wanted")
    hint = f"; these folders in it have some: {', '.join(others)}" if others else ""
    raise _mistake(folder, f"there is no {PATTERN} file in this folder{hint}")


def _lines(file: Path) -> Iterator[tuple[int, int, bytes]]:
    """Lines with their numbers from 1 and their offsets, line feeds included."""
    try:
        with file.open("rb") as stream:
            place = 0
            for line, text in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), 1):
                if len(text) > MAX_LINE_BYTES:
                    raise _mistake(file, f"longer than {MAX_LINE_BYTES} bytes", line)
                yield line, place, text
                place += len(text)
    except OSError as error:
        raise _mistake(file, f"cannot be read: {error.strerror}") from error


def _read_row(file: Path, place: int) -> Columns:
    try:
        with file.open("rb") as stream:
            stream.seek(place)
            row = orjson.loads(stream.readline(MAX_LINE_BYTES))
    except OSError as error:
        raise _mistake(file, f"cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise _mistake(file, "has changed while it was being taken over") from error
    return dict(row)


def _mistake(file: Path, words: str, line: int = 0) -> ConfigError:
    return ConfigError(Problem(file=str(file), line=line, message=words))


def _digest(row: Columns, columns: Iterable[str]) -> int:
    """64 bits, signed as SQLite wants them; rows that share one by chance are told apart when read."""
    text = _form(row, columns).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), signed=True)


def _form(row: Columns, columns: Iterable[str]) -> str:
    """A row's values in some columns as text: the same for values that the format cannot tell apart."""
    return json.dumps(_normal({name: row.get(name) for name in columns}), sort_keys=True, default=str)


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _normal(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_normal(item) for item in value]
    if isinstance(value, float):
        short = round(value, DECIMALS)
        return int(short) if short.is_integer() else short
    return value


def _weaknesses(
    compared: Iterable[str], not_compared: Iterable[str], overwritten: Iterable[str], *, known: bool
) -> tuple[str, ...]:
    """What no reader of the format can know, one sentence each: the spec's Q-CKPT-2 to Q-CKPT-5."""
    told = ["Input rows that gave no row left no trace in the checkpoint: they are run again."]
    if overwritten:
        whom = "The pipeline writes" if known else "If the pipeline writes"
        so = ":" if known else ", then"
        told.append(
            f"{whom} to {_list(overwritten)} of the input{so} rows with a value of its own there belong to "
            "no input row and stay in the checkpoint, and an input row without any other row is run again."
        )
    told.append(
        "One row marks its input row as done, even if others of it are missing, and input rows that are "
        f"equal in {_list(compared)} count as one."
    )
    if not_compared:
        told.append(
            f"The checkpoint does not have {_list(not_compared)} of the input: input rows that differ only "
            "there count as one."
        )
    told.append(
        "Which pipeline, prompts and model made the checkpoint is not recorded: it is taken as made by these."
    )
    return tuple(told)


def plural(number: int, word: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
