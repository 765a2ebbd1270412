"""The short soak: a hundred runs leave nothing behind (the long one is benchmarks/sandbox_soak.py)."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="measured through /proc")


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "sandbox_soak.py"
    wanted = importlib.util.spec_from_file_location("sandbox_soak", path)
    assert wanted and wanted.loader
    module = importlib.util.module_from_spec(wanted)
    sys.modules["sandbox_soak"] = module
    wanted.loader.exec_module(module)
    return module


@pytest.mark.parametrize("pooled", [False, True], ids=["one sandbox", "pool"])
@pytest.mark.parametrize("kind", ["namespaces", pytest.param("docker", marks=pytest.mark.docker)])
def test_runs_leave_nothing_behind(
    kind: str, pooled: bool, soak: ModuleType, home: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "docker":
        request.getfixturevalue("docker_engine")
    before, after = soak.soak(kind, 60, pooled, warm_up=20)
    growth = after.growth(before)
    steady = ("inside_processes", "inside_descriptors", "containers", "cgroups", "disk_kb")
    assert {name: growth[name] for name in steady} == dict.fromkeys(steady, 0)
    assert growth["host_descriptors"] <= 0 and growth["host_threads"] <= 0
    assert growth["host_mb"] < 3 and growth["inside_mb"] < 3
    assert before.inside_processes >= 1, "something was measured"


def test_the_measure_sees_what_is_left(soak: ModuleType, home: Path) -> None:
    before = soak.snapshot("soak")
    held = [open(os.devnull) for _ in range(3)]  # noqa: SIM115 - a leak on purpose
    (home / "left").write_bytes(b"x" * 5000)
    growth = soak.snapshot("soak").growth(before)
    assert growth["host_descriptors"] == 3 and growth["disk_kb"] == 4
    for file in held:
        file.close()
