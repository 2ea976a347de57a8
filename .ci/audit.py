"""Asks whether what is installed here has known vulnerabilities; exit code 1 if something has.

Run by the Python of the environment that is looked at. The tool that asks, pip-audit, gets an environment of
its own. A machine that reaches no service that knows says so, loudly, and goes on; then only the floors in
``pyproject.toml`` hold. What ``pip freeze`` leaves out, the tools that came with Python, is not ours to
choose and is left out here too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any, NamedTuple

SERVICES = (("--vulnerability-service", "osv"), ())  # the second is the tool's own choice
SECONDS = 300


class Answer(NamedTuple):
    """What a service said: lines about vulnerabilities, and the packages that it does not know."""

    found: list[str]
    unknown: list[str]
    known: int


def main() -> int:
    """Freeze, ask, tell."""
    with tempfile.TemporaryDirectory() as folder:
        pins = Path(folder) / "pins.txt"
        pins.write_text("\n".join(frozen()) + "\n", encoding="utf-8")
        try:
            tool = install(Path(folder) / "venv")
        except subprocess.CalledProcessError as error:
            return tell(None, [f"pip-audit cannot be installed: {last_line(error.stderr)}"])
        return audit(tool, pins)


def audit(tool: Path, pins: Path) -> int:
    """Ask one service after the other until one knows; the exit code."""
    trouble: list[str] = []
    for service in SERVICES:
        answer = ask([str(tool), *service], pins, trouble)
        if answer is not None:
            return tell(answer, trouble)
    return tell(None, trouble)


def ask(command: list[str], pins: Path, trouble: list[str]) -> Answer | None:
    """One service's answer; None, and a line more of trouble, if it cannot be had."""
    more = ("--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json")
    try:
        done = subprocess.run(
            [*command, *more, "--requirement", str(pins)],
            check=False,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        trouble.append(f"no answer within {SECONDS} s")
        return None
    try:
        answer = read(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        trouble.append(last_line(done.stderr) or f"exit code {done.returncode}")
        return None
    if not answer.known:
        trouble.append(f"the service knows none of the {len(answer.unknown)} packages")
        return None
    return answer


def read(report: dict[str, Any]) -> Answer:
    """What pip-audit's JSON report says."""
    answered = [package for package in report["dependencies"] if "vulns" in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, "
        f"mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in answered
        for flaw in package["vulns"]
    ]
    unknown = [package["name"] for package in report["dependencies"] if "vulns" not in package]
    return Answer(found, unknown, len(answered))


def tell(answer: Answer | None, trouble: list[str]) -> int:
    """Say what came out; the exit code."""
    if answer is None:
        print("=" * 78)
        print(
            "NOT AUDITED: nobody who knows of vulnerabilities could be asked.",
            *trouble,
            sep="\n  could not ask: ",
        )
        print("=" * 78)
        return 0
    for name in answer.unknown:
        print(f"NOT AUDITED: {name} (the service does not know it)")
    for line in answer.found:
        print(f"VULNERABLE: {line}")
    print(f"{answer.known} packages audited, {len(answer.found)} known vulnerabilities")
    return 1 if answer.found else 0


def frozen() -> list[str]:
    """``name==version`` of everything that is installed here, but not this project itself."""
    command = [sys.executable, "-m", "pip", "freeze", "--exclude-editable"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if "==" in line]


def install(folder: Path) -> Path:
    """pip-audit in an environment of its own."""
    venv.create(folder, with_pip=True)
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "pip-audit>=2.9"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "bin" / "pip-audit"


def last_line(text: str) -> str:
    """The line of a traceback that says what went wrong."""
    lines = text.strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
