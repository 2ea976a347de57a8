"""An environment for each tool: a venv with pinned versions from the package index, made once."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from .tools import Tool

__all__ = ["NotInstalled", "make_environment", "quiet_environment"]

REPOSITORY = Path(__file__).parent.parent.parent
INSTALL_SECONDS = 3600


class NotInstalled(Exception):
    """An environment could not be made; says why."""


def make_environment(tool: Tool, folder: Path) -> tuple[Path, list[str]]:
    """The Python of a tool's environment and the versions in it; made if it is not there.

    Raises:
        NotInstalled: pip could not install it.
    """
    if not tool.requirements:
        return Path(sys.executable), []
    place = folder / tool.environment
    python = place / "bin" / "python"
    frozen = place / "versions.txt"
    wanted = "\n".join(tool.requirements)
    if not frozen.exists() or not frozen.read_text(encoding="utf-8").startswith(f"{wanted}\n\n"):
        print(f"{tool.name}: installing {', '.join(tool.requirements)}", file=sys.stderr, flush=True)
        venv.create(place, clear=True, with_pip=True)
        _pip(python, "install", "--quiet", *tool.requirements)
        frozen.write_text(f"{wanted}\n\n{_pip(python, 'freeze')}", encoding="utf-8")
    return python, frozen.read_text(encoding="utf-8").partition("\n\n")[2].splitlines()


def _pip(python: Path, *arguments: str) -> str:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"pip did not end within {INSTALL_SECONDS} s") from error
    if done.returncode:
        raise NotInstalled(f"pip: {(done.stderr.strip() or 'no word').splitlines()[-1]}")
    return done.stdout


def quiet_environment(home: Path) -> dict[str, str]:
    """Variables for all drivers: no hub, no telemetry, no proxies, and nothing written but below ``home``."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return kept | {
        "HOME": str(home),
        "HF_HOME": str(home / "huggingface"),
        "XDG_CACHE_HOME": str(home / "cache"),
        "PYTHONPATH": str(REPOSITORY),
        "OPENAI_API_KEY": "EMPTY",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TELEMETRY_ENABLED": "0",
        "NEMO_TELEMETRY_ENABLED": "false",
        "ANONYMIZED_TELEMETRY": "false",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "400",  # what they say is not broken into lines
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
