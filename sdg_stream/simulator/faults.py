"""Which request goes wrong, and how: the same ones for the same seed, whatever the order of arrival."""

from __future__ import annotations

from hashlib import blake2b

from .settings import Fault, FaultRule, SimulatorSettings

__all__ = ["INSTEAD_OF_REPLY", "FaultPlan"]

INSTEAD_OF_REPLY = frozenset(("status", "reset", "hang", "html"))
_POISON = Fault(
    kind="status", status=400, message="This prompt cannot be processed: it contains the poison text."
)


class FaultPlan:
    """Picks the fault of each request.

    Attributes:
        counts: how often each kind of fault has happened.
    """

    def __init__(self, settings: SimulatorSettings) -> None:
        self._seed = settings.seed
        poison = (FaultRule(match=settings.poison, fault=_POISON),) if settings.poison else ()
        self._rules: tuple[FaultRule, ...] = (*poison, *settings.faults)
        self.counts: dict[str, int] = {}

    def pick(self, number: int, prompts: list[str], attempt: int) -> Fault | None:
        """The fault of a request, if it has one.

        Args:
            number: of the request, from 1 in order of arrival.
            prompts: as they were sent.
            attempt: how often the first prompt has been asked for, this time included.
        """
        for index, rule in enumerate(self._rules):
            if _matches(rule, number, prompts, attempt) and self._drawn(rule, index, prompts, attempt):
                self.counts[rule.fault.kind] = self.counts.get(rule.fault.kind, 0) + 1
                return rule.fault
        return None

    def reset(self) -> None:
        """Count from zero."""
        self.counts.clear()

    def _drawn(self, rule: FaultRule, index: int, prompts: list[str], attempt: int) -> bool:
        if rule.rate >= 1:
            return True
        text = f"{self._seed}\0{index}\0{attempt}\0{prompts[0]}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest()) < rule.rate * 2**64


def _matches(rule: FaultRule, number: int, prompts: list[str], attempt: int) -> bool:
    if rule.attempts is not None and attempt > rule.attempts:
        return False
    match = rule.match
    if match is None:
        return True
    if isinstance(match, str):
        return any(match in prompt for prompt in prompts)
    first, last = match if isinstance(match, tuple) else (match, match)
    return first <= number <= last
