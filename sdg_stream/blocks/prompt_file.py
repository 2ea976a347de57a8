"""A prompt file: five parts that make a template, and the tags that its replies are read by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..abc import Context
from ..config.decode import nearest
from ..config.yaml import Document, load_yaml
from ..errors import ConfigError, Problem
from ..prompts.assembly import PARTS, assemble, missing_parts, part_at
from ..prompts.template import Template, TemplateMistake, compile_template

__all__ = ["PromptFile", "load_prompt"]

Tags = tuple[str | None, ...]


class PromptFile:
    """A prompt file that has been read.

    Attributes:
        document: the file, to place mistakes in it.
        template: what is rendered for each record.
        start_tags: begin of each column's value in a reply.
        end_tags: their ends; pairs are made by position.
    """

    __slots__ = ("document", "end_tags", "start_tags", "template")

    def __init__(self, document: Document, template: Template, start_tags: Tags, end_tags: Tags) -> None:
        self.document = document
        self.template = template
        self.start_tags = start_tags
        self.end_tags = end_tags

    @property
    def tags(self) -> tuple[tuple[str | None, str | None], ...]:
        """The pairs of start and end tag."""
        return tuple(zip(self.start_tags, self.end_tags, strict=False))


def load_prompt(path: str, context: Context) -> PromptFile:
    """Read the prompt file that a block's config names; a missing part counts as empty, with a warning.

    Raises:
        ConfigError: the file cannot be read, its template is broken, or its tags are not lists of text.
    """
    document = load_yaml(context.find(path))
    config = document.data
    if not isinstance(config, dict):
        raise ConfigError(
            document.problem("$", "a prompt file is a mapping with the keys " + ", ".join(PARTS))
        )
    missing = missing_parts(config)
    if len(missing) == len(PARTS):
        raise ConfigError(document.problem("$", "a prompt file needs at least one of " + ", ".join(PARTS)))
    problems: list[Problem] = []
    start_tags = _tags(document, "start_tags", problems)
    end_tags = _tags(document, "end_tags", problems)
    template = _template(document, problems)
    if template is None or problems:
        raise ConfigError(problems)
    for part in missing:
        context.warn(
            "prompt_part_missing", f"{document.file}: no {part!r}, taken as empty{_hint(part, config)}"
        )
    if len(start_tags) != len(end_tags):
        counts = f"{len(start_tags)} start_tags and {len(end_tags)} end_tags"
        context.warn("tags_uneven", f"{document.file}: {counts}; those without a partner are not used")
    return PromptFile(document, template, start_tags, end_tags)


def _tags(document: Document, key: str, problems: list[Problem]) -> Tags:
    tags = document.data.get(key)
    if tags is None:
        return ()
    if not isinstance(tags, list):
        problems.append(document.problem(f"$.{key}", "expected a list of texts"))
        return ()
    for number, tag in enumerate(tags):
        if tag is not None and not isinstance(tag, str):
            problems.append(document.problem(f"$.{key}[{number}]", "a tag is text, or null; quote it"))
    return tuple(tags)


def _template(document: Document, problems: list[Problem]) -> Template | None:
    try:
        return compile_template(assemble(document.data))
    except TemplateMistake as mistake:
        part, line = part_at(document.data, mistake.line)
        problems.append(document.problem(f"$.{part}", f"line {line} of this part: {mistake}"))
        return None


def _hint(part: str, config: dict[Any, Any]) -> str:
    others: Sequence[str] = [str(key) for key in config if key not in PARTS]
    close = nearest(part, others)
    return f"; is {close!r} a misspelling of it?" if close else ""
