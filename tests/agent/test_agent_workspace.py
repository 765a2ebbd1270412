"""The workspace and its checkpoints: every state comes back byte for byte, no path leads out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mleagent.agent.checkpoints import Checkpoints
from mleagent.agent.workspace import PathRefused, Workspace, inside

NAMES = st.sampled_from(["a.py", "b.txt", "sub/c.py", "sub/d/e.bin", "ü.txt", "sub2/a b", "z"])
TREES = st.dictionaries(NAMES, st.binary(max_size=64), max_size=6)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("workspace")
    return Workspace(root / "work", Checkpoints(root / "checkpoints"))


def fill(workspace: Workspace, tree: dict[str, bytes]) -> None:
    for path in workspace.paths():
        workspace.remove(path)
    for path, data in tree.items():
        workspace.write(path, data)


def tree_of(workspace: Workspace) -> dict[str, bytes | None]:
    return {path: workspace.read(path) for path in workspace.paths()}


@settings(max_examples=40, deadline=None)
@given(st.lists(TREES, min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_restore_gives_identical_bytes_and_tells_the_sandbox(workspace: Workspace, trees, chance) -> None:
    commits = []
    for tree in trees:
        fill(workspace, tree)
        commits.append(workspace.checkpoint("state"))
    shown = tree_of(workspace)
    workspace.take_pending()
    order = list(range(len(trees)))
    chance.shuffle(order)
    for number in order:
        workspace.restore(commits[number])
        assert tree_of(workspace) == trees[number]
        for path, data in workspace.take_pending().items():
            shown.pop(path, None) if data is None else shown.update({path: data})
        assert shown == trees[number]


@pytest.mark.parametrize(
    "path",
    ["", "..", "../x", "a/../../x", "/etc/passwd", "/kaggle/working/../input/x", "a\0b", "a\\b",
     ".git/hooks/x", "/kaggle/input/task/train.csv", "x" * 300, "a/" * 300 + "b"],
)  # fmt: skip
def test_paths_that_lead_out_are_refused(workspace: Workspace, path: str) -> None:
    for act in (inside, workspace.read, workspace.remove, lambda p: workspace.write(p, b"x")):
        with pytest.raises(PathRefused):
            act(path)


@given(st.text(max_size=30) | st.lists(st.sampled_from(["..", ".", "a", "", "~"]), max_size=6).map("/".join))
def test_no_path_whatever_leaves_the_folder(path: str) -> None:
    try:
        name = inside(path)
    except PathRefused:
        return
    assert not os.path.isabs(name) and ".." not in name.split("/")
    assert os.path.normpath(os.path.join("/root", name)).startswith("/root")


def test_kaggles_absolute_paths_are_the_same_files(workspace: Workspace) -> None:
    workspace.write("/kaggle/working/sub/x.py", b"1")
    assert workspace.read("sub/x.py") == workspace.read("./sub/x.py") == b"1"


def test_a_file_is_no_folder(workspace: Workspace) -> None:
    workspace.write("plain", b"1")
    with pytest.raises(PathRefused, match="lies under a file"):
        workspace.write("plain/below", b"2")
    with pytest.raises(PathRefused, match="folder"):
        fill(workspace, {"sub/c.py": b""})
        workspace.write("sub", b"3")


def test_what_a_run_left_is_absorbed_but_nothing_outside(workspace: Workspace, tmp_path: Path) -> None:
    fill(workspace, {"solution.py": b"clean", "old": b"x"})
    before = set(workspace.root.parent.rglob("*"))
    workspace.absorb(
        {"out.csv": b"1", "../escape": b"2", "/abs": b"3", "solution.py": b"instrumented"},
        ("old",),
        "solution.py",
    )
    assert tree_of(workspace) == {"solution.py": b"clean", "out.csv": b"1"}
    after = {path for path in workspace.root.parent.rglob("*") if workspace.root not in path.parents}
    assert after <= before


def test_files_over_the_cap_are_left_out_and_named(tmp_path: Path) -> None:
    own = Workspace(tmp_path / "work", Checkpoints(tmp_path / "checkpoints", cap_mb=1))
    own.write("small.py", b"x" * 100)
    own.write("model.bin", b"y" * (2 * 2**20))
    commit = own.checkpoint("with a big file")
    assert set(own.checkpoints.files(commit)) == {"small.py"}
    assert own.checkpoints.skipped == ("model.bin (2 MB)",)


def test_checkpoints_survive_a_new_process_object(tmp_path: Path) -> None:
    own = Workspace(tmp_path / "work", Checkpoints(tmp_path / "checkpoints"))
    own.write("a", b"1")
    first = own.checkpoint("one")
    own.checkpoints.close()
    again = Workspace(tmp_path / "work", Checkpoints(tmp_path / "checkpoints"))
    again.checkpoints.goto(first)
    again.write("a", b"2")
    second = again.checkpoint("two")
    assert again.checkpoints.files(first) == {"a": b"1"} and again.checkpoints.files(second) == {"a": b"2"}
