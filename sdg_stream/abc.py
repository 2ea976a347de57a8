"""The contracts: what a block, a teacher, a backend, a source and a sink are.

A new block is a subclass of one of three kinds with one method:

* :class:`RowBlock`: plain code on one record's columns (filter, rename, combine). Neighbours are fused.
* :class:`AsyncBlock`: awaits something for one record, usually the teacher. Many records run at a time.
* :class:`GroupBlock`: needs all records at once. It is a barrier: nothing leaves before everything came.

Each gives zero, one or many results for what it gets. Zero results are a filter. A record that cannot go on
raises :class:`~sdg_stream.errors.RecordError`; any other exception is a bug and stops the run.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, ClassVar, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from .calls import Api, CallShape, Choice, Completion, Request
from .config.decode import decode_struct
from .config.files import PipelineFiles
from .config.settings import Settings
from .config.yaml import Document
from .errors import Problem, RecordError
from .record import Columns, Record

__all__ = [
    "Api",
    "AsyncBlock",
    "Backend",
    "Block",
    "BlockConfig",
    "CallShape",
    "Choice",
    "Completion",
    "Context",
    "FinishedRoot",
    "Flow",
    "GroupBlock",
    "HttpReply",
    "Request",
    "RowBlock",
    "Sink",
    "Source",
    "SourceItem",
    "Teacher",
    "TeacherWrapper",
]


class Teacher(Protocol):
    """What blocks see of the teacher.

    A teacher may also have ``max_model_len`` (tokens of prompt and reply together, or None) and
    ``structured`` (how its server takes a JSON schema: ``response_format``, ``guided_json`` or
    ``structured_outputs``). Blocks do without the first and take ``response_format`` where they are missing.
    """

    @property
    def model(self) -> str:
        """The model to ask when neither the settings nor the block name one; empty if there is none."""

    @property
    def api(self) -> Api:
        """How prompts are sent: rendered here, or as one user message."""

    @property
    def slots(self) -> int:
        """How many sequences may be in flight now."""

    async def complete(self, request: Request) -> Completion:
        """Make one call, with all the waiting and trying again it takes.

        Raises:
            RecordError: this request will not be answered; the record ends.
            TeacherUnusable: no request will be answered; the run ends.
        """


class TeacherWrapper:
    """Base of a teacher that has another one make its calls; what it does not say itself, the other one does.

    A subclass adds :meth:`Teacher.complete`.
    """

    def __init__(self, teacher: Teacher) -> None:
        self._teacher = teacher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._teacher, name)

    @property
    def model(self) -> str:
        """The other teacher's."""
        return self._teacher.model

    @property
    def api(self) -> Api:
        """The other teacher's."""
        return self._teacher.api

    @property
    def slots(self) -> int:
        """The other teacher's."""
        return self._teacher.slots


class HttpReply(msgspec.Struct, gc=False):
    """A whole HTTP reply; the header mapping ignores case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Backend(Protocol):
    """One attempt on one wire: the only place that knows the HTTP library."""

    async def send(
        self, method: str, url: str, body: bytes | None, *, headers: Mapping[str, str], timeout: float
    ) -> HttpReply:
        """Send one request and read the whole reply within ``timeout`` seconds.

        Raises:
            ConnectFailed: no connection, or it broke.
            AttemptTimeout: the time was over.
        """

    async def aclose(self) -> None:
        """Close all connections."""


class BlockConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every block's ``Config``: the keys that the block takes in a pipeline file."""


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What a block does to columns, as far as it is known before any record comes.

    Attributes:
        reads: columns that each record must have.
        adds: columns that every result has, in order, overwritten ones included.
        drops: columns that no result has.
        fresh: columns that a record must not have yet.
        moves: old and new names of columns whose values every result has unchanged under the new one.
        one_to_one: every record that does not end as a reject gives exactly one result.
    """

    reads: frozenset[str] = frozenset()
    adds: tuple[str, ...] = ()
    drops: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    moves: dict[str, str] = {}
    one_to_one: bool = False


class Context:
    """The little of its surroundings that a block may reach.

    Attributes:
        name: the block's name in the pipeline file.
        depth: its position in the pipeline, from 0.
        base_dir: folder of the pipeline file.
        files: finds the files that the pipeline may name, and keeps track of them.
        settings: what the caller decided.
        teacher: None while a pipeline is only checked.
        unparsed_replies: the block counts here the replies in which it found nothing,
        cut_replies: those that ended at ``max_tokens``,
        filtered_replies: those that the server's content filter ended,
        parse_retries: and the replies that it asked for again because it found nothing in the first ones.
    """

    def __init__(
        self,
        name: str,
        *,
        base_dir: FilePath | None = None,
        files: PipelineFiles | None = None,
        depth: int = 0,
        settings: Settings | None = None,
        teacher: Teacher | None = None,
        resolve: Callable[[str], type[Block[Any]]] | None = None,
        notice: Callable[[str, str], None] | None = None,
    ) -> None:
        self.name = name
        self.depth = depth
        self.base_dir = base_dir or FilePath()
        self.files = files or PipelineFiles(self.base_dir)
        self.settings = settings or Settings()
        self.teacher = teacher
        self.unparsed_replies = self.cut_replies = self.filtered_replies = self.parse_retries = 0
        self._resolve = resolve
        self._notice = notice

    def find(self, path: str) -> FilePath:
        """The file that a path in the block's config names; a ConfigError if it may not name it."""
        return self.files.find(path)

    def resolve(self, block_type: str) -> type[Block[Any]]:
        """The block class of a type name, for blocks that run other blocks.

        Raises:
            ConfigError: nothing has that name.
        """
        if self._resolve is None:
            raise LookupError(f"no catalog to look up the block type {block_type!r} in")
        return self._resolve(block_type)

    def warn(self, code: str, message: str, *, of_run: bool = False) -> None:
        """Tell the user something that stops nothing; ``code`` is a stable word for it.

        ``of_run`` says that it is not about this block: of several blocks that tell the same, one is heard.
        """
        if self._notice is not None:
            self._notice(code, message if of_run else f"{self.name}: {message}")


