"""The whole job from Python: what is checked first, what is gone on with, and what stays of the rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from taxonomies import KNOWLEDGE, SKILL, commit, grounded, knowledge, skill, write_files

from sdg_stream.abc import Request
from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError, RunStateError, TeacherUnusable
from sdg_stream.events import Event, Notice
from sdg_stream.generation.generation import Generation
from sdg_stream.generation.report import GenerationReport
from sdg_stream.state.keep import Keep
from sdg_stream.testing.scripted import Reply, ScriptedTeacher, prompt_text

pytestmark = pytest.mark.anyio

SUM = "compositional_skills/reading/sum/qna.yaml"
HAIKU = "compositional_skills_writing_haiku"
TIDES = "knowledge_science_tides"


class Job:
    """A job in a folder, what it said, and what it asked."""

    def __init__(self, folder: Path, reply: Reply | None = None) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.replies = reply
        self.teacher = ScriptedTeacher(self._reply)

    def load(self, **options: Any) -> Generation:
        """The job as it is wanted now."""
        return Generation.load(
            self.folder / "taxonomy", self.folder / "out", hook=self.events.append,
            **{
                "settings": Settings(model_family="mixtral", num_instructions=1), "local_repos": True,
                "date_suffix": "S", "keep": Keep(fsync="never"), **options,
            },
        )  # fmt: skip

    async def run(self, **options: Any) -> GenerationReport:
        """Load it, and do it."""
        return await self.load(**options).run(self.teacher)

    def asked(self) -> int:
        """Requests since the last time."""
        made = len(self.teacher.requests)
        self.teacher.requests.clear()
        return made

    def notices(self, code: str) -> list[str]:
        """What was told under a word."""
        return [event.message for event in self.events if isinstance(event, Notice) and event.code == code]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of one of its files."""
        text = (self.folder / "out" / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.split("\n") if line]

    def forget_the_end(self) -> None:
        """As if it had been killed after the last row."""
        file = self.folder / "out" / "generate_S.run" / "job.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "report": None}))

    def _reply(self, request: Request) -> Reply:
        if self.replies is not None:
            return self.replies
        return f"What of number {len(self.teacher.requests)}? It is in {prompt_text(request)[-40:]!r}."


def skills(folder: Path) -> Path:
    """A freeform and a grounded skill."""
    return write_files(folder / "taxonomy", {SKILL: skill(), SUM: grounded()}).parent


async def test_a_taxonomy_without_leaf_nodes_is_told(tmp_path: Path) -> None:
    """With what was looked for."""
    (tmp_path / "taxonomy").mkdir()
    with pytest.raises(ConfigError, match=r"no leaf nodes: there is no qna\.yaml below"):
        Job(tmp_path).load()


async def test_g10_columns_that_a_pipeline_lacks_are_told_before_anything_is_asked(tmp_path: Path) -> None:
    """Of samples that are still to be made the columns are known."""
    skills(tmp_path)
    drop = (
        'version: "1.0"\nblocks: [{name: d, type: DuplicateColumnsBlock, config: {columns_map: {nope: x}}}]\n'
    )
    write_files(
        tmp_path / "mine",
        dict.fromkeys(("knowledge.yaml", "freeform_skills.yaml", "grounded_skills.yaml"), drop),
    )
    with pytest.raises(ConfigError, match="nope"):
        Job(tmp_path).load(pipeline=str(tmp_path / "mine"))
    assert not (tmp_path / "out").exists()


async def test_it_is_finished_once(tmp_path: Path) -> None:
    """Then it says so, with the account of that time; the look before a teacher is there says so too."""
    job = Job(skills(tmp_path))
    first = await job.run()
    assert not first.finished_before
    assert job.asked() == 10
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.jsonl")}
    again = await job.run()
    assert again.finished_before
    assert again.leaves == first.leaves
    assert job.load().look() == again
    assert job.asked() == 0
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.jsonl")} == before


async def test_a_finished_job_may_be_moved(tmp_path: Path) -> None:
    """Its account then tells of the files where they are."""
    job = Job(skills(tmp_path))
    first = await job.run()
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    moved = job.load()
    moved.output_dir = tmp_path / "elsewhere"
    found = moved.look()
    assert found is not None
    assert found.finished_before
    assert (found.output_dir, found.run.output) == (str(tmp_path / "elsewhere"),) * 2
    assert found.files == first.files


async def test_g5_a_change_is_refused_while_it_is_not_finished(tmp_path: Path) -> None:
    """By the look already; accepted with ``edited``, and from then on without."""
    job = Job(skills(tmp_path), TeacherUnusable("gone"))
    with pytest.raises(TeacherUnusable, match="gone"):
        await job.run()
    job.replies = None
    job.asked()
    write_files(tmp_path / "taxonomy", {SKILL: skill(task_description="Write a short haiku.")})
    with pytest.raises(RunStateError, match='was "Write a haiku'):
        job.load().look()
    broken = job.load(keep=Keep(edited=True, fsync="never"))
    job.replies = TeacherUnusable("gone again")
    with pytest.raises(TeacherUnusable, match="gone again"):
        await broken.run(job.teacher)
    job.replies = None
    job.asked()
    report = await job.run()
    assert report.failed == ()
    assert job.asked() == 10


