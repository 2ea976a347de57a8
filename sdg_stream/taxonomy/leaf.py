"""What a taxonomy is made of: leaf nodes, their seed examples, and where knowledge has its documents from."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..errors import Problem

__all__ = [
    "DocumentSource",
    "KnowledgeLeaf",
    "KnowledgeSeed",
    "LeafNode",
    "QuestionAndAnswer",
    "SkillKind",
    "SkillLeaf",
    "SkillSeed",
    "Taxonomy",
]

SkillKind = Literal["grounded_skill", "freeform_skill"]


class QuestionAndAnswer(msgspec.Struct, frozen=True):
    """One pair of a knowledge seed."""

    question: str
    answer: str


class KnowledgeSeed(msgspec.Struct, frozen=True):
    """A passage of a document with questions that it answers."""

    context: str
    questions_and_answers: tuple[QuestionAndAnswer, ...]


class SkillSeed(msgspec.Struct, frozen=True):
    """A question with its answer; ``context`` is empty where the skill needs none."""

    question: str
    answer: str
    context: str = ""


class DocumentSource(msgspec.Struct, frozen=True):
    """Which files of which commit of which git repository are the documents of a leaf node."""

    repo: str
    commit: str
    patterns: tuple[str, ...]


class KnowledgeLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf node that teaches what its documents say.

    Attributes:
        name: file name of what is made of the leaf node, without suffix; unique within a taxonomy.
        path: the folders from ``knowledge`` down.
        file: its qna.yaml, as it was reached.
        line: where the documents are named in it.
    """

    name: str
    path: tuple[str, ...]
    file: str
    line: int
    domain: str
    document_outline: str
    source: DocumentSource
    seeds: tuple[KnowledgeSeed, ...]

    @property
    def kind(self) -> Literal["knowledge"]:
        """What ``leaf_node_type`` says in samples."""
        return "knowledge"


class SkillLeaf(msgspec.Struct, frozen=True, kw_only=True):
    """A leaf node that teaches to do something; all of its seeds have a context, or none has.

    Attributes:
        name: as for :class:`KnowledgeLeaf`.
        path: the folders from ``compositional_skills`` down.
        file: its qna.yaml, as it was reached.
        kind: ``grounded_skill`` with contexts, ``freeform_skill`` without.
    """

    name: str
    path: tuple[str, ...]
    file: str
    kind: SkillKind
    task_description: str
    seeds: tuple[SkillSeed, ...]


LeafNode = KnowledgeLeaf | SkillLeaf


class Taxonomy(msgspec.Struct, frozen=True):
    """The leaf nodes of a taxonomy in the order of their files, and what was passed over, and why."""

    leaf_nodes: tuple[LeafNode, ...]
    warnings: tuple[Problem, ...] = ()
