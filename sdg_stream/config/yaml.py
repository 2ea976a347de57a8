"""YAML with places: plain data, plus the line of every value, so that a mistake can say where it is.

Limits hold before anything is built from the text: size, nesting depth, and how far aliases may blow it up.
Duplicate keys are mistakes, since YAML loaders silently keep one of the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ..errors import ConfigError, Problem

__all__ = ["Document", "load_yaml", "parse_yaml"]

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 1_000_000  # after aliases are followed

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document:
    """A parsed YAML document: ``data`` and the line of each value by its path (``$.blocks[3].config``)."""

    def __init__(self, file: str, data: Any, lines: dict[str, int]) -> None:
        self.file = file
        self.data = data
        self._lines = lines

    def line(self, path: str) -> int:
        """Line of the value at ``path``, or of the nearest enclosing value that exists; 0 if unknown."""
        while path and path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["))] if path != "$" else ""
        return self._lines.get(path, 0)

    def problem(self, path: str, message: str) -> Problem:
        """A mistake at ``path`` of this document."""
        return Problem(file=self.file, line=self.line(path), path=path, message=message)


def load_yaml(file: Path) -> Document:
    """Read and parse a YAML file.

    Raises:
        ConfigError: the file cannot be read, is too large, or is not sound YAML.
    """
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(Problem(file=str(file), message=f"larger than {MAX_BYTES} bytes"))
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file=str(file), message=f"not UTF-8 text (byte {error.start})")) from error
    return parse_yaml(text, str(file))


def parse_yaml(text: str, file: str = "<text>") -> Document:
    """Parse YAML text; see :func:`load_yaml` for what is refused."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            walk = _Walk(file)
            if root is not None:
                walk.visit(root, "$", 0)
            if walk.problems:
                raise ConfigError(walk.problems)
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(
            Problem(file=file, line=mark.line + 1 if mark else 0, message=f"not valid YAML: {words}")
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(Problem(file=file, message=f"not valid YAML: {error}")) from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(Problem(file=file, message=f"not valid YAML: {error}")) from error
    return Document(file, data, walk.lines)


class _Walk:
    """Visits the node graph once per place it appears in: lines, depth, duplicate keys, alias blow-up."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.values = 0

    def visit(self, node: Any, path: str, depth: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise ConfigError(Problem(file=self.file, message="aliases expand to too many values"))
        if depth > MAX_DEPTH:
            line = node.start_mark.line + 1
            raise ConfigError(Problem(file=self.file, line=line, message=f"nested deeper than {MAX_DEPTH}"))
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.visit(child, f"{path}[{index}]", depth + 1)
        elif isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path, depth)

    def _visit_mapping(self, node: Any, path: str, depth: int) -> None:
        seen: set[str] = set()
        for key, child in node.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen and name != "<<":
                self.problems.append(
                    Problem(
                        file=self.file,
                        line=key.start_mark.line + 1,
                        path=path,
                        message=f"the key {name!r} stands here twice",
                    )
                )
            seen.add(name)
            self.visit(child, f"{path}.{name}", depth + 1)
            self.lines[f"{path}.{name}"] = key.start_mark.line + 1
