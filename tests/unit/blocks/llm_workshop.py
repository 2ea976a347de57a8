"""Blocks that ask, for tests: prompt files in a folder, and the warnings that were told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml

from sdg_stream.abc import AsyncBlock, Block, Context, Request
from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.prompts.assembly import PARTS
from sdg_stream.record import Columns, Record
from sdg_stream.testing.run_blocks import make_block
from sdg_stream.testing.scripted import ScriptedTeacher


class Workshop:
    """Builds blocks in a folder; ``warnings`` holds what they told, as ``code: message``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warnings: list[str] = []
        self.settings = Settings(model_family="blank")
        self.contexts: list[Context] = []

    def write(self, name: str, config: str | Mapping[str, Any], **tags: Any) -> str:
        """Write a prompt file; a text is its ``generation``. All five parts are there."""
        parts = {"generation": config} if isinstance(config, str) else dict(config)
        content = {**dict.fromkeys(PARTS, ""), **parts, **tags}
        (self.folder / name).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return name

    def context(self, teacher: ScriptedTeacher | None, *, name: str = "ask", **settings: Any) -> Context:
        """What a block sees; ``settings`` replace single ones of the workshop's."""
        context = Context(
            name,
            base_dir=self.folder,
            depth=3,
            settings=msgspec.structs.replace(self.settings, **settings),
            teacher=teacher,
            notice=lambda code, message: self.warnings.append(f"{code}: {message}"),
        )
        self.contexts.append(context)
        return context

    def build(
        self,
        kind: type[Block[Any]],
        config: Mapping[str, Any],
        teacher: ScriptedTeacher | None = None,
        **settings: Any,
    ) -> AsyncBlock[Any]:
        """The block for a ``config`` mapping."""
        block = make_block(kind, config, self.context(teacher, **settings))
        assert isinstance(block, AsyncBlock)
        return block

    def refused(self, kind: type[Block[Any]], config: Mapping[str, Any], **settings: Any) -> str:
        """The message of a config that is refused."""
        with pytest.raises(ConfigError) as caught:
            self.build(kind, config, **settings)
        return str(caught.value)


async def rows_of(block: AsyncBlock[Any], columns: Columns) -> list[Columns]:
    """The rows for one record; the record itself must stay as it is."""
    record = Record(7, dict(columns), (1, 2))
    rows = [dict(row) for row in await block.apply(record)]
    assert record.columns == columns
    return rows


async def reject_of(block: AsyncBlock[Any], columns: Columns) -> RecordError:
    """The error that a record ends with."""
    with pytest.raises(RecordError) as caught:
        await block.apply(Record(7, columns))
    return caught.value


def sent(request: Request) -> dict[str, Any]:
    """A request's parameters without its prompt."""
    body, _, _ = request.shape.head.rpartition(b',"')
    params: dict[str, Any] = orjson.loads(body + b"}")
    return params
