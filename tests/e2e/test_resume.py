"""Going on with a run by the command that began it: what is asked again, what is written, what is refused."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from command_line import COMMAND, Lines, environment, sdg, write_project

import sdg_stream
from sdg_stream.catalog import pipelines_dir
from sdg_stream.errors import RecordError
from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import SimulatorServer, serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings
from sdg_stream.testing.scripted import ScriptedTeacher

pytestmark = pytest.mark.anyio

RUN = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a pipeline that asks once a row."""
    write_project(tmp_path)
    write_input(tmp_path, range(6))
    return tmp_path


def write_input(folder: Path, numbers: range) -> None:
    """Input rows with these numbers."""
    rows = (json.dumps({"topic": f"topic {number}", "number": number}) for number in numbers)
    (folder / "in.jsonl").write_text("".join(f"{row}\n" for row in rows))


def numbers_in(file: Path) -> list[int]:
    """The numbers of the rows in a file."""
    return [json.loads(line)["number"] for line in file.read_text().splitlines()]


class Counting:
    """A teacher, and what was asked of it."""

    def __init__(self, server: SimulatorServer, log: Path) -> None:
        self.url = server.url
        self._server = server
        self._log = log

    @property
    def requests(self) -> int:
        """Calls of every kind since the last :meth:`reset`."""
        return self._server.stats.requests

    def reset(self) -> None:
        """Count from zero."""
        self._server.reset()
        self._log.write_bytes(b"")

    def asked(self) -> list[CallLine]:
        """The calls that were made for records; the first of a session looks what the teacher can do."""
        lines = [msgspec.json.decode(line, type=CallLine) for line in self._log.read_bytes().splitlines()]
        return lines[1:]


@asynccontextmanager
async def teacher(folder: Path, **settings: Any) -> AsyncIterator[Counting]:
    """A teacher that answers at once."""
    log = folder / "calls.log"
    log.unlink(missing_ok=True)
    async with serve(SimulatorSettings(**{"latency": "zero", **settings}), log=log) as server:
        yield Counting(server, log)


async def test_a_finished_run_says_so_and_does_nothing(folder: Path) -> None:
    """Exit code 0, no call of any kind, not a byte of the output touched."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        assert (await sdg(folder, *command)).returncode == 0
        before, stat = (folder / "out.jsonl").read_bytes(), (folder / "out.jsonl").stat()
        one.reset()
        again = await sdg(folder, *command)
        assert (again.returncode, one.requests) == (0, 0)
    assert "This run is finished: 6 rows of 6 input rows in out.jsonl. Nothing was done." in again.stderr
    assert (folder / "out.jsonl").read_bytes() == before
    now = (folder / "out.jsonl").stat()
    assert (now.st_ino, now.st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)


async def test_a_run_file_that_a_kill_left_open_is_completed(folder: Path) -> None:
    """Killed between its last row and its account: the next start adds the account."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        await sdg(folder, *command)
        file = folder / "out.jsonl.run" / "run.json"
        whole = json.loads(file.read_text())
        file.write_text(json.dumps({**whole, "report": None}))
        assert (await sdg(folder, *command)).returncode == 0
    report = json.loads(file.read_text())["report"]
    assert {name: report[name] for name in ("roots", "accepted", "rows", "blocks", "stopped")} == {
        name: whole["report"][name] for name in ("roots", "accepted", "rows", "blocks", "stopped")
    }


async def test_resume_never_and_require(folder: Path) -> None:
    """``never`` refuses to go on, ``require`` refuses to begin; both with 6, before any call."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        refused = await sdg(folder, *command, "--resume", "require")
        assert (refused.returncode, one.requests) == (6, 0)
        assert "there is no run of out.jsonl to go on with" in refused.stderr
        assert not (folder / "out.jsonl").exists()
        assert (await sdg(folder, *command, "--resume", "never", "--limit", "2")).returncode == 0
        one.reset()
        refused = await sdg(folder, *command, "--resume", "never")
        assert (refused.returncode, one.requests) == (6, 0)
        assert "--resume never" in refused.stderr
        assert (await sdg(folder, *command, "--resume", "require")).returncode == 0
    assert numbers_in(folder / "out.jsonl") == list(range(6))


async def test_rows_that_are_added_to_the_input_are_run_and_no_others(folder: Path) -> None:
    """Nine rows where six were before: three calls, and the account of all nine."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        await sdg(folder, *command)
        write_input(folder, range(9))
        one.reset()
        done = await sdg(folder, *command)
        assert (done.returncode, len(one.asked())) == (0, 3)
    assert numbers_in(folder / "out.jsonl") == list(range(9))
    assert "roots     9 = 9 accepted" in done.stderr


