"""Record the chunks that upstream makes of the documents of ``chunks/``; run by hand, at any time.

    python tests/differential/record_chunks.py [--venv DIR]

Writes ``chunks/recorded.json``: the versions of what made the chunks, and by document its chunks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import venv
from pathlib import Path
from typing import Any

from chunk_cases import RECORDED, documents, write_model

UPSTREAM = "instructlab-sdg==0.8.3"
REQUIREMENTS = ("docling==2.143.0", "docling-core[chunking]==2.104.0", "gguf")


def main() -> None:
    """Record all documents."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, help="environment for upstream; made if it is not there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = record(environment(options.venv or Path(scratch, "venv")), Path(scratch).resolve())
    lines = [
        f"{json.dumps(name)}: {json.dumps(chunks, ensure_ascii=False)}"
        for name, chunks in results["chunks"].items()
    ]
    text = f'{{"versions": {json.dumps(results["versions"])},\n"chunks": {{\n' + ",\n".join(lines) + "\n}}\n"
    RECORDED.write_text(text, encoding="utf-8")


def environment(folder: Path) -> Path:
    """Python of the environment in ``folder``; upstream is installed there first, if need be."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        for what in (["--no-deps", UPSTREAM], list(REQUIREMENTS)):
            subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


def record(python: Path, scratch: Path) -> dict[str, Any]:
    """What upstream gives."""
    model, models = write_model(scratch / "model"), scratch / "models"
    models.mkdir()
    job = {
        "model": str(model), "models": str(models), "scratch": str(scratch),
        "documents": [str(file) for file in documents()],
    }  # fmt: skip
    child = [str(python), str(Path(__file__).with_name("upstream_chunks.py"))]
    env = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        child, input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True, env=env
    )
    results: dict[str, Any] = json.loads(done.stdout)
    return results


if __name__ == "__main__":
    main()
