"""What a job is made from, once it has been read and checked, and the facts that decide its rows."""

from __future__ import annotations

from typing import Any

import msgspec

from ..abc import Teacher
from ..taxonomy.documents import Chunker
from ..taxonomy.leaf import KnowledgeLeaf, LeafNode, Taxonomy
from .leaf_pipelines import LeafPipelines
from .report import SYSTEM_PROMPT, GenerationOptions

__all__ = ["Prepared", "facts_of"]


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be known without the teacher.

    Attributes:
        source: the taxonomy's path.
        taxonomy: its leaf nodes.
        options: how it is done.
        pipelines: what runs.
        chunker: what cuts documents; None if there are none.
    """

    source: str
    taxonomy: Taxonomy
    options: GenerationOptions
    pipelines: LeafPipelines
    chunker: Chunker | None

    @property
    def system_prompt(self) -> str:
        """What stands in every training row."""
        chosen = self.options.system_prompt
        return SYSTEM_PROMPT if chosen is None else chosen


def facts_of(prepared: Prepared, teacher: Teacher | None) -> dict[str, Any]:
    """What decides the rows of the job: content, never time or place; of the teacher if it is known."""
    options, pipelines = prepared.options, prepared.pipelines
    runs = {**pipelines.by_kind, "benchmark": pipelines.benchmark}
    return {
        "leaf nodes": {leaf.name: _leaf_facts(prepared, leaf) for leaf in prepared.taxonomy.leaf_nodes},
        "pipelines": {kind: pipeline.facts() for kind, pipeline in runs.items()},
        "training files": {
            "system_prompt": prepared.system_prompt,
            "seed": options.seed,
            "replacement": options.replacement,
        },
        "teacher": {"model": teacher.model, "api": teacher.api} if teacher is not None else {},
    }


def _leaf_facts(prepared: Prepared, leaf: LeafNode) -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(leaf))  # as it is read again
    for place in ("name", "path", "file", "line"):
        facts.pop(place, None)
    facts["seeds"] = {str(number): seed for number, seed in enumerate(facts["seeds"])}
    if isinstance(leaf, KnowledgeLeaf) and prepared.chunker is not None:
        facts["chunker"] = prepared.chunker.name
    return {"kind": leaf.kind, **facts}
