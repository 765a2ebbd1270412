"""Fixtures every room may use: a data folder of the test's own, and a real container engine.

Docker tests take `docker_engine`. Where no engine answers, or no image can be had, they are
skipped with the reason, unless MLEAGENT_REQUIRE_DOCKER=1 (as in CI): then they fail.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mleagent.errors import UnavailableError

# A background job is started with interrupts ignored, and every child would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    """What a command sets for its process (no downloads, quiet libraries) ends with its test."""
    before = dict(os.environ)
    yield
    for name in set(os.environ) - set(before):
        if name != "PYTEST_CURRENT_TEST":
            del os.environ[name]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MLEAGENT_HOME set to an empty folder of this test's own."""
    folder = tmp_path / "mleagent-home"
    folder.mkdir()
    monkeypatch.setenv("MLEAGENT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def docker_engine() -> Any:
    """A docker SDK client of a running engine that has the stock image."""
    from mleagent.sandbox import engine, image

    try:
        client = engine.connect("docker")
        image.ensure(client)
    except UnavailableError as error:
        if os.environ.get("MLEAGENT_REQUIRE_DOCKER") == "1":
            pytest.fail(f"MLEAGENT_REQUIRE_DOCKER=1, and {error}")
        pytest.skip(str(error))
    return client


@pytest.fixture
def any_sandbox(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Call it with a kind of sandbox: skips (in CI: fails) where this machine can't have it."""

    def need(kind: str) -> None:
        if kind == "docker":
            request.getfixturevalue("docker_engine")
        elif not sys.platform.startswith("linux") or (kind == "bubblewrap" and not shutil.which("bwrap")):
            reason = f"{kind} can't be had on this machine"
            (pytest.fail if os.environ.get("MLEAGENT_REQUIRE_DOCKER") == "1" else pytest.skip)(reason)

    return need
