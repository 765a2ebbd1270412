"""Kinds of sandbox for module-wide fixtures."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def any_sandbox_of_module(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """As `any_sandbox`, for fixtures that live longer than one test."""

    def need(kind: str) -> None:
        if kind == "docker":
            request.getfixturevalue("docker_engine")
        elif not sys.platform.startswith("linux") or (kind == "bubblewrap" and not shutil.which("bwrap")):
            reason = f"{kind} can't be had on this machine"
            (pytest.fail if os.environ.get("MLEAGENT_REQUIRE_DOCKER") == "1" else pytest.skip)(reason)

    return need
