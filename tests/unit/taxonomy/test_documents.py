"""Documents of leaf nodes: which, in what order, fetched how often, and kept how."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio
import pytest
from taxonomies import commit, listen_to_git, write_files

from sdg_stream.errors import ConfigError, OutputError
from sdg_stream.taxonomy.clones import FetchBounds, Fetcher
from sdg_stream.taxonomy.documents import LeafDocuments, fetch_all, fetch_documents
from sdg_stream.taxonomy.git import GitError, GitMissing
from sdg_stream.taxonomy.leaf import DocumentSource, KnowledgeLeaf

pytestmark = pytest.mark.anyio


def leaf(repo: Path, *patterns: str, at: str = "main", name: str = "leaf") -> KnowledgeLeaf:
    """A leaf node with documents of a repository."""
    return KnowledgeLeaf(
        name=name, path=("knowledge", name), file=f"{name}/qna.yaml", line=7, domain="x",
        document_outline="x", source=DocumentSource(str(repo), at, patterns or ("*.md",)), seeds=(),
    )  # fmt: skip


def fetcher(tmp_path: Path) -> Fetcher:
    """One that takes repositories of this machine."""
    return Fetcher(tmp_path / "cache", local_repos=True)


async def fetch(tmp_path: Path, node: KnowledgeLeaf) -> LeafDocuments:
    """The documents of a leaf node, below ``out``."""
    return await fetch_documents(node, fetcher(tmp_path), tmp_path / "out")


async def names(tmp_path: Path, node: KnowledgeLeaf) -> list[str]:
    """Their names."""
    return [document.name for document in (await fetch(tmp_path, node)).documents]


async def test_documents_come_in_the_order_of_patterns_then_of_paths(tmp_path: Path) -> None:
    """And lie as files below the folder of their leaf node."""
    commit(tmp_path / "repo", {"b.md": "b", "a.md": "a", "z/c.md": "c", "z/d/e.md": "e", ".hidden.md": ""})
    found = (await fetch(tmp_path, leaf(tmp_path / "repo", "z/**", "*.md"))).documents
    assert [document.name for document in found] == ["z/c.md", "z/d/e.md", "a.md", "b.md"]
    assert [document.file.read_text() for document in found] == ["c", "e", "a", "b"]
    assert found[0].file == tmp_path / "out" / "leaf" / "z" / "c.md"


async def test_q_doc_2_a_document_is_used_once(tmp_path: Path) -> None:
    """However many patterns find it."""
    commit(tmp_path / "repo", {"a.md": "a", "b.md": "b"})
    assert await names(tmp_path, leaf(tmp_path / "repo", "b.md", "*.md", "./*.md", "**/b.md")) == [
        "b.md",
        "a.md",
    ]


async def test_q_doc_3_letters_of_any_case_and_kinds_of_all_sorts(tmp_path: Path) -> None:
    """Documents of several kinds may stand side by side, however their suffixes are spelt."""
    commit(tmp_path / "repo", {"a.MD": "", "b.pdf": "", "c.Pdf": ""})
    assert await names(tmp_path, leaf(tmp_path / "repo", "*")) == ["a.MD", "b.pdf", "c.Pdf"]


async def test_kinds_that_upstream_has_not_must_be_named(tmp_path: Path) -> None:
    """A wide pattern finds what it finds there; other kinds are found by patterns that end like them."""
    commit(tmp_path / "repo", dict.fromkeys(["a.md", "b.txt", "c.html", "d.docx", "e.rst"], ""))
    assert await names(tmp_path, leaf(tmp_path / "repo", "*")) == ["a.md"]
    assert await names(tmp_path, leaf(tmp_path / "repo", "*", "*.TXT", "*.html")) == ["a.md", "c.html"]
    assert await names(tmp_path, leaf(tmp_path / "repo", "*.txt", "d.docx")) == ["b.txt", "d.docx"]


async def test_patterns_that_find_nothing(tmp_path: Path) -> None:
    """A warning where others find something; where none does, all are told with what there could be."""
    commit(tmp_path / "repo", {"a.md": "", "b.txt": ""})
    found = await fetch(tmp_path, leaf(tmp_path / "repo", "*.md", "*.pdf"))
    assert [str(warning) for warning in found.warnings] == [
        "leaf/qna.yaml:7: $.document: the pattern '*.pdf' finds no document"
    ]
    with pytest.raises(ConfigError) as caught:
        await fetch(tmp_path, leaf(tmp_path / "repo", "*.pdf", "b.*"))
    assert len(caught.value.problems) == 2
    assert "documents end in .md or .pdf, or as the pattern does: .markdown, .txt" in str(caught.value)


async def test_what_is_wrong_with_many_leaf_nodes_is_told_at_once(tmp_path: Path) -> None:
    """Each with its file and line, in their order."""
    commit(tmp_path / "repo", {"a.md": ""})
    leaves = [
        leaf(tmp_path / "repo", "x.md", name="first"), leaf(tmp_path / "repo", name="sound"),
        leaf(tmp_path / "nowhere", name="third"), leaf(tmp_path / "repo", at="nowhere", name="fourth"),
    ]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        await fetch_all(leaves, fetcher(tmp_path), tmp_path / "out")
    first, third, fourth = map(str, caught.value.problems)
    assert first.startswith("first/qna.yaml:7: $.document: the pattern 'x.md' finds no document")
    assert third.startswith(f"third/qna.yaml:7: $.document: {tmp_path}/nowhere: ")
    assert fourth.endswith(f"{tmp_path}/repo: there is no branch, tag or commit 'nowhere'")


async def test_a_commit_is_fetched_once_for_all_that_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Side by side, and again in a later run, even when the repository is gone by then."""
    head = commit(tmp_path / "repo", {"a.md": "text", "b.md": "text"})
    path, told = listen_to_git(tmp_path)
    monkeypatch.setenv("PATH", path)
    leaves = [leaf(tmp_path / "repo", "*.md", at=head, name=f"l{number}") for number in range(5)]
    found = await fetch_all(leaves, fetcher(tmp_path), tmp_path / "out")
    assert {name: len(one.documents) for name, one in found.items()} == {
        f"l{number}": 2 for number in range(5)
    }
    assert told.read_text().splitlines().count("fetch") == 1
    shutil.rmtree(tmp_path / "repo")
    assert await names(tmp_path, leaf(tmp_path / "repo", "b.md", at=head)) == ["b.md"]
    assert told.read_text().splitlines().count("fetch") == 1


