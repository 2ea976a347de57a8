"""Running again the roots that have rejects: they count as not settled, and the rejects file begins anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from ..events import BlockReport, RunReport
from .generations import Generation, Generations
from .sealed import reading_json, seal

__all__ = ["account_without", "put_rejects_away"]


def put_rejects_away(generations: Generations, generation: Generation, since: int) -> int:
    """Choose all roots with rejects to be run again; their number.

    Answers with an id below ``since``, above 0, are not used again for what was rejected.

    The old rejects file stays beside the new one under a name with a number. What such a root has in the
    output stays there; only rows that it did not have before are added.
    """
    database = generations.database
    found = database.rows(
        "select root, details from rejected where generation = ? and again = 0", generation.id
    )
    if not found or generation.account is None:
        return 0
    with reading_json(database.path):
        details = {root: {**orjson.loads(text), "since": since} for root, text in found}
        account = account_without(generation.account, details.values())
    text = msgspec.json.encode(account)
    rejects = generation.files(generations.directory)[1]
    with database.transaction(durable=True) as connection:
        connection.execute(
            "update rejected set again = ? where generation = ? and again = 0", (since, generation.id)
        )
        connection.execute(
            "update generations set account = ?, seal = ?, finished = 0,"
            " rejects_after = (select max(id) from batches) where id = ?",
            (text.decode(), seal([text, generation.mark or b"null"]), generation.id),
        )
        name = generations.put_away(rejects).name
        connection.execute("insert or replace into meta values ('put_away', ?)", (name,))
    generations.finish_putting_away(rejects)
    generation.account = account
    generation.again |= details
    generation.ends = (generation.ends[0], 0)
    return len(found)


def account_without(account: RunReport, roots: Iterable[Mapping[str, Any]]) -> RunReport:
    """An account as if these roots had not been run yet; the rows that they gave still count."""
    counts = {name: getattr(account, name) for name in ("roots", "accepted", "filtered", "rejected")}
    counts |= {"roots_with_rejects": account.roots_with_rejects, "rejects": account.rejects}
    blocks = [msgspec.to_builtins(block) for block in account.blocks]
    inner = [block for block in blocks if block["type"] not in ("source", "sink")]
    for root in roots:
        counts["roots"] -= 1
        counts[root["outcome"]] -= 1
        counts["roots_with_rejects"] -= 1
        counts["rejects"] -= len(root["lost"])
        for index, number in enumerate(root["tally"]):
            inner[index // 4][("records_in", "records_out", "filtered", "duplicates")[index % 4]] -= number
        for stage, reason in root["lost"]:
            _take(blocks, stage, reason)
    kept = [block for block in blocks if block in inner or block["rejected"]]
    return msgspec.structs.replace(
        account, **counts, blocks=tuple(msgspec.convert(block, BlockReport) for block in kept)
    )


def _take(blocks: list[dict[str, Any]], stage: str, reason: str) -> None:
    """One reject less at the stage of this name that has such a one."""
    for block in blocks:
        if block["name"] == stage and block["rejected"].get(reason):
            block["rejected"][reason] -= 1
            if not block["rejected"][reason]:
                del block["rejected"][reason]
            return