async def test_an_input_that_has_changed_is_refused(folder: Path) -> None:
    """A row of it is not what it was: exit code 6, and which one; nothing is asked."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        await sdg(folder, *command)
        text = (folder / "in.jsonl").read_text()
        (folder / "in.jsonl").write_text(text.replace("topic 3", "topic X"))
        one.reset()
        refused = await sdg(folder, *command)
        assert (refused.returncode, one.requests) == (6, 0)
    assert "in.jsonl" in refused.stderr
    assert "--edited" in refused.stderr


async def test_a_limit_can_be_raised(folder: Path) -> None:
    """Two rows, then four, then all; with less there is nothing to do."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        for limit, calls in ((2, 2), (4, 2), (3, 0), (6, 2)):
            one.reset()
            done = await sdg(folder, *command, "--limit", str(limit))
            assert (done.returncode, len(one.asked())) == (0, calls), limit
            assert ("This run is finished" in done.stderr) == (calls == 0)
        one.reset()
        assert (await sdg(folder, *command)).returncode == 0
        assert one.asked() == []
    assert numbers_in(folder / "out.jsonl") == list(range(6))


async def test_a_target_that_was_reached_before_is_reached(folder: Path) -> None:
    """The same target asks nothing more; a higher one asks for what is missing to it."""
    write_input(folder, range(200))
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url, "--concurrency", "4")
        assert (await sdg(folder, *command, "--target", "20")).returncode == 0
        first = len(numbers_in(folder / "out.jsonl"))
        assert 20 <= first < 100
        one.reset()
        again = await sdg(folder, *command, "--target", "20")
        assert (again.returncode, one.requests) == (0, 0)
        assert "This run is finished" in again.stderr
        assert (await sdg(folder, *command, "--target", str(first + 10))).returncode == 0
        rows = numbers_in(folder / "out.jsonl")
        assert len(one.asked()) == len(rows) - first
    assert rows == list(range(len(rows)))
    assert first + 10 <= len(rows) < 200


async def test_outputs_can_share_a_cache(folder: Path) -> None:
    """With --cache-dir a second output buys nothing that the first one bought."""
    async with teacher(folder) as one:
        command = ("run", "ask.yaml", "-i", "in.jsonl", "--endpoint-url", one.url, "--cache-dir", "cache")
        assert (await sdg(folder, *command, "-o", "one.jsonl")).returncode == 0
        assert len(one.asked()) == 6
        one.reset()
        assert (await sdg(folder, *command, "-o", "two.jsonl")).returncode == 0
        assert one.asked() == []
    assert (folder / "two.jsonl").read_bytes() == (folder / "one.jsonl").read_bytes()


async def test_without_a_cache_no_answer_is_kept(folder: Path) -> None:
    """--no-cache: what is settled stays settled, but an edit has everything asked again."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url, "--no-cache")
        assert (await sdg(folder, *command, "--limit", "3")).returncode == 0
        one.reset()
        assert (await sdg(folder, *command)).returncode == 0
        assert len(one.asked()) == 3
        (folder / "ask.yaml").write_text((folder / "ask.yaml").read_text().replace("name: ask", "name: asks"))
        one.reset()
        assert (await sdg(folder, *command, "--edited")).returncode == 0
        assert len(one.asked()) == 6
    assert numbers_in(folder / "out.jsonl") == list(range(6))


# ---------------------------------------------------------------- --retry-rejected

FAN_OUT = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [answer]
      gen_kwargs: {n: 3, max_tokens: 400, temperature: 0.7}
    drop_duplicates: [answer]
  - name: explain
    type: LLMBlock
    config:
      config_path: explain.yaml
      output_cols: [explanation]
      gen_kwargs: {max_tokens: 400, temperature: 0}
"""


