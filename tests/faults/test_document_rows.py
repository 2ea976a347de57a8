"""Rows 76 to 79: what a qna.yaml, a repository or a server could do to whoever fetches documents."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from aiohttp.web_request import BaseRequest
from git_server import files, https_server, smart
from taxonomies import KNOWLEDGE, as_yaml, commit, git, knowledge, listen_to_git, write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy import trees
from sdg_stream.taxonomy.clones import Clone, FetchBounds, Fetcher
from sdg_stream.taxonomy.documents import fetch_documents
from sdg_stream.taxonomy.git import GitError, git_command, git_environment, git_output, said
from sdg_stream.taxonomy.leaf import DocumentSource, KnowledgeLeaf
from sdg_stream.taxonomy.processes import Bounds
from sdg_stream.taxonomy.reading import read_taxonomy
from sdg_stream.taxonomy.trees import list_files

pytestmark = pytest.mark.anyio

HASH = "a" * 40
CANARY = "touch CANARY"

ADDRESSES = [
    f"ext::sh -c '{CANARY}'", "ext::sh%20-c%20touch%20CANARY", "fd::17", "https::https://example.org/x",
    "file:///etc", "/etc", "FILE:///etc", "./here", "../above", "~/home", "C:\\repo", "\\\\server\\share",
    f"ssh://-oProxyCommand={CANARY}/x", "ssh://example.org/x", "git@example.org:x", "-oProxyCommand=x:y",
    "git://example.org/x", "http://example.org/x", "HTTPS://example.org/x", "ftp://example.org/x",
    f"--upload-pack={CANARY}", f"-u{CANARY}", "-c core.sshCommand=x", "--", "",
    "https://", "https:///x", "https://example.org", "https://-oProxyCommand=x/y", "https://exa mple.org/x",
    "https://example.org/x\ny", "https://example.org/x\0", "https://example.org:port/x", "https://[::1/x",
    "https://ann:secret-of-ann@example.org/x", "https://secret-of-ann@example.org/x",
    "https://x@-y/z", "https://example.org/" + "x" * 2000,
]  # fmt: skip

COMMITS = [
    f"--upload-pack={CANARY}", f"-u{CANARY}", "--output=x", "HEAD@{1}", "a..b", "a b", f"$({CANARY})", ";x",
    "x:y", "+x:refs/heads/y", "^x", "x~1", "refs/heads/../../x", "*", "x.lock", "/x", "x/", "x//y", "\n",
    "é", "",
]  # fmt: skip

PATTERNS = ["../*", "a/../../b", "/etc/passwd", "..", "a/..", "x\0y", "x" * 2000]


def source_of(folder: Path, **document: object) -> DocumentSource:
    """A source in a repository on this machine: by default all of its Markdown at HEAD."""
    whole = {"repo": str(folder), "commit": "HEAD", "patterns": ("**/*.md",), **document}
    return DocumentSource(**whole)  # type: ignore[arg-type]


def leaf_of(source: DocumentSource) -> KnowledgeLeaf:
    """A leaf node with such documents."""
    return KnowledgeLeaf(
        name="leaf", path=("knowledge",), file="qna.yaml", line=3, domain="x", document_outline="x",
        source=source, seeds=(),
    )  # fmt: skip


async def documents(tmp_path: Path, source: DocumentSource) -> dict[str, bytes]:
    """The documents of a source, by name."""
    fetcher = Fetcher(tmp_path / "cache", local_repos=True)
    found = await fetch_documents(leaf_of(source), fetcher, tmp_path / "out")
    return {document.name: document.file.read_bytes() for document in found.documents}


def complaints(tmp_path: Path, **document: object) -> list[str]:
    """What the reader has against a qna.yaml with such a source."""
    whole = {"repo": "https://example.org/x", "commit": HASH, "patterns": ["*.md"], **document}
    write_files(tmp_path / "taxonomy", {KNOWLEDGE: as_yaml(knowledge(document=whole))})
    with pytest.raises(ConfigError) as caught:
        read_taxonomy(tmp_path / "taxonomy")
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that lists the arguments of every git that is started."""
    path, log = listen_to_git(tmp_path)
    monkeypatch.setenv("PATH", path)
    monkeypatch.chdir(tmp_path)
    yield log
    assert not (tmp_path / "CANARY").exists()


@pytest.mark.parametrize("address", ADDRESSES)
async def test_row_76_only_plain_https_addresses_are_fetched(
    address: str, tmp_path: Path, told: Path
) -> None:
    """Every other form of address is a complaint with its line, and no git is started for it."""
    if address and "\0" not in address:  # the schema and YAML have their own words for these
        [complaint] = complaints(tmp_path, repo=address)
        assert f"{KNOWLEDGE}:6: $.document.repo: " in complaint
        assert "secret-of-ann" not in complaint
    with pytest.raises(ConfigError) as caught:
        await Fetcher(tmp_path / "cache").fetch(DocumentSource(address, HASH, ("*",)))
    assert "secret-of-ann" not in str(caught.value)
    assert not told.exists()


