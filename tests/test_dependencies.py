"""Row 86: no dependency with a known vulnerability; floors here, and a service that knows asked by CI."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]

MENDED = {
    "aiohttp": "3.14.4",  # GHSA-cq5v-8q36-5273, CVE-2025-69223, CVE-2026-34518 and others
    "anyio": "4.14.2",  # CVE-2026-63374, CVE-2026-64847
    "click": "8.3.3",  # CVE-2026-7246
    "docling-core": "2.48.4",  # its issue 482: documents that run code
    "httptools": "0.6.3",  # CVE-2024-27982, in llhttp
    "jinja2": "3.1.6",  # CVE-2025-27516
    "orjson": "3.11.6",  # CVE-2025-67221, CVE-2024-27454
    "pyyaml": "5.4",  # CVE-2020-14343
    "uvloop": "0.20",  # CVE-2024-24806, in libuv
    "pytest": "9.0.3",  # CVE-2025-71176
}
"""Versions that mend what is known."""


def requirements() -> list[Requirement]:
    """Those of the package and of its extras, without itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    return [found for line in lines if (found := Requirement(line)).name != project["name"]]


def floor(requirement: Requirement) -> Version:
    """The lowest version that a requirement allows."""
    return max(
        (Version(one.version) for one in requirement.specifier if one.operator == ">="), default=Version("0")
    )


@pytest.mark.parametrize("name", MENDED)
def test_row_86_no_version_with_a_known_vulnerability_is_allowed(name: str) -> None:
    """The floor is at the version that mended it, or above."""
    floors = [floor(requirement) for requirement in requirements() if requirement.name == name]
    assert floors
    assert min(floors) >= Version(MENDED[name])


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_row_86_what_is_installed_is_what_is_required(requirement: Requirement) -> None:
    """What is tested is what users may get; extras that are not installed are passed over."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        pytest.skip(f"{requirement.name} is not installed")
    assert requirement.specifier.contains(installed, prereleases=True)


# ---------------------------------------------------------------- the audit of CI


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    """CI's script as a module."""
    spec = importlib.util.spec_from_file_location("ci_audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["ci_audit"] = module
    spec.loader.exec_module(module)
    return module


def clean(name: str) -> dict[str, Any]:
    """What pip-audit reports of a package without a vulnerability."""
    return {"name": name, "version": "1.0", "vulns": []}


BAD = {"name": "bad", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"], "aliases": []}]}
UNKNOWN = {"name": "ours", "skip_reason": "Dependency not found"}


def tool(folder: Path, *answers: list[dict[str, Any]] | None) -> Path:
    """A double of pip-audit that gives these answers to one service after the other; None is a crash."""
    for number, answer in enumerate(answers):
        if answer is not None:
            (folder / f"{number}.json").write_text(json.dumps({"dependencies": answer, "fixes": []}))
    script = folder / "pip-audit"
    script.write_text(
        f"#!{sys.executable}\n"
        "import sys, pathlib\n"
        "here = pathlib.Path(__file__).parent\n"
        "answer = here / ('0.json' if '--vulnerability-service' in sys.argv else '1.json')\n"
        "print(answer.read_text()) if answer.exists() else sys.exit('ConnectionError: no way there')\n"
    )
    script.chmod(0o700)
    return script


def test_row_86_a_known_vulnerability_fails_ci(
    tmp_path: Path, audit: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named with its version and the one that mends it."""
    assert audit.audit(tool(tmp_path, [clean("good"), BAD]), tmp_path / "pins.txt") == 1
    assert "VULNERABLE: bad 1.0: CVE-1, mended in 1.1" in capsys.readouterr().out


def test_row_86_nothing_known_passes(
    tmp_path: Path, audit: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A package that the service does not know is named as not audited."""
    assert audit.audit(tool(tmp_path, [clean("good"), UNKNOWN]), tmp_path / "pins.txt") == 0
    out = capsys.readouterr().out
    assert "NOT AUDITED: ours" in out
    assert "1 packages audited, 0 known vulnerabilities" in out


@pytest.mark.parametrize("second", [None, [UNKNOWN]], ids=["crash", "knows nothing"])
def test_row_86_who_cannot_ask_says_so(
    tmp_path: Path, audit: ModuleType, capsys: pytest.CaptureFixture[str], second: list[dict[str, Any]] | None
) -> None:
    """CI goes on, and nobody can take that for an audit; a service without data is no service."""
    assert audit.audit(tool(tmp_path, None, second), tmp_path / "pins.txt") == 0
    out = capsys.readouterr().out
    assert "NOT AUDITED: nobody who knows of vulnerabilities could be asked." in out
    assert "could not ask: ConnectionError: no way there" in out
    assert "known vulnerabilities" not in out


def test_row_86_the_second_service_is_asked_when_the_first_cannot_be(
    tmp_path: Path, audit: ModuleType
) -> None:
    """One that knows is enough."""
    assert audit.audit(tool(tmp_path, None, [BAD]), tmp_path / "pins.txt") == 1


def test_row_86_ci_audits() -> None:
    """The step is in CI's script, and its exit code counts."""
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert "set -euo pipefail" in lines
    assert ".venv/bin/python .ci/audit.py" in lines
