"""Rows 40 and 41 of the fault catalogue: templates that want out, and templates that want everything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from sdg_stream.errors import RecordError
from sdg_stream.prompts import sandbox
from sdg_stream.prompts.template import TemplateMistake, compile_template

CLIMBING = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ q.__init__.__globals__ }}",
    "{{ q['__class__'] }}",
    "{{ q|attr('__class__') }}",
    "{{ q|attr('__cla' ~ 'ss__') }}",
    "{{ q|map(attribute='__class__')|list }}",
    "{{ [q]|map(attribute='__class__.__mro__')|list }}",
    "{{ '{0.__class__}'.format(q) }}",
    "{{ '{0.__init__.__globals__}'.format_map({'0': q}) }}",
    "{{ ('%s' ~ '{0.__class__.__mro__}').format(q) }}",
    "{{ (q|attr('format'))('{0.__class__}') }}",
    "{{ '{0.__class__}'|attr('format')(q) }}",
    "{% set f = '{0.__class__}'.format %}{{ f(q) }}",
    "{{ ['{0.__class__}'.format]|map('call', q)|list }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ cycler.__init__.__globals__.os.popen('touch CANARY').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ range.__class__ }}",
    "{{ dict.__base__ }}",
    "{{ lipsum.__globals__['os'].popen('touch CANARY').read() }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__ }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}",
    "{% set x = ''.__class__ %}{{ x.__name__ }}",
    "{{ rows.append(1) }}",
    "{{ mapping.update(a=1) }}",
    "{{ mapping.__setitem__('a', 1) }}",
    "{{ caller.gi_frame.f_back }}",
    "{{ (q for q in rows).gi_frame }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% from 'os' import system %}",
    "{% extends '/etc/passwd' %}",
    "{% do rows.append(1) %}",
    "{{ import('os') }}",
    "{{ open('/etc/passwd').read() }}",
    "{{ __import__('os').system('touch CANARY') }}",
    "{{ eval('1') }}",
]


@pytest.mark.parametrize("source", CLIMBING)
def test_row_40_nothing_leads_out_of_a_template(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known ways to Python's inside, to files and to changes of a record's values: refused, nothing shown."""
    monkeypatch.chdir(tmp_path)
    values: dict[str, Any] = {"q": "text", "rows": [1], "mapping": {"b": 2}}
    try:
        shown = compile_template(source).render(values)
    except (TemplateMistake, RecordError):
        shown = ""
    assert not any(
        word in shown for word in ("class", "object", "module", "built", "function", "frame", "root:")
    )
    assert (values, list(tmp_path.iterdir())) == ({"q": "text", "rows": [1], "mapping": {"b": 2}}, [])


@pytest.mark.parametrize(
    "template", ["{{ q }}", "a {{ q }} b {{ q|trim }}", "{% for x in rows %}{{ x }}{% endfor %}"]
)
@pytest.mark.parametrize(
    "value", ["{{7*7}}", "{% include '/etc/passwd' %}", "${7*7}", "#{7*7}", "%(q)s %s {0}", "{#"]
)
def test_row_40_what_a_row_holds_is_text(template: str, value: str) -> None:
    """Values are never taken for templates, by the short cut for plain ones no more than by Jinja."""
    text = compile_template(template).render({"q": value, "rows": [value]})
    assert value in text
    assert "49" not in text


