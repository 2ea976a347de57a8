"""Record what upstream's postprocessing and mixing make of every case; run by hand, at any time.

    python tests/differential/record_mixing.py [--venv DIR] [--only CASE]

Writes ``mixing/recorded.json``: by case the files that upstream wrote, as rows or YAML content, with ids and
random choices made equal; or the error that it ended with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mixing_cases import FOLDER, Case, load_cases
from record import environment

RECORDED = FOLDER / "recorded.json"


def main() -> None:
    """Record the cases asked for; the others keep what was recorded before."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for upstream; made if it is not there")
    parser.add_argument("--only", help="a case")
    options = parser.parse_args()
    cases = [case for case in load_cases() if options.only in (None, case.name)]
    results = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        results |= record(environment(options.venv or Path(scratch, "venv")), cases, Path(scratch, "cases"))
    lines = [
        f"{json.dumps(case.name)}: {json.dumps(results[case.name], ensure_ascii=False)}"
        for case in load_cases()
        if case.name in results
    ]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def record(python: Path, cases: list[Case], scratch: Path) -> dict[str, Any]:
    """Have upstream run the cases; name -> what is to be recorded."""
    jobs = []
    for case in cases:
        folder = scratch / case.name
        folder.mkdir(parents=True)
        jobs.append({"id": case.name, "kind": case.kind, "folder": str(folder), "spec": case.lay_out(folder)})
    child = [str(python), str(FOLDER.parent / "upstream_mixing.py")]
    done = subprocess.run(child, input=json.dumps(jobs), stdout=subprocess.PIPE, text=True, check=True)
    failed = {line.pop("id"): line for line in map(json.loads, done.stdout.splitlines())}
    return {case.name: failed.get(case.name) or case.normal(scratch / case.name) for case in cases}


if __name__ == "__main__":
    main()