@pytest.mark.parametrize(
    "address",
    [
        f"ext::sh -c '{CANARY}'", "file:///etc", "/etc", f"ssh://-oProxyCommand={CANARY}/x",
        "git@localhost:x", "http://127.0.0.1:1/x", "git://127.0.0.1/x", "fd::17", "other::x",
    ],
)  # fmt: skip
def test_row_76_git_itself_refuses_every_other_transport(address: str, told: Path) -> None:
    """Were such an address to come through, git would not take it, whatever its configuration says."""
    command = git_command("-c", "protocol.allow=always", "ls-remote", "--", address, protocols=("https",))
    done = subprocess.run(command, env=git_environment(("https",)), capture_output=True, check=False)
    assert "not allowed" in said(done.stderr)


async def test_row_76_a_redirect_does_not_change_the_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An https server that sends git on to http, or to a file, is not followed."""
    targets = iter(["http://127.0.0.1:1", "file:///etc"])

    async def redirect(request: BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": next(targets) + request.path_qs})

    async with https_server(redirect, tmp_path) as url:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
        for _ in range(2):
            with pytest.raises(GitError, match=r"(?i)protocol .* (disabled|not supported)"):
                await Fetcher(tmp_path / "cache").fetch(DocumentSource(f"{url}/x", HASH, ("*",)))


async def test_row_76_the_names_of_hosts_are_checked(tmp_path: Path) -> None:
    """A server whose certificate nobody has signed is not read from."""
    async with https_server(smart(tmp_path), tmp_path) as url:
        with pytest.raises(GitError, match=r"(?i)certificate"):
            await Fetcher(tmp_path / "cache").fetch(DocumentSource(f"{url}/x", HASH, ("*",)))


@pytest.mark.parametrize("name", COMMITS)
async def test_row_77_a_commit_is_a_hash_or_a_plain_name(name: str, tmp_path: Path, told: Path) -> None:
    """Options, ranges and revision syntax are complaints, and no git is started for them."""
    if name:
        [complaint] = complaints(tmp_path, commit=name)
        assert "$.document.commit: " in complaint
    with pytest.raises(ConfigError, match="is no commit"):
        await Fetcher(tmp_path / "cache").fetch(DocumentSource("https://example.org/x", name, ("*",)))
    assert not told.exists()


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_row_77_and_q_doc_1_patterns_do_not_lead_out(pattern: str, tmp_path: Path) -> None:
    """What leads upwards or begins at the root is a complaint with its line."""
    if "\0" not in pattern:
        [complaint] = complaints(tmp_path, patterns=["*.md", pattern])
        assert f"{KNOWLEDGE}:10: $.document.patterns[1]: " in complaint
    with pytest.raises(ConfigError, match=r"patterns\[0\]"):
        await Fetcher(tmp_path / "cache").fetch(DocumentSource("https://example.org/x", HASH, (pattern,)))


async def test_row_77_what_a_file_says_is_no_option_of_git(tmp_path: Path, told: Path) -> None:
    """The address stands behind ``--``, the commit within a word of ours, and patterns nowhere."""
    repo = tmp_path / "repo"
    head = commit(repo, {"--upload-pack=x.md": "text", "-x.md": "text"})
    source = source_of(repo, commit=head, patterns=("--upload-pack=*", "-?.md"))
    assert set(await documents(tmp_path, source)) == {"--upload-pack=x.md", "-x.md"}
    words = told.read_text().splitlines()
    assert [words[place - 1] for place, word in enumerate(words) if word == str(repo)] == ["--"]
    assert f"{head}:refs/sdg-stream/asked" in words
    assert not any("upload-pack" in word for word in words)


@pytest.fixture
def armed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The user's configuration runs a program at every chance that git gives."""
    hooks = dict.fromkeys(
        ("post-checkout", "reference-transaction", "post-merge", "fsmonitor-watchman"),
        f"#!/bin/sh\n{CANARY}\n",
    )
    for folder in ("template/hooks", "hooks"):
        write_files(tmp_path / folder, hooks)
        for name in hooks:
            (tmp_path / folder / name).chmod(0o755)
    canary = f"sh -c 'touch {tmp_path}/CANARY; cat'"
    config = f"""
[init] templateDir = {tmp_path}/template
[core] hooksPath = {tmp_path}/hooks
  fsmonitor = {tmp_path}/hooks/post-checkout
[filter "lfs"] smudge = "{canary}"
  required = true
[filter "evil"] smudge = "{canary}"
  process = "{canary}"
[submodule] recurse = true
[fetch] recurseSubmodules = true
[safe] bareRepository = explicit
[protocol] allow = always
"""
    write_files(tmp_path, {"config": config})
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.hooksPath")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(tmp_path / "hooks"))
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob("CANARY"))


