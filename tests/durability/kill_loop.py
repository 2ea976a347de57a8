"""Kills runs with SIGKILL at random moments, lets them go on, and compares them with one that was left alone.

    python tests/durability/kill_loop.py --kills 200
    python tests/durability/kill_loop.py --two-stage --points 20

Real processes on both sides. Of each kill the calls are counted that were in flight, or had been answered in
the last 50 ms: these may be asked again, and no others. ``test_kill_loop.py`` has the short version.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
from counted_teacher import COMMAND, REFUSED, Teacher, bought, environment, left_alone, simulated
from follower import Follower
from scenes import SCENES, Scene, write_scene

from sdg_stream.simulator.call_log import CallLine

__all__ = [
    "Bench",
    "Kill",
    "Outcome",
    "Trial",
    "bench_of",
    "kill_half_way",
    "kill_repeatedly",
    "made",
    "undisturbed",
]

Order = Literal["input", "none"]
ORDERS: tuple[Order, Order] = ("input", "none")

GRACE = 0.05  # seconds: answers this old are surely kept
SLOTS = 64
LATENCY = 0.15  # seconds a call, on average
RIGHT_BEHIND_A_WRITE = 0.3  # share of the kills
BLOCK_COUNTS = ("name", "records_in", "records_out", "filtered", "duplicates", "rejected")
RUN_COUNTS = ("roots", "accepted", "filtered", "rejected", "pending", "roots_with_rejects", "rows", "rejects")


class Outcome(msgspec.Struct, kw_only=True):
    """What a run left when it was finished, and what it asked.

    Attributes:
        rows: the output.
        rejects: lines of the rejects file, sorted; without root numbers where rows come in any order, since
            it is open then which of two equal rows is the duplicate.
        counts: of the report.
        answers: how often each request was answered.
        refusals: how often each request was refused, which costs no token.
        startup: seconds from the start to the first call.
        seconds: wall time.
    """

    rows: bytes
    rejects: list[str]
    counts: dict[str, Any]
    answers: Counter[str]
    refusals: Counter[str]
    startup: float
    seconds: float


class Kill(msgspec.Struct, kw_only=True):
    """One kill: requests in flight, those answered in the last 50 ms before it, answers up to then."""

    in_flight: Counter[str]
    late: Counter[str]
    answered: int


class Trial(msgspec.Struct, kw_only=True):
    """A run that was killed, perhaps often, and what is wrong with what it left, in words."""

    kills: list[Kill]
    repeats: int
    unexplained: int
    refused_again: int
    wrong: list[str]

    @property
    def bound(self) -> int:
        """How many calls may have been made again."""
        return sum(kill.in_flight.total() + kill.late.total() for kill in self.kills)

    @property
    def held(self) -> bool:
        """Whether all promises were kept."""
        return not self.wrong and not self.unexplained and self.repeats <= self.bound


class Bench:
    """One scene in a folder, with a teacher of its own, run in one order."""

    def __init__(
        self, folder: Path, scene: Scene, order: Order, teacher: Teacher, grace: float = GRACE
    ) -> None:
        self.folder = folder
        self.scene = scene
        self.order = order
        self.teacher = teacher
        self.grace = grace
        self.probe = ""  # the request of each session that looks what the teacher can do; no record's

    def start(self, output: str) -> subprocess.Popen[str]:
        """Start the run, or start it again: always the same command."""
        command = [
            *(*COMMAND, "run", f"{self.scene.name}.yaml", "-i", "in.jsonl", "-o", output),
            *("--endpoint-url", self.teacher.url, "--order", self.order, "--concurrency", str(SLOTS)),
            *("--progress", "none", "--max-attempts", "20"),
        ]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment(), stderr=subprocess.PIPE, text=True
        )

    def finish(self, output: str) -> None:
        """Run to the end.

        Raises:
            RuntimeError: the run failed; its words.
        """
        with self.start(output) as process:
            words = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}: {words}")

    def calls(self, first: int) -> list[CallLine]:
        """The calls that were made for records, from number ``first`` of the log on."""
        return [call for call in self.teacher.calls[first:] if call.request != self.probe]

    def outcome(self, output: str, calls_from: int, began: float) -> Outcome:
        """What a finished run has left; its calls are those from ``calls_from`` on."""
        self.teacher.quiet()
        calls = self.calls(calls_from)
        run = self.folder / f"{output}.run"
        report = json.loads((run / "run.json").read_text(encoding="utf-8"))["report"]
        rejects = [json.loads(line) for line in (run / "rejects.jsonl").read_text("utf-8").splitlines()]
        for row in rejects if self.order == "none" else ():
            del row["root"]
        return Outcome(
            rows=(self.folder / output).read_bytes(),
            rejects=sorted(json.dumps(row, sort_keys=True) for row in rejects),
            counts={
                **{name: report[name] for name in RUN_COUNTS},
                "blocks": [{name: block[name] for name in BLOCK_COUNTS} for block in report["blocks"]],
            },
            answers=Counter(call.request for call in calls if bought(call)),
            refusals=Counter(call.request for call in calls if call.status == REFUSED),
            startup=min((call.arrived for call in calls), default=began) - began,
            seconds=time.monotonic() - began,
        )


def undisturbed(bench: Bench) -> Outcome:
    """Run once from beginning to end."""
    bench.teacher.quiet()
    first, began = len(bench.teacher.calls), time.monotonic()
    bench.finish("whole.jsonl")
    bench.teacher.quiet()
    bench.probe = min(bench.teacher.calls[first:], key=lambda call: call.arrived).request
    return bench.outcome("whole.jsonl", first, began)


def kill_repeatedly(
    bench: Bench, whole: Outcome, dice: random.Random, most: int, output: str = "out.jsonl"
) -> Trial:
    """Start a run and kill it at random moments, until it is finished or was killed ``most`` times."""
    work = whole.seconds - whole.startup

    def moment(process: subprocess.Popen[str], follower: Follower, number: int) -> None:
        longest = whole.startup + work / 6 * 1.1**number  # so that it comes to an end
        patience = dice.uniform(whole.startup / 5, longest)
        if dice.random() < RIGHT_BEHIND_A_WRITE:
            follower.grown.clear()
            follower.grown.wait(patience)
        else:
            _ended(process, patience)

    return _trial(bench, whole, output, most, moment)


def kill_half_way(bench: Bench, whole: Outcome, dice: random.Random, output: str) -> Trial:
    """Start a run, kill it once when a random number of its calls has been answered, and let it go on."""
    calls = whole.answers.total()
    goal = len(bench.teacher.calls) + dice.randrange(calls // 10, calls * 9 // 10)

    def moment(process: subprocess.Popen[str], _follower: Follower, _number: int) -> None:
        while len(bench.teacher.calls) < goal and not _ended(process, 0.002):
            bench.teacher.read()

    return _trial(bench, whole, output, 1, moment)


def _ended(process: subprocess.Popen[str], seconds: float) -> bool:
    """Wait for the end of a process, but not for long."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _trial(
    bench: Bench,
    whole: Outcome,
    output: str,
    most: int,
    moment: Callable[[subprocess.Popen[str], Follower, int], None],
) -> Trial:
    """Kill a run up to ``most`` times, each when ``moment`` returns, let it finish, look at everything."""
    teacher = bench.teacher
    teacher.quiet()
    first, began = len(teacher.calls), time.monotonic()
    kills: list[Kill] = []
    with Follower(bench.folder / output) as follower:
        while len(kills) < most:
            kill = _killed(bench, output, lambda process: moment(process, follower, len(kills)))
            if kill is None:
                break
            kills.append(kill)
        else:
            bench.finish(output)
    found = bench.outcome(output, first, began)
    repeats = made(bench.calls(first))
    repeats.subtract(whole.answers)
    explained = sum((kill.in_flight + kill.late for kill in kills), Counter[str]())
    return Trial(
        kills=kills,
        repeats=(+repeats).total(),
        unexplained=(+repeats - explained).total(),
        refused_again=(found.refusals - whole.refusals).total(),
        wrong=[*follower.check(), *_differences(bench.order, whole, found)],
    )


