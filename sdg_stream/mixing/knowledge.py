"""Training rows of knowledge: question and answer about a document, in three ways, and auxiliary rows.

* With the row's own document before the question: for phase 0.7, and again for phase 1.0.
* With several documents of the leaf node, the row's own among them or not (RAFT, "Retrieval Augmented Fine
  Tuning", arXiv:2403.10131): for phase 1.0.
* Auxiliary rows train what made a document out of the raw one, such as a correction of its spelling.

Each has ``messages``, ``metadata`` (JSON as text), ``id`` and ``unmask`` (train on the whole text).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from ..record import Columns
from .qa import question_of, response_of
from .randomness import row_id

__all__ = ["RAFT_DOCUMENTS", "RAFT_SHARE", "auxiliary_row", "choose_documents", "qa_row", "raft_row"]

RAFT_SHARE = 0.4
"""Share of RAFT rows that hold their own document."""

RAFT_DOCUMENTS = 4
"""Documents in a RAFT row, if the leaf node has as many."""

_DATASET = "document_knowledge_qa"


def qa_row(row: Columns, *, place: tuple[str, ...]) -> Columns:
    """A usable row with its document before the question. ``place`` tells its id from all others."""
    return _training_row(
        user=f"{row['document']}\n\n{question_of(row)}",
        assistant=response_of(row) or "",
        metadata=_qa_metadata(row, _DATASET),
        place=place,
        unmask=True,
    )


def raft_row(row: Columns, documents: Sequence[str], *, place: tuple[str, ...]) -> Columns:
    """A usable row with these documents before the question."""
    context = "\n".join(f"Document:\n{document}\n\n" for document in documents)
    return _training_row(
        user=f"{context}\n\n{question_of(row)}",
        assistant=response_of(row) or "",
        metadata=_qa_metadata(row, f"{_DATASET}_raft_p{RAFT_SHARE}"),
        place=place,
        unmask=False,
    )


def auxiliary_row(row: Columns, instruction: str, *, place: tuple[str, ...], unmask: bool) -> Columns:
    """What made ``document`` out of ``raw_document``, as a task."""
    return _training_row(
        user=f"{row['raw_document']}\n\n{instruction}",
        assistant=row["document"],
        metadata={
            "dataset_type": row["dataset_type"],
            "raw_document": row["raw_document"],
            "dataset": f"document_{row['dataset_type']}",
            "domain": row.get("domain"),
        },
        place=place,
        unmask=unmask,
    )


def choose_documents(own: int, count: int, rng: random.Random) -> list[int]:
    """Numbers of the documents of a RAFT row, shuffled.

    Args:
        own: number of the row's own document.
        count: how many documents the leaf node has; alone, a document stands for itself.
        rng: where the choices come from.
    """
    others = count - 1
    if not others:
        return [own]
    with_own = rng.random() < RAFT_SHARE
    wanted = min(others, RAFT_DOCUMENTS - with_own)
    chosen = [other + (other >= own) for other in rng.sample(range(others), wanted)]
    if with_own:
        chosen.append(own)
    rng.shuffle(chosen)
    return chosen


def _qa_metadata(row: Columns, dataset: str) -> Columns:
    metadata = {"sdg_document": row["document"], "domain": row.get("domain"), "dataset": dataset}
    if "raw_document" in row and "dataset_type" in row:
        metadata |= {"raw_document": row["raw_document"], "dataset_type": row["dataset_type"]}
    return metadata


def _training_row(
    *, user: str, assistant: str, metadata: Columns, place: tuple[str, ...], unmask: bool
) -> Columns:
    return {
        "messages": [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}],
        "metadata": json.dumps(metadata),
        "id": row_id(*place, user, assistant),
        "unmask": unmask,
    }
