"""Fixtures for every test: async tests run on asyncio with uvloop, the loop that the command line uses.

Fault tests and end-to-end tests call the teacher with the canary key of :mod:`canary`; when one of them has
run, its files, its output, its log and the errors that it caught are looked through for the key.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from canary import CANARY, Watch, found_in

from sdg_stream.teacher import connect

WATCHED = {"contract", "durability", "e2e", "faults", "state"}
"""Folders whose tests are looked through."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """The event loop of async tests."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(autouse=True)
def canary(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watch | None]:
    """Let a watched test call the teacher with the canary key, and fail it when the key turns up anywhere."""
    if not is_watched(request.node):
        yield None
        return
    authorization, raises = connect.authorization, pytest.raises
    monkeypatch.setattr(connect, "authorization", lambda key: authorization(key or CANARY))
    with Watch() as watch:

        @contextmanager
        def watched_raises(*args: Any, **more: Any) -> Iterator[Any]:
            with raises(*args, **more) as caught:
                yield caught
            watch.caught(caught.value)

        monkeypatch.setattr(pytest, "raises", watched_raises)
        folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
        yield watch
        if folder is not None:
            watch.look_through(folder)
    if watch.found:
        pytest.fail(f"the API key is in {'; '.join(watch.found)}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Look through the captured output of a watched test, when it is whole."""
    report = yield
    if call.when == "teardown" and is_watched(item) and report.passed:
        found = [name for name, text in report.sections if found_in(text)]
        if found:
            report.outcome = "failed"
            report.longrepr = f"the API key is in {', '.join(found)}"
    return report


def is_watched(item: pytest.Item) -> bool:
    """Whether a test is one of those that are looked through."""
    return item.path.parent.name in WATCHED and item.path.parts[-3] != "unit"
