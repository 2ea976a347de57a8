"""Record what upstream's ``generate_data`` makes of the taxonomy of ``job_cases.py``; run by hand.

    python tests/differential/record_jobs.py [--venv DIR] [--keep DIR] [--only PIPELINE]

Writes ``jobs/recorded.json``: what the simulated teacher said, by digests of prompts; the chunks of the
documents; and by pipeline how much was asked, and each file as digests of its rows. ``--keep`` leaves
upstream's files in a folder, for a look at a row that is not as it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
from chunk_cases import write_model
from record import PROBES, refuse_copies, simulated
from server import MODEL, digest, keep_transcript, serve

sys.path.append(str(Path(__file__).parent.parent))

from job_cases import (
    FOLDER,
    NUM_INSTRUCTIONS,
    PIPELINES,
    RECORDED,
    SYSTEM_PROMPT,
    chunks_of,
    digests,
    normal,
    write_taxonomy,
)

UPSTREAM = "instructlab-sdg==0.8.3"
REQUIREMENTS = (
    "datasets==5.2.0", "docling==2.143.0", "docling-core[chunking]==2.104.0", "gguf", "gitpython==3.2.1",
    "httpx==0.28.1", "instructlab-schema==0.4.2", "jinja2==3.1.6", "numpy==2.4.6", "openai==1.109.1",
    "pandas==2.3.3", "pyarrow==26.0.1", "pyyaml==6.0.3", "tqdm==4.70.1", "xdg-base-dirs",
)  # fmt: skip

Transcript = dict[str, list[str | None]]


def main() -> None:
    """Record the pipelines asked for; the others keep what was recorded before."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for upstream; made if it is not there")
    parser.add_argument("--keep", type=Path, help="folder for upstream's files")
    parser.add_argument("--only", choices=PIPELINES)
    options = parser.parse_args()
    kept = json.loads(RECORDED.read_text(encoding="utf-8")) if options.only else {"jobs": {}}
    transcript: Transcript = kept.get("transcript", {})
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)).resolve()
        python = environment(options.venv or Path(scratch, "venv"))
        for pipeline in [options.only] if options.only else PIPELINES:
            kept["jobs"][pipeline] = anyio.run(record, python, pipeline, folder / pipeline, transcript)
        refuse_copies(python, {"jobs": transcript})
    for job in kept["jobs"].values():
        kept["chunks"] = job.pop("chunks", None) or kept["chunks"]  # the same for each pipeline
    write({"transcript": transcript, "chunks": kept["chunks"], "jobs": kept["jobs"]})


def environment(folder: Path) -> Path:
    """Python of the environment in ``folder``; upstream is installed there first, if need be."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for what in (["--no-deps", UPSTREAM], list(REQUIREMENTS)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


async def record(python: Path, pipeline: str, folder: Path, transcript: Transcript) -> dict[str, Any]:
    """Have upstream do the job; what is to be recorded of it."""
    folder.mkdir(parents=True)
    (folder / "models").mkdir()
    job = {
        "taxonomy": str(write_taxonomy(folder)), "out": str(folder / "out"), "pipeline": pipeline,
        "model": str(write_model(folder / "model")), "models": str(folder / "models"),
        "instructions": NUM_INSTRUCTIONS, "prompt": SYSTEM_PROMPT,
    }  # fmt: skip
    env = {
        **os.environ, "HF_HUB_OFFLINE": "1", "PATH": f"{python.parent}:{os.environ['PATH']}",
        "XDG_DATA_HOME": str(folder / "data"), "XDG_DATA_DIRS": str(folder / "data"),
    }  # fmt: skip
    child = [str(python), str(Path(__file__).with_name("upstream_job.py"))]
    async with serve(keep_transcript(teacher, transcript)) as url:
        given = json.dumps({**job, "url": url}).encode()
        done = await anyio.run_process(child, input=given, stderr=sys.stderr, env=env)
    for probe in PROBES:
        transcript.pop(digest(probe), None)
    [site] = python.parent.parent.glob("lib/python*/site-packages/instructlab/sdg")
    files = normal(folder, site / "pipelines" / pipeline)
    return {"asked": json.loads(done.stdout), "chunks": chunks_of(files), "files": digests(files)}


def teacher(prompt: str, choice: int, body: Mapping[str, Any]) -> str | None:
    """The simulated teacher's reply, whatever upstream calls it: there the model is a folder."""
    return simulated(prompt, choice, {**body, "model": MODEL})


def write(recorded: dict[str, Any]) -> None:
    """Write all of it, a line for each prompt and each file."""
    FOLDER.mkdir(exist_ok=True)
    parts = [f'"transcript": {{\n{_lines(recorded["transcript"])}\n}}']
    parts.append(f'"chunks": {{\n{_lines(recorded["chunks"])}\n}}')
    jobs = []
    for name, job in recorded["jobs"].items():
        asked, files = json.dumps(job["asked"]), _lines(job["files"])
        jobs.append(f'{json.dumps(name)}: {{"asked": {asked}, "files": {{\n{files}\n}}}}')
    parts.append('"jobs": {\n' + ",\n".join(jobs) + "\n}")
    RECORDED.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def _lines(entries: dict[str, Any]) -> str:
    return ",\n".join(
        f"{json.dumps(name)}: {json.dumps(content, ensure_ascii=False)}" for name, content in entries.items()
    )


if __name__ == "__main__":
    main()