def _killed(bench: Bench, output: str, moment: Callable[[subprocess.Popen[str]], None]) -> Kill | None:
    """Start the run and kill it when ``moment`` returns; None if it was finished before."""
    teacher = bench.teacher
    first = len(teacher.calls)
    with bench.start(output) as process:
        try:
            moment(process)
        finally:
            now = time.monotonic()
            process.kill()
        words = process.communicate()[1]
    if process.returncode != -signal.SIGKILL:
        if process.returncode:
            raise RuntimeError(f"exit code {process.returncode}: {words}")
        return None
    teacher.quiet()
    calls = bench.calls(first)
    return Kill(
        in_flight=made(call for call in calls if call.left >= now),
        late=made(call for call in calls if now - bench.grace <= call.left < now),
        answered=sum(map(bought, calls)),
    )


def made(calls: Iterable[CallLine]) -> Counter[str]:
    """How often each request was answered, or was left in the middle."""
    return Counter(call.request for call in calls if bought(call) or left_alone(call))


def _differences(order: Order, whole: Outcome, found: Outcome) -> Iterator[str]:
    """What two runs that should have left the same have not left the same."""
    if order == "input" and found.rows != whole.rows:
        yield "the output is not the same, byte for byte"
    if sorted(found.rows.splitlines()) != sorted(whole.rows.splitlines()):
        yield "the output does not have the same rows"
    if found.rejects != whole.rejects:
        yield "the rejects are not the same"
    if found.counts != whole.counts:
        yield f"the counts are not the same: {found.counts}, undisturbed {whole.counts}"


