"""What runs are killed on: pipelines with fan-out, duplicates, filters, rejects, a barrier; with two stages.

Everything that becomes of a row depends on its text alone, never on time or order, so that two runs of a
scene can be compared: rows that are each other's duplicates are equal as a whole, and the teacher's faults
are either mended by another attempt or happen whenever a text is asked.
"""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

__all__ = ["FAULTS", "SCENES", "Scene", "write_scene"]

PROMPT = """\
system: You are brief.
introduction: {introduction}
principles: ""
examples: ""
generation: |
  {generation}
start_tags: ["{start}"]
end_tags: ["{end}"]
"""

ASK = """
  - name: ask
    type: LLMBlock
    config:
      config_path: ask.yaml
      output_cols: [idea]
      gen_kwargs: {n: 3, max_tokens: 400, temperature: 0.7}
    drop_duplicates: [topic, idea]
"""

GRADE = """
  - name: grade
    type: LLMBlock
    config:
      config_path: grade.yaml
      output_cols: [verdict]
      gen_kwargs: {max_tokens: 64, temperature: 0}
"""

KEEP = """
  - name: keep
    type: FilterByValueBlock
    config: {filter_column: verdict, filter_value: "YES", operation: eq}
"""

MAJORITY = """
  - name: even_out
    type: SetToMajorityValueBlock
    config: {col_name: verdict}
"""

ANSWER = """
  - name: answer
    type: LLMBlock
    config:
      config_path: answer.yaml
      output_cols: [answer]
      gen_kwargs: {max_tokens: 400, temperature: 0}
"""

ONE_IDEA = """
  - name: ask
    type: LLMBlock
    config:
      config_path: ask.yaml
      output_cols: [idea]
      gen_kwargs: {max_tokens: 400}
"""

FAULTS = """\
- {match: "venom", fault: {kind: status, status: 400, message: the teacher does not talk about this}}
- {match: "silence", fault: empty_text}
- {match: "second look", fault: {kind: status, status: 400, message: this idea is not answered}}
- {rate: 0.02, fault: 503}
- {rate: 0.01, fault: reset}
- {rate: 0.01, fault: torn_json}
- {rate: 0.01, fault: truncated}
- {rate: 0.01, fault: {kind: status, status: 429, retry_after: 0.02}}
- {rate: 0.02, fault: {kind: slow, seconds: 0.3}}
"""
"""The first three end a record for good, all others are mended by another attempt."""

THINGS = ("tides", "winds", "rocks", "moss", "rivers", "clouds", "dunes", "caves", "reefs", "frost")
KINDS = ("old", "northern", "small", "loud", "hidden", "warm", "grey", "distant", "young", "calm")


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A pipeline with its input.

    Attributes:
        name: of the pipeline file.
        blocks: YAML of its blocks.
        rows: input rows; more of them are copies of earlier ones, or no rows at all.
        odd: whether there are such.
    """

    name: str
    blocks: str
    rows: int
    odd: bool = True


SCENES = {
    scene.name: scene
    for scene in (
        Scene(name="stream", blocks=ASK + GRADE + KEEP + ANSWER, rows=120),
        Scene(name="barrier", blocks=ASK + GRADE + MAJORITY + ANSWER, rows=80),
        Scene(name="two_stages", blocks=ONE_IDEA + ANSWER, rows=1000, odd=False),
    )
}


def write_scene(folder: Path, scene: Scene) -> None:
    """Write pipeline, prompts, faults and input (``in.jsonl``) of a scene."""
    prompts = {
        "ask": ("Tell me about {{topic}}.", "", ""),
        "grade": ("Idea about {{topic}}: {{idea}} Is it good? Say YES or NO.", "", ""),
        "answer": ("Explain this idea about {{topic}}: {{idea}}", "", ""),
    }
    for name, (generation, start, end) in prompts.items():
        text = PROMPT.format(introduction=f"This is {name}.", generation=generation, start=start, end=end)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / f"{scene.name}.yaml").write_text(f'version: "1.0"\nblocks:\n{scene.blocks}', encoding="utf-8")
    (folder / "faults.yaml").write_text(FAULTS, encoding="utf-8")
    (folder / "in.jsonl").write_text("".join(f"{line}\n" for line in _lines(scene)), encoding="utf-8")


def _lines(scene: Scene) -> list[str]:
    lines = [json.dumps({"topic": _topic(number)}) for number in range(scene.rows)]
    if not scene.odd:
        return lines
    for number in range(5, scene.rows, 9):  # a copy a little behind, and one far behind
        lines[number] = lines[number - 2]
    lines[-1] = lines[1]
    lines[7], lines[31] = '{"topic": "tor', '["no", "mapping"]'
    for number in (11, 40, 61):
        lines[number] = json.dumps({"topic": f"venom {number}"})
    for number in (12, 41, 62):
        lines[number] = json.dumps({"topic": f"silence {number}"})
    return lines


def _topic(number: int) -> str:
    kind, thing = KINDS[number // 10 % 10], THINGS[number % 10]
    return f"{kind} {thing}" if number < 100 else f"{kind} {thing} of part {number // 100}"
