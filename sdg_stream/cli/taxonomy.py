"""``taxonomy``: check a taxonomy, list what has changed in it, write the samples of its leaf nodes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .options import CONTEXT, Command, FilePath, chunk_options, settings_option, taxonomy_options

if TYPE_CHECKING:
    from ..errors import Problem
    from ..taxonomy.chunkers import ChunkerKind
    from ..taxonomy.clones import Fetcher
    from ..taxonomy.leaf import LeafNode, Taxonomy
    from ..taxonomy.preprocess import Preprocessed

__all__ = ["taxonomy"]

F = TypeVar("F", bound=Callable[..., Any])

_BASE_HELP = "Only what has changed since this git branch, tag or commit; 'empty' means everything."


@click.group()
def taxonomy() -> None:
    """Check a taxonomy, list what has changed in it, write the samples of its leaf nodes.

    A TAXONOMY is a folder with qna.yaml files below compositional_skills and knowledge, or one such file.
    """


def _reading_options(function: F) -> F:
    """How a taxonomy is read."""
    options = (
        click.argument("folder", metavar="TAXONOMY", type=FilePath),
        click.option("--base", default="empty", metavar="REF", help=_BASE_HELP),
        taxonomy_options,
        settings_option,
    )
    for option in reversed(options):
        function = option(function)
    return function


@taxonomy.command(
    cls=Command, context_settings=CONTEXT, short_help="List what is wrong, or else the leaf nodes."
)
@_reading_options
@click.option("--documents", is_flag=True, help="Also fetch all documents and read them.")
@click.option("--json", "as_json", is_flag=True, help="The result as one JSON document.")
def check(documents: bool, as_json: bool, **options: Any) -> None:
    """List everything that is wrong with the qna.yaml files of TAXONOMY; if nothing is, its leaf nodes."""
    from ..errors import ConfigError
    from ..observe.text import clean, plural

    try:
        found = _read(**options)
        if documents:
            _warn(_look_at_documents(found, _fetcher(**options)))
    except ConfigError as error:
        if as_json:
            _print_json((), error.problems)
            raise click.exceptions.Exit(error.exit_code) from None
        raise
    if as_json:
        _print_json(found.leaf_nodes, ())
        return
    click.echo(clean(f"OK: {options['folder']}, {plural(len(found.leaf_nodes), 'leaf node')}"))
    for line in _table(found.leaf_nodes):
        click.echo(line)


@taxonomy.command(cls=Command, context_settings=CONTEXT, short_help="List what has changed.")
@click.argument("folder", metavar="TAXONOMY", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--base", default="origin/main", metavar="REF", help=_BASE_HELP)
@settings_option
def diff(folder: Path, base: str) -> None:
    """List the leaf nodes of TAXONOMY that have changed, one qna.yaml a line; none is read."""
    from ..observe.text import one_line
    from ..taxonomy.files import find_files

    names, passed_over = find_files(folder, base)
    _warn(passed_over)
    for name in names:
        click.echo(one_line(name))


@taxonomy.command(cls=Command, context_settings=CONTEXT, short_help="Write samples as JSONL.")
@_reading_options
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("datasets"),
    metavar="DIR",
    help="Where the folder preprocessed_DATE is made.",
)
@chunk_options
def samples(
    output_dir: Path,
    chunker: ChunkerKind,
    docling_models: Path | None,
    chunk_tokens: int,
    tokenizer: Path | None,
    **options: Any,
) -> None:
    """Write the samples of each leaf node of TAXONOMY to a JSONL file: what the pipelines take as input."""
    from contextlib import aclosing

    from ..config.data_dirs import data_dirs
    from ..errors import ConfigError
    from ..generation.dated_suffix import dated_suffix
    from ..observe.text import one_line, plural
    from ..taxonomy.chunkers import make_chunker
    from ..taxonomy.preprocess import preprocess
    from .signals import run_until_signal

    places = data_dirs(os.environ, Path.home())
    cutter = make_chunker(chunker, tokenizer, chunk_tokens, docling_models=docling_models, data_dirs=places)
    found = _read(**options)
    if not found.leaf_nodes:
        raise ConfigError(f"{options['folder']}: no leaf node has changed since {options['base']!r}")
    folder = output_dir / f"preprocessed_{dated_suffix()}"

    async def write() -> Preprocessed:
        async with aclosing(cutter):
            return await preprocess(found, folder, _fetcher(**options), cutter)

    written = run_until_signal(write, _say)
    _warn(written.warnings)
    if any(leaf.kind == "knowledge" for leaf in found.leaf_nodes):
        _say(f"documents cut by: {cutter.name}")
    total = sum(written.rows.values())
    leaves = plural(len(written.rows), "leaf node")
    click.echo(one_line(f"{plural(total, 'sample')} of {leaves} in {folder}"))


def _read(folder: Path, base: str, yaml_rules: Path | None, allow_local_repos: bool, **_: Any) -> Taxonomy:
    from ..errors import ConfigError
    from ..taxonomy.reading import read_taxonomy

    found = read_taxonomy(folder, base, yaml_rules=yaml_rules, local_repos=allow_local_repos)
    _warn(found.warnings)
    if base == "empty" and not found.leaf_nodes:
        raise ConfigError(
            f"{folder}: no leaf nodes: there is no qna.yaml below compositional_skills or knowledge"
        )
    return found


def _fetcher(documents_cache: Path | None, allow_local_repos: bool, **_: Any) -> Fetcher:
    from ..taxonomy.clones import Fetcher
    from .documents_cache import documents_cache as cache_folder

    return Fetcher(cache_folder(documents_cache), local_repos=allow_local_repos)


def _look_at_documents(found: Taxonomy, fetcher: Fetcher) -> Sequence[Problem]:
    from tempfile import TemporaryDirectory

    from ..taxonomy.preprocess import check_documents
    from .signals import run_until_signal

    with TemporaryDirectory() as folder:
        return run_until_signal(lambda: check_documents(found, fetcher, Path(folder)), _say)


def _table(leaves: Sequence[LeafNode]) -> list[str]:
    """A line for each leaf node: its name, kind, number of seeds, and documents."""
    from ..observe.text import aligned, one_line
    from ..taxonomy.leaf import KnowledgeLeaf

    rows = []
    for leaf in leaves:
        source = leaf.source if isinstance(leaf, KnowledgeLeaf) else None
        place = f"{' '.join(source.patterns)} of {source.repo} at {source.commit[:12]}" if source else ""
        rows.append([one_line(leaf.name), leaf.kind, f"{len(leaf.seeds)} seeds", one_line(place)])
    return aligned(rows, left=frozenset({0, 1, 3}))


def _print_json(leaves: Sequence[LeafNode], problems: Sequence[Problem]) -> None:
    import json

    import msgspec

    nodes = [
        {"name": leaf.name, "kind": leaf.kind, "file": leaf.file, "seeds": len(leaf.seeds)} for leaf in leaves
    ]
    result = {"ok": not problems, "problems": msgspec.to_builtins(problems), "leaf_nodes": nodes}
    click.echo(json.dumps(result))  # ASCII: nothing that a terminal would act on


def _warn(problems: Sequence[Problem]) -> None:
    for problem in problems:
        _say(f"warning: {problem}")


def _say(words: str) -> None:
    from ..observe.text import clean

    click.echo(clean(words), err=True)
