"""``report``: what a run directory holds, how it came there, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import CONTEXT, Command

if TYPE_CHECKING:
    from ..state.directory import RunDirectory

__all__ = ["report"]


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("output", required=False, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON document.")
@click.option(
    "--cache-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also, or only, the answers that were kept there.",
)
@click.option(
    "--prune-cache",
    is_flag=True,
    help="Delete the answers that are kept. Rows stay; --edited then has to ask everything again.",
)
def report(output: Path | None, as_json: bool, cache_dir: Path | None, prune_cache: bool) -> None:
    """Show the run of OUTPUT: its sessions, its account, its rejects, and how to go on.

    OUTPUT is the output file of a run, or its run directory. A run that is under way is not disturbed.
    """
    from ..state.reading import directory_of, read_cache, read_run, shared_cache

    if output is None and cache_dir is None:
        raise click.UsageError("which run? Name its OUTPUT, or a --cache-dir")
    directory = None if output is None else directory_of(output)
    shared = None if cache_dir is None else shared_cache(cache_dir)
    if prune_cache:
        _prune(directory, shared, as_json=as_json)
        return
    cache = None if shared is None else read_cache(shared)
    run = None if directory is None else read_run(directory)
    if as_json:
        _print_json({"run": run, "cache_dir": cache})
        return
    from ..observe.run_text import cache_text, run_text

    if run is not None:
        click.echo(run_text(run, cache))
    elif cache is not None:
        click.echo(cache_text(cache))


def _prune(directory: RunDirectory | None, shared: Path | None, *, as_json: bool) -> None:
    from ..observe.text import size
    from ..state.pruning import prune_run, prune_shared

    freed = 0
    if directory is not None:
        freed += prune_run(directory)
    if shared is not None:
        freed += prune_shared(shared)
    if as_json:
        _print_json({"freed_bytes": freed})
        return
    click.echo(
        f"{size(freed)} freed. Rows and account stay as they are. --edited has to ask everything again, and a"
        " run that was stopped what it had asked for pending rows."
    )


def _print_json(document: object) -> None:
    import msgspec

    click.echo(msgspec.json.encode(document).decode())
