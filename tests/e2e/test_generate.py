"""``generate`` as a user meets it: from a taxonomy to training files, and whatever can come between."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import yaml
from command_line import COMMAND, Lines, environment, sdg
from taxonomies import KNOWLEDGE, SKILL, commit, git, grounded, knowledge, skill, write_files

from sdg_stream.catalog import pipelines_dir
from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import SimulatorServer, serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

TIDES = "# Tides\n\nThe sea goes out and comes in again, twice a day, drawn by the moon.\n"
BEES = "# Bees\n\nBees make honey of what they gather, and wax of what they eat.\n"
LEAVES = {
    "knowledge_science_tides": "knowledge",
    "knowledge_nature_bees": "knowledge",
    "compositional_skills_writing_haiku": "freeform_skill",
    "compositional_skills_writing_limerick": "freeform_skill",
    "compositional_skills_reading_sum": "grounded_skill",
    "compositional_skills_reading_title": "grounded_skill",
}
BEES_FILE = "knowledge/nature/bees/qna.yaml"
SUM_FILE = "compositional_skills/reading/sum/qna.yaml"


def taxonomy(folder: Path) -> Path:
    """All of :data:`LEAVES` with repositories of their documents; gives the folder."""
    tides, bees = commit(folder / "tides", {"a.md": TIDES}), commit(folder / "bees", {"b.md": BEES})
    write_files(
        folder / "taxonomy",
        {
            KNOWLEDGE: knowledge(folder / "tides", tides),
            BEES_FILE: knowledge(folder / "bees", bees, domain="Biology"),
            SKILL: skill(),
            "compositional_skills/writing/limerick/qna.yaml": skill(task_description="Write a limerick."),
            SUM_FILE: grounded(task_description="Sum it up."),
            "compositional_skills/reading/title/qna.yaml": grounded(task_description="Find a title."),
        },
    )
    return folder


def skills_only(folder: Path) -> Path:
    """One freeform and one grounded skill; gives the folder."""
    write_files(folder / "taxonomy", {SKILL: skill(), SUM_FILE: grounded(task_description="Sum it up.")})
    return folder


class Asked:
    """A simulated teacher, and how often it was asked."""

    def __init__(self, server: SimulatorServer, log: Path) -> None:
        self.server = server
        self._log = log

    def calls(self) -> int:
        """Calls for records since the last time; the first of a session looks what the teacher can do."""
        lines = [msgspec.json.decode(line, type=CallLine) for line in self._log.read_bytes().splitlines()]
        self._log.write_bytes(b"")
        return max(0, len(lines) - 1)

    async def generate(self, folder: Path, *options: str, **env: str) -> tuple[int, str]:
        """Run the command to its end; its exit code, and what it said."""
        done = await sdg(folder, *self.command(*options), XDG_DATA_HOME=str(folder / "data"), **env)
        assert done.stdout == ""
        return done.returncode, done.stderr

    def command(self, *options: str) -> tuple[str, ...]:
        """The command's arguments."""
        given = ("--taxonomy", "taxonomy") if "--taxonomy" not in options else ()
        return (
            "generate", *given, "--output-dir", "out", "--endpoint-url", self.server.url,
            "--model-family", "mixtral", "--num-instructions", "2", "--documents-cache", "cache",
            "--allow-local-repos", "--fsync", "never", *options,
        )  # fmt: skip


@asynccontextmanager
async def teacher(folder: Path, **settings: Any) -> AsyncIterator[Asked]:
    """A teacher that answers at once."""
    log = folder / "calls.log"
    log.unlink(missing_ok=True)
    async with serve(SimulatorSettings(**{"latency": "zero", **settings}), log=log) as server:
        yield Asked(server, log)


