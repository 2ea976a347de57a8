"""Templates: what is rendered, what is needed, and what a mistake becomes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined, TemplateSyntaxError, UndefinedError

from sdg_stream.errors import RecordError
from sdg_stream.prompts.template import MAX_RENDERED, TemplateMistake, compile_template

NAMES = ("a", "b", "long_name", "range")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
literals = st.text() | st.sampled_from(
    ["{", "}", "%", "%s", "\n", "\r\n", "{#", "#}", " ", "{{ '{{' }}", "{{ none }}"]
)
outputs = st.builds(
    "{{{{{}{}{}}}}}".format,
    st.sampled_from(["", " ", "- "]),
    st.sampled_from(NAMES),
    st.sampled_from(["", " ", " -"]),
)
statements = st.sampled_from(["{% if a %}", "{% endif %}", "{{ a|length }}", "{{ b.c }}"])


def by_jinja(source: str, columns: dict[str, Any]) -> str:
    """What Jinja itself makes of a template, or the kind of mistake that it finds."""
    try:
        return Environment(undefined=StrictUndefined).from_string(source).render(columns).strip()
    except TemplateSyntaxError:
        return "mistake"
    except UndefinedError:
        return "missing_column"
    except (TypeError, ValueError):
        return "template_error"


def by_us(source: str, columns: dict[str, Any]) -> str:
    """The same by this package."""
    try:
        return compile_template(source).render(columns)
    except TemplateMistake:
        return "mistake"
    except RecordError as error:
        return error.reason


@given(
    source=st.lists(literals | outputs | statements, max_size=8).map("".join),
    columns=st.fixed_dictionaries({"range": values}, optional=dict.fromkeys(NAMES[:3], values)),
)
def test_rendering_is_that_of_jinja(source: str, columns: dict[str, Any]) -> None:
    """The short cut for plain templates gives, for any source and values, what Jinja itself gives."""
    assert by_us(source, columns) == by_jinja(source, columns)


def test_a_plain_template_is_stripped_and_null_is_none() -> None:
    """White space at both ends goes, in the middle it stays; null renders as the word None."""
    assert compile_template("\n {{ a }}\n\n{{ b }} \u2003").render({"a": " x", "b": None}) == "x\n\nNone"


@pytest.mark.parametrize("source", ["{{ q }}", "{{ q }} and {{ r }}", "{{ q|upper }}"])
def test_a_missing_column_is_named(source: str) -> None:
    """A name that is no column rejects the record, on the short cut and in Jinja alike."""
    with pytest.raises(RecordError, match="'q' is undefined") as caught:
        compile_template(source).render({"r": 1})
    assert caught.value.reason == "missing_column"


def test_a_missing_attribute_is_named() -> None:
    """An attribute that is not there counts as a missing column."""
    with pytest.raises(RecordError, match="no attribute 'deep'") as caught:
        compile_template("{{ q.deep }}").render({"q": "text"})
    assert caught.value.reason == "missing_column"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ q + 1 }}", "TypeError"),
        ("{{ 1 // 0 }}", "ZeroDivisionError"),
        ("{{ q.__class__ }}", "SecurityError"),
        ("{{ rows.append(1) }}", "SecurityError"),
        ("{{ 'ab' * 10**9 }}", "too large"),
        ("{{ 10**9 * rows }}", "too large"),
        ("{{ 9 ** 10000000 }}", "too large"),
        ("{% for i in range(10 ** 7) %}{% endfor %}", "OverflowError"),
        ("{% for i in range(100000) %}{{ 'ab' * 1000 }}{% endfor %}", "longer than"),
        ("{{ huge }}", "ValueError"),
    ],
)
def test_any_other_rendering_error_rejects(source: str, words: str) -> None:
    """What goes wrong in rendering, bombs included, ends this record and says what it was."""
    with pytest.raises(RecordError, match=words) as caught:
        compile_template(source).render({"q": "x", "rows": [1], "huge": 10**5000})
    assert caught.value.reason == "template_error"


def test_a_column_can_be_too_large() -> None:
    """The limit on the rendered text holds for plain templates too."""
    with pytest.raises(RecordError, match="longer than"):
        compile_template("{{ q }}{{ q }}").render({"q": "x" * (MAX_RENDERED // 2 + 1)})


def test_small_products_are_computed() -> None:
    """The limit on products does not touch sane ones."""
    template = compile_template("{{ '-' * 3 }}{{ 3 * [1] }}{{ 2 * 3 }}{{ 2 ** 8 }}{{ 1.5 * 2 }}")
    assert template.render({}) == "---[1, 1, 1]62563.0"


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        ("a\nb\n{{ x", 3, "end of print statement"),
        ("{% if q %}", 1, "endif"),
        ("\n{{ q|nope }}", 2, "nope"),
        ("\n{% include 'x' %}", 2, "cannot load"),
        ("{% extends q %}", 1, "cannot load"),
        ("{{ " + "(" * 3000, 1, "too deeply"),
        ("{% for a in b %}" * 30 + "{% endfor %}" * 30, 1, "too deeply"),
    ],
)
def test_a_broken_template_is_a_mistake(source: str, line: int, words: str) -> None:
    """What cannot be compiled, or would load files, is refused with its line."""
    with pytest.raises(TemplateMistake, match=words) as caught:
        compile_template(source)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("source", "required", "names"),
    [
        ("{{ a }} {{b}}", {"a", "b"}, {"a", "b"}),
        ("{% if a %}{{ b }}{% endif %}{{ c }}{{ d|upper }}", {"c"}, {"a", "b", "c", "d"}),
        ("{% set a = 1 %}{{ a }}", set(), set()),
        ("{{ a }}{% set a = 1 %}", set(), {"a"}),
        ("{% for x in a %}{{ x }}{% endfor %}", set(), {"a"}),
        ("{{ range }}", set(), {"range"}),
        ("{# {{ a }} #}{% raw %}{{ b }}{% endraw %}", set(), set()),
    ],
)
def test_names_and_required(source: str, required: set[str], names: set[str]) -> None:
    """Required are the names in plain outputs outside of statements; names are all that may be looked up."""
    template = compile_template(source)
    assert (set(template.required), set(template.names)) == (required, names)


def test_a_global_can_be_a_column() -> None:
    """A column that is named like one of Jinja's globals is the column."""
    assert compile_template("{{ range }}").render({"range": "1-5"}) == "1-5"


def test_one_source_is_compiled_once() -> None:
    """Runs side by side that read the same prompt file share its template: compiling takes milliseconds."""
    assert compile_template("{{ a }} once") is compile_template("{{ a }} once")
    assert compile_template("{{ a }} once") is not compile_template("{{ a }} twice")