@pytest.mark.usefixtures("armed")
async def test_row_78_nothing_of_a_repository_is_run(tmp_path: Path) -> None:
    """No hooks, templates, filters or submodules, whatever repository and configuration ask for."""
    repo = tmp_path / "repo"
    head = commit(repo, {
        "a.md": "text", ".gitattributes": "*.md filter=evil\n", ".gitconfig": "[core]\n",
        ".gitmodules": f"[submodule \"x\"]\n path = sub\n url = ext::sh -c '{CANARY}'\n",
    })  # fmt: skip
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    git(repo, "commit", "--quiet", "--message", "sub")
    assert await documents(tmp_path, source_of(repo)) == {"a.md": b"text"}
    [clone] = [path for path in (tmp_path / "cache").iterdir() if not path.name.startswith(".")]
    assert not (clone / "hooks").exists()
    assert not (clone / "modules").exists()


async def test_row_78_files_of_lfs_are_told_and_not_fetched(tmp_path: Path) -> None:
    """A document that is only a pointer into Git LFS is a complaint."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    commit(tmp_path / "repo", {"a.md": pointer})
    with pytest.raises(ConfigError, match=r"qna\.yaml:3: \$\.document: a\.md is kept in Git LFS"):
        await documents(tmp_path, source_of(tmp_path / "repo"))


async def test_row_78_only_the_commit_is_fetched(tmp_path: Path) -> None:
    """Its history stays where it is."""
    repo = tmp_path / "repo"
    commit(repo, {"a.md": "one"})
    head = commit(repo, {"a.md": "two"})
    clone = await Fetcher(tmp_path / "cache", local_repos=True).fetch(source_of(repo, commit=head))
    assert git_output(clone.folder, "rev-list", "--count", clone.commit) == b"1\n"


async def test_row_78_a_commit_larger_than_the_cap_is_not_kept(tmp_path: Path) -> None:
    """The cap is on the packed commit, and nothing is left of it."""
    commit(tmp_path / "repo", {"a.md": os.urandom(300_000)})
    fetcher = Fetcher(tmp_path / "cache", local_repos=True, bounds=FetchBounds(size=100_000))
    with pytest.raises(GitError, match="larger than 100000 bytes"):
        await fetcher.fetch(source_of(tmp_path / "repo"))
    assert not list((tmp_path / "cache").iterdir())


async def test_row_78_a_server_that_does_not_answer_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cap on time ends git and what it has started, and nothing is left of the fetch."""
    waiting = anyio.Event()

    async def hang(request: BaseRequest) -> web.StreamResponse:
        del request
        waiting.set()
        await anyio.sleep_forever()
        raise AssertionError("nobody wakes it")

    async with https_server(hang, tmp_path) as url:
        monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
        fetcher = Fetcher(tmp_path / "cache", bounds=FetchBounds(seconds=1))
        with pytest.raises(GitError, match="took longer than 1 s"):
            await fetcher.fetch(DocumentSource(f"{url}/x", HASH, ("*",)))
        assert waiting.is_set()
    assert not list((tmp_path / "cache").iterdir())


async def test_row_79_links_stay_in_the_repository(tmp_path: Path) -> None:
    """A link to a file of the commit is that file; one that leads anywhere else is a complaint."""
    repo = tmp_path / "repo"
    write_files(repo, {"docs/a.md": "text"})
    (tmp_path / "secret.md").write_text("secret")
    (repo / "inside.md").symlink_to("docs/../docs/a.md")
    (repo / "docs" / "up.md").symlink_to("../inside.md")
    commit(repo)
    assert await documents(tmp_path, source_of(repo)) == {
        "docs/a.md": b"text", "docs/up.md": b"text", "inside.md": b"text",
    }  # fmt: skip
    for number, target in enumerate(
        ["/etc/passwd", "../secret.md", "loop.md", "docs", "x" * 5000, ".git/config"]
    ):
        git(repo, "checkout", "--quiet", "-b", f"b{number}", "main")
        write_link(repo, "loop.md", target)
        with pytest.raises(ConfigError, match=r"loop\.md is a link that leads to no file of the repository"):
            await documents(tmp_path, source_of(repo, commit=f"b{number}"))