async def test_a_branch_is_looked_up_each_time(tmp_path: Path) -> None:
    """It moves, and its documents with it."""
    commit(tmp_path / "repo", {"a.md": "old"})
    [old] = (await fetch(tmp_path, leaf(tmp_path / "repo"))).documents
    assert old.file.read_text() == "old"
    commit(tmp_path / "repo", {"a.md": "newer"})
    [new] = (await fetch(tmp_path, leaf(tmp_path / "repo"))).documents
    assert new.file.read_text() == "newer"


async def test_a_damaged_copy_is_fetched_anew(tmp_path: Path) -> None:
    """What a crash or a disk has spoilt does not stay."""
    head = commit(tmp_path / "repo", {"a.md": "text"})
    node = leaf(tmp_path / "repo", at=head)
    await fetch(tmp_path, node)
    [place] = (tmp_path / "cache").iterdir()
    shutil.rmtree(place / "objects" / "pack")
    shutil.rmtree(tmp_path / "out")
    assert await names(tmp_path, node) == ["a.md"]


async def test_a_copy_is_not_taken_for_damaged_when_there_is_no_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told that there is none, and the copy stays."""
    node = leaf(tmp_path / "repo", at=commit(tmp_path / "repo", {"a.md": "text"}))
    await fetch(tmp_path, node)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(ConfigError, match="git is not installed"):
            await fetch(tmp_path, node)
        with pytest.raises(GitMissing):
            await Fetcher(tmp_path / "other", local_repos=True).fetch(node.source)
    shutil.rmtree(tmp_path / "repo")
    assert await names(tmp_path, node) == ["a.md"]


async def test_a_fetch_that_is_cancelled_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes end, and the unfinished copy goes; what a killed one leaves goes after a day."""
    write_files(tmp_path / "bin", {"git": "#!/bin/sh\nmkdir -p part\necho > part/x\nexec sleep 1000\n"})
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    old, young = tmp_path / "cache" / ".fetching-old", tmp_path / "cache" / ".fetching-young"
    for left in (old, young):
        left.mkdir(parents=True)
    os.utime(old, (0, 0))
    with anyio.move_on_after(0.3):
        await fetcher(tmp_path).fetch(DocumentSource(str(tmp_path), "a" * 40, ("*",)))
    assert list((tmp_path / "cache").iterdir()) == [young]


async def test_of_two_processes_the_first_copy_stays(tmp_path: Path) -> None:
    """Both fetch the same commit, both use what is there in the end."""
    head = commit(tmp_path / "repo", {"a.md": "text"})
    source = DocumentSource(str(tmp_path / "repo"), head, ("*.md",))
    clones = []

    async def run() -> None:
        clones.append(await fetcher(tmp_path).fetch(source))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(run)
    assert len(set(clones)) == 1
    assert list((tmp_path / "cache").iterdir()) == [clones[0].folder]


async def test_files_that_are_there_are_left_and_others_replaced(tmp_path: Path) -> None:
    """Laying out documents again changes nothing; a link in a file's place is not written through."""
    commit(tmp_path / "repo", {"a.md": "text", "b.md": "text"})
    first, second = (await fetch(tmp_path, leaf(tmp_path / "repo"))).documents
    before = first.file.stat()
    (tmp_path / "victim").write_text("mine")
    second.file.unlink()
    second.file.symlink_to(tmp_path / "victim")
    await fetch(tmp_path, leaf(tmp_path / "repo"))
    assert first.file.stat() == before
    assert second.file.read_text() == "text"
    assert (tmp_path / "victim").read_text() == "mine"


async def test_folders_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    """As errors of the output, with their place."""
    commit(tmp_path / "repo", {"a.md": "text"})
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        await Fetcher(tmp_path / "file" / "cache", local_repos=True).fetch(leaf(tmp_path / "repo").source)
    with pytest.raises(OutputError, match=r"a\.md: cannot be written"):
        await fetch_documents(leaf(tmp_path / "repo"), fetcher(tmp_path), tmp_path / "file")


async def test_a_time_out_names_the_bound(tmp_path: Path) -> None:
    """In seconds."""
    commit(tmp_path / "repo", {"a.md": "text"})
    hurried = Fetcher(tmp_path / "cache", local_repos=True, bounds=FetchBounds(seconds=0.001))
    with pytest.raises(GitError, match=r"took longer than 0\.001 s"):
        await hurried.fetch(leaf(tmp_path / "repo").source)