async def test_a_commit_stays_the_one_that_was_taken_first(tmp_path: Path) -> None:
    """When a branch has moved on before a leaf node's documents could be cut."""
    commit(tmp_path / "tides", {"a.pdf": b"no PDF at all"})
    write_files(
        tmp_path / "taxonomy",
        {KNOWLEDGE: knowledge(tmp_path / "tides", "main", document={
            "repo": str(tmp_path / "tides"), "commit": "main", "patterns": ["*.md", "*.pdf"],
        })},
    )  # fmt: skip
    job = Job(tmp_path)
    first = await job.run()
    assert [leaf.name for leaf in first.failed] == [TIDES]
    (tmp_path / "tides" / "a.pdf").unlink()
    commit(tmp_path / "tides", {"a.md": "# Tides\n\nThe sea goes out.\n"})
    again = await job.run()
    assert again.failed[0].error == first.failed[0].error
    assert job.asked() == 0


async def test_samples_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    """Documents are not even fetched when a job goes on that has them all."""
    head = commit(tmp_path / "tides", {"a.md": "# Tides\n\nThe sea goes out.\n"})
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: knowledge(tmp_path / "tides", head)})
    job = Job(tmp_path)
    await job.run()
    samples = tmp_path / "out" / "preprocessed_S" / f"{TIDES}.jsonl"
    before = samples.stat().st_mtime_ns
    job.forget_the_end()
    shutil.rmtree(tmp_path / "tides")
    shutil.rmtree(tmp_path / "out" / "documents")
    job.asked()
    report = await job.run()
    assert report.failed == ()
    assert samples.stat().st_mtime_ns == before
    assert job.asked() == 0


async def test_one_object_can_be_run_again(tmp_path: Path) -> None:
    """What failed is tried again, here when its documents could be fetched in the meantime."""
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: knowledge(tmp_path / "tides", "main"), SKILL: skill()})
    job = Job(tmp_path)
    made = job.load()
    with pytest.raises(ConfigError, match="tides"):
        await made.run(job.teacher)
    assert job.asked() == 0
    commit(tmp_path / "tides", {"a.md": "# Tides\n\nThe sea goes out.\n"})
    report = await made.run(job.teacher)
    assert report.failed == ()
    assert {leaf.name: leaf.samples for leaf in report.leaves} == {HAIKU: 5, TIDES: 5}


async def test_a_leaf_node_that_is_taken_away_is_in_no_training_file(tmp_path: Path) -> None:
    """Once that is accepted; it is told."""
    job = Job(skills(tmp_path))
    await job.run()
    (tmp_path / "taxonomy" / SUM).unlink()
    report = await job.run(keep=Keep(edited=True, fsync="never"))
    assert [leaf.name for leaf in report.leaves] == [HAIKU]
    assert len(job.rows("train_S.jsonl")) == report.leaves[0].rows
    assert job.notices("leaf_gone") == [
        "compositional_skills_reading_sum is no leaf node any more; its files stay, and are not used"
    ]


async def test_leaf_nodes_without_a_row_have_no_file(tmp_path: Path) -> None:
    """As upstream; the job comes to its end, and another start finds it finished."""
    write_files(
        tmp_path / "mine",
        dict.fromkeys(
            ("knowledge.yaml", "freeform_skills.yaml", "grounded_skills.yaml"),
            'version: "1.0"\nblocks: [{name: f, type: FilterByValueBlock, config:'
            " {filter_column: task_description, filter_value: none, operation: eq}}]\n",
        ),
    )
    job = Job(skills(tmp_path))
    report = await job.run(pipeline=str(tmp_path / "mine"))
    assert report.failed == ()
    assert not list((tmp_path / "out" / "generated_S").glob("*.jsonl"))
    assert (
        "compositional_skills_reading_sum, compositional_skills_writing_haiku" in job.notices("empty_leaf")[0]
    )
    assert job.rows("train_S.jsonl") == []
    assert (tmp_path / "out" / "skills_recipe_S.yaml").is_file()
    assert not (tmp_path / "out" / "skills_train_msgs_S.jsonl").exists()
    assert (await job.run(pipeline=str(tmp_path / "mine"))).finished_before
    retried = await job.run(pipeline=str(tmp_path / "mine"), keep=Keep(retry_rejected=True, fsync="never"))
    assert retried.failed == ()


async def test_training_files_are_made_again_from_rows_that_are_there(tmp_path: Path) -> None:
    """When a start died after the last row, in the middle of mixing."""
    job = Job(skills(tmp_path))
    await job.run()
    whole = (tmp_path / "out" / "skills_train_msgs_S.jsonl").read_bytes()
    job.forget_the_end()
    for name in ("train_S.jsonl", "skills_train_msgs_S.jsonl"):
        (tmp_path / "out" / name).unlink()
    job.asked()
    report = await job.run()
    assert job.asked() == 0
    assert not report.finished_before
    assert (tmp_path / "out" / "skills_train_msgs_S.jsonl").read_bytes() == whole
    assert len(job.rows("train_S.jsonl")) == report.run.rows


async def test_seeds_of_another_kind_do_not_touch_the_rows(tmp_path: Path) -> None:
    """A seed, a prompt for training rows, and the way of drawing decide about mixing alone."""
    job = Job(skills(tmp_path))
    await job.run()
    before = (tmp_path / "out" / "generated_S" / f"{HAIKU}.jsonl").read_bytes()
    mixed = (tmp_path / "out" / "skills_train_msgs_S.jsonl").read_bytes()
    job.asked()
    changes: list[dict[str, Any]] = [{"seed": 7}, {"seed": 7, "replacement": False}]
    for change in changes:
        await job.run(keep=Keep(edited=True, fsync="never"), **change)
        assert job.asked() == 0
        assert (tmp_path / "out" / "generated_S" / f"{HAIKU}.jsonl").read_bytes() == before
        now = (tmp_path / "out" / "skills_train_msgs_S.jsonl").read_bytes()
        assert now != mixed
        mixed = now