BOMBS = [
    "{% for i in range(10 ** 9) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in rows %}{% for b in rows %}{% for c in rows %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in rows recursive %}{{ loop(rows) }}{% endfor %}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% set f = namespace(s='ab') %}{% for i in range(60) %}{% set f.s = f.s ~ f.s %}{% endfor %}{{ f.s }}",
    "{% set f = namespace(s='ab') %}{% for i in range(60) %}{% set f.s = f.s + f.s %}{% endfor %}{{ f.s }}",
    "{% set f = namespace(s=[1]) %}{% for i in range(60) %}{% set f.s = f.s + f.s %}{% endfor %}",
    "{% set f = namespace(n=2) %}{% for i in range(60) %}{% set f.n = f.n * f.n %}{% endfor %}",
    "{{ 'ab' * 10 ** 9 }}",
    "{{ 'ab'.encode() * 10 ** 9 }}",
    "{{ [1] * 10 ** 9 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ q.center(10 ** 9) }}",
    "{{ q.ljust(1000000000) }}",
    "{{ q.rjust(10 ** 9) }}",
    "{{ q.zfill(10 ** 9) }}",
    "{{ q.encode().center(10 ** 9) }}",
    "{{ '\t'.expandtabs(10 ** 9) }}",
    "{{ ('\t' * 100000).expandtabs(100000) }}",
    "{{ ('a' * 100000).replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000).replace('', 'b' * 100000) }}",
    "{{ ('a' * 100000).translate({97: 'b' * 100000}) }}",
    "{{ ('a' * 1000000).join(['b'] * 1000) }}",
    "{{ ''.join(['a' * 1000000] * 1000) }}",
    "{{ (5).to_bytes(10 ** 9, 'big') }}",
    "{{ q|center(1000000000) }}",
    "{{ q|center(10 ** 9) }}",
    "{{ [q]|map('center', 10 ** 9)|list }}",
    "{{ ('\n' * 100000)|indent(100000) }}",
    "{{ ('\n' * 100000)|indent('x' * 100000) }}",
    "{{ ('a' * 100000)|replace('a', 'b' * 100000) }}",
    "{{ (['a' * 1000000] * 1000)|join }}",
    "{{ ([''] * 100000)|join('a' * 100000) }}",
    "{{ ('a' * 100000)|wordwrap(1, wrapstring='b' * 100000) }}",
    "{{ 1.5|round(10 ** 9, 'ceil') }}",
    "{{ [1]|batch(10 ** 9, 0)|list }}",
    "{{ [1]|slice(10 ** 9)|list }}",
    "{{ rows|tojson(indent=10 ** 9) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (10 ** 9, 1) }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '%(n)01000000000d' % {'n': 1} }}",
    "{{ '%1000000000d'|format(1) }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 10 ** 9) }}",
    "{{ '{n:>1000000000}'.format_map({'n': 1}) }}",
    "{{ '{:1000000000}'|attr('format')(1) }}",
    "{{ lipsum(10 ** 9) }}",
    "{{ dict(a=range(100000)|list * 100000) }}",
]


@pytest.mark.parametrize("source", BOMBS)
def test_row_41_bombs_end_the_record_at_once(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would take for ever, or all memory, is a reject after a moment; most take no time at all."""
    import tracemalloc

    monkeypatch.setattr(sandbox, "MAX_SECONDS", 0.2)
    started = time.monotonic()
    tracemalloc.start()
    try:
        template = compile_template(source)
        with pytest.raises(RecordError) as caught:
            template.render({"q": "text", "rows": list(range(10_000))})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.reason == ("missing_column" if "lipsum" in source else "template_error")
    assert time.monotonic() - started < 1
    assert peak < 300 * 2**20


SANE = [
    (
        "{% for row in rows %}{{ loop.index }}. {{ row|upper ~ ': ' ~ q }}\n{% endfor %}",
        "1. ONE: text\n2. TWO: text",
    ),
    ("{{ '%5.1f|%-4s' % (2.25, 'a') }}. {{ '%03d'|format(7) }}", "2.2|a   . 007"),
    ("{{ '{:>4}|{n:02d}'.format('b', n=3) }} {{ 'In 2000000 {}'.format(q) }}", "b|03 In 2000000 text"),
    ("{{ 'a,b'.split(',')|join(' and ') }} {{ ', '.join(rows) }}", "a and b one, two"),
    ("{{ '%s, ' * 2 % ('x', 'y') }}{{ 'x'.center(3)|replace(' ', '-') }}", "x, y, -x-"),
    ("{{ [1] + [2] }} {{ 2 + 3 }} {{ 'In 2000000: ' + q }} {{ 2 ** 8 }}", "[1, 2] 5 In 2000000: text 256"),
    ("{{ [1, 2, 3]|batch(2, 0)|list }} {{ 2.345|round(1) }}", "[[1, 2], [3, 0]] 2.3"),
    (
        "{{ {'a': 1}|tojson(indent=1) }} {{ 'a b'|wordwrap(1) }} {{ 'a\nb'|indent(2) }}",
        '{\n "a": 1\n} a\nb a\n  b',
    ),
]


@pytest.mark.parametrize(("source", "text"), SANE)
def test_row_41_sane_templates_do_not_notice(source: str, text: str) -> None:
    """What is bounded works as ever below its bounds."""
    assert compile_template(source).render({"rows": ["one", "two"], "q": "text"}) == text
