"""Everything in ``bench/RESULTS.md`` by one command: the budgets, the comparison, a GPU where there is one.

    python bench/results.py --quick              # small, and once: half an hour
    python bench/results.py                      # everything, as it is published: some hours
    python bench/results.py --venvs DIR --results-dir DIR --again

Runs ``bench/budgets.py --write``, ``bench/compare.py`` and, where nvidia-smi finds a GPU, ``bench/gpu.py
--install --write``; each writes its own part. Before each it waits until the machine is quiet: a load average
below 0.5, for five minutes at most. Runs of the comparison that ``--results-dir`` has already are not made
again without ``--again``. The exit code is 1 if a benchmark failed or a budget does not hold.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from gpu_servers import gpu

HERE = Path(__file__).parent
QUIET = 0.5  # load average
WAIT_SECONDS, LOOK_SECONDS = 300, 10


def main() -> int:
    """Run one after the other."""
    options = _parser().parse_args()
    codes = []
    for script, *arguments in commands(options, has_gpu=bool(gpu())):
        wait_until_quiet()
        print("python", f"bench/{script}", *arguments, flush=True)
        codes.append(subprocess.run([sys.executable, str(HERE / script), *arguments], check=False).returncode)
    return 1 if any(codes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs; not on a GPU")
    parser.add_argument("--again", action="store_true", help="also runs of the comparison that are there")
    parser.add_argument("--venvs", type=Path, help="folder of the tools' environments")
    parser.add_argument("--results-dir", type=Path, help="folder of the comparison's runs")
    return parser


def commands(options: argparse.Namespace, *, has_gpu: bool) -> Iterator[list[str]]:
    """The scripts and their arguments, in the order of the results."""
    quick = ["--quick"] if options.quick else []
    venvs = ["--venvs", str(options.venvs)] if options.venvs else []
    kept = ["--results-dir", str(options.results_dir)] if options.results_dir else []
    yield ["budgets.py", *quick, "--write"]
    yield ["compare.py", *quick, *(["--again"] if options.again else []), *venvs, *kept]
    if has_gpu:
        yield ["gpu.py", "--install", "--write", *venvs]


def wait_until_quiet(
    load: Callable[[], float] = lambda: os.getloadavg()[0], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait until the load average is low, but not for ever; says so where it has to wait."""
    busy = load()
    if busy < QUIET:
        return
    print(f"The load average is {busy:.1f}; waiting until it is below {QUIET}.", flush=True)
    for _ in range(WAIT_SECONDS // LOOK_SECONDS):
        sleep(LOOK_SECONDS)
        busy = load()
        if busy < QUIET:
            return
    print(f"It is still {busy:.1f}: going on, but times will be too long.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
