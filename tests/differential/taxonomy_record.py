"""Record what upstream's reader makes of every taxonomy of ``taxonomy_cases.py``; run by hand, at any time.

    python tests/differential/taxonomy_record.py [--venv DIR]

Only what comes out is recorded, with the words of the schema package and of yamllint, which ours uses too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent))

from taxonomy_cases import CASES  # noqa: E402

RECORDED = FOLDER / "taxonomies.json"
REQUIREMENTS = ("instructlab-schema==0.4.2", "datasets==5.2.0", "gitpython==3.2.1", "pyyaml==6.0.3")
UPSTREAM = "instructlab-sdg==0.8.3"


def main() -> None:
    """Record all cases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for upstream; made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = record(environment(options.venv or Path(scratch, "venv")), Path(scratch).resolve())
    lines = [f"{json.dumps(name)}: {json.dumps(results[name])}" for name in CASES]
    RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def environment(folder: Path) -> Path:
    """Python of the environment in ``folder``; upstream is installed there first, if need be."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for what in (["--no-deps", UPSTREAM], list(REQUIREMENTS)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


def record(python: Path, scratch: Path) -> dict[str, object]:
    """What upstream gives, by name of the case."""
    jobs, folders = [], {}
    for number, (name, case) in enumerate(CASES.items()):
        folders[name] = folder = scratch / "cases" / str(number)
        folder.mkdir(parents=True)
        rules = folder / "rules.yaml" if case.rules else None
        if rules is not None:
            rules.write_text(case.rules, encoding="utf-8")
        jobs.append({
            "id": name, "taxonomy": str(case.make(folder)), "base": case.base,
            "rules": rules and str(rules), "documents": str(folder / "fetched"),
        })  # fmt: skip
    env = {
        **os.environ,
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }  # upstream calls yamllint as a command
    child = [str(python), str(FOLDER / "taxonomy_upstream.py")]
    done = subprocess.run(
        child, input=json.dumps(jobs), text=True, stdout=subprocess.PIPE, check=True, env=env
    )
    results = {}
    for line in done.stdout.splitlines():
        result = json.loads(line)
        name = result.pop("id")
        text = json.dumps(result).replace(f"{folders[name]}/taxonomy/", "")
        text = text.replace(f"{python.parent.parent}/", "")
        results[name] = json.loads(text)
    return results


if __name__ == "__main__":
    main()