def write_fan_out(folder: Path) -> tuple[str, ...]:
    """A pipeline of three answers a row, each of which is explained; the command that runs it."""
    prompt = (folder / "prompt.yaml").read_text()
    (folder / "fan.yaml").write_text(FAN_OUT)
    (folder / "explain.yaml").write_text(
        prompt.replace("Tell me about {{topic}}.", "Explain for {{topic}}: {{answer}}.")
    )
    return ("run", "fan.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--max-reject-rate", "1")


def lines_of(file: Path) -> list[str]:
    """The lines of a file, sorted."""
    return sorted(file.read_text().splitlines())


async def run_whole(folder: Path, command: tuple[str, ...]) -> list[str]:
    """The rows of a run in which nothing goes wrong, into another output."""
    async with teacher(folder) as one:
        command = tuple("whole.jsonl" if word == "out.jsonl" else word for word in command)
        done = await sdg(folder, *command, "--endpoint-url", one.url)
    assert done.returncode == 0, done.stderr
    return lines_of(folder / "whole.jsonl")


REFUSED = FaultRule(match="Explain for topic 3", fault=Fault(status=400))
FAILING = FaultRule(match="Explain for topic 3", fault=Fault(status=500))


@pytest.mark.parametrize("rule", [REFUSED, FAILING], ids=["refused", "unreachable"])
@pytest.mark.parametrize("order", ["input", "none"])
async def test_rejected_records_become_rows_on_the_second_go(
    folder: Path, rule: FaultRule, order: str
) -> None:
    """Only what was rejected is asked again; every row is there once, also of roots that had some before."""
    command = (*write_fan_out(folder), "--order", order, "--max-attempts", "1")
    whole = await run_whole(folder, command)
    some = FaultRule(match="second look", fault=rule.fault)  # of some answers of a root, not of others
    async with teacher(folder, faults=(rule, some)) as one:
        await sdg(folder, *command, "--endpoint-url", one.url)
    report = account(folder)
    assert report["roots_with_rejects"] > 1
    assert report["roots_with_rejects"] > report["rejected"]  # so some have rows as well
    before = lines_of(folder / "out.jsonl")
    async with teacher(folder) as one:
        done = await sdg(folder, *command, "--endpoint-url", one.url, "--retry-rejected")
        assert done.returncode == 0, done.stderr
        assert len(one.asked()) == report["rejects"]
    assert lines_of(folder / "out.jsonl") == whole
    assert set(before) < set(whole)
    again = account(folder)
    assert (again["roots"], again["accepted"], again["rejects"]) == (6, 6, 0)
    assert [block["records_out"] for block in again["blocks"]] == [len(whole)] * 2
    assert (folder / "out.jsonl.run/rejects.jsonl").read_text() == ""


def account(folder: Path) -> Any:
    """The report of a run that has ended."""
    return json.loads((folder / "out.jsonl.run" / "run.json").read_text())["report"]


async def test_what_is_rejected_again_stays_rejected(folder: Path) -> None:
    """However many there are: a teacher that has answered before is not given up for refusing them all."""
    write_input(folder, range(40))
    some = FaultRule(match="topic 1", fault=Fault(status=400))
    more = FaultRule(match="topic 2", fault=Fault(status=400))
    async with teacher(folder, faults=(some, more)) as one:
        command = (*RUN, "--endpoint-url", one.url, "--max-reject-rate", "1")
        assert (await sdg(folder, *command, "--concurrency", "1")).returncode == 0
        first, rows = account(folder), numbers_in(folder / "out.jsonl")
        assert first["rejected"] == 22
        one.reset()
        done = await sdg(folder, *command, "--retry-rejected")
        assert (done.returncode, len(one.asked())) == (0, 22), done.stderr
    again = account(folder)
    for name in ("roots", "accepted", "rejected", "rejects", "rows"):
        assert again[name] == first[name], name
    assert numbers_in(folder / "out.jsonl") == rows
    rejects = [json.loads(line) for line in lines_of(folder / "out.jsonl.run/rejects.jsonl")]
    assert len(rejects) == 22