def write_link(repo: Path, name: str, target: str) -> None:
    """Commit a link, whatever the file system would say to it."""
    done = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        input=target.encode(),
        cwd=repo,
        capture_output=True,
        check=True,
    )
    git(repo, "update-index", "--add", "--cacheinfo", f"120000,{done.stdout.decode().strip()},{name}")
    git(repo, "commit", "--quiet", "--message", "link")


async def test_row_79_only_regular_files_are_documents(tmp_path: Path) -> None:
    """Pipes and folders are none, and of hard links a repository knows nothing."""
    repo = tmp_path / "repo"
    write_files(repo, {"a.md": "text", "folder.md/b.txt": "x"})
    os.mkfifo(repo / "pipe.md")
    (repo / "hard.md").hardlink_to(repo / "a.md")
    commit(repo)
    found = await documents(tmp_path, source_of(repo))
    assert found == {"a.md": b"text", "hard.md": b"text"}
    assert [(tmp_path / "out/leaf" / name).stat().st_nlink for name in found] == [1, 1]


async def test_row_79_a_tree_with_names_that_no_file_has_is_not_written(tmp_path: Path) -> None:
    """A server can send trees that git itself would not make: their files are not laid out."""
    repo = tmp_path / "repo"
    commit(repo, {"a.md": "text"})
    blob = git(repo, "rev-parse", "HEAD:a.md")
    inner = b"100644 evil.md\0" + bytes.fromhex(blob)
    evil = tree(repo, b"40000 ..\0" + bytes.fromhex(tree(repo, inner)))
    head = git(repo, "commit-tree", "-m", "x", evil)
    git(repo, "update-ref", "refs/heads/evil", head)
    for pattern, words in ((".*/evil.md", "has a name that no file has"), ("**", "finds no document")):
        with pytest.raises(ConfigError, match=words):
            await documents(tmp_path, source_of(repo, commit="evil", patterns=(pattern,)))
    assert not (tmp_path / "out" / "evil.md").exists()


def tree(repo: Path, entries: bytes) -> str:
    """Write a tree object as it is; gives its hash."""
    command = ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    done = subprocess.run(command, input=entries, cwd=repo, capture_output=True, check=True)
    return done.stdout.decode().strip()


async def test_row_80_a_tree_that_stands_for_any_number_of_files_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten trees of ten entries are ten thousand million files: the listing ends at its cap."""
    repo = tmp_path / "repo"
    commit(repo, {"a.md": "text"})
    inner = tree(repo, b"100644 f.md\0" + bytes.fromhex(git(repo, "rev-parse", "HEAD:a.md")))
    for _ in range(10):
        inner = tree(repo, b"".join(b"40000 %d\0" % n + bytes.fromhex(inner) for n in range(10)))
    head = git(repo, "commit-tree", "-m", "x", inner)
    monkeypatch.setattr(trees, "_READING", Bounds(seconds=30, memory=2**32, file_size=0, output=10**6))
    with pytest.raises(GitError, match="gave more than 1000000 bytes"):
        await list_files(Clone(repo / ".git", head))


async def test_row_80_a_document_beyond_the_cap_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size is known before a byte of it is read."""
    monkeypatch.setattr(trees, "LARGEST_FILE", 1000)
    commit(tmp_path / "repo", {"a.md": "x" * 1001, "b.md": "x" * 1000})
    with pytest.raises(ConfigError, match=r"a\.md is larger than 1000 bytes"):
        await documents(tmp_path, source_of(tmp_path / "repo"))
    assert not (tmp_path / "out").exists()


async def test_fetching_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash, a part of one, a branch, a tag; from a server that knows git, and from one that does not."""
    repo = tmp_path / "served" / "repo"
    first = commit(repo, {"a.md": "one"})
    git(repo, "tag", "-a", "-m", "x", "v1")
    second = commit(repo, {"a.md": "two"})
    git(repo, "update-server-info")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
    names = {first: b"one", first[:10]: b"one", "v1": b"one", "main": b"two", "HEAD": b"two", second: b"two"}
    for kind, handler in (("smart", smart(tmp_path / "served")), ("files", files(tmp_path / "served"))):
        async with https_server(handler, tmp_path) as url:
            for name, text in names.items():
                source = DocumentSource(f"{url}/repo/.git", name, ("*.md",))
                folder = tmp_path / kind / name
                folder.mkdir(parents=True)
                assert await documents(folder, source) == {"a.md": text}, (kind, name)
            for name in (HASH, "abcdef0", "nowhere"):
                with pytest.raises(ConfigError, match=r"\$\.document: https://127"):
                    await documents(tmp_path, DocumentSource(f"{url}/repo/.git", name, ("*.md",)))
