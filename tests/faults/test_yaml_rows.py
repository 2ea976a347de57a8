"""Rows 36 to 38 of the fault catalogue: YAML that is wrong, YAML that is a weapon."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.catalog import pipelines_dir
from sdg_stream.cli.app import app
from sdg_stream.config.yaml import MAX_BYTES, MAX_DEPTH, load_yaml, parse_yaml
from sdg_stream.errors import ConfigError
from sdg_stream.pipeline import Pipeline

PROMPT = """\
system: You are brief.
introduction: ""
principles: ""
examples: ""
generation: |
  Tell me about {{topic}}.
start_tags: ["[a]"]
end_tags: ["[/a]"]
"""

PIPELINE = """\
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config:
      config_path: prompt.yaml
      output_cols: [answer]
      gen_kwargs: {max_tokens: 512, temperature: 0.5}
    drop_duplicates: [answer]
  - name: keep
    type: FilterByValueBlock
    config:
      filter_column: answer
      filter_value: "yes"
      operation: eq
"""


def check(folder: Path, pipeline: str, prompt: str = PROMPT) -> Result:
    """``check`` of a pipeline file and its prompt."""
    (folder / "prompt.yaml").write_text(prompt, encoding="utf-8")
    (folder / "p.yaml").write_text(pipeline, encoding="utf-8")
    return CliRunner().invoke(app, ["check", str(folder / "p.yaml")])


def mistakes(result: Result, folder: Path) -> list[str]:
    """The mistakes that were told, without the folder of their file."""
    assert result.exit_code == 2, result.output
    lines = [line.strip().removeprefix("Error: ") for line in result.stderr.splitlines()]
    return [line.removeprefix(f"{folder}/") for line in lines if line.startswith(f"{folder}/")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "    type: LLMB",
            "\ttype: LLMB",
            "4: not valid YAML: while scanning a plain scalar found a tab character that violates",
        ),
        (
            "[answer]\n      gen",
            "[answer\n      gen",
            "8: not valid YAML: while parsing a flow sequence did not find expected ',' or ']' (column 17)",
        ),
        (
            "LLMBlock",
            "LLMBlok",
            "4: $.blocks[0].type: unknown block type 'LLMBlok'; did you mean 'LLMBlock'?",
        ),
        (
            "operation: eq",
            "operation: is",
            "12: $.blocks[1].config: unknown operation 'is'; did you mean 'is_'?",
        ),
        ("0.5", "warm", '8: $.blocks[0].config.gen_kwargs.temperature: expected float, got "warm"'),
        ("512", "5_000_000_000_x", "8: $.blocks[0].config.gen_kwargs.max_tokens: expected int, got"),
        ("0.5", "!!float x", "8: not valid YAML: this is no float: could not convert string to float: 'x'"),
        (
            "prompt.yaml",
            "no.yaml",
            "5: $.blocks[0].config: FOLDER/no.yaml: cannot be read: No such file or directory",
        ),
        ("blocks:", "block:", "1: $: the key 'blocks' is missing; did you mean 'block'?"),
    ],
    ids=["tab", "bracket", "type", "choice", "kind", "number", "tag", "file", "no blocks"],
)
def test_row_36_a_mistake_has_its_place(tmp_path: Path, old: str, new: str, expected: str) -> None:
    """File, line, path or column, and the nearest word that is known."""
    [found] = mistakes(check(tmp_path, PIPELINE.replace(old, new, 1)), tmp_path)
    assert found.startswith(f"p.yaml:{expected.replace('FOLDER', str(tmp_path))}")


def test_row_36_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Of all blocks, in the order of the file, each with its place."""
    broken = PIPELINE
    for old, new in {
        "output_cols:": "output_col:",
        "0.5": "warm",
        'filter_value: "yes"': "filter_valeu: 1",
    }.items():
        broken = broken.replace(old, new, 1)
    known = "did you mean 'filter_value'?"
    assert mistakes(check(tmp_path, broken), tmp_path) == [
        "p.yaml:7: $.blocks[0].config.output_col: unknown key 'output_col'; did you mean 'output_cols'?",
        "p.yaml:5: $.blocks[0].config: the key 'output_cols' is missing",
        'p.yaml:8: $.blocks[0].config.gen_kwargs.temperature: expected float, got "warm"',
        f"p.yaml:14: $.blocks[1].config.filter_valeu: unknown key 'filter_valeu'; {known}",
        "p.yaml:12: $.blocks[1].config: the key 'filter_value' is missing",
    ]


def test_row_36_mistakes_in_prompts_have_their_place_too(tmp_path: Path) -> None:
    """The prompt's file and line, beside what is wrong in the block's own config."""
    prompt = PROMPT.replace("{{topic}}.", "{{topic.").replace('["[a]"]', "{a: 1}")
    broken = PIPELINE.replace("output_cols", "parser_kwargs: {parser_name: custom}\n      output_cols")
    found = mistakes(check(tmp_path, broken, prompt), tmp_path)
    assert [" ".join(line.split(" ", 2)[:2]) for line in found] == [
        "prompt.yaml:7: $.start_tags:",
        "prompt.yaml:5: $.generation:",
        "p.yaml:5: $.blocks[0].config:",
    ]


EDITS = st.lists(
    st.tuples(
        st.integers(0, 600),
        st.integers(0, 12),
        st.text(max_size=6)
        | st.sampled_from(["\t", "[", "{", "&a ", "*a", "!!", "? ", ": ", "- ", "|\n", "#", '"', "{{", "%}"]),
    ),
    min_size=1,
    max_size=6,
)


