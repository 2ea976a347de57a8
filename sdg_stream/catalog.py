"""Names to things: block types, and the pipelines that ship with the package.

Values are import strings, so nothing is imported before it is used, and nothing registers itself by being
imported. A new built-in block is one file and one line here.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .abc import Block
from .config.decode import nearest
from .errors import ConfigError

__all__ = ["BLOCKS", "find_pipeline", "list_pipelines", "pipelines_dir", "resolve_block"]

BLOCKS = {
    "CombineColumnsBlock": "sdg_stream.blocks.combine_columns_block:CombineColumnsBlock",
    "ConditionalLLMBlock": "sdg_stream.blocks.conditional_llm_block:ConditionalLLMBlock",
    "DuplicateColumnsBlock": "sdg_stream.blocks.duplicate_columns_block:DuplicateColumnsBlock",
    "FilterByValueBlock": "sdg_stream.blocks.filter_by_value_block:FilterByValueBlock",
    "FlattenColumnsBlock": "sdg_stream.blocks.flatten_columns_block:FlattenColumnsBlock",
    "IterBlock": "sdg_stream.blocks.iter_block:IterBlock",
    "LLMBlock": "sdg_stream.blocks.llm_block:LLMBlock",
    "LLMLogProbBlock": "sdg_stream.blocks.llm_logprob_block:LLMLogProbBlock",
    "LLMMessagesBlock": "sdg_stream.blocks.llm_messages_block:LLMMessagesBlock",
    "RenameColumnsBlock": "sdg_stream.blocks.rename_columns_block:RenameColumnsBlock",
    "SamplePopulatorBlock": "sdg_stream.blocks.sample_populator_block:SamplePopulatorBlock",
    "SelectorBlock": "sdg_stream.blocks.selector_block:SelectorBlock",
    "SetToMajorityValueBlock": "sdg_stream.blocks.set_to_majority_value_block:SetToMajorityValueBlock",
}

ENTRY_POINTS = "sdg_stream.blocks"


def resolve_block(name: str, plugins: Sequence[Path] = ()) -> type[Block[Any]]:
    """The block class of a ``type`` in a pipeline file.

    A name is looked for among the built-in blocks, then among the entry points of installed packages. A name
    like ``module:Class`` is imported from the ``plugins`` folders, and from nowhere else: a pipeline file is
    data, and data must not choose what code runs.

    Raises:
        ConfigError: nothing has that name, or it is no block.
    """
    if name in BLOCKS:
        return _block_class(_import(BLOCKS[name]), name)
    module_name, colon, attribute = name.partition(":")
    if colon:
        module = _plugin_module(module_name, tuple(plugins))
        if not hasattr(module, attribute):
            raise ConfigError(f"{module.__file__} has no {attribute!r}")
        return _block_class(getattr(module, attribute), name)
    installed = _entry_points()
    if name in installed:
        return _block_class(installed[name].load(), name)
    close = nearest(name, [*BLOCKS, *installed])
    hint = f"did you mean {close!r}?" if close else f"known types: {', '.join(sorted([*BLOCKS, *installed]))}"
    raise ConfigError(f"unknown block type {name!r}; {hint}")


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _block_class(found: Any, name: str) -> type[Block[Any]]:
    if not (isinstance(found, type) and issubclass(found, Block)):
        raise ConfigError(f"{name!r} is not a subclass of RowBlock, AsyncBlock or GroupBlock")
    return found


@cache
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}


@cache
def _plugin_module(name: str, folders: tuple[Path, ...]) -> ModuleType:
    """Load ``name`` (a file or package, dots for folders) from the first folder that has it."""
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):  # a slash would lead out of the folders
        raise ConfigError(f"{name!r} is no name of a module; a block type looks like module:Class")
    relative = Path(*parts)
    for folder in folders:
        for file in (folder / relative.with_suffix(".py"), folder / relative / "__init__.py"):
            if not file.is_file():
                continue
            spec = importlib.util.spec_from_file_location(name, file)
            if spec is None or spec.loader is None:
                continue
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(name, module)  # pickling and msgspec look classes up by module name
            spec.loader.exec_module(module)
            return module
    where = ", ".join(str(folder) for folder in folders)
    hint = f"not in {where}" if where else "allow its folder with --plugins DIR (in Python: plugins=[DIR])"
    raise ConfigError(f"no module {name!r} for block types: {hint}")


# ---------------------------------------------------------------- shipped pipelines


@cache
def pipelines_dir() -> Path:
    """The folder of the shipped pipelines: inside an installed package, beside it in a checkout."""
    here = Path(__file__).resolve().parent
    inside = here / "pipelines"
    return inside if inside.is_dir() else here.parent / "pipelines"


def list_pipelines() -> list[str]:
    """The names of the shipped pipelines: ``full/knowledge`` and so on, examples included."""
    root = pipelines_dir()
    files = [file.relative_to(root) for file in root.glob("*/*.yaml")]
    return sorted(file.with_suffix("").as_posix() for file in files)


def find_pipeline(name: str | Path) -> Path:
    """The file of a pipeline: a path, or the name of a shipped one (with or without ``.yaml``).

    A path from the working directory wins over a shipped name. Upstream's spelling of shipped files,
    ``pipelines/full/knowledge.yaml``, is a name too.

    Raises:
        ConfigError: there is neither.
    """
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if not path.is_absolute():
        text = path.as_posix().removeprefix("pipelines/").removesuffix(".yaml")
        shipped = pipelines_dir() / f"{text}.yaml"
        if ".." not in path.parts and shipped.is_file():
            return shipped
    if path.is_dir():
        raise ConfigError(f"{name} is a folder; name one of the pipeline files in it")
    close = nearest(str(name), list_pipelines())
    hint = f"did you mean {close!r}?" if close else f"shipped: {', '.join(list_pipelines())}"
    raise ConfigError(f"there is no pipeline {str(name)!r}, as a file or by name; {hint}")
