"""Upstream's own pipeline and prompt files, taken from its wheel when they are needed.

They are never part of this repository: pip fetches the wheel, and only its YAML files are unpacked.
Nothing of upstream's code is run here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REQUIREMENT = "instructlab-sdg==0.8.3"
SHA256 = "a0a1df2c8b47a9929e27750ccbe1c908dd5755ac9fbefce2027080df2e13b146"
ATTEMPT_SECONDS = 50


class WheelUnavailableError(Exception):
    """pip could not get the wheel; the text holds pip's own words."""


def upstream_files(cache: Path, target: Path) -> Path:
    """Unpack upstream's YAML files below ``target``; gives the folder that holds them.

    They lie there in ``pipelines`` and ``configs``. ``cache`` keeps the wheel between runs.
    Raises `WheelUnavailableError` without network or pip.
    """
    wheel = next(cache.glob("instructlab_sdg-*.whl"), None) or _download(cache)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{wheel} is not the published wheel: its sha256 is {found}")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".yaml")]
        archive.extractall(target, names)
    return target / "instructlab" / "sdg"


def files_or_skip(config: pytest.Config, target: Path) -> Path:
    """The same for a test, which is skipped without them; in CI they must not be missing."""
    assert config.cache is not None
    try:
        return upstream_files(config.cache.mkdir("upstream-wheel"), target)
    except WheelUnavailableError as unavailable:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"upstream's pipeline files are not here: pip could not get the wheel ({unavailable})")


def _download(cache: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
    ]
    try:
        done = subprocess.run(
            [*command, str(cache), REQUIREMENT],
            capture_output=True,
            text=True,
            timeout=ATTEMPT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise WheelUnavailableError(str(problem)) from problem
    if done.returncode != 0:
        raise WheelUnavailableError(done.stderr.strip()[-500:])
    return next(cache.glob("instructlab_sdg-*.whl"))
