"""A program that answers each line with a line, bounded; it stays, for what takes seconds to start."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import cast

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from .processes import Bounds, Exceeded, bounded, end

__all__ = ["Ended", "Worker", "start_worker"]


class Ended(Exception):
    """A program ended instead of giving an answer."""


class Worker:
    """Such a program, running; made by :func:`start_worker`."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._requests = cast("ByteSendStream", process.stdin)  # both are pipes
        self._stdout = cast("ByteReceiveStream", process.stdout)
        self._answers = BufferedByteReceiveStream(self._stdout)
        self.has_ended = False

    async def ask(self, line: bytes, bounds: Bounds) -> bytes:
        """The answer to a line, both without their line feed; one at a time.

        Whatever goes wrong, cancellation too, ends the program: what it would say next is not known.

        Raises:
            Exceeded: it took longer than ``bounds.seconds``, or said more than ``bounds.output``.
            Ended: it ended without an answer.
        """
        if self.has_ended:
            raise Ended
        is_answered = False
        try:
            with anyio.fail_after(bounds.seconds):
                await self._requests.send(line + b"\n")
                answer = await self._answers.receive_until(b"\n", bounds.output)
            is_answered = len(answer) <= bounds.output  # more may have come at once
        except TimeoutError:
            raise Exceeded(f"took longer than {bounds.seconds:g} s") from None
        except anyio.DelimiterNotFound:
            raise Exceeded(f"gave more than {bounds.output} bytes") from None
        except (anyio.IncompleteRead, anyio.BrokenResourceError, anyio.ClosedResourceError):
            raise Ended from None
        finally:
            if not is_answered:
                await self.aclose()
        if not is_answered:
            raise Exceeded(f"gave more than {bounds.output} bytes")
        return answer

    async def aclose(self) -> None:
        """End the program and all that it has started."""
        if self.has_ended:
            return
        self.has_ended = True
        end(self._process)
        with anyio.CancelScope(shield=True):
            async for _ in self._stdout:
                pass  # what it has said and nobody reads would keep it from being seen to end
            await self._process.wait()
            await self._process.aclose()


async def start_worker(command: Sequence[str], bounds: Bounds, *, env: Mapping[str, str]) -> Worker:
    """Start a program; ``bounds`` hold for all its life, but it may allow itself more processor time.

    Raises:
        OSError: it cannot be started.
    """
    process = await anyio.open_process(
        bounded(command, bounds), stderr=subprocess.DEVNULL, env=env, start_new_session=True
    )
    return Worker(process)
