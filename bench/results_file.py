"""``RESULTS.md``: each command writes its own part, between two marks; the rest of the file stays."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["RESULTS", "machine", "part_of", "put_between", "write_part"]

RESULTS = Path(__file__).with_name("RESULTS.md")


def put_between(text: str, name: str, part: str) -> str:
    """A text with the part of this name replaced, or added at its end."""
    begin, end = _marks(name)
    whole = f"{begin}\n\n{part}\n\n{end}"
    if begin not in text or end not in text:
        return f"{text.rstrip()}\n\n{whole}\n".lstrip()
    return text.partition(begin)[0] + whole + text.partition(end)[2]


def part_of(text: str, name: str) -> str:
    """The part of this name; empty if there is none."""
    begin, end = _marks(name)
    return text.partition(begin)[2].partition(end)[0].strip()


def write_part(file: Path, name: str, part: str) -> None:
    """Put a part into a file, which is made if it is not there."""
    text = file.read_text(encoding="utf-8") if file.exists() else "# Results\n"
    file.write_text(put_between(text, name, part), encoding="utf-8")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def machine() -> str:
    """CPU, cores, memory, system and Python of this machine."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = (
            line for line in cpus.read_text(encoding="utf-8").splitlines() if line.startswith("model name")
        )
        model = next(names, f":{model}").partition(":")[2].strip()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, {python}"
