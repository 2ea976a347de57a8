"""Upstream's functions as programs call them, against a simulated teacher in a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import pytest
from canary import CANARY, Watch
from command_line import COMMAND, Lines, environment
from taxonomies import KNOWLEDGE, SKILL, commit, grounded, knowledge, skill, write_files

import sdg_stream as sdg
from sdg_stream.catalog import pipelines_dir
from sdg_stream.simulator.call_log import CallLine
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

GROUNDED = "compositional_skills/writing/summary/qna.yaml"
NAMES = (
    "compositional_skills_writing_haiku",
    "compositional_skills_writing_summary",
    "knowledge_science_tides",
)
PROMPT = "You are Ann's model."
PROBE = 1  # call: the look at the teacher


class Server:
    """A simulated teacher: its URL, a client object for it, and how many calls it has had."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.client = SimpleNamespace(base_url=f"{url}/", api_key=CANARY, timeout=30)
        self._log = log

    @property
    def calls(self) -> int:
        """All calls so far, those that look at the teacher as well."""
        return len(self._log.read_bytes().splitlines())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests: it answers at once."""
    folder = tmp_path_factory.mktemp("server")
    command = [*COMMAND, "simulate", "--port", "0", "--latency", "zero", "--log", "calls.log"]
    with subprocess.Popen(
        command, cwd=folder, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        try:
            yield Server(process.stderr.readline().split(" at ")[1].split(" ")[0], folder / "calls.log")
        finally:
            process.terminate()


@pytest.fixture
def taxonomy(tmp_path: Path) -> Path:
    """One leaf node of each type; its document is in a repository on this machine."""
    text = "# Tides\n\n" + "".join(f"## Part {n}\n\n{f'The sea goes out {n}. ' * 60}\n\n" for n in range(3))
    head = commit(tmp_path / "repo", {"a.md": text})
    files = {SKILL: skill(), GROUNDED: grounded(), KNOWLEDGE: knowledge(tmp_path / "repo", head)}
    return write_files(tmp_path / "taxonomy", files)


def whole(server: Server, taxonomy: Path, output_dir: Path, **more: Any) -> None:
    """The whole job in one call."""
    chosen = {"use_legacy_pretraining_format": False, "allow_local_repos": True, **more}
    sdg.generate_data(client=server.client, taxonomy=str(taxonomy), output_dir=str(output_dir), **chosen)


def rows(file: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def suffixes(folder: Path) -> list[str]:
    """Of the sets of files in a folder."""
    return sorted(path.stem.removeprefix("train_") for path in folder.glob("train_*.jsonl"))


# ---------------------------------------------------------------- the whole job


def test_generate_data_takes_upstreams_arguments(
    server: Server, taxonomy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All of them by keyword: every file is there, the logger was told, the deprecated one warns."""
    logger = logging.getLogger("theirs")
    caplog.set_level(logging.INFO)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "data_checkpoint_1.jsonl").write_text("{}\n")
    with pytest.warns(DeprecationWarning, match="use_legacy_pretraining_format") as warned:
        sdg.generate_data(
            client=server.client,
            logger=logger,
            system_prompt=PROMPT,
            use_legacy_pretraining_format=True,
            model_family="mixtral",
            model_name="simulated-teacher",
            num_cpus=4,
            num_instructions_to_generate=5,
            taxonomy=str(taxonomy),
            taxonomy_base="empty",
            output_dir=str(tmp_path / "out"),
            console_output=True,
            yaml_rules=None,
            chunk_word_count=500,
            server_ctx_size=4096,
            pipeline="simple",
            batch_size=8,
            checkpoint_dir=str(tmp_path / "checkpoints"),
            max_num_tokens=4096,
            allow_local_repos=True,
        )
    assert [warning.filename for warning in warned] == [__file__]
    [suffix] = suffixes(tmp_path / "out")
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {
        "documents", *(f"{name}_{suffix}" for name in ("preprocessed", "generated", "node_datasets")),
        f"generate_{suffix}.run", *(f"{name}_{suffix}.jsonl" for name in ("test", "train", "messages")),
        *(f"{kind}_recipe_{suffix}.yaml" for kind in ("knowledge", "skills")),
        *(f"{kind}_train_msgs_{suffix}.jsonl" for kind in ("knowledge", "skills")),
    }  # fmt: skip
    for folder in ("preprocessed", "generated"):
        made = sorted(path.stem for path in (tmp_path / "out" / f"{folder}_{suffix}").glob("*.jsonl"))
        assert made == list(NAMES)
    assert {row["system"] for row in rows(tmp_path / "out" / f"train_{suffix}.jsonl")} == {PROMPT}
    theirs = [record for record in caplog.records if record.name == "theirs"]
    assert any("names ending in" in record.getMessage() for record in theirs if record.levelname == "INFO")
    [unused] = [words for record in theirs if "no effect" in (words := record.getMessage())]
    assert "num_cpus, batch_size, chunk_word_count;" in unused
    assert "--import-checkpoint" in caplog.text


