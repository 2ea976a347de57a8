"""``pipelines``: list, show and copy what is shipped; the JSON schema of pipeline files for editors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

__all__ = ["pipelines"]


@click.group(invoke_without_command=True)
@click.pass_context
def pipelines(ctx: click.Context) -> None:
    """List, show and copy the shipped pipelines; print the JSON schema of pipeline files."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_)


@pipelines.command("list")
def list_() -> None:
    """List the shipped pipelines: what `run`, `check` and `plan` take as a name."""
    from ..catalog import list_pipelines

    for name in list_pipelines():
        click.echo(name)


@pipelines.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the file of the shipped pipeline NAME."""
    from ..catalog import find_pipeline
    from ..observe.text import clean

    click.echo(clean(find_pipeline(name).read_text(encoding="utf-8")), nl=False)


@pipelines.command()
@click.argument("name", metavar="NAME|all")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
def copy(name: str, folder: Path, overwrite: bool) -> None:
    """Copy the shipped pipeline NAME, or all, with their prompts, into DIR, to change them there."""
    from ..catalog import pipelines_dir
    from ..observe.text import one_line

    root = pipelines_dir()
    wanted = _files_of(name, root)
    there = [folder / file for file in wanted if (folder / file).exists()]
    if there and not overwrite:
        raise click.UsageError(f"{there[0]} exists already; copy to another folder, or give --overwrite")
    for file in wanted:
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, target)
    start = folder / f"{name}.yaml" if name != "all" else folder
    click.echo(f"{len(wanted)} files copied. Try: sdg-stream check {one_line(str(start))}")


@pipelines.command()
def schema() -> None:
    """Print the JSON schema of pipeline files, for editors: `# yaml-language-server: $schema=FILE`."""
    import json

    from .schema import pipeline_schema

    click.echo(json.dumps(pipeline_schema(), indent=2))


def _files_of(name: str, root: Path) -> list[Path]:
    """What to copy, relative to the folder of the shipped pipelines."""
    from ..catalog import list_pipelines
    from ..config.yaml import load_yaml
    from ..errors import ConfigError

    if name == "all":
        files = (file.relative_to(root) for file in sorted(root.rglob("*")) if file.is_file())
        return [file for file in files if "__pycache__" not in file.parts]
    name = name.removesuffix(".yaml")
    if name not in list_pipelines():
        raise ConfigError(f"no shipped pipeline {name!r}; shipped: all, {', '.join(list_pipelines())}")
    file = root / f"{name}.yaml"
    named = [file]
    for text in _texts(load_yaml(file).data):
        module, colon, _ = text.partition(":")
        named.append(file.parent / (f"{module}.py" if colon else text))
    return sorted({path.resolve().relative_to(root) for path in named if path.is_file()})


def _texts(data: Any) -> Iterator[str]:
    """Every text in a YAML value that may name a file: short, and on one line."""
    if isinstance(data, str) and len(data) < 200 and "\n" not in data:
        yield data
    elif isinstance(data, dict | list):
        for value in data.values() if isinstance(data, dict) else data:
            yield from _texts(value)
