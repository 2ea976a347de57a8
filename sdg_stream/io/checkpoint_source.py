"""An input some of whose rows are finished already: upstream made them, and left a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from anyio import to_thread

from ..abc import FinishedRoot, Source, SourceItem
from ..record import Columns
from .upstream_checkpoints import UpstreamCheckpoints, digest_of, plural

__all__ = ["CheckpointSource"]


class CheckpointSource:
    """Implements :class:`~sdg_stream.abc.Source` over another one, and a folder of checkpoint files.

    Each input row is looked up in the order of the input, also where earlier sessions have settled it: of
    equal ones the first gets the rows. So nothing is ever skipped here.

    Args:
        source: the input rows.
        folder: of the checkpoint files.
        follow: where finished rows have the values of these input columns, by column; None if that is not
            known.
        weaknesses: what else is to be told before the first row is read.
        tell: told of what a person should know, as a stable word and a sentence; ``import_torn`` and
            ``import_unused`` are warnings.
    """

    def __init__(
        self,
        source: Source,
        folder: Path,
        *,
        follow: Callable[[Iterable[str]], dict[str, str] | None] = lambda _: None,
        weaknesses: Sequence[str] = (),
        tell: Callable[[str, str], None] = lambda _code, _words: None,
    ) -> None:
        self._source = source
        self._folder = folder
        self._follow = follow
        self._weaknesses = tuple(weaknesses)
        self._tell = tell
        self._checkpoints: UpstreamCheckpoints | None = None

    @property
    def name(self) -> str:
        """The input's."""
        return self._source.name

    @property
    def position(self) -> int | None:
        """The input's, if it has one."""
        return getattr(self._source, "position", None)

    @property
    def size(self) -> int | None:
        """The input's, if it has one."""
        return getattr(self._source, "size", None)

    async def digest(self) -> str:
        """What the folder holds, in words.

        Raises:
            ConfigError: it is missing or empty, or a file cannot be read.
        """
        return await to_thread.run_sync(digest_of, self._folder)

    async def load(self, columns: Iterable[str]) -> None:
        """Read the folder, knowing the columns of the input. At the first :meth:`read` if not before.

        Raises:
            ConfigError, OutputError: see :meth:`UpstreamCheckpoints.load`.
        """
        names = set(columns)
        kept = self._follow(names)
        moved = {name: now for name, now in (kept or {}).items() if name != now}
        written = None if kept is None else names - kept.keys()
        load = partial(UpstreamCheckpoints.load, self._folder, names, carried=moved, written=written)
        self._checkpoints = await to_thread.run_sync(load)
        for words in self._checkpoints.warnings:
            self._tell("import_torn", words)
        for words in (*self._checkpoints.weaknesses, *self._weaknesses):
            self._tell("import_weakness", words)

    async def read(self) -> Sequence[SourceItem | FinishedRoot]:
        """The next input rows; those that have rows in the checkpoint come with them.

        Raises:
            ConfigError: a file of the checkpoint has changed; or as :meth:`load` and the input.
        """
        items = await self._source.read()
        if not items:
            self._tell_of_the_end()
            return items
        if self._checkpoints is None:
            first = next((item for item in items if isinstance(item, dict)), None)
            if first is None:
                return items
            await self.load(first)
        return await to_thread.run_sync(self._look_up, items)

    async def aclose(self) -> None:
        """Close the input, and remove what was made of the checkpoint."""
        if self._checkpoints is not None:
            self._checkpoints.close()
        await self._source.aclose()

    def _look_up(self, items: Sequence[SourceItem | FinishedRoot]) -> list[SourceItem | FinishedRoot]:
        return [self._found(item) if isinstance(item, dict) else item for item in items]

    def _found(self, columns: Columns) -> Columns | FinishedRoot:
        rows = None if self._checkpoints is None else self._checkpoints.rows_of(columns)
        return columns if rows is None else FinishedRoot(rows)

    def _tell_of_the_end(self) -> None:
        """What is known when all of the input has been looked up."""
        checkpoints = self._checkpoints
        if checkpoints is None:
            return
        if checkpoints.repeated:
            self._tell(
                "import_repeated",
                f"{plural(checkpoints.repeated, 'input row')} equal to one before that got its rows from"
                f" {self._folder}: done without rows of its own, counted as filtered",
            )
        unused = checkpoints.unused()
        if unused:
            columns = ", ".join(checkpoints.overwritten)
            why = f": the pipeline writes to {columns}, by which rows are recognised" if columns else ""
            words = f"{plural(unused, 'row')} of {self._folder} left out, which belong to no input row{why}"
            self._tell("import_unused", words)
