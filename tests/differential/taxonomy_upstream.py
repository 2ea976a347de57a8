"""Reads taxonomies with upstream's reader, in upstream's environment; started by ``taxonomy_record.py``.

Takes a JSON list of jobs (``id``, ``taxonomy``, ``base``, ``rules``, ``documents``) from standard input,
writes one JSON line for each: ``leaves`` (taxonomy path to samples), ``complaints`` and ``warnings`` (each
with file, line, path, message), and ``error``, the exception that ended it.

Knowledge gets two chunks in place of what its documents say, and ``found`` lists the documents.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import re
import sys
import types
from pathlib import Path
from typing import Any

CHUNKS = ["The first chunk.", "The second chunk."]


def reader() -> Any:
    """Upstream's module, below a package that does not import documents, torch and the rest."""
    spec = importlib.util.find_spec("instructlab")
    places = list(spec.submodule_search_locations or ()) if spec else []
    package = types.ModuleType("instructlab.sdg")
    package.__path__ = [str(Path(place) / "sdg") for place in places]
    utils = types.ModuleType("instructlab.sdg.utils")
    utils.__path__ = [str(Path(place) / "sdg" / "utils") for place in places]
    chunkers = types.ModuleType("instructlab.sdg.utils.chunkers")
    chunkers.DocumentChunker = None  # type: ignore[attr-defined]
    sys.modules |= {module.__name__: module for module in (package, utils, chunkers)}
    return importlib.import_module("instructlab.sdg.utils.taxonomy")


class Heard(logging.Handler):
    """What the schema package complains about."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[int, list[dict[str, Any]]] = {logging.ERROR: [], logging.WARNING: []}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a complaint: those begin with place, line and column."""
        placed = re.match(r"%s:%s:%s (\[%s\] )?", str(record.msg))
        if placed is None or not isinstance(record.args, tuple):
            return
        file, line = record.args[:2]
        rest = record.args[3:]
        path = rest[0] if placed[1] else ""
        message = str(record.msg)[placed.end() :]
        arguments = rest[1:] if placed[1] else rest
        column = (
            f", column {record.args[2]}" if not placed[1] and re.search(r" \([a-z-]+\)$", message) else ""
        )
        message = (message % arguments if arguments else message) + column
        self.said[record.levelno].append(
            {"file": str(file), "line": str(line), "path": path, "message": message}
        )


def leaf(module: Any, seeds: list[dict[str, Any]], documents: str) -> dict[str, Any]:
    """The samples of a leaf node, and its documents."""
    if "filepaths" not in seeds[0]:
        return {"samples": module.leaf_node_to_samples(seeds, 0, 0, None, None).to_list()}
    from datasets import Dataset  # type: ignore[import-not-found,unused-ignore]

    rows = module._enrich_metadata(module.map_chunks_to_icls(CHUNKS, seeds), seeds)
    found = [Path(*path.relative_to(documents).parts[1:]).as_posix() for path in seeds[0]["filepaths"]]
    return {"samples": Dataset.from_list(rows).to_list(), "found": sorted(found)}


def run(module: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Read one taxonomy."""
    heard = Heard()
    logger = logging.getLogger("instructlab.schema.taxonomy")
    logger.addHandler(heard)
    result: dict[str, Any] = {"leaves": {}}
    try:
        nodes = module.read_taxonomy_leaf_nodes(
            job["taxonomy"], job["base"], job["rules"], Path(job["documents"])
        )
        result["leaves"] = {
            path: leaf(module, seeds, job["documents"]) for path, seeds in sorted(nodes.items())
        }
    except (Exception, SystemExit) as problem:  # noqa: BLE001 -- whatever upstream raises is recorded
        result["error"] = type(problem).__name__
    finally:
        logger.removeHandler(heard)
    return {
        "id": job["id"],
        **result,
        "complaints": heard.said[logging.ERROR],
        "warnings": heard.said[logging.WARNING],
    }


def main() -> None:
    """Run the jobs on standard input."""
    logging.getLogger("instructlab").setLevel(logging.WARNING)
    logging.lastResort = None
    module = reader()
    for job in json.load(sys.stdin):
        sys.stdout.write(json.dumps(run(module, job)) + "\n")


if __name__ == "__main__":
    main()
