"""Reading the case files: one YAML file per topic, each holding the cases of that topic by name.

A file has ``cases`` (name -> case) and may have ``prompts`` that all its cases share. A case has

``shows``     one line: what it is there for
``blocks``    the pipeline, as in a pipeline file (or ``shipped``: path of one of upstream's own)
``top``       further top-level keys of the pipeline file; ``omit``: keys that it lacks
``prompts``   file name -> prompt config. Of the five parts those left out are empty, unless ``exact`` is set;
              a text stands for a config that has nothing but ``generation``
``rows``      the input rows (or ``jsonl``: the text of the input file)
``context``   of upstream's PipelineContext: num_instructions_to_generate, model_family, batch_size, ...
``server``    how the server behaves, see `server.Manners`
``order``     ``exact`` (default) or ``any``, then with ``reason``
``expect``    ``same`` (default) or ``differs``, then with ``quirk`` (an id) or ``decision`` (a sentence)
``ours``      what sdg_stream gives: ``rows``, ``rejected`` (numbers of input rows), ``error: config``
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from server import MODEL, Manners

FOLDER = Path(__file__).parent
PARTS = ("system", "introduction", "principles", "examples", "generation")
KEYS = {
    "shows", "blocks", "shipped", "top", "omit", "prompts", "rows", "jsonl", "context", "server", "order",
    "reason", "expect", "quirk", "decision", "ours",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One pipeline with its input; ``spec`` is the case as written, with the file's prompts merged in."""

    topic: str
    name: str
    spec: dict[str, Any]

    @property
    def id(self) -> str:
        """``topic/name``, as the command line and the recorded rows call it."""
        return f"{self.topic}/{self.name}"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The input rows; empty where the case gives the text of a file instead."""
        rows: list[dict[str, Any]] = self.spec.get("rows", [])
        return rows

    @property
    def context(self) -> dict[str, Any]:
        """Settings of the run, by upstream's names."""
        context: dict[str, Any] = self.spec.get("context", {})
        return context

    @property
    def manners(self) -> Manners:
        """How the server behaves that answers this case."""
        models = (MODEL, self.context["model_id"]) if "model_id" in self.context else (MODEL,)
        return Manners(**{"models": models, **self.spec.get("server", {})})

    @property
    def differs(self) -> bool:
        """True where sdg_stream gives something else on purpose."""
        return bool(self.spec.get("expect", "same") == "differs")

    @property
    def ours(self) -> dict[str, Any]:
        """What sdg_stream gives, where the case says so."""
        ours: dict[str, Any] = self.spec.get("ours", {})
        return ours

    def write(self, folder: Path) -> Path:
        """Write pipeline and prompts as files into ``folder``; gives the path of the pipeline file."""
        for name, config in self.spec.get("prompts", {}).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(_prompt_config(config), sort_keys=False), encoding="utf-8")
        content = {"version": "1.0", "blocks": self.spec.get("blocks"), **self.spec.get("top", {})}
        content = {key: value for key, value in content.items() if key not in self.spec.get("omit", ())}
        pipeline = folder / "pipeline.yaml"
        pipeline.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return pipeline


def _prompt_config(config: Any) -> Any:
    if isinstance(config, str):
        config = {"generation": config}
    if config.get("exact"):
        return {key: value for key, value in config.items() if key != "exact"}
    return {**dict.fromkeys(PARTS, ""), **config}


@cache
def load_cases() -> tuple[Case, ...]:
    """All cases of all files, in file order then in the order of the file; unknown keys are a ValueError."""
    return tuple(case for path in sorted((FOLDER / "cases").glob("*.yaml")) for case in _cases_of(path))


def _cases_of(path: Path) -> list[Case]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    shared = content.get("prompts", {})
    cases = []
    for name, spec in content["cases"].items():
        unknown = spec.keys() - KEYS
        if unknown:
            raise ValueError(f"{path.name}: case {name} has unknown keys: {', '.join(sorted(unknown))}")
        cases.append(Case(path.stem, name, {**spec, "prompts": {**shared, **spec.get("prompts", {})}}))
    return cases