C = TypeVar("C", bound=BlockConfig)


class Block(ABC, Generic[C]):
    """Base of the three kinds. Constructed before the first call: config mistakes raise ConfigError here.

    A block object belongs to one run. Columns handed to it are its own: it may change and return them.
    """

    Config: ClassVar[type[BlockConfig]] = BlockConfig

    def __init__(self, config: C, context: Context) -> None:
        self.config = config
        self.context = context

    @classmethod
    def decode(
        cls, document: Document, path: str, data: Any, problems: list[Problem], context: Context
    ) -> BlockConfig | None:
        """The ``config`` mapping of a pipeline file as this block's struct, mistakes listed."""
        del context  # only blocks that run other blocks need it
        return decode_struct(document, path, data, cls.Config, problems)

    @classmethod
    def create(cls, config: C, context: Context) -> Block[Any]:
        """The block to run for a config; one that runs other blocks gives one of their kind."""
        return cls(config, context)

    @property
    def flow(self) -> Flow | None:
        """What the block does to columns; None if it cannot be known before it runs."""
        return None


class RowBlock(Block[C]):
    """Plain code on one record."""

    @abstractmethod
    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The results for one record, in order; none filters it. Must not block (it runs on the loop)."""


class AsyncBlock(Block[C]):
    """Waits for something for one record. One that never asks the teacher sets ``uses_teacher`` to False."""

    uses_teacher: bool = True

    @abstractmethod
    async def apply(self, record: Record) -> Sequence[Columns]:
        """The results for one record, in order."""


class GroupBlock(Block[C]):
    """Needs all records that reach it; they come in root order, then path order."""

    @abstractmethod
    def apply(self, records: list[Record]) -> Iterable[Record]:
        """The results. Each is one of the records, or a :meth:`~sdg_stream.record.Record.fork` of one."""


SourceItem: TypeAlias = Columns | RecordError
"""An input row: its columns, or why it is not one. Either way it is a root."""


class FinishedRoot(msgspec.Struct, gc=False):
    """A root that comes with its rows: no block sees it. Without rows it counts as filtered."""

    rows: list[Columns]


P = TypeVar("P")


class Source(Protocol):
    """Where roots come from."""

    @property
    def name(self) -> str:
        """The file's path, or what it is."""

    async def read(self) -> Sequence[SourceItem | FinishedRoot]:
        """The next few rows, in order; empty at the end.

        Raises:
            ConfigError: the input cannot be read.
        """

    async def aclose(self) -> None:
        """Give up what is held open."""


class Sink(Protocol[P]):
    """Where accepted rows go. ``P`` is what a row looks like once the sink has prepared it."""

    @property
    def name(self) -> str:
        """The file's path, or what it is."""

    def prepare(self, columns: Columns) -> P:
        """Make a row ready to be written, without writing.

        Raises:
            RecordError: the row cannot be written in this format.
        """

    async def put(self, rows: Sequence[P]) -> None:
        """Take the rows of one settled root; they are written together or not at all.

        Raises:
            OutputError: they cannot be written; the run ends.
        """

    async def flush(self) -> None:
        """Hand everything that was put to the operating system; called soon after something was put."""

    async def sync(self) -> None:
        """Bring everything that was put to the disk; called within about a second, and at the end."""

    async def aclose(self) -> None:
        """Write what is held and close."""