def test_each_call_makes_a_set_of_files(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """Two calls, though the same is wanted: two sets, the first as it was, and with the same rows."""
    whole(server, taxonomy, tmp_path / "out")
    [first] = suffixes(tmp_path / "out")
    before = (tmp_path / "out" / f"train_{first}.jsonl").read_bytes()
    whole(server, taxonomy, tmp_path / "out", console_output=False)
    [again, second] = suffixes(tmp_path / "out")
    assert again == first
    assert (tmp_path / "out" / f"train_{first}.jsonl").read_bytes() == before
    assert (tmp_path / "out" / f"train_{second}.jsonl").read_bytes() == before


async def called(server: Server, taxonomy: Path, folder: Path) -> None:
    """A coroutine that calls it, as a cell of a notebook does."""
    await asyncio.sleep(0)
    whole(server, taxonomy, folder)


def test_it_works_inside_a_running_loop(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """One of asyncio's; documents are fetched by processes there, too."""
    with asyncio.Runner() as runner:
        runner.run(called(server, taxonomy, tmp_path / "out"))
    assert len(suffixes(tmp_path / "out")) == 1


def test_console_output_false_is_quiet(
    server: Server, taxonomy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No line at level info; nothing is printed in any case."""
    caplog.set_level(logging.INFO)
    whole(server, taxonomy, tmp_path / "out", console_output=False, model_family="mixtral")
    assert {record.levelname for record in caplog.records if record.name == "sdg_stream"} <= {"WARNING"}


def test_the_real_client_is_read(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """An ``openai.OpenAI`` object, as upstream's callers make it."""
    openai = pytest.importorskip("openai")
    client = openai.OpenAI(base_url=server.url, api_key=CANARY, timeout=30, max_retries=3)
    with client:
        sdg.generate_data(
            client=client,
            taxonomy=taxonomy,
            output_dir=tmp_path / "out",
            allow_local_repos=True,
            use_legacy_pretraining_format=False,
        )
    assert len(suffixes(tmp_path / "out")) == 1


# ---------------------------------------------------------------- step by step


def test_the_steps_make_what_the_whole_job_makes(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """Samples, rows, benchmarks, training files and mixed files are the same, byte for byte."""
    out, steps = tmp_path / "out", tmp_path / "steps"
    whole(server, taxonomy, out, system_prompt=PROMPT)
    [suffix] = suffixes(out)
    samples, generated = steps / f"preprocessed_{suffix}", steps / f"generated_{suffix}"
    steps.mkdir()
    made = sdg.preprocess_taxonomy(
        taxonomy_dir=str(taxonomy),
        output_dir=str(samples),
        chunk_word_count=1000,
        server_ctx_size=4096,
        taxonomy_base="empty",
        teacher_model_path=None,
        yaml_rules=None,
        test_output_file=str(steps / f"test_{suffix}.jsonl"),
        system_prompt=PROMPT,
        allow_local_repos=True,
    )
    assert made == [str(samples / f"{name}.jsonl") for name in NAMES]
    sdg.generate_taxonomy(
        server.client,
        input_dir=str(samples),
        output_dir=str(generated),
        model_family=None,
        model_id=None,
        num_instructions_to_generate=30,
        pipeline="simple",
    )
    sdg.generate_taxonomy_eval(
        server.client, input_dir=str(samples), output_dir=str(steps), date_suffix=suffix
    )
    sdg.postprocess_taxonomy(
        input_dir=str(generated),
        output_dir=str(steps),
        date_suffix=suffix,
        pipeline="simple",
        num_procs=8,
        system_prompt=PROMPT,
        use_legacy_pretraining_format=False,
    )
    for kind in ("knowledge", "skills"):
        sdg.mix_datasets(
            recipe_file=f"{steps}/{kind}_recipe_{suffix}.yaml",
            output_file=f"{steps}/{kind}_train_msgs_{suffix}.jsonl",
            num_proc=8,
            system_prompt=PROMPT,
        )
    files = [path.relative_to(out) for path in out.rglob("*.jsonl") if ".run" not in str(path)]
    assert len(files) == 3 + 3 + 5 + 5
    for file in files:
        assert (steps / file).read_bytes() == (out / file).read_bytes(), file
    task = f"node_datasets_{suffix}/knowledge_science_tides_task.yaml"
    assert (steps / task).read_text() == (out / task).read_text().replace(str(out), str(steps))


@pytest.fixture
def samples(taxonomy: Path, tmp_path: Path) -> Path:
    """The samples of the taxonomy."""
    sdg.preprocess_taxonomy(taxonomy, tmp_path / "samples", allow_local_repos=True)
    return tmp_path / "samples"


def test_rows_are_bought_once(server: Server, samples: Path, tmp_path: Path) -> None:
    """A second call asks nothing again, one with more samples only for those; files stay in order."""
    sdg.generate_taxonomy(server.client, samples, tmp_path / "rows", model_family="mixtral")
    whole_rows = {file.name: file.read_bytes() for file in (tmp_path / "rows").glob("*.jsonl")}
    before = server.calls
    sdg.generate_taxonomy(server.client, samples, tmp_path / "rows", model_family="mixtral")
    assert server.calls - before == PROBE
    assert {file.name: file.read_bytes() for file in (tmp_path / "rows").glob("*.jsonl")} == whole_rows
    changed = samples / f"{NAMES[0]}.jsonl"
    lines = changed.read_text().replace("rain", "hail").splitlines(keepends=True)
    changed.write_text("".join(lines))
    before = server.calls
    sdg.generate_taxonomy(server.client, samples, tmp_path / "rows", model_family="mixtral")
    assert 0 < server.calls - before - PROBE < 5
    assert len(rows(tmp_path / "rows" / f"{NAMES[0]}.jsonl")) > 0


def test_benchmarks_are_bought_once(server: Server, samples: Path, tmp_path: Path) -> None:
    """Knowledge only; a second call asks nothing and writes the same."""
    sdg.generate_taxonomy_eval(server.client, samples, tmp_path / "out", "d", model_family="mixtral")
    folder = tmp_path / "out" / "node_datasets_d"
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert set(first) == {"mmlubench_knowledge_science_tides.jsonl", "knowledge_science_tides_task.yaml"}
    before = server.calls
    sdg.generate_taxonomy_eval(server.client, samples, tmp_path / "out", "d", model_family="mixtral")
    assert server.calls - before == PROBE
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first


def test_without_knowledge_nobody_is_asked(server: Server, samples: Path, tmp_path: Path) -> None:
    """There is no benchmark to make."""
    (samples / f"{NAMES[2]}.jsonl").unlink()
    before = server.calls
    sdg.generate_taxonomy_eval(server.client, samples, tmp_path / "out", "d")
    assert server.calls == before
    assert not (tmp_path / "out" / "node_datasets_d").exists()


EMPTY_PIPELINE = """\
version: "1.0"
blocks:
  - name: none
    type: FilterByValueBlock
    config: {filter_column: task_description, filter_value: nothing, operation: eq}
"""


def test_leaf_nodes_without_rows_are_told(
    server: Server, samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no file for them, also when it is called again; then training files are made of the others."""
    folder = tmp_path / "mine"
    shutil.copytree(pipelines_dir() / "simple", folder)
    shutil.copytree(pipelines_dir() / "prompts", tmp_path / "prompts", dirs_exist_ok=True)
    (folder / "freeform_skills.yaml").write_text(EMPTY_PIPELINE)
    for _ in range(2):
        caplog.clear()
        sdg.generate_taxonomy(server.client, samples, tmp_path / "rows", pipeline=str(folder))
        assert sorted(file.stem for file in (tmp_path / "rows").glob("*.jsonl")) == list(NAMES[1:])
        assert f"of which no row was accepted: {samples / NAMES[0]}.jsonl" in caplog.text
    sdg.postprocess_taxonomy(tmp_path / "rows", tmp_path / "out", "d", use_legacy_pretraining_format=False)
    assert len(rows(tmp_path / "out" / "train_d.jsonl")) > 0


def test_postprocessing_warns_of_the_deprecated_argument(tmp_path: Path) -> None:
    """Where it is called; of no rows at all empty files are made, and mixing their recipe makes none."""
    (tmp_path / "rows").mkdir()
    with pytest.warns(DeprecationWarning, match="deprecated") as warned:
        sdg.postprocess_taxonomy(tmp_path / "rows", tmp_path / "out", "d")
    assert warned[0].filename == __file__
    assert (tmp_path / "out" / "train_d.jsonl").read_bytes() == b""
    sdg.mix_datasets(tmp_path / "out" / "skills_recipe_d.yaml", tmp_path / "mixed.jsonl")
    assert not (tmp_path / "mixed.jsonl").exists()


# ---------------------------------------------------------------- what is wrong


def refused(words: str) -> Any:
    """It ends with the exception that callers expect, and these words in it."""
    return pytest.raises(sdg.GenerateException, match=words)


def test_a_wrong_taxonomy_is_told(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """All that is wrong with it, with lines, before anything is asked or written; the cause is kept."""
    write_files(taxonomy, {SKILL: skill(created_by=None), GROUNDED: "version: 3\n"})
    before = server.calls
    with refused("created_by") as told:
        whole(server, taxonomy, tmp_path / "out")
    assert isinstance(told.value.__cause__, sdg.ConfigError)
    assert told.value.exit_code == 2
    assert str(taxonomy / GROUNDED) in str(told.value)
    assert server.calls == before
    assert not (tmp_path / "out").exists()
    with refused("created_by"):
        sdg.preprocess_taxonomy(taxonomy, tmp_path / "out")


def test_arguments_that_name_nothing_are_told(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """Each by its name."""
    with refused("there is no taxonomy"):
        whole(server, tmp_path / "none", tmp_path / "out")
    with refused("taxonomy is missing"):
        sdg.generate_data(server.client, output_dir="out", use_legacy_pretraining_format=False)
    with refused("output_dir is missing"):
        sdg.generate_data(server.client, taxonomy=str(taxonomy), use_legacy_pretraining_format=False)
    with refused("there is no pipeline folder 'none'"):
        whole(server, taxonomy, tmp_path / "out", pipeline="none")
    with refused("there is no folder"):
        sdg.generate_taxonomy(server.client, tmp_path / "none", tmp_path / "out")
    with refused("date suffix"):
        sdg.generate_taxonomy_eval(server.client, tmp_path, tmp_path / "out", "a/b")
    with refused("none.yaml"):
        sdg.mix_datasets(tmp_path / "none.yaml", tmp_path / "out.jsonl")
    with refused("client has no base_url"):
        sdg.generate_data(None, taxonomy=str(taxonomy), output_dir="out", use_legacy_pretraining_format=False)


def test_a_taxonomy_without_leaf_nodes_is_told(server: Server, tmp_path: Path) -> None:
    """By both functions that read one."""
    (tmp_path / "empty").mkdir()
    with refused("no leaf nodes"):
        whole(server, tmp_path / "empty", tmp_path / "out")
    with refused("no new leaf nodes"):
        sdg.preprocess_taxonomy(tmp_path / "empty", tmp_path / "out")


def test_a_tokenizer_that_is_not_there_is_told(taxonomy: Path, tmp_path: Path) -> None:
    """Where documents are to be cut, and only there."""
    with refused(r"none: cannot be read"):
        sdg.preprocess_taxonomy(
            taxonomy, tmp_path / "out", teacher_model_path=tmp_path / "none", allow_local_repos=True
        )
    shutil.rmtree(taxonomy / "knowledge")
    made = sdg.preprocess_taxonomy(taxonomy, tmp_path / "out", teacher_model_path=tmp_path / "none")
    assert len(made) == 2


def test_repositories_on_this_machine_need_to_be_allowed(
    server: Server, taxonomy: Path, tmp_path: Path
) -> None:
    """Documents come from https unless somebody says otherwise."""
    with refused("is on this machine: allow that"):
        whole(server, taxonomy, tmp_path / "out", allow_local_repos=False)


def test_a_teacher_that_is_not_there_is_told(taxonomy: Path, tmp_path: Path) -> None:
    """Without the key; the same call goes on once it is."""
    client = SimpleNamespace(base_url="http://127.0.0.1:9/v1", api_key=CANARY)
    with refused("no teacher at http://127.0.0.1:9/v1") as told:
        sdg.generate_data(
            client,
            taxonomy=str(taxonomy),
            output_dir=tmp_path / "out",
            allow_local_repos=True,
            use_legacy_pretraining_format=False,
        )
    assert isinstance(told.value.__cause__, sdg.TeacherUnusable)


def test_samples_that_do_not_fit_are_told_before_anything_is_asked(
    server: Server, samples: Path, tmp_path: Path
) -> None:
    """Of all files."""
    (samples / "a.jsonl").write_text('{"leaf_node_type": "knowledge"}\n')
    before = server.calls
    with refused(f"{samples / 'a.jsonl'}: its first row has: leaf_node_type"):
        sdg.generate_taxonomy(server.client, samples, tmp_path / "rows")
    with refused("its first row has"):
        sdg.generate_taxonomy_eval(server.client, samples, tmp_path / "out", "d")
    (samples / "a.jsonl").write_text("")
    with refused(f"no samples found in the input file {samples / 'a.jsonl'}"):
        sdg.generate_taxonomy(server.client, samples, tmp_path / "rows")
    assert server.calls == before


def test_two_files_of_one_leaf_node_are_refused(server: Server, samples: Path, tmp_path: Path) -> None:
    """Their benchmarks would be one file."""
    shutil.copy(samples / f"{NAMES[2]}.jsonl", samples / "copy.jsonl")
    with refused("2 of the input files are of one leaf node"):
        sdg.generate_taxonomy_eval(server.client, samples, tmp_path / "out", "d")


def test_a_leaf_node_that_fails_is_told_in_the_end(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """All is made of the others; the same call tries it again in the same set of files."""
    head = commit(tmp_path / "other", {"empty.md": "\n"})
    write_files(taxonomy, {KNOWLEDGE: knowledge(tmp_path / "other", head)})
    for _ in range(2):
        with refused("there is no text in the documents") as told:
            whole(server, taxonomy, tmp_path / "out")
        assert NAMES[2] in str(told.value)
        [suffix] = suffixes(tmp_path / "out")
        assert len(rows(tmp_path / "out" / f"train_{suffix}.jsonl")) > 0


def test_a_file_of_samples_that_fails_is_told_in_the_end(
    server: Server, samples: Path, tmp_path: Path
) -> None:
    """The rows of the others are there."""
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / f"{NAMES[0]}.jsonl").write_text('{"somebody": "else"}\n')
    with refused(NAMES[0]) as told:
        sdg.generate_taxonomy(server.client, samples, tmp_path / "rows")
    assert isinstance(told.value.__cause__, sdg.RunStateError)
    assert len(rows(tmp_path / "rows" / f"{NAMES[2]}.jsonl")) > 0


def test_xdg_variables_name_data_directories(
    server: Server, samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipeline of the user's is found there, and must be whole (Q-ALIAS-1)."""
    mine = tmp_path / "data" / "instructlab" / "sdg" / "pipelines" / "mine"
    mine.mkdir(parents=True)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with refused(f"the pipeline folder {mine} does not contain knowledge.yaml"):
        sdg.generate_taxonomy(server.client, samples, tmp_path / "rows", pipeline="mine")


def test_a_model_that_is_a_path_counts_tokens(server: Server, taxonomy: Path, tmp_path: Path) -> None:
    """Q-CHUNK-1: and must be a tokenizer then; a name that is no path is just a name."""
    (tmp_path / "model").mkdir()
    with refused(r"tokenizer\.json"):
        whole(server, taxonomy, tmp_path / "out", model_name=str(tmp_path / "model"))
    whole(server, taxonomy, tmp_path / "out", model_name="simulated-teacher")


# ---------------------------------------------------------------- Ctrl-C

SCRIPT = """\
import asyncio, logging, os, sys
from types import SimpleNamespace
import sdg_stream as sdg

logging.basicConfig(level=logging.INFO, format="%(message)s")
url, inside = sys.argv[1:]
client = SimpleNamespace(base_url=url, api_key=os.environ["OPENAI_API_KEY"])


def work():
    sdg.generate_data(
        client,
        taxonomy="taxonomy",
        output_dir="out",
        num_instructions_to_generate=1,
        use_legacy_pretraining_format=False,
    )


async def in_a_loop():
    work()


try:
    asyncio.run(in_a_loop()) if inside == "loop" else work()
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr)
    raise
"""


@pytest.mark.anyio
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("inside", ["script", "loop"])
async def test_ctrl_c_keeps_what_was_answered(tmp_path: Path, inside: str) -> None:
    """Calls under way get their grace, KeyboardInterrupt is raised, and the same call asks only the rest."""
    write_files(tmp_path, {f"taxonomy/{SKILL}": skill(), f"taxonomy/{GROUNDED}": grounded()})
    write_files(tmp_path, {"program.py": SCRIPT})
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.7, slots=4)
    async with serve(settings, log=tmp_path / "calls.log") as simulator:
        command = [sys.executable, "program.py", simulator.url, inside]
        with anyio.fail_after(40):
            async with await anyio.open_process(command, cwd=tmp_path, env=environment()) as process:
                lines = Lines(process)
                await lines.until_word("asking")
                while simulator.stats.requests < 3 or not simulator.stats.running:  # noqa: ASYNC110
                    await anyio.sleep(0.02)
                process.send_signal(signal.SIGINT)
                said = await lines.rest()
                code = await process.wait()
            assert code == -signal.SIGINT, said
            assert "stopping: calls under way" in said
            assert "interrupted" in said
            done = await anyio.run_process(command, cwd=tmp_path, env=environment(), check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert "going on with the job of" in done.stderr.decode()
    assert Watch.current is not None
    Watch.current.saw("stderr of the programs", said.encode() + done.stderr)
    assert len(list((tmp_path / "out").glob("generate_*.run"))) == 1
    assert len(suffixes(tmp_path / "out")) == 1
    calls = [
        msgspec.json.decode(line, type=CallLine)
        for line in (tmp_path / "calls.log").read_bytes().splitlines()
    ]
    counts = Counter(call.request for call in calls)
    assert counts.pop(calls[0].request) == 2  # the look at the teacher
    assert set(counts.values()) == {1}
