"""The environment that templates run in: Jinja's sandbox, with bounds on time and on the size of texts.

Jinja keeps a template from reaching what it should not; it does not keep one from computing for ever. Here
every loop and call looks at the clock, and what can make much out of little is asked for the size first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .sizes import FILTERS, MAX_SIZE, METHODS, operator_size, size_of_all

__all__ = ["MAX_SECONDS", "Sandbox"]

MAX_SECONDS = 1.0  # for one rendering; sane ones take a thousandth


class _Clocked(CodeGenerator):
    """Compiles templates whose loops look at the clock, and whose ``~`` looks at sizes."""

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        """The body of a block; one of a loop begins with a look at the clock."""
        if frame.loop_frame:
            self.writeline("environment.look_at_clock()")
        super().blockvisit(nodes, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - Jinja's name
        """``left ~ right``."""
        self.write("environment.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with bounds; :meth:`start` begins the time of one rendering."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})
    code_generator_class = _Clocked

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False)
        del self.globals["lipsum"]  # any amount of text, of no use
        self.filters |= {name: _sized(name, self.filters[name]) for name in FILTERS}
        self._local = threading.local()

    def start(self) -> None:
        """A rendering begins, in this thread."""
        self._local.end = time.monotonic() + MAX_SECONDS

    def look_at_clock(self) -> None:
        """Stop a rendering that has had its time."""
        if time.monotonic() > getattr(self._local, "end", float("inf")):
            raise SecurityError(f"it takes longer than {MAX_SECONDS:g} s")

    def call(self, context: Context, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Call a function or method if its result has a sane size, and if there is time."""
        self.look_at_clock()
        method = getattr(function, "__wrapped__", function)  # of str.format
        owner, size = getattr(method, "__self__", None), METHODS.get(getattr(method, "__name__", ""))
        if size is not None and isinstance(owner, str | bytes | int):
            _refuse(size(owner, *args, **kwargs), method.__name__)
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute an operator's result if it has a sane size."""
        _refuse(operator_size(operator, left, right), operator)
        return super().call_binop(context, operator, left, right)

    def joined(self, parts: tuple[Any, ...]) -> str:
        """What ``~`` gives, if it has a sane size."""
        texts = [str(part) for part in parts]
        _refuse(size_of_all(texts), "~")
        return "".join(texts)


def _sized(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses to make too much."""
    size = FILTERS[name]
    passed = 1 if hasattr(function, "jinja_pass_arg") else 0  # what Jinja itself hands over comes first

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        _refuse(size(*args[passed:], **kwargs), name)
        return function(*args, **kwargs)

    return guarded


def _refuse(size: float, what: str) -> None:
    if size > MAX_SIZE:
        raise SecurityError(f"the result of {what} is too large")
