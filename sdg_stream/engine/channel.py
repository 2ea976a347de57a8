"""The channel: a bounded hand-over between stages. Its fullness is the back-pressure.

Both ends try without waiting first: a hop then costs under a microsecond instead of a trip through the event
loop. How long a stage may keep the loop to itself that way is bounded by the depth, which is why the depth is
a constant and not a setting.
"""

from __future__ import annotations

import anyio

from ..record import Record

__all__ = ["DEPTH", "Channel"]

DEPTH = 64  # records


class Channel:
    """A bounded queue of records with an end: many senders, many receivers."""

    def __init__(self, depth: int = DEPTH) -> None:
        self._sender, self._receiver = anyio.create_memory_object_stream[Record](depth)

    async def send(self, record: Record) -> None:
        """Hand a record over, waiting while the channel is full."""
        try:
            self._sender.send_nowait(record)
        except anyio.WouldBlock:
            await self._sender.send(record)

    def take(self) -> Record | None:
        """The next record if there is one right now.

        Raises:
            anyio.EndOfStream: the channel is closed and empty.
        """
        try:
            return self._receiver.receive_nowait()
        except anyio.WouldBlock:
            return None

    async def receive(self) -> Record:
        """The next record.

        Raises:
            anyio.EndOfStream: the channel is closed and empty.
        """
        record = self.take()
        return await self._receiver.receive() if record is None else record

    def close(self) -> None:
        """No more records will be sent; what is inside can still be received."""
        self._sender.close()

    def abandon(self) -> None:
        """Drop both ends, with what is inside: the run is being cancelled."""
        self._sender.close()
        self._receiver.close()

    def __len__(self) -> int:
        return self._sender.statistics().current_buffer_used
