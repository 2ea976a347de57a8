"""Record what upstream gives for every case; run by hand, at any time.

    python tests/differential/record.py [--venv DIR] [--only TOPIC[/CASE]]

Installs upstream in an environment of its own (kept in DIR, if given), starts the deterministic server, has
upstream run each case against it and writes ``recorded/TOPIC.json``. CI only compares with these files.

For upstream's own pipelines the teacher is the simulated one, and what it said goes into the recorded file
too, by digests of the prompts: the comparison answers from there, and so checks the prompts as well.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from contextlib import AsyncExitStack
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
from casefiles import FOLDER, Case, load_cases
from server import MODEL, Reply, digest, keep_transcript, scripted, serve

from sdg_stream.simulator import SimulatorSettings
from sdg_stream.simulator.replies import request_key, write_replies
from sdg_stream.simulator.wire import read_completion

REQUIREMENTS = (
    "datasets==5.2.0", "httpx==0.28.1", "jinja2==3.1.6", "numpy==2.4.6", "openai==1.109.1", "pandas==2.3.3",
    "pyarrow==26.0.1", "pyyaml==6.0.3", "tqdm==4.70.1",
)  # fmt: skip
"""What upstream's pipelines import. The wheel itself goes in without its dependencies, see upstream_child."""

UPSTREAM = "instructlab-sdg==0.8.3"
PROBES = ("test1", "test2")
"""Prompts that upstream sends to learn what the server can do."""


def main() -> None:
    """Record the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for upstream; made if it is not there")
    parser.add_argument("--only", help="a topic, or topic/case")
    options = parser.parse_args()
    cases = [case for case in load_cases() if options.only in (None, case.topic, case.id)]
    with tempfile.TemporaryDirectory() as scratch:
        python = environment(options.venv or Path(scratch, "venv"))
        results = anyio.run(record, python, cases, Path(scratch))
    for topic in sorted({case.topic for case in cases}):
        write(topic, {name: result for name, result in results.items() if name.split("/")[0] == topic})


def environment(folder: Path) -> Path:
    """Python of the environment in ``folder``; upstream is installed there first, if need be."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for what in (["--no-deps", UPSTREAM], list(REQUIREMENTS)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


async def record(python: Path, cases: list[Case], scratch: Path) -> dict[str, Any]:
    """Have upstream run the cases, each against a server of its own; gives id -> what is to be recorded."""
    transcripts: dict[str, dict[str, list[str | None]]] = {}
    async with AsyncExitStack() as servers:
        jobs = []
        for case in cases:
            reply: Reply = scripted
            if "shipped" in case.spec:
                reply = keep_transcript(simulated, transcripts.setdefault(case.id, {}))
            url = await servers.enter_async_context(serve(reply, case.manners))
            jobs.append(job(case, url, scratch / "cases" / case.id))
        child = [str(python), str(FOLDER / "upstream_child.py")]
        done = await anyio.run_process(child, input=json.dumps(jobs).encode(), stderr=sys.stderr)
    results = {result.pop("id"): result for result in map(json.loads, done.stdout.splitlines())}
    for case_id, transcript in transcripts.items():
        for probe in PROBES:
            transcript.pop(digest(probe), None)
        results[case_id]["transcript"] = transcript
    refuse_copies(python, transcripts)
    return results


def refuse_copies(python: Path, transcripts: dict[str, dict[str, list[str | None]]]) -> None:
    """Make sure that no reply repeats eight words in a row of upstream's prompts, tags left out."""
    prompts = python.parent.parent.glob("lib/python*/site-packages/instructlab/sdg/configs/*/*.yaml")
    theirs = set[str]().union(*(eight_words(path.read_text(encoding="utf-8")) for path in prompts))
    for case_id, transcript in transcripts.items():
        for text in chain.from_iterable(transcript.values()):
            if copied := eight_words(text or "") & theirs:
                raise ValueError(f"{case_id}: a reply holds words of upstream's prompts: {sorted(copied)}")


def eight_words(text: str) -> set[str]:
    """All runs of eight words, without what stands in square brackets."""
    words = re.findall(r"\w+", re.sub(r"\[[^\]\n]*\]", " | ", text.lower()))
    return {" ".join(words[start : start + 8]) for start in range(len(words) - 7)}


def job(case: Case, url: str, folder: Path) -> dict[str, Any]:
    """What upstream_child needs to know to run a case."""
    folder.mkdir(parents=True)
    work = {"id": case.id, "url": url, "model": MODEL, "context": case.context, "rows": case.rows}
    if "jsonl" in case.spec:
        work["jsonl"] = str(folder / "in.jsonl")
        (folder / "in.jsonl").write_text(case.spec["jsonl"], encoding="utf-8")
    if "shipped" in case.spec:
        return {**work, "pipeline": f"pipelines/{case.spec['shipped']}.yaml"}
    return {**work, "pipeline": str(case.write(folder))}


def simulated(prompt: str, choice: int, body: Mapping[str, Any]) -> str | None:
    """The simulated teacher's reply."""
    settings = SimulatorSettings(model=MODEL)
    asked = read_completion(json.dumps({**body, "prompt": prompt}).encode(), settings)
    [plain] = asked.prompts
    return write_replies(settings, asked, plain, request_key(settings, asked, plain))[choice].text


def write(topic: str, results: dict[str, Any]) -> None:
    """Write the recorded results of a topic; cases not run this time keep what was recorded before."""
    path = FOLDER / "recorded" / f"{topic}.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    names = [case.name for case in load_cases() if case.topic == topic]
    results = kept | {case_id.split("/")[1]: result for case_id, result in results.items()}
    lines = [
        f"{json.dumps(name)}: {json.dumps(results[name], ensure_ascii=False)}"
        for name in names
        if name in results
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
