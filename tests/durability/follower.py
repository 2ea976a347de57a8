"""A reader that follows a file as ``tail -f`` does, and holds it against what is promised to such readers."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

__all__ = ["Follower"]

BEAT = 0.002  # seconds


class Follower:
    """Reads a file in a thread of its own while it grows; a context manager.

    Attributes:
        broken: what was seen that must not be, in words.
        grown: set whenever there was something new.
    """

    def __init__(self, file: Path) -> None:
        self.broken: list[str] = []
        self.grown = threading.Event()
        self.seen = b""
        self._file = file
        self._inode = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def check(self) -> list[str]:
        """After the block: what was wrong, with the file as it is now taken into account."""
        now = self._file.read_bytes()
        if not now.startswith(self.seen):
            self.broken.append("the file does not begin with what its reader saw")
        lines = now.splitlines()
        if len(set(lines)) < len(lines):
            self.broken.append("a row is there twice")
        return self.broken

    def _run(self) -> None:
        while not self._file.exists():
            if self._stop.wait(BEAT):
                return
        with self._file.open("rb") as file:
            self._inode = self._file.stat().st_ino
            stopped = False
            while not stopped:
                stopped = self._stop.wait(BEAT)
                new = file.read()
                if new:
                    self.seen += new
                    self.grown.set()
                self._look()

    def _look(self) -> None:
        """The name is still that of the same file, and nothing was taken off its end."""
        found = self._file.stat()
        if found.st_ino != self._inode and "the file was replaced" not in self.broken:
            self.broken.append("the file was replaced")
        if found.st_size < len(self.seen) and "the file became shorter" not in self.broken:
            self.broken.append("the file became shorter")
