"""Row 72 on the command line: wherever a key comes from, and whatever a server makes of it, it shows nowhere.

These tests are looked through for it: what the command says, and every file that it writes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from canary import CANARY, Watch
from command_line import COMMAND, environment, sdg, write_project
from echoing_teacher import ANSWERS, LISTS, PAGES, echoing_teacher

from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

RUN = ("run", "ask.yaml", "-i", "in.jsonl", "-o", "out.jsonl", "--max-attempts", "1", "--max-outage", "0.3")
LOUD = ("--log-level", "debug")

PLUGIN = """\
import logging, os
from sdg_stream import AsyncBlock, RowBlock

class Logs(RowBlock):
    def apply(self, columns):
        logging.getLogger("requests").debug("Authorization: Bearer %s", os.environ["OPENAI_API_KEY"])
        logging.getLogger("requests").error("oh", exc_info=ValueError(os.environ["OPENAI_API_KEY"]))
        return [columns]

class Breaks(RowBlock):
    def apply(self, columns):
        try:
            raise KeyError("Bearer " + os.environ["OPENAI_API_KEY"])
        except KeyError as error:
            raise ValueError(dict(os.environ)) from error
"""


@pytest.fixture
def folder(tmp_path: Path, canary: Watch) -> Path:
    """A folder with a small pipeline; its tags are those of the echoing teacher."""
    write_project(tmp_path, start="[a]", end="[/a]")
    return tmp_path


WAYS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "--api-key": (("--api-key", CANARY), {"OPENAI_API_KEY": ""}),
    "--api-key=": ((f"--api-key={CANARY}",), {"OPENAI_API_KEY": ""}),
    "OPENAI_API_KEY": ((), {"OPENAI_API_KEY": CANARY}),
    "--api-key-env": (("--api-key-env", "MY_KEY"), {"OPENAI_API_KEY": "", "MY_KEY": f"{CANARY}\n"}),
    "SDG_STREAM_API_KEY": ((), {"OPENAI_API_KEY": "", "SDG_STREAM_API_KEY": CANARY}),
    "SDG_STREAM_API_KEY_ENV": ((), {"OPENAI_API_KEY": "", "SDG_STREAM_API_KEY_ENV": "K", "K": CANARY}),
}


@pytest.mark.parametrize("way", WAYS)
async def test_row_72_a_key_arrives_and_shows_nowhere(folder: Path, way: str) -> None:
    """The server, which takes no other key, answers; the reply that repeats it comes without it."""
    arguments, variables = WAYS[way]
    settings = SimulatorSettings(latency="zero", api_key=CANARY, reply=f"[a]key {CANARY}[/a]")
    async with serve(settings) as server:
        done = await sdg(folder, *RUN, *LOUD, "--endpoint-url", server.url, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.jsonl").read_text().count('"answer":"key [redacted]"') == 3


@pytest.mark.parametrize(
    ("place", "more"),
    [
        ("error 400", LOUD),
        ("error 401", ("--progress", "json")),
        ("error 403", ("--log-json", *LOUD)),
        ("error 500", LOUD),
        ("page of 200", LOUD),
        ("text", ("--provenance", "--progress", "plain")),
        ("bad header", (*LOUD, "--transport", "aiohttp")),
        ("redirect to a path", LOUD),
        ("finish reason", LOUD),
    ],
)
async def test_row_72_what_a_server_repeats(folder: Path, place: str, more: tuple[str, ...]) -> None:
    """On screen, in the log, in rows, rejects, journal and account: nothing of the key."""
    async with echoing_teacher(ANSWERS[place]) as url:
        done = await sdg(folder, *RUN, *more, "--endpoint-url", url)
        assert done.returncode in {0, 2, 3, 4}, done.stderr
        if place == "error 500":  # some more when going on
            done = await sdg(folder, *RUN, *more, "--endpoint-url", url)
            assert done.returncode in {0, 2, 3, 4}, done.stderr


@pytest.mark.parametrize("place", ["error 401", "names", "server"])
async def test_row_72_what_check_shows(folder: Path, place: str) -> None:
    """Models, headers, errors; for people and for machines."""
    async with echoing_teacher(ANSWERS["limits"], LISTS[place], PAGES["version"]) as url:
        for more in ((), ("--json",)):
            done = await sdg(folder, "check", "ask.yaml", "--endpoint-url", url, *more)
            assert done.returncode in {0, 4}


@pytest.mark.parametrize("block", ["Logs", "Breaks"])
async def test_row_72_what_other_code_says(folder: Path, block: str) -> None:
    """A block that logs the environment, and one whose bug comes with it: all is there but the key."""
    (folder / "loud.py").write_text(PLUGIN)
    (folder / "loud.yaml").write_text(
        f'version: "1.0"\nblocks:\n  - {{name: loud, type: "loud:{block}", config: {{}}}}\n'
    )
    for more in ((), ("--log-json",)):
        done = await sdg(
            folder, "run", "loud.yaml", "-i", "in.jsonl", "-o", "loud.jsonl", "--plugins", ".", *LOUD, *more,
            "--overwrite",
        )  # fmt: skip
        assert "[redacted]" in done.stderr
        assert done.returncode == (1 if block == "Breaks" else 0), done.stderr


MISTAKES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "key as the variable's name": (("--api-key-env", CANARY), {}),
    "userinfo": (("--endpoint-url", f"http://user:{CANARY}@127.0.0.1:9/v1"), {}),
    "userinfo of a pool": (("--endpoint-url", f"judge=http://{CANARY}@127.0.0.1:9/v1"), {}),
    "a slash too few": (("--endpoint-url", f"http:/user:{CANARY}@127.0.0.1:9/v1"), {}),
    "in the environment": ((), {"SDG_STREAM_ENDPOINT_URL": f"http://u:{CANARY}@127.0.0.1:9/v1"}),
    "query": (("--endpoint-url", f"http://127.0.0.1:9/v1?key={CANARY}"), {}),
    "proxy": (("--proxy", f"http://user:{CANARY.replace('/', '%2F')}@127.0.0.1:9"), {}),
    "proxy that is none": (("--proxy", f"socks5://user:{CANARY}@127.0.0.1:9"), {}),
    "proxy of the environment": (
        ("--proxy", "auto"),
        {"http_proxy": f"http://u:{CANARY.replace('/', '%2F')}@127.0.0.1:9", "no_proxy": ""},
    ),
    "server's command": (("--serve", f"no-such-program --api-key {CANARY}"), {}),
    "server's variable": (("--serve", f"OPENAI_API_KEY={CANARY} vllm serve m"), {}),
    "server's quotes": (("--serve", f"vllm serve 'm --api-key {CANARY}"), {}),
    "line break": ((), {"OPENAI_API_KEY": f"{CANARY}\nX: y"}),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that can be gone on with."""
    folder = tmp_path_factory.mktemp("begun")
    write_project(folder)
    command = [*COMMAND, *RUN, "--simulate", "--progress", "none"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, capture_output=True)
    with (folder / "in.jsonl").open("a") as rows:
        rows.write('{"topic": "new", "number": 9}\n')
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_row_72_mistakes_are_told_without_the_key(tmp_path: Path, begun: Path, mistake: str) -> None:
    """What was typed wrong is named and not repeated, also in the command that goes on with the run."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    arguments, variables = MISTAKES[mistake]
    asked = "endpoint" in f"{arguments} {variables}".lower()
    where = () if asked else ("--endpoint-url", "http://127.0.0.1:9/v1")
    done = await sdg(tmp_path, *RUN, *where, *arguments, "--wait-ready", "0", *LOUD, **variables)
    assert done.returncode in {2, 4, 6}, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"api_key: {CANARY}\n", "a key does not belong in a file; name a variable: api_key_env"),
        (f"api_key: [{CANARY}, {CANARY}]\n", "a key does not belong in a file"),
        (f'api_key: "{CANARY}\n', "not valid YAML"),
        (f"api_key_env: {CANARY}\n", "--api-key-env takes the name of an environment variable"),
        (f"endpoint_url: http://u:{CANARY}@127.0.0.1:9/v1\n", "must not hold a user name"),
        (f"proxy: socks5://u:{CANARY}@127.0.0.1:9\n", "--proxy takes auto"),
    ],
)
async def test_row_72_a_settings_file_with_a_key(folder: Path, canary: Watch, text: str, words: str) -> None:
    """Refused, with file and line and without the key."""
    (folder / "settings.yaml").write_text(text)
    canary.allow(folder / "settings.yaml")
    done = await sdg(folder, *RUN, "--settings", "settings.yaml", "--wait-ready", "0")
    assert done.returncode == 2, done.stderr
    assert re.search(re.escape(words), done.stderr)
