"""A parameter that is a number, or found automatically."""

from __future__ import annotations

from typing import Any

import click

__all__ = ["NumberOrAuto"]


class NumberOrAuto(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A whole number of at least 1, or the word ``auto``."""

    name = "N|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or ``auto``."""
        if value == "auto":
            return value
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            self.fail(f"{value!r} is neither auto nor a number of at least 1", param, ctx)
        return number
