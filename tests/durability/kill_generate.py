"""Kills whole jobs of ``generate`` at every step, lets them go on, and compares them with an undisturbed one.

    python tests/durability/kill_generate.py --kills 24
    python tests/durability/kill_generate.py --step mixing --kills 5

Real processes on both sides; mostly SIGKILL, now and then SIGTERM. A step is known by the files that it
writes; it is hit some random time after one of them was seen. Of each kill the calls are counted that were in
flight, or had been answered in the last 50 ms: these may be asked again, and no others, except what two leaf
nodes happen to ask in the same words: that is one call only for as long as a process lives. All files of the
output folder must be the same in the end, byte for byte, run directories aside.
``test_kill_generate.py`` has the short version.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where taxonomies are made

from counted_teacher import COMMAND, REFUSED, Teacher, bought, environment, simulated
from jobs import JOBS, JobScene, write_job
from kill_loop import GRACE, RUN_COUNTS, Kill, Trial, made

from sdg_stream.simulator.call_log import CallLine

__all__ = ["STEPS", "JobBench", "job_bench", "kill_job", "undisturbed_job"]

SUFFIX = "of_the_job"
SLOTS = 32
LATENCY = 0.15  # seconds a call, on average
TERMINATED = 0.2  # share of the kills that are SIGTERM
LOOK = 0.001  # seconds between two looks at the files
LEFT = (".partial", ".new", ".tmp")
GONE_SECONDS = 20.0  # for what a killed process had started to end by itself


class Step(msgspec.Struct, frozen=True):
    """A step of a job: patterns of files that are new or grow in it, and seconds that it may go on then."""

    patterns: tuple[str, ...]
    spread: float


STEPS = {
    "starting": Step((), 1.0),
    "fetching": Step(("cache/.fetching-*",), 0.3),
    "cutting": Step(("out/preprocessed_*/.*.partial",), 0.6),
    "generation": Step(("out/generated_*/*.jsonl",), 2.5),
    "benchmark": Step(("out/generate_*.run/benchmark/*.jsonl",), 1.0),
    "training": Step(("out/node_datasets_*/*", "out/t*.new", "out/messages*.new"), 0.1),
    "mixing": Step(("out/*_train_msgs_*.new",), 0.4),
}
PATIENCE = 2.0  # times as long as an undisturbed job: a step that has not come by then is not waited for


class JobKill(Kill):
    """A kill, its moment, the step that it hit (``elsewhere`` if that did not come), and the signal."""

    at: float
    step: str
    signal: str


class Outcome(msgspec.Struct, kw_only=True):
    """What a finished job left, and what it asked.

    Attributes:
        files: digests of all files that are not of a run directory, and of the rows of benchmarks.
        counts: of the report.
        answers: how often each request was answered.
        refusals: how often each request was refused.
        shared: how many answers more than one leaf node has kept.
        seconds: wall time.
    """

    files: dict[str, str]
    counts: dict[str, Any]
    answers: Counter[str]
    refusals: Counter[str]
    shared: int
    seconds: float


class JobBench:
    """A job in a folder, with a teacher of its own. It always runs at one place, which its files may name."""

    def __init__(self, folder: Path, scene: JobScene, teacher: Teacher, grace: float) -> None:
        self.folder = folder
        self.scene = scene
        self.teacher = teacher
        self.grace = grace
        self.job = folder / "job"
        self.probe = ""  # the request of each start that looks what the teacher can do; no sample's

    def start(self) -> subprocess.Popen[str]:
        """Start the job, or start it again: always the same command."""
        self.job.mkdir(exist_ok=True)
        command = [
            *(
                *COMMAND,
                "generate",
                "--taxonomy",
                "../taxonomy",
                "--output-dir",
                "out",
                "--allow-local-repos",
            ),
            *("--documents-cache", "cache", "--pipeline", self.scene.pipeline, "--date-suffix", SUFFIX),
            *("--endpoint-url", self.teacher.url, "--concurrency", str(SLOTS), "--max-attempts", "20"),
            *("--num-instructions", "4", "--model-family", "mixtral"),
            *("--progress", "none", "--max-reject-rate", "1"),
        ]
        env = {**environment(), "XDG_DATA_HOME": str(self.folder / "data")}
        return subprocess.Popen(command, cwd=self.job, env=env, stderr=subprocess.PIPE, text=True)

    def finish(self) -> None:
        """Run to the end.

        Raises:
            RuntimeError: the job failed; its words.
        """
        with self.start() as process:
            words = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}: {words}")

    def calls(self, first: int) -> list[CallLine]:
        """The calls that were made for samples, from number ``first`` of the log on."""
        return [call for call in self.teacher.calls[first:] if call.request != self.probe]

    def outcome(self, calls_from: int, began: float) -> Outcome:
        """What the finished job has left; its calls are those from ``calls_from`` on."""
        self.teacher.quiet()
        calls = self.calls(calls_from)
        report = json.loads((self._state / "job.json").read_text(encoding="utf-8"))["report"]
        return Outcome(
            files={
                name: hashlib.blake2b(file.read_bytes(), digest_size=8).hexdigest()
                for name, file in self._files()
            },
            counts={**{name: report["run"][name] for name in RUN_COUNTS}, "leaves": report["leaves"]},
            answers=Counter(call.request for call in calls if bought(call)),
            refusals=Counter(call.request for call in calls if call.status == REFUSED),
            shared=self._shared(),
            seconds=time.monotonic() - began,
        )

    def stamps(self, patterns: Sequence[str]) -> set[tuple[str, int, int]]:
        """Names, places and sizes of the files that match now."""
        found = set()
        for pattern in patterns:
            for file in self.job.glob(pattern):
                try:
                    status = file.stat()
                except FileNotFoundError:
                    continue
                found.add((str(file), status.st_ino, status.st_size))
        return found

    def put_away(self, name: str) -> None:
        """Make room for the next job."""
        self.job.rename(self.folder / name)

    def left_behind(self) -> Iterator[str]:
        """Files that only a job at work has, and processes of it that do not end."""
        for path in sorted((self.job / "out").rglob("*")):
            if path.name.endswith(LEFT):
                yield f"{path.relative_to(self.job)} was left behind"
        until = time.monotonic() + GONE_SECONDS
        while (found := sorted(self._processes())) and time.monotonic() < until:
            time.sleep(0.05)
        yield from (f"a process was left behind: {words}" for words in found)

    @property
    def _state(self) -> Path:
        return self.job / "out" / f"generate_{SUFFIX}.run"

    def _files(self) -> Iterator[tuple[str, Path]]:
        for path in sorted((self.job / "out").rglob("*")):
            name = path.relative_to(self.job)
            in_state = [part for part in name.parts if part.endswith(".run")]
            if path.is_file() and (not in_state or path.match("*.run/benchmark/*.jsonl")):
                yield str(name), path

    def _shared(self) -> int:
        kept = Counter[tuple[int, str]]()
        for database in (self.job / "out").rglob("state.db"):
            with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as opened:
                kept.update(opened.execute("select distinct place, key from calls where place < 0"))
        return kept.total() - len(kept)

    def _processes(self) -> Iterator[str]:
        """Command lines of processes that work in the job's folder, or on a file of it."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                place = str((folder / "cwd").readlink())
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if place.startswith(str(self.job)) or str(self.job) in words:
                yield words


