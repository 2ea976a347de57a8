"""The files of a load test: JSON, CSV, and a line of JSON for each request."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from ..errors import ConfigError, OutputError
from .results import SCHEMA, BenchReport, Level
from .window import Sample

__all__ = ["RequestLog", "as_csv", "as_json", "check_writable", "read_report", "write_file"]

CSV_COLUMNS = (
    *("concurrency", "requests_per_s", "output_tokens_per_s", "total_tokens_per_s"),
    *("latency_mean", "latency_p50", "latency_p90", "latency_p95", "latency_p99"),
    *("first_token_p50", "first_token_p99", "inter_token_p50", "inter_token_p99"),
    *("completed", "failed", "seconds", "prompt_tokens_mean", "output_tokens_mean"),
    *("cpu_per_1000", "cpu_share", "client_bound", "running", "waiting", "kv_usage", "prefix_hits"),
    *("preemptions", "server_output_tokens_per_s"),
)


def as_json(report: BenchReport) -> bytes:
    """The report, indented; see :mod:`.results` for what it holds."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def read_report(file: Path) -> BenchReport:
    """A report that :func:`as_json` made.

    Raises:
        ConfigError: the file cannot be read, or is something else.
    """
    try:
        report = msgspec.json.decode(file.read_bytes(), type=BenchReport)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} was not written by bench --json: {error}") from error
    if report.schema != SCHEMA:
        raise ConfigError(f"{file} has schema {report.schema}, and this version reads {SCHEMA}")
    return report


def as_csv(report: BenchReport) -> bytes:
    """A line for each level, with a header; what is not known is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for level in report.levels:
        row = _row(level)
        writer.writerow([row.get(name, "") for name in CSV_COLUMNS])
    return text.getvalue().encode()


def _row(level: Level) -> dict[str, Any]:
    row = msgspec.structs.asdict(level)
    for name in ("latency", "first_token", "inter_token"):
        found = getattr(level, name)
        row |= (
            {f"{name}_{key}": value for key, value in msgspec.structs.asdict(found).items()} if found else {}
        )
    row |= msgspec.structs.asdict(level.client)
    if level.server is not None:
        server = msgspec.structs.asdict(level.server)
        row["server_output_tokens_per_s"] = server.pop("output_tokens_per_s")
        row |= server
    row |= {"failed": level.failed, "client_bound": level.client.bound}
    return {name: "" if value is None else value for name, value in row.items()}


class RequestLog:
    """A JSONL file with a line for each request of each level, written when the level has ended.

    A line: ``concurrency``, ``replica``, ``sent`` (seconds since the first request), ``latency``,
    ``first_token`` (seconds, null without), ``prompt_tokens``, ``output_tokens``, ``error`` (a kind, or null)
    and ``words`` of the failure.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, file: Path) -> None:
        self._name = file
        self._origin: float | None = None
        self._replicas: dict[int, int] = {}
        try:
            self._file: BinaryIO = file.open("wb")
        except OSError as error:
            raise _failed(file, error) from error

    def write(self, concurrency: int, samples: Sequence[Sample]) -> None:
        """Add the requests of a level."""
        self._replicas[concurrency] = replica = self._replicas.get(concurrency, 0) + 1
        if self._origin is None:
            self._origin = min((sample.sent for sample in samples), default=0.0)
        lines = [
            msgspec.json.encode(
                {
                    "concurrency": concurrency,
                    "replica": replica,
                    "sent": round(sample.sent - self._origin, 6),
                    "latency": round(sample.ended - sample.sent, 6),
                    "first_token": round(sample.first - sample.sent, 6) if sample.first else None,
                    "prompt_tokens": sample.prompt_tokens,
                    "output_tokens": sample.output_tokens,
                    "error": sample.error or None,
                    "words": sample.words or None,
                }
            )
            for sample in samples
        ]
        try:
            self._file.write(b"".join(line + b"\n" for line in lines))
            self._file.flush()
        except OSError as error:
            raise _failed(self._name, error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def check_writable(file: Path) -> None:
    """See, before anything is measured, that a file can be written; what it holds stays.

    Raises:
        OutputError: it cannot.
    """
    try:
        file.open("ab").close()
    except OSError as error:
        raise _failed(file, error) from error


def write_file(file: Path, content: bytes) -> None:
    """Write a whole file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        file.write_bytes(content)
    except OSError as error:
        raise _failed(file, error) from error


def _failed(file: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {file}: {error.strerror}")
