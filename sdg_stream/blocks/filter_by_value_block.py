"""Keeps the records whose column compares as wanted, after converting it if asked to.

Conversion is Python's own (``int``, ``float``, ``bool``), so ``" 1 "`` and ``"1e0"`` are floats, ``"1.0"`` is
not an int, and any non-empty text is true, ``"False"`` included. What cannot be read counts as the default.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, Final

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..config.decode import nearest
from ..errors import RecordError
from ..record import Columns
from .record_errors import missing_column, value_text

__all__ = ["FilterByValueBlock"]

_DTYPES: Final[dict[str, type[int] | type[float] | type[bool]]] = {"int": int, "float": float, "bool": bool}

_OPERATIONS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    name: getattr(operator, name)
    for name in (
        *("eq", "ne", "lt", "le", "gt", "ge", "contains", "is_", "is_not"),
        *("and_", "or_", "xor", "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
        *("lshift", "rshift", "concat", "countOf", "indexOf", "getitem"),
    )
}
"""The functions of two values that change neither; what they give counts as true or false."""


class FilterByValueBlock(RowBlock["FilterByValueBlock.Config"]):
    """Lets a record pass if its column compares as wanted with any of the filter values.

    With conversion the converted value goes on; numbers stay ints or floats as they came.
    """

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Keeps a record if ``column operation value`` is true for any of the values.

        Attributes:
            filter_column: the column to look at.
            filter_value: what to compare with: one value, or a list of them.
            operation: name of a function in Python's ``operator`` module, taking two values.
            convert_dtype: ``int``, ``float`` or ``bool``: column and filter values become this first.
            default_value: stands for what cannot be converted; 0, 0.0 or false if not given.
        """

        filter_column: str
        filter_value: Any
        operation: str
        convert_dtype: str | None = None
        default_value: Any = None

        def __post_init__(self) -> None:
            test = _operation(self.operation)
            dtype, default, targets = _targets(self)
            if dtype is not None and targets:
                try:
                    test(default, targets[0])
                except TypeError:
                    raise ValueError(
                        f"operation {self.operation!r} does not work on {dtype.__name__}s"
                    ) from None
                except (ValueError, ArithmeticError):
                    pass  # depends on the values

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._column = config.filter_column
        self._test = _operation(config.operation)
        self._dtype, self._default, self._targets = _targets(config)
        if self._test is operator.ne and any(target != self._targets[0] for target in self._targets):
            context.warn(
                "filter_ne_list",
                f"operation 'ne' with several values keeps every record: {self._column!r} always differs"
                " from one of them; use one block for each value",
            )

    @property
    def flow(self) -> Flow:
        """Needs its column, and replaces it when it converts."""
        adds = (self._column,) if self._dtype is not None else ()
        return Flow(reads=frozenset((self._column,)), adds=adds)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record itself, or nothing.

        Raises:
            RecordError: ``missing_column``, ``bad_type`` (not comparable), ``bad_value``.
        """
        try:
            value = columns[self._column]
        except KeyError:
            raise missing_column((self._column,), columns) from None
        dtype = self._dtype
        if dtype is not None and type(value) is not dtype:
            value = self._converted(columns, value)
        test = self._test
        try:
            for target in self._targets:
                if test(value, target):
                    return (columns,)
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self._incomparable(value, error) from None
        return ()

    def _converted(self, columns: Columns, value: Any) -> Any:
        """The value as the wanted type, put into the column, too."""
        try:
            converted = self._dtype(value)  # type: ignore[misc]
        except ValueError:
            converted = self._default
        except (TypeError, OverflowError) as error:
            if value is not None:
                raise self._unreadable(value, error) from None
            converted = self._default
        kind = type(value)
        number = self._dtype is not bool and (kind is int or kind is float)
        columns[self._column] = kind(converted) if number else converted
        return converted

    def _unreadable(self, value: Any, error: Exception) -> RecordError:
        reason = "bad_type" if isinstance(error, TypeError) else "bad_value"
        dtype = self.config.convert_dtype
        return RecordError(reason, f"column {self._column!r} ({value_text(value)}) cannot be made {dtype}")

    def _incomparable(self, value: Any, error: Exception) -> RecordError:
        reason = "bad_type" if isinstance(error, TypeError) else "bad_value"
        targets = " or ".join(map(value_text, self._targets))
        return RecordError(
            reason,
            f"column {self._column!r} ({value_text(value)}) cannot be compared by"
            f" {self.config.operation!r} with {targets}: {error}",
        )


def _operation(name: str) -> Callable[[Any, Any], Any]:
    """The function of a name; ``__eq__`` and the like are other names of the same functions."""
    found: Callable[[Any, Any], Any] | None = getattr(operator, name, None)
    if found is not None and any(found is known for known in _OPERATIONS.values()):
        return found
    close = nearest(name, _OPERATIONS)
    hint = f"did you mean {close!r}?" if close else "usual ones: eq, ne, lt, le, gt, ge, contains"
    raise ValueError(f"unknown operation {name!r}; {hint}")


def _targets(
    config: FilterByValueBlock.Config,
) -> tuple[type[int] | type[float] | type[bool] | None, Any, tuple[Any, ...]]:
    """Type to convert to, what stands for the unreadable, and the filter values, converted likewise.

    Raises:
        ValueError: the type is unknown, or a value in the config can never be converted.
    """
    values = config.filter_value if isinstance(config.filter_value, list) else [config.filter_value]
    if not config.convert_dtype:
        return None, None, tuple(values)
    dtype = _DTYPES.get(config.convert_dtype)
    if dtype is None:
        close = nearest(config.convert_dtype, _DTYPES)
        hint = f"did you mean {close!r}?" if close else "known types: int, float, bool"
        raise ValueError(f"unknown convert_dtype {config.convert_dtype!r}; {hint}")
    default = dtype()
    if config.default_value is not None:
        default = _config_value(dtype, "default_value", config.default_value, None)
    return dtype, default, tuple(_config_value(dtype, "filter_value", value, default) for value in values)


def _config_value(dtype: type[int] | type[float] | type[bool], key: str, value: Any, default: Any) -> Any:
    """A value of the config as ``dtype``; text that cannot be read is the default, if there is one."""
    try:
        return dtype(value)
    except (ValueError, TypeError, OverflowError) as error:
        if default is not None and isinstance(error, ValueError):
            return default
        raise ValueError(f"{key} {value_text(value)} cannot be made {dtype.__name__}") from None
