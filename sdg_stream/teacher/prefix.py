"""Which prompts begin alike behind what all of them begin with: the key by which replicas are chosen.

A replica that has read a prompt's beginning before does not read it again (prefix caching). The prompts of
a block begin with its constant text and go on with what they were rendered from, often a document that many
records share. So the key of a prompt is a hash of what stands right behind the beginning that the block's
recent prompts have in common. That beginning is learnt from the prompts, since it depends on the template,
the chat family and the data.

A block that asks with several templates has only their common beginning; its keys tell the templates apart
and not the documents. That costs cache hits and nothing else.
"""

from __future__ import annotations

from zlib import crc32

from ..abc import Request

__all__ = ["PrefixKeys"]

ROUND_CHARACTERS = 128  # documents that begin with the same few words by chance must not move all the keys
KEY_CHARACTERS = (
    1024  # shorter documents are cheap to read again; longer ones rarely begin with so much alike
)
LEARN_CALLS = 512  # a prompt that begins unlike the others is forgotten after at most twice as many
MAX_FAMILIES = 1024


class PrefixKeys:
    """Keys of prompts. ``key(request)`` costs about two microseconds and never reads a whole prompt."""

    def __init__(self) -> None:
        self._families: dict[tuple[bytes, int], _Family] = {}

    def key(self, request: Request) -> int:
        """Equal for requests of one block whose prompts go on alike behind their common beginning."""
        prompt = request.prompt
        if not isinstance(prompt, str):
            prompt = "\n".join(str(message.get("content")) for message in prompt)
        place = (request.shape.family, request.depth)
        family = self._families.get(place)
        if family is None:
            if len(self._families) >= MAX_FAMILIES:
                self._families.clear()
            family = self._families[place] = _Family(prompt)
        begin = family.common_length(prompt) // ROUND_CHARACTERS * ROUND_CHARACTERS
        window = prompt[begin : begin + KEY_CHARACTERS]
        return crc32(window.encode("utf-8", "surrogatepass"))


class _Family:
    """The beginning that the prompts of one block have in common, learnt anew every so many calls."""

    __slots__ = ("calls", "common", "learning")

    def __init__(self, prompt: str) -> None:
        self.common = prompt
        self.learning = prompt
        self.calls = 0

    def common_length(self, prompt: str) -> int:
        """Characters of the common beginning, this prompt included."""
        if not prompt.startswith(self.common):
            self.common = _shared_start(self.common, prompt)
        if not prompt.startswith(self.learning):
            self.learning = _shared_start(self.learning, prompt)
        self.calls += 1
        if self.calls % LEARN_CALLS == 0:
            self.common, self.learning = self.learning, prompt
        return len(self.common)


def _shared_start(one: str, other: str) -> str:
    """The longest beginning of both texts."""
    known, most = 0, min(len(one), len(other))
    while known < most:
        middle = (known + most + 1) // 2
        if one[known:middle] == other[known:middle]:
            known = middle
        else:
            most = middle - 1
    return one[:known]
