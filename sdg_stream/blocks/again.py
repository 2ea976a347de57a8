"""Asks again for choices that gave nothing: with more tokens if they were cut off, else with a new seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any, TypeVar

from ..abc import CallShape, Choice, Context
from ..errors import RecordError
from ..record import Record
from .asker import Asker
from .gen_kwargs import GenKwargs
from .replies import Reading

__all__ = ["Again"]

DOUBLINGS = 3  # of max_tokens: eight times the block's
WARM = 0.7  # temperature of a question that is asked again; at 0 it would get the same answer

T = TypeVar("T")


class Again:
    """Makes the further calls of one block.

    A cut off choice is asked for with twice the tokens at each round, everything else unchanged. For a choice
    in which nothing was found the seed is new: the block's own seed moved on by n each round, else one made
    from the record's place, so that no cache can give the same answer; and temperature 0 becomes 0.7.

    Args:
        asker: the block's.
        context: counts ``parse_retries``.
        kwargs: the block's request parameters.
        lengthens: whether cut off replies are asked for again.
        parse_retries: rounds for replies in which nothing was found.
    """

    def __init__(
        self, asker: Asker, context: Context, kwargs: GenKwargs, *, lengthens: bool, parse_retries: int = 0
    ) -> None:
        self._asker = asker
        self._context = context
        self._seed = kwargs.seed
        self._doublings = DOUBLINGS if lengthens else 0
        self._parse_retries = parse_retries

    @property
    def ever(self) -> bool:
        """Whether any reply would be asked for again."""
        return self._doublings > 0 or self._parse_retries > 0

    async def improve(
        self,
        record: Record,
        prompt: str | list[dict[str, Any]],
        readings: list[Reading[T]],
        read: Callable[[Choice], Awaitable[Reading[T]]],
    ) -> str:
        """Replace in ``readings`` those that gave nothing, as far as further calls help.

        Returns:
            What was tried, to be put behind the message of a reject; empty if nothing was.
        """
        rounds = 0
        try:
            while calls := self._calls(record, readings, rounds + 1):
                rounds += 1
                for places, shape, longer_than in calls:
                    completion = await self._asker.ask(record, prompt, shape, longer_than=longer_than)
                    for place, choice in zip(places, completion.choices, strict=False):
                        readings[place] = await read(choice)
        except RecordError as error:  # what the other choices gave is good all the same
            return f"; asked again: {error.message}"
        return f"; asked {rounds + 1} times" if rounds else ""

    def _calls(
        self, record: Record, readings: list[Reading[T]], number: int
    ) -> list[tuple[list[int], CallShape, int]]:
        """The calls of a round, from 1: places that they are for, shape, tokens known to be too few."""
        cut: list[int] = []
        odd: list[int] = []
        for place, reading in enumerate(readings):
            if reading.reason == "cut_off":
                if number <= self._doublings:
                    cut.append(place)
            elif reading.reason and reading.reason != "content_filter" and number <= self._parse_retries:
                odd.append(place)
        shape = self._asker.shape
        calls: list[tuple[list[int], CallShape, int]] = []
        seed = None if self._seed is None else self._seed + number * shape.n
        if cut:
            tokens = shape.max_tokens * 2**number
            longer = shape.changed(n=len(cut), max_tokens=tokens, seed=seed)
            calls.append((cut, longer, tokens // 2))
        if odd:
            self._context.parse_retries += len(odd)
            seed = _seed_of(record) + number * shape.n if seed is None else seed + len(cut)
            changes = {"temperature": WARM} if shape.greedy else {}
            calls.append((odd, shape.changed(n=len(odd), seed=seed, **changes), 0))
        return calls


def _seed_of(record: Record) -> int:
    """A seed of 31 bits that is the same for the same record in every run."""
    place = ",".join(map(str, (record.root, *record.path)))
    return int.from_bytes(blake2b(place.encode(), digest_size=4).digest()) >> 1
