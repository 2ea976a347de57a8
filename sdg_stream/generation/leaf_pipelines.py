"""The pipelines of a whole job: one for each type of leaf node, found by one name, and the benchmark's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..catalog import pipelines_dir
from ..config.settings import Settings
from ..errors import ConfigError, Problem
from ..events import Event, EventHook, Notice
from ..pipeline import Pipeline

__all__ = ["FILES", "LeafPipelines", "find_folder", "load_pipelines"]

FILES = {
    "knowledge": "knowledge.yaml",
    "freeform_skill": "freeform_skills.yaml",
    "grounded_skill": "grounded_skills.yaml",
}
"""``leaf_node_type`` to the file of its pipeline."""

BENCHMARK = "eval/mmlu_bench.yaml"


class LeafPipelines(msgspec.Struct, frozen=True):
    """What runs for leaf nodes, by ``leaf_node_type``, and for the benchmarks of knowledge."""

    name: str
    by_kind: dict[str, Pipeline]
    benchmark: Pipeline

    def of(self, kind: object) -> Pipeline:
        """The pipeline for a ``leaf_node_type``; what is neither knowledge nor grounded is freeform."""
        return self.by_kind.get(str(kind), self.by_kind["freeform_skill"])


def find_folder(name: str, data_dirs: Sequence[Path] = ()) -> Path:
    """The folder of a pipeline name.

    A plain name is looked for below ``pipelines`` in the data directories, then among the shipped ones
    (``simple``, ``full``, ``llama``); anything else, and what is not found there, is a folder.

    Raises:
        ConfigError: there is none, or it lacks one of the three files.
    """
    places = [Path(name)]
    if name and Path(name).name == name:
        places = [*(folder / "pipelines" / name for folder in data_dirs), pipelines_dir() / name, *places]
    found = next((place for place in places if name and place.is_dir()), None)
    if found is None:
        shipped = ", ".join(sorted(folder.parent.name for folder in pipelines_dir().glob("*/knowledge.yaml")))
        raise ConfigError(
            f"there is no pipeline folder {name!r}, and no pipelines of that name; shipped: {shipped}"
        )
    missing = [file for file in FILES.values() if not (found / file).is_file()]
    if missing:
        raise ConfigError(f"the pipeline folder {found} does not contain {', '.join(missing)}")
    return found.absolute()


def load_pipelines(
    name: str,
    settings: Settings,
    *,
    data_dirs: Sequence[Path] = (),
    plugins: Sequence[Path] = (),
    allow_paths: Sequence[Path] = (),
    hook: EventHook | None = None,
) -> LeafPipelines:
    """Load the pipelines of a name, and the benchmark's; what all of them tell ``hook`` hears once.

    Raises:
        ConfigError: with all mistakes in all of them.
    """
    folder = find_folder(name, data_dirs)
    files = {kind: folder / file for kind, file in FILES.items()}
    files["benchmark"] = pipelines_dir() / BENCHMARK
    hook = hook and _once(hook)
    loaded: dict[str, Pipeline] = {}
    problems: list[Problem] = []
    for kind, file in files.items():
        try:
            loaded[kind] = Pipeline.load(file, settings, plugins=plugins, allow_paths=allow_paths, hook=hook)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return LeafPipelines(name, {kind: loaded[kind] for kind in FILES}, loaded["benchmark"])


def _once(hook: EventHook) -> EventHook:
    """A hook that tells another one each notice only once."""
    told: set[Notice] = set()

    def hear(event: Event, /) -> None:
        if isinstance(event, Notice):
            if event in told:
                return
            told.add(event)
        hook(event)

    return hear
