"""Fixtures for what must hold of every kind of sandbox that this machine has.

`namespaces-user` is the same kind by a user namespace (data that only its owner
may read), `namespaces-watched` the one without a memory cgroup.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from boxes import made

from mleagent.protocols import Sandbox
from mleagent.sandbox import cgroup

KINDS = [
    "namespaces",
    "namespaces-user",
    "namespaces-watched",
    "bubblewrap",
    pytest.param("docker", marks=pytest.mark.docker),
    "none",
]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.param
    if name == "docker":
        request.getfixturevalue("docker_engine")
    if name == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if name != "none" and name != "docker" and not sys.platform.startswith("linux"):
        pytest.skip("Linux only")
    with pytest.MonkeyPatch.context() as patch:
        if name == "namespaces-watched":
            patch.setattr(cgroup, "create", lambda _limits: None)
        yield name


@pytest.fixture(scope="module")
def public(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("public")
    folder.chmod(0o700 if kind == "namespaces-user" else 0o755)
    (folder / "train.csv").write_text("id,y\n1,0\n2,1\n")
    (folder / "images").mkdir()
    (folder / "images" / "a.txt").write_text("pixels")
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture(scope="module")
def shared(kind: str, public: Path) -> Iterator[Sandbox]:
    sandbox = made(kind, public)
    sandbox.start()
    yield sandbox
    sandbox.close()


@pytest.fixture
def box(shared: Sandbox) -> Sandbox:
    """The module's sandbox with an empty work folder."""
    assert shared.run("find . -mindepth 1 -delete").status == "ok"
    shared.pull(10**9)
    return shared


@pytest.fixture
def isolated(kind: str, box: Sandbox) -> Sandbox:
    if kind == "none":
        pytest.skip("no isolation is promised")
    return box
