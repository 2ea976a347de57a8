"""YAML with places: plain data, plus the line of every value, so that a mistake can say where it is.

Limits hold before anything is built from the text: size, nesting depth, and how far aliases would blow it up.
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
MAX_VALUES = 50_000  # after aliases are followed
MAX_NUMBER = 1000  # characters of a number

_PlainLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file=str(file), message=f"not UTF-8 text (byte {error.start})")) from error
    if len(data) > MAX_BYTES:
        raise ConfigError(Problem(file=str(file), message=f"larger than {MAX_BYTES} bytes"))
    return parse_yaml(text, str(file))


def parse_yaml(text: str, file: str = "<text>") -> Document:
    """Parse YAML text; see :func:`load_yaml` for what is refused."""
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            walk = _Walk(file)
            if root is not None:
                _measure(root, {})
                walk.visit(root, "$")
            if walk.problems:
                raise ConfigError(walk.problems)
            data = None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        raise ConfigError(_misspelt(file, error)) from error
    except _UnsoundError as error:
        raise ConfigError(Problem(file=file, line=error.line, message=str(error))) from error
    except yaml.YAMLError as error:  # characters that YAML does not allow
        words = " ".join(str(error).split())
        raise ConfigError(Problem(file=file, message=f"not valid YAML: {words}")) from error
    return Document(file, data, walk.lines)


def _misspelt(file: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    words = " ".join(part for part in (error.context, error.problem) if part)
    column = f" (column {mark.column + 1})" if mark else ""
    return Problem(file=file, line=mark.line + 1 if mark else 0, message=f"not valid YAML: {words}{column}")


class _UnsoundError(Exception):
    """A document of which nothing should be built."""

    def __init__(self, message: str, node: Any) -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1 if node is not None else 1


class _Loader(_PlainLoader):  # type: ignore[misc]
    """Stops at the first node that is too much, before the parser overflows its stack; places odd values."""

    depth = 0
    nodes = 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Called by the composer on its way into a node; ``current_node`` is what surrounds it."""
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH + 1:
            raise _UnsoundError(f"nested deeper than {MAX_DEPTH}", current_node)
        if self.nodes > MAX_VALUES:
            raise _UnsoundError(f"more than {MAX_VALUES} values", current_node)
        super().descend_resolver(current_node, current_index)

    def ascend_resolver(self) -> None:
        """Called on the way out."""
        self.depth -= 1
        super().ascend_resolver()

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """A node's value."""
        number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if number and isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_NUMBER:
            raise _UnsoundError(f"a number of {len(node.value)} characters", node)
        try:
            return super().construct_object(node, deep)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _UnsoundError(f"not valid YAML: this is no {kind}: {error}", node) from error


def _measure(node: Any, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """How many values a node stands for, and how deep, with all aliases followed; counted, not followed.

    Raises:
        _UnsoundError: too many, too deep, or without end.
    """
    if not isinstance(node.value, list):
        return 1, 0
    key = id(node)
    if key not in known:
        known[key] = MAX_VALUES, 0  # an alias inside of the node itself
        parts = (
            node.value
            if isinstance(node, yaml.SequenceNode)
            else [part for pair in node.value for part in pair]
        )
        sizes = [_measure(part, known) for part in parts]
        known[key] = 1 + sum(size for size, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)
    size, depth = known[key]
    if size > MAX_VALUES:
        raise _UnsoundError("aliases expand to too many values", node)
    if depth > MAX_DEPTH + 1:
        raise _UnsoundError(f"nested deeper than {MAX_DEPTH}", node)
    return size, depth


class _Walk:
    """Visits the node graph once per place it appears in: lines, and keys that stand twice."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []

    def visit(self, node: Any, path: str) -> None:
        self.lines[path] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.visit(child, f"{path}[{index}]")
        elif isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, path)

    def _visit_mapping(self, node: Any, path: str) -> None:
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
            self.visit(child, f"{path}.{name}")
            self.lines[f"{path}.{name}"] = key.start_mark.line + 1
