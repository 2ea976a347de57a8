"""The taxonomy of the whole-job comparison, and what makes the files of two jobs comparable.

Two knowledge leaf nodes with documents in git repositories, two grounded skills, two freeform ones. What
differs on purpose, or is random, is made equal on both sides, and nothing else:

Q-GEN-6    leaf nodes come by name here; upstream is given them sorted, where it takes them as the file system
           has them, and rows for testing are compared without their order
Q-EVAL-1   upstream numbers a benchmark's answers by the letters that its file has: letters are compared
Q-MIX-4    ids, contexts of RAFT rows and auxiliary instructions are random there, and seeded here
columns    rows of FlattenColumnsBlock are in input order here, column by column upstream: where a pipeline
           for knowledge has one, files with its rows are compared without their order
keys       of mixed rows and their messages stand as in their leaf node's rows here, as in the first dataset's
           upstream: they are sorted
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import yaml
from mixing_cases import Case
from taxonomies import commit, grounded, knowledge, skill, write_files

FOLDER = Path(__file__).parent / "jobs"
RECORDED = FOLDER / "recorded.json"
SUFFIX = "S"
SYSTEM_PROMPT = "Be brief."
NUM_INSTRUCTIONS = 2
MIXED = (f"knowledge_train_msgs_{SUFFIX}.jsonl", f"skills_train_msgs_{SUFFIX}.jsonl")
PIPELINES = ("simple", "full", "llama")

TIDES = """\
# Tides

The sea goes out and comes in again, twice a day.

## Ebb

While the moon is low the water leaves the flats, and birds walk there and look for what it has left behind.

## Flow

When it comes back it is quick, and whoever stands on a bank of sand had better know the time by heart.
"""
MOON = (
    "# The moon\n\nIt draws the water towards it, and the earth turns below, so that there are two tides.\n"
)
BEES = "# Bees\n\nBees make honey of what they gather in flowers, and wax of what they eat. They dance too.\n"


def write_taxonomy(folder: Path) -> Path:
    """Write taxonomy and repositories below ``folder``; gives the taxonomy's folder."""
    seeds = skill()["seed_examples"]
    contexts = grounded()["seed_examples"]
    tides = commit(folder / "tides", {"a.md": TIDES, "b.md": MOON})
    bees = commit(folder / "bees", {"c.md": BEES})
    sources = (
        {"repo": str(folder / "tides"), "commit": tides, "patterns": ["a.md", "b.md"]},
        {"repo": str(folder / "bees"), "commit": bees, "patterns": ["*.md"]},
    )
    return write_files(
        folder / "taxonomy",
        {
            "knowledge/science/tides/qna.yaml": knowledge(document=sources[0]),
            "knowledge/nature/bees/qna.yaml": knowledge(document=sources[1], domain="Biology"),
            "compositional_skills/writing/haiku/qna.yaml": skill(),
            "compositional_skills/writing/limerick/qna.yaml": skill(
                version=1, task_description="Write a limerick.", seed_examples=seeds[:2]
            ),
            "compositional_skills/reading/sum/qna.yaml": grounded(
                version=1, task_description="Sum it up.", seed_examples=contexts[:2]
            ),
            "compositional_skills/reading/title/qna.yaml": grounded(
                version=1, task_description="Find a title.", seed_examples=contexts[2:3]
            ),
        },
    )


def normal(folder: Path, pipeline: Path) -> dict[str, Any]:
    """What lies in ``out`` below ``folder``, by file: rows, or YAML content, comparable.

    Args:
        folder: the job's; where it stands in texts, there is ``FOLDER`` instead.
        pipeline: the folder of the pipeline files that were used.
    """
    knowledge = yaml.safe_load((pipeline / "knowledge.yaml").read_text(encoding="utf-8"))
    instructions = knowledge.get("datamixing", {}).get("auxiliary_instructions", {})
    out = folder / "out"
    generated = {file.name: _rows(file) for file in sorted((out / f"generated_{SUFFIX}").glob("*.jsonl"))}
    case = Case("job", {"kind": "run", "generated": generated, "instructions": instructions})
    files = case.normal(folder, _is_result)
    for name in filter(is_benchmark, files):  # Q-EVAL-1
        for row in files[name]:
            row["answer"] = row["mmlubench_answer"].partition(")")[0]
    for name in MIXED:  # keys
        files[name] = [json.loads(json.dumps(row, sort_keys=True)) for row in files[name]]
    unordered = [f"test_{SUFFIX}.jsonl"]  # Q-GEN-6
    if any(block["type"] == "FlattenColumnsBlock" for block in knowledge["blocks"]):
        unordered += filter(_has_knowledge, files)  # columns
    return {**files, **{name: sorted(files[name], key=json.dumps) for name in unordered}}


def is_benchmark(name: str) -> bool:
    """Whether a file is the dataset of a benchmark."""
    return name.startswith(f"node_datasets_{SUFFIX}/mmlubench_")


def digests(files: dict[str, Any]) -> dict[str, Any]:
    """The same with a digest of 12 hex digits for each row, of rows or YAML content alike."""
    return {
        name: [digest(row) for row in content] if isinstance(content, list) else digest(content)
        for name, content in files.items()
    }


def digest(content: Any) -> str:
    """12 hex digits that stand for a row: the order of its columns makes a difference."""
    return blake2b(json.dumps(content).encode(), digest_size=6).hexdigest()


def chunks_of(files: dict[str, Any]) -> dict[str, list[str]]:
    """The chunks of each knowledge leaf node's documents, from its samples."""
    samples = {
        name.split("/")[1].removesuffix(".jsonl"): rows
        for name, rows in files.items()
        if name.startswith(f"preprocessed_{SUFFIX}/knowledge")
    }
    return {name: _distinct(row["document"] for row in rows) for name, rows in samples.items()}


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _has_knowledge(name: str) -> bool:
    """Whether rows made of those of a pipeline for knowledge stand in a file."""
    kind, _, leaf = name.rpartition("/")
    folders = (f"generated_{SUFFIX}", f"node_datasets_{SUFFIX}")
    of_leaf = kind in folders and leaf.startswith("knowledge_") and leaf.endswith(".jsonl")
    return of_leaf or name in (*MIXED, f"train_{SUFFIX}.jsonl", f"messages_{SUFFIX}.jsonl")


def _is_result(name: str) -> bool:
    """Whether a file is one that both have: ours has its journals besides; documents lie elsewhere."""
    return not (
        ".run/" in name or "/documents/" in name or name.startswith("documents/") or "chunker.json" in name
    )


def _rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