def rows_in(file: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def by_leaf(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of a folder with a file for each leaf node."""
    return {file.stem: rows_in(file) for file in folder.glob("*.jsonl")}


def suffix_in(out: Path) -> str:
    """The one suffix of all that is there."""
    [train] = out.glob("train_*.jsonl")
    return train.stem.removeprefix("train_")


def training_bytes(out: Path) -> dict[str, bytes]:
    """All training files and node datasets, by name."""
    files = [file for file in (*out.glob("*"), *out.glob("node_datasets_*/*")) if file.is_file()]
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in files}


def roles(row: dict[str, Any]) -> list[str]:
    """Who says what in a row."""
    return [message["role"] for message in row["messages"]]


# ---------------------------------------------------------------- every file


async def test_every_file_of_a_run_is_there(tmp_path: Path) -> None:
    """With the right records, for leaf nodes of all kinds, through ``simple``."""
    taxonomy(tmp_path)
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path, "--system-prompt", "Be brief.")
        assert code == 0, said
    out = tmp_path / "out"
    end = suffix_in(out)
    samples = by_leaf(out / f"preprocessed_{end}")
    made = by_leaf(out / f"generated_{end}")
    nodes = by_leaf(out / f"node_datasets_{end}")
    assert samples.keys() == made.keys() == LEAVES.keys()
    for name, kind in LEAVES.items():
        assert {row["leaf_node_type"] for row in samples[name] + made[name]} == {kind}
        assert {row["leaf_node_path"] for row in samples[name] + made[name]} == {name}
        assert len(samples[name]) == 5
        assert 5 <= len(made[name]) <= 10
        assert all(isinstance(row["output"], str) for row in made[name])
    assert {row["document"] for row in samples["knowledge_nature_bees"]} == {BEES.strip()}
    assert (out / f"preprocessed_{end}" / "chunker.json").is_file()

    total = sum(map(len, made.values()))
    train, messages = rows_in(out / f"train_{end}.jsonl"), rows_in(out / f"messages_{end}.jsonl")
    assert len(train) == len(messages) == total
    assert {tuple(row) for row in train} == {("system", "user", "assistant")}
    assert {row["system"] for row in train} == {"Be brief."}
    assert roles(messages[0]) == ["user", "assistant"]
    assert json.loads(messages[0]["metadata"]) == {"system": "Be brief."}
    test = rows_in(out / f"test_{end}.jsonl")
    assert len(test) == 2 * 5 * 3 + 4 * 5
    assert {tuple(sorted(row)) for row in test} == {("assistant", "system", "user")}

    for name in (name for name, kind in LEAVES.items() if kind != "knowledge"):
        assert [roles(row) for row in nodes[name]] == [["system", "user", "assistant"]] * len(made[name])
    for name in ("knowledge_science_tides", "knowledge_nature_bees"):
        assert len(nodes[f"{name}_p07"]) == len(made[name])
        assert len(nodes[f"{name}_p10"]) == 2 * len(made[name])
        task = yaml.safe_load((out / f"node_datasets_{end}" / f"{name}_task.yaml").read_text())
        assert task["task"] == name
        assert task["dataset_kwargs"]["data_files"]["test"].endswith(f"mmlubench_{name}.jsonl")
        assert f"mmlubench_{name}" in nodes

    recipes = {
        kind: yaml.safe_load((out / f"{kind}_recipe_{end}.yaml").read_text())
        for kind in ("knowledge", "skills")
    }
    named = {
        kind: {dataset["path"]: dataset["sampling_size"] for dataset in recipe["datasets"]}
        for kind, recipe in recipes.items()
    }
    known = [name for name, kind in LEAVES.items() if kind == "knowledge"]
    assert named["knowledge"] == {f"node_datasets_{end}/{name}_p07.jsonl": 1.0 for name in known}
    assert named["skills"] == {
        **{f"node_datasets_{end}/{name}_p10.jsonl": 1.0 for name in known},
        **{f"node_datasets_{end}/{name}.jsonl": 30 for name in LEAVES if name not in known},
    }
    assert recipes["skills"]["metadata"] == {"sys_prompt": "Be brief."}
    mixed = rows_in(out / f"skills_train_msgs_{end}.jsonl")
    assert len(mixed) == 4 * 30 + 2 * sum(len(made[name]) for name in known)
    assert {tuple(sorted(row)) for row in mixed} == {("id", "messages", "metadata", "unmask")}
    assert {row["messages"][0]["content"] for row in mixed} == {"Be brief."}
    phase07 = rows_in(out / f"knowledge_train_msgs_{end}.jsonl")
    assert len(phase07) == sum(len(made[name]) for name in known)
    for words in ("6 leaf nodes:", *LEAVES, f"train_{end}.jsonl", f"skills_train_msgs_{end}.jsonl"):
        assert words in said


@pytest.mark.parametrize("pipeline", ["full", "llama"])
async def test_the_larger_pipelines(tmp_path: Path, pipeline: str) -> None:
    """They make rows with questions and responses, of knowledge also from documents made of its documents."""
    head = commit(tmp_path / "tides", {"a.md": TIDES})
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: knowledge(tmp_path / "tides", head), SKILL: skill()})
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path, "--pipeline", pipeline, "--max-reject-rate", "1")
        assert code == 0, said
    out = tmp_path / "out"
    made = by_leaf(out / f"generated_{suffix_in(out)}")
    for rows in made.values():
        assert all(row["question"] and row["response"] for row in rows)
    assert "raw_document" in made["knowledge_science_tides"][0]
    train = rows_in(out / f"train_{suffix_in(out)}.jsonl")
    assert len(train) == sum(map(len, made.values())) > 0


async def test_q_gen_3_empty_replies_lose_a_row_and_not_the_run(tmp_path: Path) -> None:
    """All is told, and the training files are made of the others."""
    skills_only(tmp_path)
    empty = FaultRule(fault=Fault(kind="empty_text"), match="Write about fog.")
    async with teacher(tmp_path, faults=(empty,)) as one:
        code, said = await one.generate(tmp_path)
    assert code == 0, said
    out = tmp_path / "out"
    assert rows_in(out / f"train_{suffix_in(out)}.jsonl")
    assert (out / f"skills_train_msgs_{suffix_in(out)}.jsonl").is_file()


# ---------------------------------------------------------------- what is wrong


async def test_a_broken_document_fails_its_leaf_node_alone(tmp_path: Path) -> None:
    """Exit code 3; the same command tries it again, and goes on after it was mended at another commit."""
    skills_only(tmp_path)
    broken = commit(tmp_path / "bees", {"b.pdf": b"no PDF at all"})
    chosen = {"repo": str(tmp_path / "bees"), "commit": broken, "patterns": ["*.pdf"]}
    write_files(tmp_path / "taxonomy", {BEES_FILE: knowledge(document=chosen)})
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path)
        assert code == 3, said
        assert "knowledge_nature_bees does not come to its end; the others go on." in said
        assert "failed: knowledge_nature_bees:" in said
        assert "1 of 3 leaf nodes did not come to their end" in said
        assert one.calls() == 10
        end = suffix_in(tmp_path / "out")
        made = by_leaf(tmp_path / "out" / f"generated_{end}")
        assert "knowledge_nature_bees" not in made
        assert all(made.values())
        command = shlex.split(said.strip().splitlines()[-1])
        with anyio.fail_after(30):
            again = await anyio.run_process(command, cwd=tmp_path, env=environment(), check=False)
        assert again.returncode == 3, again.stderr.decode()
        assert one.calls() == 0

        chosen["commit"] = commit(tmp_path / "bees", {"c.md": BEES})
        chosen["patterns"] = ["c.md"]
        write_files(tmp_path / "taxonomy", {BEES_FILE: knowledge(document=chosen)})
        code, said = await one.generate(tmp_path)
        assert code == 6
        assert "is not finished, and was begun with something else:" in said
        assert broken[:12] in said
        assert "--edited" in said
        assert one.calls() == 0
        code, said = await one.generate(tmp_path, "--edited")
        assert code == 0, said
        assert one.calls() == 10
    assert suffix_in(tmp_path / "out") == end
    assert all(by_leaf(tmp_path / "out" / f"generated_{end}").values())
    recipe = yaml.safe_load((tmp_path / "out" / f"knowledge_recipe_{end}.yaml").read_text())
    assert len(recipe["datasets"]) == 1


async def test_a_repository_that_is_not_there_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    """With exit code 2, and where it is named; so are all mistakes of a taxonomy."""
    taxonomy(tmp_path)
    write_files(tmp_path / "taxonomy", {BEES_FILE: knowledge(tmp_path / "nowhere")})
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path)
        assert code == 2
        assert "nature/bees/qna.yaml:" in said
        assert "nowhere" in said
        assert one.calls() == 0
        write_files(tmp_path / "taxonomy", {BEES_FILE: knowledge(domain=None), SKILL: skill(created_by=None)})
        code, said = await one.generate(tmp_path)
        assert code == 2
        assert "'domain' is a required property" in said
        assert "'created_by' is a required property" in said
        assert one.server.stats.requests == 1  # of the first command, looking what the teacher can do


async def test_a_server_of_its_own_has_its_log_among_the_files(tmp_path: Path) -> None:
    """In a folder that is made with all those above; what it said is told when it does not come up."""
    skills_only(tmp_path)
    done = await sdg(
        tmp_path, "generate", "--taxonomy", "taxonomy", "--output-dir", "deep/out",
        "--serve", f"{shlex.quote(sys.executable)} -c 'print(\"no GPU here\")'",
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert "no GPU here" in done.stderr
    assert "no GPU here" in (tmp_path / "deep" / "out" / "server.log").read_text()


# ---------------------------------------------------------------- which leaf nodes


async def test_only_what_has_changed_since_a_commit(tmp_path: Path) -> None:
    """``--taxonomy-base`` takes a git ref; files that git does not know yet count as changed."""
    skills_only(tmp_path)
    commit(tmp_path / "taxonomy")
    git(tmp_path / "taxonomy", "tag", "before")
    write_files(tmp_path / "taxonomy", {"compositional_skills/new/qna.yaml": skill()})
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path, "--taxonomy-base", "before")
        assert code == 0, said
        assert one.calls() == 5
        end = suffix_in(tmp_path / "out")
        assert by_leaf(tmp_path / "out" / f"generated_{end}").keys() == {"compositional_skills_new"}
        code, said = await one.generate(tmp_path, "--taxonomy-base", "never_there")
        assert code == 2
        assert "never_there" in said


async def test_one_file_with_a_name_of_its_own(tmp_path: Path) -> None:
    """A single qna.yaml is a taxonomy; ``--date-suffix`` names what is made of it."""
    skills_only(tmp_path)
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path, "--taxonomy", f"taxonomy/{SKILL}", "--date-suffix", "mine")
        assert code == 0, said
        assert one.calls() == 5
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {
        "generate_mine.run", "generated_mine", "knowledge_recipe_mine.yaml", "messages_mine.jsonl",
        "node_datasets_mine", "preprocessed_mine", "skills_recipe_mine.yaml",
        "skills_train_msgs_mine.jsonl", "test_mine.jsonl", "train_mine.jsonl",
    }  # fmt: skip
    assert [path.name for path in (out / "node_datasets_mine").iterdir()] == [
        "compositional_skills_writing_haiku.jsonl"
    ]


# ---------------------------------------------------------------- going on


async def test_an_edit_asks_only_what_it_reaches(tmp_path: Path) -> None:
    """A finished job says so; an edited seed is one call, a new leaf node its own, another prompt none."""
    skills_only(tmp_path)
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path)
        assert (code, one.calls()) == (0, 10), said
        end, before = suffix_in(tmp_path / "out"), training_bytes(tmp_path / "out")
        requests = one.server.stats.requests
        code, said = await one.generate(tmp_path)
        assert code == 0
        assert "This job is finished: 2 leaf nodes," in said
        assert "Nothing was done." in said
        assert one.server.stats.requests == requests
        assert training_bytes(tmp_path / "out") == before

        seeds = skill()["seed_examples"]
        seeds[2]["question"] = "Write about snow."
        write_files(
            tmp_path / "taxonomy",
            {SKILL: skill(seed_examples=seeds), "compositional_skills/new/qna.yaml": skill()},
        )
        code, said = await one.generate(tmp_path, "--edited")
        assert (code, one.calls()) == (0, 1 + 5), said
        made = by_leaf(tmp_path / "out" / f"generated_{end}")
        haiku = made["compositional_skills_writing_haiku"]
        asked = list(dict.fromkeys(row["seed_question"] for row in haiku))
        assert asked == [seed["question"] for seed in seeds]
        assert "compositional_skills_new" in made

        code, said = await one.generate(tmp_path, "--edited", "--system-prompt", "Be brief.")
        assert (code, one.calls()) == (0, 0), said
        train = rows_in(tmp_path / "out" / f"train_{end}.jsonl")
        assert {row["system"] for row in train} == {"Be brief."}
        assert len(train) == sum(map(len, made.values()))


async def test_rejects_are_tried_again_when_asked(tmp_path: Path) -> None:
    """``--retry-rejected`` asks for the samples with rejects, and for nothing else."""
    skills_only(tmp_path)
    refused = FaultRule(fault=Fault(kind="status", status=400), match="Write about fog.")
    async with teacher(tmp_path, faults=(refused,)) as one:
        code, said = await one.generate(tmp_path)
        assert code == 0, said
        assert "2 rejected" in said
    end = suffix_in(tmp_path / "out")
    few = len(rows_in(tmp_path / "out" / f"train_{end}.jsonl"))
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path)
        assert (code, one.server.stats.requests) == (0, 0)
        assert "--retry-rejected gives it something to do" in " ".join(said.split())
        code, said = await one.generate(tmp_path, "--retry-rejected")
        assert (code, one.calls()) == (0, 2), said
    assert few < len(rows_in(tmp_path / "out" / f"train_{end}.jsonl")) <= few + 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
async def test_a_job_that_is_stopped_goes_on(tmp_path: Path) -> None:
    """Ctrl-C: exit code 130 and the command that goes on; a second process is told who is at work."""
    taxonomy(tmp_path)
    slow = {"latency": "fixed", "latency_seconds": 0.8, "slots": 4}
    async with teacher(tmp_path, **slow) as one:
        command = [*COMMAND, *one.command("--concurrency", "4", "--progress", "json")]
        with anyio.fail_after(30):
            async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
                lines = Lines(process)
                await lines.until(lambda report: report["rows"] >= 2)
                code, said = await one.generate(tmp_path, "--concurrency", "4")
                assert code == 6
                assert f"is in use by process {process.pid}" in said
                process.send_signal(signal.SIGINT)
                words = await lines.rest()
                assert await process.wait() == 130
        told = [json.loads(line).get("text", "") for line in words.splitlines()]
        assert "Stopped by SIGINT." in told[-1]
        assert "This goes on from there:" in told[-1]
        stopped = one.server.stats.requests
        assert stopped < 40
    assert not list((tmp_path / "out").glob("train_*"))
    async with teacher(tmp_path) as one:
        again = shlex.split(told[-1].splitlines()[-1])
        again[again.index("--endpoint-url") + 1] = one.server.url
        with anyio.fail_after(30):
            done = await anyio.run_process(again, cwd=tmp_path, env=environment(), check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert one.calls() + stopped - 2 == 40  # each command looks once what the teacher can do
    end = suffix_in(tmp_path / "out")
    assert by_leaf(tmp_path / "out" / f"generated_{end}").keys() == LEAVES.keys()


# ---------------------------------------------------------------- what the user chooses


async def test_a_seed_makes_the_same_files_again(tmp_path: Path) -> None:
    """Ids, order and choices included, in whatever folder."""
    documents = {f"{n}.md": f"# Part {n}\n\nThe sea in part {n}.\n" for n in range(3)}
    head = commit(tmp_path / "tides", documents)
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: knowledge(tmp_path / "tides", head), SKILL: skill()})
    made = {}
    async with teacher(tmp_path) as one:
        for out in ("out", "again"):
            options = ("--output-dir", out, "--seed", "5", "--date-suffix", "S")
            code, said = await one.generate(tmp_path, *options)
            assert code == 0, said
            made[out] = training_bytes(tmp_path / out)
            made[out].pop("node_datasets_S/knowledge_science_tides_task.yaml")  # it names its folder
    assert made["out"] == made["again"]
    assert len(made["out"]) == 11


async def test_pipelines_and_recipes_of_the_data_directories(tmp_path: Path) -> None:
    """An alias, and a folder, name pipelines; default recipes bring precomputed rows and upsampling."""
    head = commit(tmp_path / "tides", {"a.md": TIDES})
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: knowledge(tmp_path / "tides", head)})
    shared = tmp_path / "data" / "instructlab" / "sdg"
    for file in (pipelines_dir() / "simple").iterdir():
        text = file.read_text(encoding="utf-8").replace("../prompts/", "prompts/")
        write_files(shared / "pipelines" / "mine", {file.name: text})
    for file in (pipelines_dir() / "prompts").rglob("simple_*.yaml"):
        place = file.relative_to(pipelines_dir()).as_posix()
        write_files(shared / "pipelines" / "mine", {place: file.read_text(encoding="utf-8")})
    ready = [
        {"messages": [{"role": "user", "content": f"q{n}"}, {"role": "assistant", "content": "a"}]}
        for n in range(4000)
    ]
    rows = "".join(f"{json.dumps({'id': str(n), 'metadata': '{}', **row})}\n" for n, row in enumerate(ready))
    recipe = {"datasets": [{"path": "ready.jsonl", "sampling_size": 1.0}], "metadata": {"sys_prompt": ""}}
    recipes = {"ready.jsonl": rows, "skills.yaml": yaml.safe_dump(recipe)}
    write_files(shared / "default_data_recipes", recipes)
    async with teacher(tmp_path) as one:
        code, said = await one.generate(tmp_path, "--pipeline", "mine", "--date-suffix", "S")
        assert code == 0, said
        folder = ("--pipeline", str(shared / "pipelines" / "mine"), "--output-dir", "second")
        code, said = await one.generate(tmp_path, *folder, "--date-suffix", "S")
        assert code == 0, said
    for out in ("out", "second"):
        written = yaml.safe_load((tmp_path / out / "skills_recipe_S.yaml").read_text())
        assert written["datasets"] == [
            {"path": str(shared / "default_data_recipes" / "ready.jsonl"), "sampling_size": 1.0},
            {"path": "node_datasets_S/knowledge_science_tides_p10.jsonl", "sampling_size": 120},
        ]
        mixed = rows_in(tmp_path / out / "skills_train_msgs_S.jsonl")
        assert [row["id"] for row in mixed[:4000]] == [str(n) for n in range(4000)]
        assert len(mixed) == 4120
