"""``--serve``: a server for the time of the run, started before it and stopped after it, whatever happens.

A small supervisor process keeps the server (see :mod:`.supervisor`): it notices that this process has gone,
also after SIGKILL, by the end of a pipe, which works on every POSIX system. On Windows there are no process
groups to stop, so there ``--serve`` is refused.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
from anyio.abc import Process

from ..abc import Backend, HttpReply
from ..errors import AttemptError, ConfigError, ConnectFailed, OutputError, TeacherUnusable
from ..events import EventHook, Notice
from ..teacher.http import AiohttpBackend
from ..teacher.probe import checked_url, split_name
from ..teacher.redaction import Secrets, proxy_secrets, redacting, without
from ..teacher.waiting import first_reply
from .hidden import secrets_of_command

__all__ = ["serving"]

GRACE_SECONDS = 15.0  # between SIGTERM and SIGKILL
LAST_LINES = 20  # of the log, shown when the server ends
_LAST_BYTES = 16_384
_TAKEN_SECONDS = 2.0  # for a look at whether the address is taken
_SUPERVISOR_SECONDS = 5.0  # beyond the grace
_SUPERVISOR = Path(__file__).with_name("supervisor.py")


@asynccontextmanager
async def serving(
    command: str,
    url: str,
    log_file: str | Path,
    *,
    wait_ready: float = 600.0,
    grace: float = GRACE_SECONDS,
    ca_file: str | Path | None = None,
    proxy: str | None = None,
    secrets: Sequence[str] = (),
    hook: EventHook | None = None,
) -> AsyncIterator[None]:
    """Run a server that answers at ``url`` inside the block.

    Args:
        command: as one would type it; no shell looks at it.
        url: base URL of the API that it will serve.
        log_file: what the server says is appended to it; its folder is made, not those above.
        wait_ready: seconds that the server may take until it answers.
        grace: seconds that it gets to end by itself after SIGTERM.
        ca_file: as in :func:`~sdg_stream.teacher.connect.connect`.
        proxy: the same.
        secrets: neither to be written to its log nor shown from it; those of the command itself are added.
        hook: told of start, waiting and readiness.

    Raises:
        ConfigError: the command is no command, or something else answers at ``url`` already.
        OutputError: the log cannot be written.
        TeacherUnusable: the server ended, before it was ready or while the block was running, or was not
            ready in time; the words have the last lines of its log.
    """
    words, url = _split(command), checked_url(split_name(url)[1])
    secrets = [*secrets, *secrets_of_command(words), *proxy_secrets(proxy)]
    backend = redacting(AiohttpBackend(ca_file=ca_file, proxy=proxy), secrets)
    try:
        await _check_free(url, backend)
        server = await _Server.start(words, Path(log_file), grace, secrets)
        try:
            _tell(hook, f"starting {words[0]}, which will answer at {url}; its log is {log_file}")
            async with server.needed():
                try:
                    await first_reply(_looker(url, backend), url, wait_ready, hook, secrets)
                except TeacherUnusable as error:
                    error.add_note(server.last_words())
                    raise
            _tell(hook, f"{words[0]} answers at {url}")
            async with server.needed():
                yield
        finally:
            await server.stop()
    finally:
        await backend.aclose()


class _Server:
    """A running server under its supervisor."""

    def __init__(
        self, process: Process, log_file: Path, begin: int, grace: float, secrets: Sequence[str]
    ) -> None:
        self._process = process
        self._log_file = log_file
        self._begin = begin  # of its part of the log, in bytes
        self._grace = grace
        self._secrets = secrets

    @classmethod
    async def start(
        cls, words: Sequence[str], log_file: Path, grace: float, secrets: Sequence[str]
    ) -> _Server:
        """Start the command; its output goes to the end of the log."""
        log = await anyio.to_thread.run_sync(_open_log, log_file)
        with log:
            begin = log.tell()
            process = await anyio.open_process(
                [sys.executable, "-I", "-S", str(_SUPERVISOR), str(grace), *words],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the run, which needs the server to end well
            )
        if process.stdin is not None:
            with anyio.CancelScope(shield=True), suppress(anyio.BrokenResourceError):  # it may have ended
                await process.stdin.send(json.dumps(Secrets(secrets).looked_for).encode() + b"\n")
        return cls(process, log_file, begin, grace, secrets)

    @asynccontextmanager
    async def needed(self) -> AsyncIterator[None]:
        """A block that makes no sense without the server: cancelled when it ends.

        Raises:
            TeacherUnusable: it has ended.
        """
        ended = False

        async def watch() -> None:
            nonlocal ended
            await self._process.wait()
            ended = True
            tasks.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                yield
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            raise group.exceptions[0] from None
        if ended:
            code = self._process.returncode
            error = TeacherUnusable(f"the server that --serve started has ended, with exit code {code}")
            error.add_note(self.last_words())
            raise error

    def last_words(self) -> str:
        """The last lines of the log since the start."""
        with self._log_file.open("rb") as log:
            size = log.seek(0, 2)
            begin = log.seek(max(self._begin, size - _LAST_BYTES))
            text = log.read().decode("utf-8", "replace")
        whole = text.splitlines()[1 if begin > self._begin else 0 :]  # half a line may hold half a key
        lines = without("\n".join(whole[-LAST_LINES:]), self._secrets).splitlines()
        return "\n".join([f"The last lines of {self._log_file}:", *(f"  {line}" for line in lines)])

    async def stop(self) -> None:
        """End the server, if it has not ended, and wait until it is gone."""
        with anyio.CancelScope(shield=True):
            if self._process.stdin is not None:
                with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
                    await self._process.stdin.aclose()
            with anyio.move_on_after(self._grace + _SUPERVISOR_SECONDS):
                await self._process.wait()
            await self._process.aclose()


def _split(command: str) -> list[str]:
    """The words of a command, whose first one is a program."""
    if sys.platform == "win32":
        raise ConfigError("--serve does not work on Windows: start the server yourself")
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"--serve: {error} in the command") from error  # which may hold a key
    if not words:
        raise ConfigError('--serve needs a command, such as "vllm serve MODEL"')
    if shutil.which(words[0]) is None:
        name, equals, _ = words[0].partition("=")
        hint = "=... (no shell looks at it: put env before NAME=value)" if equals else ""
        raise ConfigError(f"--serve: there is no program {name!r}{hint}")
    return words


async def _check_free(url: str, backend: Backend) -> None:
    """Make sure that what answers later is the server that is about to be started."""
    try:
        await backend.send("GET", url + "/models", None, headers={}, timeout=_TAKEN_SECONDS)
    except ConnectFailed:
        return
    except (AttemptError, TeacherUnusable):
        pass
    raise ConfigError(
        f"something answers at {url} already: use it without --serve, or let the server take another port "
        "and name that with --endpoint-url"
    )


def _looker(url: str, backend: Backend) -> Callable[[float], Awaitable[HttpReply]]:
    def look(seconds: float) -> Awaitable[HttpReply]:
        return backend.send("GET", url + "/models", None, headers={}, timeout=seconds)

    return look


def _open_log(file: Path) -> BinaryIO:
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        return os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
    except OSError as error:
        raise OutputError(f"cannot write the server's log {file}: {error.strerror}") from error


def _tell(hook: EventHook | None, words: str) -> None:
    if hook is not None:
        hook(Notice(code="serve", message=words))
