"""Runs upstream's pipelines inside upstream's environment; started by ``record.py``, never by a test.

Reads a JSON list of jobs from standard input and writes one JSON line per job to standard output. A job has
``id``, ``pipeline`` (a path), ``rows`` or ``jsonl`` (a path), ``context``, ``model`` and ``url``; its line
has ``id`` and either ``rows`` and ``columns``, or ``error``.

Upstream's package imports documents, torch and the rest as soon as it is imported. The modules that run
pipelines need none of that, so they are imported below an empty package that only knows where they lie.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import types
from pathlib import Path
from typing import Any


def upstream_module(name: str) -> Any:
    """Import a module of upstream without running the package's own ``__init__``."""
    if "instructlab.sdg" not in sys.modules:
        parent = importlib.util.find_spec("instructlab")
        if parent is None:
            raise ModuleNotFoundError("instructlab-sdg is not installed here")
        package = types.ModuleType("instructlab.sdg")
        package.__path__ = [str(Path(place) / "sdg") for place in parent.submodule_search_locations or ()]
        sys.modules["instructlab.sdg"] = package
    return importlib.import_module(f"instructlab.sdg.{name}")


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run one job; errors of upstream become part of the result."""
    import datasets  # type: ignore[import-not-found,unused-ignore]
    import openai  # type: ignore[import-not-found,unused-ignore]

    pipelines = upstream_module("pipeline")
    client = openai.OpenAI(base_url=job["url"], api_key="EMPTY", max_retries=0)
    settings = {"model_id": job["model"], "batch_size": 0, "dataset_num_procs": None, **job["context"]}
    try:
        rows = upstream_module("utils.json").jlload(job["jsonl"]) if "jsonl" in job else job["rows"]
        path = str(Path(pipelines.__file__).parent / job["pipeline"])  # an absolute path stays what it is
        pipeline = pipelines.Pipeline.from_file(pipelines.PipelineContext(client, **settings), path)
        result = pipeline.generate(datasets.Dataset.from_list(rows))
        return {"id": job["id"], "columns": result.column_names, "rows": result.to_list()}
    except Exception as problem:  # noqa: BLE001 -- whatever upstream raises is what is recorded
        return {"id": job["id"], "error": _error(problem, str(Path(job["pipeline"]).parent))}


def _error(problem: Exception, folder: str) -> dict[str, Any]:
    error = {"type": type(problem).__name__}
    cause = getattr(problem, "exception", None)
    if cause is not None:
        error |= {"block": problem.block_name, "cause": type(cause).__name__}  # type: ignore[attr-defined]
    text = str(problem if cause is None else cause).replace(folder, "FOLDER")
    return {**error, "message": text[:160]}


def main() -> None:
    """Run the jobs on standard input, in order."""
    for name in ("llmblock", "utilblocks", "filterblock", "iterblock"):
        upstream_module(f"blocks.{name}")
    for job in json.load(sys.stdin):
        sys.stdout.write(json.dumps(run(job)) + "\n")


if __name__ == "__main__":
    main()