async def test_nothing_rejected_is_nothing_to_retry(folder: Path) -> None:
    """--retry-rejected of a clean run: done at once, and said so."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        await sdg(folder, *command)
        one.reset()
        done = await sdg(folder, *command, "--retry-rejected")
        assert (done.returncode, one.asked()) == (0, [])
    assert numbers_in(folder / "out.jsonl") == list(range(6))


class Stopped(ScriptedTeacher):
    """Answers so many requests for explanations; then the run is cancelled in the middle of the next one."""

    def __init__(self, answers: int) -> None:
        super().__init__(self._text)
        self.answers = answers
        self.scope = anyio.CancelScope()

    def _text(self, request: sdg_stream.Request) -> Any:
        return ["first", "second", "third"] if request.depth == 0 else "since"

    async def complete(self, request: sdg_stream.Request) -> sdg_stream.Completion:
        """Answer, or hang."""
        if request.depth:
            self.answers -= 1
            if self.answers < 0:
                self.scope.cancel()
                await anyio.sleep_forever()
        return await super().complete(request)


async def test_a_retry_that_was_stopped_asks_nothing_again(folder: Path) -> None:
    """Of a root's three rejects two were answered when the retry was stopped: then the third is asked."""
    write_fan_out(folder)
    write_input(folder, range(1))
    pipeline = sdg_stream.Pipeline.load(folder / "fan.yaml")
    ends = (folder / "in.jsonl", folder / "out.jsonl")

    def refusal(request: sdg_stream.Request) -> Any:
        return ["first", "second", "third"] if request.depth == 0 else RecordError("request_refused", "no")

    await pipeline.run(*ends, ScriptedTeacher(refusal))
    stopped, last = Stopped(answers=2), Stopped(answers=9)
    with stopped.scope:
        await pipeline.run(*ends, stopped, retry_rejected=True)
    report = await pipeline.run(*ends, last)
    assert [request.path for request in last.requests] == [(2,)]
    assert (report.accepted, report.rows, report.rejects) == (1, 3, 0)
    rows = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [row["answer"] for row in rows] == ["first", "second", "third"]


# ---------------------------------------------------------------- --edited

LEFT_OVER = {"edited.jsonl", "edited-rejects.jsonl"}


async def copied_knowledge(folder: Path) -> tuple[str, ...]:
    """A copy of full/knowledge of one's own with three seeds; the command that runs it."""
    assert (await sdg(folder, "pipelines", "copy", "full/knowledge", "mine")).returncode == 0
    seeds = (pipelines_dir() / "examples/seeds/knowledge.jsonl").read_text().splitlines()[:3]
    (folder / "in.jsonl").write_text("".join(f"{seed}\n" for seed in seeds))
    pipeline = next((folder / "mine").rglob("knowledge.yaml"))
    return ("run", str(pipeline.relative_to(folder)), "-i", "in.jsonl", "-o", "out.jsonl")


def edit_last_prompt(folder: Path) -> None:
    """Change the prompt of the last block that asks."""
    file = next((folder / "mine").rglob("evaluate_question.yaml"))
    text = file.read_text()
    assert text.count("introduction:") == 1
    file.write_text(text.replace("system: |\n", "system: |\n  Be strict.\n", 1))
    assert file.read_text() != text


def records_in(folder: Path, name: str) -> int:
    """How many records came to a block."""
    blocks: list[dict[str, Any]] = account(folder)["blocks"]
    return int(next(block["records_in"] for block in blocks if block["name"] == name))


