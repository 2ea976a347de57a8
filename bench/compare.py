"""The honest comparison: sdg_stream and the tools that people would use instead, on the same work.

    python bench/compare.py --quick                        # everything once, small
    python bench/compare.py                                # everything, as in RESULTS.md
    python bench/compare.py --only zero chain --tools sdg_stream aiohttp
    python bench/compare.py --report                       # only write the tables anew

Makes an environment for each tool below ``--venvs`` (pinned versions from the package index; instructlab-sdg
alone brings 7 GB), and runs the cases, the tools taking turns. Each run is kept in ``--results-dir`` as it
ends; what is there is not run again unless ``--again`` is given, so it can be made case by case, and gone on
with. The tables go to ``--output``, between two marks; the rest of that file is left alone.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from comparison.cases import CASES
from comparison.environments import NotInstalled, make_environment
from comparison.place import Account, Cannot, Place
from comparison.records import Record, Records
from comparison.report import Facts, render
from comparison.runs import Sizes
from comparison.tools import TOOLS
from results_file import RESULTS, machine, write_part

import sdg_stream as sdg

HERE = Path(__file__).parent
FULL = Sizes(
    repeats=3,
    zero=20_000,
    zero_slow=1_500,
    ask=2_400,
    seeds=100,
    many=10_000,
    many_slow=1_500,
    memory=(1_000, 10_000, 100_000),
    crash=2_000,
    refusals=2_400,
    limit=60.0,
)
QUICK = Sizes(
    repeats=1,
    zero=5_000,
    zero_slow=300,
    ask=320,
    seeds=12,
    many=4_000,
    many_slow=600,
    memory=(1_000,),
    crash=400,
    refusals=200,
    limit=45.0,
)


def main() -> int:
    """Run what is asked for, and write the tables."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and drivers are stopped
    sizes = QUICK if options.quick else FULL
    if options.repeats:
        sizes = msgspec.structs.replace(sizes, repeats=options.repeats)
    results = options.results_dir.resolve() / ("quick" if options.quick else "full")
    records = Records(results)
    facts = _facts(results, sizes)
    if not options.report:
        facts.machine, facts.command = machine(), _command(options)
    pythons: dict[str, Path] = {}
    for name in [] if options.report else options.tools:
        try:
            pythons[name], facts.versions[name] = _environment(name, options.venvs.resolve())
            facts.missing.pop(name, None)
        except NotInstalled as error:
            facts.missing[name] = str(error)
            print(f"{name}: {error}", file=sys.stderr, flush=True)
    (results / "facts.json").write_bytes(msgspec.json.encode(facts))
    place = Place(results / "work", pythons)
    for case in options.only:
        _run_case(case, place, list(pythons), sizes, records, again=options.again)
    write_part(options.output, "comparison", render(records, facts))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for option, names in (("--only", [*CASES]), ("--tools", [*TOOLS])):
        parser.add_argument(
            option, nargs="+", choices=names, default=names, help=", ".join(names), metavar="NAME"
        )
    parser.add_argument("--quick", action="store_true", help="small, and once")
    parser.add_argument("--repeats", type=int, help="runs of each tool in each case")
    parser.add_argument("--again", action="store_true", help="also what has been run already")
    parser.add_argument("--report", action="store_true", help="run nothing, only write the tables")
    parser.add_argument("--venvs", type=Path, default=HERE / ".venvs", help="folder of the environments")
    parser.add_argument("--results-dir", type=Path, default=HERE / ".results", help="folder of the runs")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser


def _command(options: argparse.Namespace) -> str:
    """The command line, as far as it decides what is measured; which part of it the tables show."""
    words = ["python", "bench/compare.py", *(["--quick"] if options.quick else [])]
    words += ["--repeats", str(options.repeats)] if options.repeats else []
    return " ".join(words)


def _facts(results: Path, sizes: Sizes) -> Facts:
    """Those of the runs that are there already, brought up to date."""
    file = results / "facts.json"
    facts = (
        msgspec.json.decode(file.read_bytes(), type=Facts)
        if file.exists()
        else Facts(machine="", command="", versions={})
    )
    facts.sizes = msgspec.to_builtins(sizes)
    return facts


def _environment(name: str, venvs: Path) -> tuple[Path, str]:
    """The Python of a tool, and the tool's version."""
    tool = TOOLS[name]
    python, installed = make_environment(tool, venvs)
    pairs = (line.split("==", 1) for line in installed if "==" in line)
    versions = {name.replace("_", "-").lower(): version for name, version in pairs}
    return python, versions.get(tool.version_of, sdg.__version__)


def _run_case(
    name: str, place: Place, tools: list[str], sizes: Sizes, records: Records, *, again: bool
) -> None:
    """All runs of a case that are not there yet, the tools taking turns."""
    case = CASES[name]
    for repeat in range(min(sizes.repeats, case.repeats)):
        for tool in (TOOLS[tool] for tool in tools if name not in TOOLS[tool].unable):
            there = records.of(name)
            failed = repeat > 0 and there[tool.name, 0].reason  # it would fail again, and take its time
            if failed or ((tool.name, repeat) in there and not again):
                continue
            begun, account, reason = time.monotonic(), Account(), ""
            try:
                account = case.run(place, tool, sizes)
            except (Cannot, OSError) as error:
                reason = str(error)
            seconds = round(time.monotonic() - begun, 1)
            date = datetime.now(UTC).isoformat(timespec="seconds")
            record = Record(tool.name, repeat, account, reason, date, seconds)
            records.add(name, record)
            print(msgspec.json.encode({"case": name, "record": record}).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
