"""Runs upstream's ``generate_data`` inside upstream's environment; started by ``record_jobs.py``.

Reads one job from standard input: ``taxonomy``, ``out``, ``pipeline`` (a name), ``url``, ``model`` (a folder
with the teacher's tokenizer, whose path is the model's name as well), ``models`` (docling's, may be empty),
``instructions`` (how many) and ``prompt``. Writes ``requests`` and ``prompts``: how many it made.
"""

from __future__ import annotations

import json
import os
import sys
import types
import warnings
from pathlib import Path
from typing import Any

from upstream_child import upstream_module

SUFFIX = "S"


class Now:
    """Stands for the time in upstream's names of files."""

    @classmethod
    def now(cls) -> Now:
        """The time, which is always the same."""
        return cls()

    def replace(self, **_fields: int) -> Now:
        """The same."""
        return self

    def isoformat(self) -> str:
        """Its text."""
        return SUFFIX


def prepared() -> Any:
    """Upstream's module, with fixed names, files in order, and no look for docling's models."""
    for name in ("llmblock", "utilblocks", "filterblock", "iterblock"):
        upstream_module(f"blocks.{name}")
    module = upstream_module("generate_data")
    module.datetime = Now
    module.glob = types.SimpleNamespace(  # else in the order of the file system
        glob=lambda pattern: sorted(str(file) for file in Path(pattern).parent.glob(Path(pattern).name))
    )
    return module


def run(job: dict[str, Any]) -> dict[str, int]:
    """Run the job; how much was asked."""
    import openai  # type: ignore[import-not-found,unused-ignore]

    module = prepared()
    module._locate_docling_models = lambda: Path(job["models"])
    client = openai.OpenAI(base_url=job["url"], api_key="EMPTY", max_retries=0)
    counts = {"requests": 0, "prompts": 0}
    create = client.completions.create

    def counted(**body: Any) -> Any:
        counts["requests"] += 1
        counts["prompts"] += len(body["prompt"]) if isinstance(body["prompt"], list) else 1
        return create(**body)

    client.completions.create = counted
    module.generate_data(
        client, system_prompt=job["prompt"], use_legacy_pretraining_format=False, model_family="mixtral",
        model_name=job["model"], num_cpus=1, num_instructions_to_generate=job["instructions"],
        taxonomy=job["taxonomy"], taxonomy_base="empty", output_dir=job["out"], console_output=False,
        pipeline=job["pipeline"],
    )  # fmt: skip
    return counts


def main() -> None:
    """Do the one job on standard input."""
    warnings.simplefilter("ignore")
    job = json.load(sys.stdin)
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no result
    json.dump(run(job), results)
    results.close()


if __name__ == "__main__":
    main()