def undisturbed_job(bench: JobBench) -> Outcome:
    """Run once from beginning to end."""
    first, began = len(bench.teacher.calls), time.monotonic()
    bench.finish()
    bench.teacher.quiet()
    bench.probe = min(bench.teacher.calls[first:], key=lambda call: call.arrived).request
    found = bench.outcome(first, began)
    bench.put_away("whole")
    return found


def kill_job(
    bench: JobBench, whole: Outcome, dice: random.Random, steps: Sequence[str], name: str = "killed"
) -> Trial:
    """Kill a job once in each of these steps, let it finish, look at everything."""
    teacher = bench.teacher
    teacher.quiet()
    first, began = len(teacher.calls), time.monotonic()
    kills: list[JobKill] = []
    for step in steps:
        kill = _killed(bench, dice, step, PATIENCE * whole.seconds)
        if kill is None:
            break
        kills.append(kill)
    else:
        bench.finish()
    found = bench.outcome(first, began)
    wrong = [*bench.left_behind(), *_differences(whole, found)]
    bench.put_away(name)
    repeats = made(bench.calls(first))
    repeats.subtract(whole.answers)
    explained = sum((kill.in_flight + kill.late for kill in kills), Counter[str]())
    left = +repeats - explained
    unexplained, shared = left.total(), min(left.total(), whole.shared)
    if unexplained > shared:
        age = max(_ages(bench.calls(first), left, kills), default=0.0)
        wrong.append(f"asked again though answered up to {age:.3f} s before a kill")
    return Trial(
        kills=[*kills],
        repeats=(+repeats).total() - shared,
        unexplained=unexplained - shared,
        refused_again=(found.refusals - whole.refusals).total(),
        wrong=wrong,
    )


def _ages(calls: list[CallLine], requests: Counter[str], kills: list[JobKill]) -> Iterator[float]:
    """How long before a kill answers had been given to requests that were made again behind it."""
    told = set[str]()
    for call in calls:
        if call.request in requests and call.request not in told and bought(call):
            told.add(call.request)
            yield from [kill.at - call.left for kill in kills if kill.at > call.left][:1]