def edited(text: str, edits: list[tuple[int, int, str]]) -> str:
    """A text in which pieces are replaced."""
    for place, length, new in edits:
        text = text[:place] + new + text[place + length :]
    return text


@settings(max_examples=150, deadline=None)
@given(edits=EDITS, in_prompt=st.booleans())
def test_row_36_whatever_is_typed_gives_a_pipeline_or_mistakes(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, int, str]], in_prompt: bool
) -> None:
    """Random edits of a sound pipeline and of its prompt: it loads, or each mistake is told; never a bug."""
    folder = tmp_path_factory.getbasetemp()
    texts = {"p.yaml": PIPELINE, "prompt.yaml": PROMPT}
    name = "prompt.yaml" if in_prompt else "p.yaml"
    texts[name] = edited(texts[name], edits)
    for file, text in texts.items():
        (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        Pipeline.load(folder / "p.yaml").check({"topic"})
    except ConfigError as error:
        assert all(problem.message for problem in error.problems)  # noqa: PT017 - either outcome is right


def billions(depth: int) -> str:
    """A few lines that stand for ten to the power of ``depth`` values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, depth)])


def merges(depth: int) -> str:
    """The same by merge keys."""
    lines = [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, depth)]
    return "\n".join(["a0: &a0 {k: v}", *lines])


def chain(depth: int) -> str:
    """Lists of which each holds the one before."""
    return "\n".join(["- &a0 x", *(f"- &a{n} [*a{n - 1}]" for n in range(1, depth))])


WEAPONS = {
    "aliases": (billions(10), "aliases expand to too many values"),
    "merges": (merges(9), "aliases expand to too many values"),
    "itself": ("&a [*a]", "aliases expand to too many values"),
    "brackets": ("[" * 100_000 + "]" * 100_000, f"nested deeper than {MAX_DEPTH}"),
    "open brackets": ("[" * 100_000, f"nested deeper than {MAX_DEPTH}"),
    "braces": ("{a: " * 100_000, f"nested deeper than {MAX_DEPTH}"),
    "dashes": ("- " * 100_000 + "x", f"nested deeper than {MAX_DEPTH}"),
    "keys": ("? " * 100_000, f"nested deeper than {MAX_DEPTH}"),
    "indents": ("\n".join(" " * n + "a:" for n in range(2000)), f"nested deeper than {MAX_DEPTH}"),
    "chain": (chain(2000), f"nested deeper than {MAX_DEPTH}"),
    "sixties": ("a: " + ":".join(["59"] * 100_000), "a number of 299999 characters"),
    "digits": ("a: " + "9" * 100_000, "a number of 100000 characters"),
    "many": ("[" + "x, " * 100_000 + "x]", "more than 50000 values"),
}  # fmt: skip


@pytest.mark.parametrize("weapon", WEAPONS)
def test_row_37_bombs_are_refused_within_a_second(weapon: str) -> None:
    """Aliases, depth and sizes are bounded before anything is built, and before the parser's stack ends."""
    text, words = WEAPONS[weapon]
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert words in str(caught.value)
    assert caught.value.problems[0].line > 0
    assert time.monotonic() - started < 1


def test_row_37_a_file_of_100_mb_is_not_read(tmp_path: Path) -> None:
    """A little more than what is allowed is read, be it a file or something without end."""
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(100_000_000)
    for path in (tmp_path / "huge.yaml", Path("/dev/zero")):
        started = time.monotonic()
        with pytest.raises(ConfigError, match=f"{path}: larger than {MAX_BYTES} bytes"):
            load_yaml(path)
        assert time.monotonic() - started < 1


CODE = [
    "!!python/object/apply:os.system ['touch CANARY']",
    "!!python/object/new:os.system ['touch CANARY']",
    "!!python/object:os.system {}",
    "!!python/name:os.system",
    "!!python/module:os",
    "!!python/object/apply:builtins.eval [\"open('CANARY', 'w')\"]",
    "!<tag:yaml.org,2002:python/object/apply:os.system> ['touch CANARY']",
    "!custom x",
]


@pytest.mark.parametrize("tag", CODE)
@pytest.mark.parametrize("place", ["pipeline", "config", "prompt"])
def test_row_38_yaml_makes_data_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tag: str, place: str
) -> None:
    """Tags that make objects or run code are mistakes in each kind of file; nothing happens."""
    monkeypatch.chdir(tmp_path)
    pipeline, prompt = PIPELINE, PROMPT
    if place == "pipeline":
        pipeline = f"extra: {tag}\n{PIPELINE}"
    elif place == "config":
        pipeline = PIPELINE.replace("[answer]", tag, 1)
    else:
        prompt = PROMPT.replace('["[a]"]', tag)
    [found] = mistakes(check(tmp_path, pipeline, prompt), tmp_path)
    assert "could not determine a constructor for the tag" in found
    assert not (tmp_path / "CANARY").exists()


@pytest.mark.parametrize(
    "name", [path.relative_to(pipelines_dir()).as_posix() for path in pipelines_dir().rglob("*.yaml")]
)
def test_row_37_the_limits_are_far_from_what_people_write(name: str) -> None:
    """The shipped files are below a hundredth of them."""
    document = load_yaml(pipelines_dir() / name)
    assert depth_of(document.data) < MAX_DEPTH / 4


def depth_of(data: Any) -> int:
    """How deep mappings and lists are nested."""
    parts = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return 1 + max(map(depth_of, parts), default=0)
