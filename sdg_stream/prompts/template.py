"""Prompt templates: Jinja in a sandbox, strict about names, with a short cut for the plain ones.

Most prompt files are literal text with ``{{ name }}`` in it. Those are rendered by one ``%`` operation, which
gives exactly what Jinja gives and costs a tenth of it; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

from jinja2 import TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateError, UndefinedError
from jinja2.meta import find_undeclared_variables

from ..errors import RecordError
from .sandbox import Sandbox
from .sizes import MAX_SIZE

__all__ = ["MAX_RENDERED", "Template", "TemplateMistake", "compile_template"]

MAX_RENDERED = MAX_SIZE  # characters; more is a template gone wild, not a prompt

_KEPT = 256  # compiled templates: runs side by side, and all that a run looks at before it begins, share them

_LOADING = (nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)
_RENDER_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
    MemoryError,
)


class TemplateMistake(ValueError):
    """A template that cannot be compiled; ``line`` counts from 1 in its source."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


_Picker: TypeAlias = Callable[[Mapping[str, Any]], tuple[Any, ...]]
_ENVIRONMENT = Sandbox()
_NO_GLOBALS = Sandbox()  # for analysis: a column may be named like one of Jinja's globals, such as range
_NO_GLOBALS.globals.clear()


class Template:
    """A compiled template.

    Attributes:
        names: every variable that a rendering may look up.
        required: those that every rendering looks up, so that a record without them cannot be rendered.
    """

    __slots__ = ("_format", "_jinja", "_pick", "names", "required")

    def __init__(self, source: str) -> None:
        tree = _NO_GLOBALS.parse(source)
        _refuse_loading(tree)
        self._jinja = _ENVIRONMENT.from_string(source)
        self.names = frozenset(find_undeclared_variables(tree))
        self.required = _required(tree) & self.names
        self._format = ""
        self._pick: _Picker | None = None
        if plain := _plain_format(tree, self.required):
            self._format, self._pick = plain

    def render(self, columns: Mapping[str, Any]) -> str:
        """The text for these columns, without white space at both ends; null renders as ``None``.

        Raises:
            RecordError: ``missing_column`` for a name that is not there, ``template_error`` for all else.
        """
        try:
            text = self._rendered(columns) if self._pick is None else self._format % self._pick(columns)
        except UndefinedError as error:
            raise RecordError("missing_column", f"prompt template: {error}") from error
        except _RENDER_ERRORS as error:
            if self._pick is not None and isinstance(error, KeyError):
                raise RecordError("missing_column", f"prompt template: {error} is undefined") from error
            raise RecordError(
                "template_error", f"prompt template: {type(error).__name__}: {error}"
            ) from error
        if len(text) > MAX_RENDERED:
            raise _too_large()
        return text.strip()

    def _rendered(self, columns: Mapping[str, Any]) -> str:
        pieces: list[str] = []
        size = 0
        _ENVIRONMENT.start()
        for piece in self._jinja.root_render_func(self._jinja.new_context(dict(columns))):
            size += len(piece)
            if size > MAX_RENDERED:
                raise _too_large()
            pieces.append(piece)
        return "".join(pieces)


@lru_cache(maxsize=_KEPT)
def compile_template(source: str) -> Template:
    """Compile a template's source; the same source gives the same template, which holds nothing else.

    Raises:
        TemplateMistake: it is not a template, or wants to load other files.
    """
    try:
        return Template(source)
    except TemplateSyntaxError as error:
        raise TemplateMistake(error.message or "not a template", error.lineno) from error
    except (RecursionError, SyntaxError) as error:  # from Jinja's parser, from Python's compiler
        raise TemplateMistake(f"nested too deeply ({error})", 1) from error


def _refuse_loading(tree: nodes.Template) -> None:
    for node in tree.find_all(_LOADING):
        raise TemplateMistake("a prompt template cannot load other templates", node.lineno)


def _required(tree: nodes.Template) -> frozenset[str]:
    """Names that stand alone in a ``{{ }}`` outside of every statement, and are nothing but columns."""
    alone = {
        node.name
        for output in tree.body
        if isinstance(output, nodes.Output)
        for node in output.nodes
        if isinstance(node, nodes.Name)
    }
    assigned = {node.name for node in tree.find_all(nodes.Name) if node.ctx != "load"}
    return frozenset(alone - assigned - _ENVIRONMENT.globals.keys() - {"self"})


def _plain_format(tree: nodes.Template, required: frozenset[str]) -> tuple[str, _Picker] | None:
    """``%`` format and picker of its values for a template of literals and columns; None for any other."""
    parts: list[str] = []
    names: list[str] = []
    for output in tree.body:
        if not isinstance(output, nodes.Output):
            return None
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                parts.append(node.data.replace("%", "%%"))
            elif isinstance(node, nodes.Const):
                parts.append(str(node.value).replace("%", "%%"))
            elif isinstance(node, nodes.Name) and node.name in required:
                parts.append("%s")
                names.append(node.name)
            else:
                return None
    return "".join(parts), _picker(names)


def _picker(names: list[str]) -> _Picker:
    if len(names) > 1:
        return itemgetter(*names)
    if not names:
        return lambda _: ()
    [name] = names
    return lambda columns: (columns[name],)


def _too_large() -> RecordError:
    return RecordError(
        "template_error", f"prompt template: the text is longer than {MAX_RENDERED} characters"
    )
