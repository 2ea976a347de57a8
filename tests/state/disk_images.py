"""What can be on a disk after a kill or a power loss, made from a record of what was done to it.

After a kill everything that was done is there, the last write perhaps in part. After a power loss what was
synced is there; of what came later each file has what it likes: nothing, all, a beginning that ends anywhere,
or any choice of pages with zeros between them. Names (files made, moved and deleted) come to the disk in the
order in which they were given, as on file systems with a journal, and surely when their folder is synced.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from disk_calls import Call, disk_calls

__all__ = ["Disk", "Image", "put", "taken"]

Image: TypeAlias = dict[str, bytes]
"""Contents by path, relative to the folder."""

PAGE = 4096
TRANSIENT = ("-shm",)  # memory that SQLite makes anew


def taken(folder: Path) -> Image:
    """The files of a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(TRANSIENT)
    }


def put(folder: Path, image: Image) -> None:
    """Make a folder hold just these files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in image.items():
        file = folder / name
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.write_bytes(data)


class _File:
    """A file as the model has it: what is on the disk for sure, and what was done to it since."""

    def __init__(self, synced: bytes = b"") -> None:
        self.synced = synced
        self.later: list[Call] = []

    def now(self) -> bytes:
        return _apply(self.synced, self.later)

    def sync(self) -> None:
        self.synced, self.later = self.now(), []


def _apply(data: bytes, calls: list[Call]) -> bytes:
    content = bytearray(data)
    for call in calls:
        if call.what == "truncate":
            del content[call.offset :]
            content.extend(bytes(call.offset - len(content)))
        else:
            content.extend(bytes(max(0, call.offset - len(content))))
            content[call.offset : call.offset + len(call.data)] = call.data
    return bytes(content)


class _Model:
    """Files by name after some calls, and which states of the names may be on the disk."""

    def __init__(self, image: Image) -> None:
        self.names = {name: _File(data) for name, data in image.items()}
        self.states = [dict(self.names)]  # since the names were synced

    def do(self, call: Call) -> None:
        what, path = call.what, call.path
        if path.endswith(TRANSIENT):
            return
        if what in ("write", "truncate"):
            self.names[path].later.append(call)
        elif what == "sync":
            file = self.names.get(path)
            if file is not None:
                file.sync()
            if file is None or path.endswith(("-wal", "-journal")):  # SQLite syncs the folder with these
                self.states = [dict(self.names)]
        elif what in ("open", "delete", "move"):
            self._name(call)

    def _name(self, call: Call) -> None:
        if call.what == "open":
            if call.data != b"new" or call.path in self.names:
                return
            self.names[call.path] = _File()
        elif call.what == "delete":
            del self.names[call.path]
        else:
            self.names[call.data.decode()] = self.names.pop(call.path)
        self.states.append(dict(self.names))
        if call.what == "delete" and call.offset:
            self.states = self.states[-1:]


class Disk:
    """A record of a session, which may follow another one that was killed after so many calls of its own.

    What a killed session had not synced is still not synced.

    Attributes:
        before: what was there when it began.
        calls: what was done, in order.
        marks: for each call, and once more at the end, what ``mark`` gave at that moment.
    """

    def __init__(self, folder: Path, earlier: tuple[Disk, int] | None = None) -> None:
        self.folder = folder
        self.before = taken(folder)
        self._earlier = earlier
        self.calls: list[Call] = []
        self.marks: list[int] = []

    @contextmanager
    def recording(self, mark: Callable[[], int] = int) -> Iterator[None]:
        """Write down what is done; nothing is really synced."""

        def judge(call: Call) -> int:
            self.calls.append(call)
            self.marks.append(mark())
            return -1 if call.what == "sync" else 0

        with disk_calls(self.folder, judge):
            yield
        self.marks.append(mark())

    def _model(self, count: int) -> _Model:
        model = self._earlier[0]._model(self._earlier[1]) if self._earlier else _Model(self.before)
        for call in self.calls[:count]:
            model.do(call)
        return model

    def killed(self, count: int, part: float = 0.0) -> Image:
        """After a kill when ``count`` calls had been made, and of the next one, a write, some part."""
        model = self._model(count)
        if part and count < len(self.calls) and self.calls[count].what == "write":
            call = self.calls[count]
            model.do(call._replace(data=call.data[: max(1, int(part * len(call.data)))]))
        return {name: file.now() for name, file in model.names.items()}

    def parts(self, count: int) -> tuple[float, ...]:
        """How much of the call behind the first ``count`` a kill may leave done: nothing, or half a write."""
        return (0.0, 0.5) if count < len(self.calls) and self.calls[count].what == "write" else (0.0,)

    def synced(self, count: int) -> Image:
        """What a power loss at that moment cannot take away."""
        model = self._model(count)
        return {name: file.synced for name, file in model.states[0].items()}

    def power_lost(self, count: int, chance: random.Random) -> Image:
        """What a power loss at that moment may leave."""
        model = self._model(count)
        names = chance.choice([model.states[0], model.states[-1], chance.choice(model.states)])
        return {name: _left(file, chance) for name, file in names.items()}


def _left(file: _File, chance: random.Random) -> bytes:
    """A choice of what was not synced."""
    way = chance.choice(["nothing", "all", "beginning", "pages"])
    if way == "nothing" or not file.later:
        return file.synced
    if way == "all":
        return file.now()
    if way == "beginning":
        count = chance.randrange(len(file.later))
        last = file.later[count]
        cut = last._replace(data=last.data[: chance.randrange(len(last.data) + 1)])
        return _apply(file.synced, [*file.later[:count], cut])
    kept = [piece for call in file.later for piece in _pieces(call) if chance.random() < 0.5]
    left = _apply(file.synced, kept)
    longer = chance.random() < 0.5  # the size may have come to the disk without the pages
    return left + bytes(max(0, len(file.now()) - len(left))) if longer else left


def _pieces(call: Call) -> Iterator[Call]:
    """A write page by page."""
    if call.what != "write":
        yield call
        return
    begin, end = call.offset, call.offset + len(call.data)
    for page in range(begin // PAGE, -(-end // PAGE)):
        start, stop = max(begin, page * PAGE), min(end, (page + 1) * PAGE)
        yield call._replace(offset=start, data=call.data[start - begin : stop - begin])