async def test_an_edited_last_prompt_asks_the_last_questions_only(folder: Path) -> None:
    """full/knowledge: without --edited it is refused with what changed; with it one block is asked again."""
    command = await copied_knowledge(folder)
    async with teacher(folder) as one:
        command = (*command, "--endpoint-url", one.url)
        assert (await sdg(folder, *command)).returncode == 0
        first, old = len(one.asked()), (folder / "out.jsonl").read_bytes()
        edit_last_prompt(folder)
        one.reset()
        refused = await sdg(folder, *command)
        assert (refused.returncode, one.requests) == (6, 0)
        assert "evaluate_question.yaml" in refused.stderr
        assert "+ Be strict." in refused.stderr
        assert (folder / "out.jsonl").read_bytes() == old
        done = await sdg(folder, *command, "--edited")
        assert done.returncode == 0, done.stderr
        assert len(one.asked()) == records_in(folder, "eval_verify_question") > 0
        assert len(one.asked()) < first / 2
        one.reset()
        again = await sdg(folder, *command)
        assert (again.returncode, one.requests) == (0, 0)
        assert "This run is finished" in again.stderr
        edited = (folder / "out.jsonl").read_bytes()
        assert (await sdg(folder, *command, "--overwrite", "--cache-dir", "another")).returncode == 0
    assert (folder / "out.jsonl").read_bytes() == edited
    assert LEFT_OVER.intersection(file.name for file in (folder / "out.jsonl.run").iterdir()) == set()


async def test_the_old_rows_stay_until_the_edited_ones_are_all_there(folder: Path) -> None:
    """Killed in the middle of --edited: the output is as it was; the same command asks what is left."""
    write_input(folder, range(6))
    async with teacher(folder) as one:
        assert (await sdg(folder, *RUN, "--endpoint-url", one.url)).returncode == 0
    old, inode = (folder / "out.jsonl").read_bytes(), (folder / "out.jsonl").stat().st_ino
    prompt = folder / "prompt.yaml"
    prompt.write_text(prompt.read_text().replace("Tell me about", "Say something about"))
    hanging = FaultRule(match="Say something about topic 4", fault=Fault(kind="hang"))
    async with teacher(folder, faults=(hanging,)) as one:
        command = [*COMMAND, *RUN, "--endpoint-url", one.url, "--edited", "--progress", "json"]
        with anyio.fail_after(30):
            async with await anyio.open_process(command, cwd=folder, env=environment()) as process:
                await Lines(process).until(lambda report: report["rows"] == 4)
                process.kill()
        assert (folder / "out.jsonl").read_bytes() == old
        assert len(one.asked()) == 6
    async with teacher(folder) as one:
        command = [*RUN, "--endpoint-url", one.url]
        done = await sdg(folder, *command, "--edited")
        assert (done.returncode, len(one.asked())) == (0, 1), done.stderr
    assert "output    out.jsonl\n" in done.stderr
    assert numbers_in(folder / "out.jsonl") == list(range(6))
    assert (folder / "out.jsonl").stat().st_ino != inode


KILLED_IN_THE_SWAP = """
import os, pathlib, signal, sys
from sdg_stream.__main__ import main
from sdg_stream.state import generations

left = int(sys.argv.pop(1))

def counted(function, counts=lambda self: self.name.startswith("edited")):
    def call(self, *arguments):
        global left
        left -= counts(self)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(self, *arguments)
    return call

pathlib.Path.replace = counted(pathlib.Path.replace)
Generations = generations.Generations
Generations.swap = counted(Generations.swap, lambda self: True)
forget = generations._forget
generations._forget = counted(forget, lambda connection: True)
main()
"""


@pytest.mark.parametrize("point", range(4))
async def test_a_swap_that_was_interrupted_is_completed(folder: Path, point: int) -> None:
    """Killed at its start, between any two of its steps: the next start has the new rows and asks nothing."""
    async with teacher(folder) as one:
        command = (*RUN, "--endpoint-url", one.url)
        assert (await sdg(folder, *command)).returncode == 0
        prompt = folder / "prompt.yaml"
        prompt.write_text(prompt.read_text().replace("Tell me about", "Say something about"))
        words = [sys.executable, "-c", KILLED_IN_THE_SWAP, str(point), *command, "--edited"]
        with anyio.fail_after(30):
            killed = await anyio.run_process(words, cwd=folder, env=environment(), check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        one.reset()
        done = await sdg(folder, *command)
        assert (done.returncode, one.asked()) == (0, []), done.stderr
        edited = (folder / "out.jsonl").read_bytes()
        assert LEFT_OVER.intersection(file.name for file in (folder / "out.jsonl.run").iterdir()) == set()
        assert (await sdg(folder, *command, "--overwrite", "--cache-dir", "another")).returncode == 0
    assert (folder / "out.jsonl").read_bytes() == edited
