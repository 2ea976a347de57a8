"""A small pipeline that asks a scripted teacher, and runs of it, for tests that look at what they leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sdg_stream as sdg
from sdg_stream.events import TeacherReport
from sdg_stream.testing.scripted import ScriptedTeacher, prompt_text

PROMPT = """
system: ""
introduction: {words}
principles: ""
examples: ""
generation: "number {{{{n}}}} ?"
start_tags: ["[A]"]
end_tags: ["[/A]"]
"""

PIPELINE = """
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer]}
"""


def write_pipeline(folder: Path, words: str = "Answer.") -> sdg.Pipeline:
    """The pipeline, with these words in its prompt."""
    (folder / "prompt.yaml").write_text(PROMPT.format(words=words))
    (folder / "pipeline.yaml").write_text(PIPELINE)
    return sdg.Pipeline.load(folder / "pipeline.yaml")


def write_rows(folder: Path, count: int) -> Path:
    """Numbered input rows."""
    file = folder / "in.jsonl"
    file.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(count)))
    return file


def number_in(request: sdg.Request) -> int:
    """Which row a request is about."""
    return int(prompt_text(request).split("number ")[1].split()[0])


class CountingTeacher(ScriptedTeacher):
    """Reports ten prompt tokens and two reply tokens for each request."""

    def report(self) -> TeacherReport:
        """The account of all requests."""
        asked = len(self.requests)
        return TeacherReport(attempts=asked, prompt_tokens=10 * asked, completion_tokens=2 * asked)


def teacher_that_fails_at(*bad: int, **by_number: BaseException) -> CountingTeacher:
    """Answers; what it says of the ``bad`` rows cannot be parsed, of ``at_3=error`` it raises the error."""

    def reply(request: sdg.Request) -> Any:
        number = number_in(request)
        if f"at_{number}" in by_number:
            return by_number[f"at_{number}"]
        return "no tags" if number in bad else f"[A]{number}[/A]"

    return CountingTeacher(reply)