# ---------------------------------------------------------------- the script


def main() -> int:
    """Run what the options ask for and print it; 0 if everything held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many kills, all scenes together")
    parser.add_argument("--two-stage", action="store_true", help="one kill a run, half-way, of 2,000 calls")
    parser.add_argument("--points", type=int, default=20, help="how many of them")
    parser.add_argument("--scene", choices=["stream", "barrier"], help="only this one")
    parser.add_argument("--order", choices=ORDERS, help="only in this order")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="of the random moments")
    parser.add_argument("--folder", type=Path, help="where to run, kept afterwards; else a temporary one")
    options = parser.parse_args()
    _say(f"seed {options.seed}")
    dice = random.Random(options.seed)
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if options.two_stage:
            trials = list(two_stages(folder, dice, options.points))
        else:
            scenes = [options.scene] if options.scene else ["stream", "barrier"]
            orders = [options.order] if options.order else ORDERS
            trials = list(loop(folder, dice, options.kills, scenes, orders))
    kills, repeats, bound = (
        sum(len(trial.kills) for trial in trials),
        sum(trial.repeats for trial in trials),
        sum(trial.bound for trial in trials),
    )
    held = all(trial.held for trial in trials)
    _say(f"kills {kills}, calls made again {repeats}, bound {bound}: {'all held' if held else 'NOT HELD'}")
    return 0 if held else 1


def loop(
    folder: Path, dice: random.Random, kills: int, scenes: Sequence[str], orders: Sequence[Order]
) -> Iterator[Trial]:
    """Killed runs of the scenes in turn, in all orders, until there were enough kills."""
    _say("scene    order  kills  again  bound  unexplained  refused again")
    combinations = [(SCENES[name], order) for order in orders for name in scenes]
    number = 0
    with ExitStack() as stack:
        benches = [stack.enter_context(bench_of(folder, scene, order)) for scene, order in combinations]
        wholes = [undisturbed(bench) for bench in benches]
        while kills > 0:
            bench, whole = benches[number % len(benches)], wholes[number % len(benches)]
            trial = kill_repeatedly(bench, whole, dice, kills, f"out-{number}.jsonl")
            _say(
                f"{bench.scene.name:<8} {bench.order:<5} {len(trial.kills):6} {trial.repeats:6}"
                f" {trial.bound:6} {trial.unexplained:12} {trial.refused_again:14}  {'; '.join(trial.wrong)}"
            )
            kills -= len(trial.kills)
            number += 1
            yield trial


def two_stages(folder: Path, dice: random.Random, points: int) -> Iterator[Trial]:
    """Runs of two stages, each killed once half-way."""
    _say("answered  in flight  last 50 ms  bound  again")
    with bench_of(folder, SCENES["two_stages"], "input") as bench:
        whole = undisturbed(bench)
        for number in range(points):
            trial = kill_half_way(bench, whole, dice, f"out-{number}.jsonl")
            for kill in trial.kills:
                flying, late = kill.in_flight.total(), kill.late.total()
                _say(
                    f"{kill.answered:8} {flying:10} {late:11} {trial.bound:6} {trial.repeats:6}"
                    f"  {'; '.join(trial.wrong)}"
                )
            yield trial


@contextmanager
def bench_of(
    folder: Path, scene: Scene, order: Order, *, grace: float = GRACE, seconds: float = LATENCY
) -> Iterator[Bench]:
    """A scene in a folder of its own, with its teacher, who takes so many seconds a call."""
    own = folder / f"{scene.name}-{order}"
    own.mkdir(parents=True)
    write_scene(own, scene)
    latency = ("--latency", "lognormal", "--latency-seconds", str(seconds))
    with simulated(own, *latency, "--slots", str(SLOTS)) as teacher:
        yield Bench(own, scene, order, teacher, grace)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
