"""From qna.yaml files to leaf nodes: everything that is wrong in any of them is found before one is used.

A file is looked at as upstream does it: the version that it names chooses the schema, files of version 2 and
later are linted too, and a file with any complaint gives nothing. The package's limits on YAML hold first.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from ..config.yaml import MAX_BYTES, Document, parse_yaml
from ..errors import ConfigError, Problem
from .files import EMPTY, FOLDERS, NAME, find_files
from .leaf import (
    DocumentSource,
    KnowledgeLeaf,
    KnowledgeSeed,
    LeafNode,
    SkillKind,
    SkillLeaf,
    SkillSeed,
    Taxonomy,
)
from .lint import lint, load_rules
from .naming import name_apart
from .schema import complaints, version_of
from .sources import vet

__all__ = ["read_taxonomy"]


def read_taxonomy(
    taxonomy: Path, base: str = EMPTY, *, yaml_rules: Path | None = None, local_repos: bool = False
) -> Taxonomy:
    """Read the leaf nodes of a taxonomy; blocks, so it is for a worker thread.

    Args:
        taxonomy: a folder, or one qna.yaml file.
        base: ``empty`` for all files, or a git ref: then those that have changed since. Not used for a file.
        yaml_rules: a yamllint configuration to use instead of the default.
        local_repos: documents may come from repositories on this machine.

    Raises:
        ConfigError: with everything that is wrong in all files; nothing was fetched then.
    """
    rules = load_rules(yaml_rules)
    problems: list[Problem] = []
    if taxonomy.is_dir() or not os.path.lexists(taxonomy):
        names, warnings = find_files(taxonomy, base)
        files = [(taxonomy / name, name) for name in names]
    else:
        files, warnings = [(taxonomy, taxonomy.absolute().as_posix())], []
    leaves: list[LeafNode] = []
    for file, name in files:
        reader = _Reader(file, _leaf_path(name), rules, local_repos=local_repos)
        leaves += reader.read()
        problems += reader.problems
        warnings += reader.warnings
    if problems:
        error = ConfigError(problems)
        for warning in warnings:
            error.add_note(f"warning: {warning}")
        raise error
    leaves, renamed = name_apart(leaves)
    return Taxonomy(tuple(leaves), (*warnings, *renamed))


def _leaf_path(name: str) -> tuple[str, ...]:
    """The folders of a qna.yaml from the innermost top folder down; of one outside of a taxonomy its own."""
    parts = name.split("/")[:-1]
    starts = [place for place, part in enumerate(parts) if part in FOLDERS]
    return tuple(parts[starts[-1] :] if starts else parts[-1:])


class _Reader:
    """One file: its leaf nodes, or what is wrong with it."""

    def __init__(self, file: Path, path: tuple[str, ...], rules: Any, *, local_repos: bool) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self._file = file
        self._path = path
        self._rules = rules
        self._local_repos = local_repos

    def read(self) -> list[LeafNode]:
        """None if anything is wrong; two where some seeds have a context and some have none."""
        try:
            _check_name(self._file)
            text = _text_of(self._file)
            document = parse_yaml(text, str(self._file))
        except ConfigError as error:
            self.problems += error.problems
            return []
        if not document.data:
            self.warnings.append(Problem(file=str(self._file), message="is empty"))
            return []
        if not isinstance(document.data, dict):
            self.problems.append(document.problem("$", "must be a mapping of keys to values"))
            return []
        self._check(text, document)
        return [] if self.problems else self._leaves(document)

    def _check(self, text: str, document: Document) -> None:
        folder = self._path[0] if self._path else ""
        if folder not in FOLDERS:
            folder = "knowledge" if "document" in document.data else "compositional_skills"
        version = version_of(document.data)
        if version > 1:
            self.problems += lint(text, str(self._file), self._rules)
        self.problems += sorted(complaints(document, folder, version), key=lambda found: found.line)

    def _leaves(self, document: Document) -> list[LeafNode]:
        contents = document.data
        name = "_".join(self._path).lstrip(".") or "leaf_node"
        shared: dict[str, Any] = {"name": name, "path": self._path, "file": str(self._file)}
        if "document" not in contents:
            seeds = msgspec.convert(contents["seed_examples"], tuple[SkillSeed, ...])
            return list(_skills(seeds, task_description=contents.get("task_description", ""), **shared))
        source = msgspec.convert(contents["document"], DocumentSource)
        self.problems += (
            document.problem(f"$.document.{key}", words)
            for key, words in vet(source, local_repos=self._local_repos)
        )
        leaf = KnowledgeLeaf(
            **shared,
            line=document.line("$.document"),
            domain=contents["domain"],
            document_outline=contents["document_outline"],
            source=source,
            seeds=msgspec.convert(contents["seed_examples"], tuple[KnowledgeSeed, ...]),
        )
        return [] if self.problems else [leaf]


def _skills(seeds: tuple[SkillSeed, ...], *, name: str, **shared: Any) -> list[SkillLeaf]:
    """A leaf node for each kind of seed; their names tell which it is if there are both."""
    grounded = tuple(seed for seed in seeds if seed.context)
    freeform = tuple(seed for seed in seeds if not seed.context)
    both = bool(grounded and freeform)
    parts: tuple[tuple[SkillKind, tuple[SkillSeed, ...]], ...] = (
        ("grounded_skill", grounded),
        ("freeform_skill", freeform),
    )
    return [
        SkillLeaf(name=f"{name}_{kind}" if both else name, kind=kind, seeds=part, **shared)
        for kind, part in parts
        if part
    ]


def _check_name(file: Path) -> None:
    """Raise a ConfigError if a file has not the name that it must have, or its path is no text."""
    if file.name != NAME:
        raise ConfigError(Problem(file=str(file), message=f"leaf nodes are in files named {NAME}"))
    try:
        str(file).encode()
    except UnicodeEncodeError:
        shown = str(file).encode("utf-8", "replace").decode()
        raise ConfigError(Problem(file=shown, message="its path is not UTF-8")) from None


def _text_of(file: Path) -> str:
    """The text of a qna.yaml, with line feeds only.

    Raises:
        ConfigError: it is no regular file, too large, or no text.
    """
    try:
        if not file.is_file():
            raise ConfigError(Problem(file=str(file), message="is no regular file"))
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(Problem(file=str(file), message=f"larger than {MAX_BYTES} bytes"))
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise ConfigError(Problem(file=str(file), message=f"cannot be read: {error.strerror}")) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(file=str(file), message=f"not UTF-8 text (byte {error.start})")) from error