def _killed(bench: JobBench, dice: random.Random, step: str, patience: float) -> JobKill | None:
    """Start the job and kill it in a step; None if it was finished before."""
    teacher, number = bench.teacher, len(bench.teacher.calls)
    kind = signal.SIGTERM if dice.random() < TERMINATED else signal.SIGKILL
    before = bench.stamps(STEPS[step].patterns)
    with bench.start() as process:
        try:
            came = _has_come(bench, process, step, before, patience)
            time.sleep(dice.uniform(0, STEPS[step].spread))
        finally:
            now = time.monotonic()
            process.send_signal(kind)
        words = process.communicate()[1]
    if process.returncode not in (-signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM):
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}: {words}")
        return None
    teacher.quiet()
    calls = bench.calls(number)
    return JobKill(
        in_flight=made(call for call in calls if call.left >= now),
        late=made(call for call in calls if now - bench.grace <= call.left < now),
        answered=sum(map(bought, calls)),
        at=now,
        step=step if came else "elsewhere",
        signal=kind.name,
    )


def _has_come(
    bench: JobBench,
    process: subprocess.Popen[str],
    step: str,
    before: set[tuple[str, int, int]],
    patience: float,
) -> bool:
    """Wait until a step has begun, or the process has ended, but not for ever."""
    patterns, until = STEPS[step].patterns, time.monotonic() + patience
    while patterns and process.poll() is None and time.monotonic() < until:
        if bench.stamps(patterns) - before:
            return True
        time.sleep(LOOK)
    return not patterns


def _differences(whole: Outcome, found: Outcome) -> Iterator[str]:
    """What two jobs that should have left the same have not left the same."""
    for name in sorted(whole.files.keys() | found.files.keys()):
        if whole.files.get(name) != found.files.get(name):
            yield f"{name} is not the same, byte for byte"
    if found.counts != whole.counts:
        yield f"the counts are not the same: {found.counts}, undisturbed {whole.counts}"


@contextmanager
def job_bench(
    folder: Path, scene: JobScene, *, grace: float = GRACE, seconds: float = LATENCY
) -> Iterator[JobBench]:
    """A job in a folder, with its teacher, who takes so many seconds a call."""
    write_job(folder, scene)
    latency = ("--latency", "lognormal", "--latency-seconds", str(seconds))
    with simulated(folder, *latency, "--slots", str(SLOTS)) as teacher:
        yield JobBench(folder, scene, teacher, grace)


# ---------------------------------------------------------------- the script


def main() -> int:
    """Run what the options ask for and print it; 0 if everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=24, help="how many kills")
    parser.add_argument("--a-job", type=int, default=8, help="how many kills one job gets")
    parser.add_argument("--step", choices=STEPS, help="only in this step")
    parser.add_argument("--job", choices=JOBS, default="long")
    parser.add_argument("--grace", type=float, default=GRACE, help="seconds; more where the machine is busy")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the random moments")
    parser.add_argument("--folder", type=Path, help="where to run, kept afterwards; else a temporary one")
    options = parser.parse_args()
    _say(f"seed {options.seed}")
    dice = random.Random(options.seed)
    trials: list[Trial] = []
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = stack.enter_context(job_bench(folder.resolve(), JOBS[options.job], grace=options.grace))
        whole = undisturbed_job(bench)
        told = f"{whole.answers.total()} calls answered, {len(whole.files)} files"
        _say(f"undisturbed: {whole.seconds:.1f} s, {told}, {whole.shared} answers of two leaf nodes")
        _say("job        step        signal   answered  in flight  last 50 ms")
        while (left := options.kills - sum(len(trial.kills) for trial in trials)) > 0:
            name = f"killed-{len(trials)}"
            steps = _schedule(dice, min(left, options.a_job), options.step)
            trial = kill_job(bench, whole, dice, steps, name)
            _tell(name, trial)
            trials.append(trial)
    kills, repeats, bound = (
        [kill for trial in trials for kill in trial.kills],
        sum(trial.repeats for trial in trials),
        sum(trial.bound for trial in trials),
    )
    hit = Counter(kill.step for kill in kills if isinstance(kill, JobKill))
    held = all(trial.held for trial in trials)
    _say(", ".join(f"{step} {count}" for step, count in hit.items()))
    words = f"kills {len(kills)}, calls made again {repeats}, bound {bound}"
    _say(f"{words}: {'all held' if held else 'NOT HELD'}")
    return 0 if held else 1


def _schedule(dice: random.Random, count: int, step: str | None) -> list[str]:
    """Steps to be hit in one job, in the order in which they come."""
    order = list(STEPS)
    if step is not None:
        return [step] * count
    chosen = [*dice.sample(order, min(count, len(order))), *dice.choices(order, k=max(0, count - len(order)))]
    return sorted(chosen, key=order.index)


def _tell(name: str, trial: Trial) -> None:
    for kill in trial.kills:
        if isinstance(kill, JobKill):
            flying, late = kill.in_flight.total(), kill.late.total()
            _say(f"{name:<10} {kill.step:<11} {kill.signal:<8} {kill.answered:8} {flying:10} {late:11}")
    numbers = f"again {trial.repeats}, bound {trial.bound}, unexplained {trial.unexplained}"
    told = "; ".join(trial.wrong) or "the same files"
    _say(f"{name:<10} {numbers}, refused again {trial.refused_again}: {told}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
