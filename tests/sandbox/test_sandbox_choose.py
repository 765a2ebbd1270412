"""Which sandbox a session gets, what is said when one is passed over, and what doctor is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mleagent.config import Settings
from mleagent.errors import InputError, UnavailableError
from mleagent.protocols import SandboxSpec
from mleagent.records import Limits
from mleagent.sandbox import choose

LIMITS = Limits(wall_s=20, memory_mb=512, disk_mb=64)


@pytest.fixture
def spec(tmp_path: Path, home: Path) -> SandboxSpec:
    public = tmp_path / "public"
    public.mkdir()
    return SandboxSpec(session_id="choose", task_name="t", public=public, limits=LIMITS)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        monkeypatch.setenv(name, f"unix://{tmp_path}/none.sock")


def test_an_unknown_name_is_refused_with_the_known_ones(spec: SandboxSpec) -> None:
    with pytest.raises(InputError, match=r"'vm'.*docker, podman, bubblewrap, namespaces, none"):
        choose.choose("vm", spec, Settings())


def test_none_is_taken_only_when_named(spec: SandboxSpec) -> None:
    assert "none" not in choose.AUTO
    assert choose.choose("none", spec, Settings()).name == "none"


def test_auto_takes_the_engine_where_there_is_one(docker_engine: Any, spec: SandboxSpec) -> None:
    said: list[str] = []
    chosen = choose.choose("auto", spec, Settings(), said.append)
    assert (chosen.name, said) == ("docker", [])


def test_auto_says_why_docker_was_passed_over_and_takes_what_works(
    spec: SandboxSpec, no_engine: None
) -> None:
    said: list[str] = []
    chosen = choose.choose("auto", spec, Settings(), said.append)
    assert chosen.name in ("bubblewrap", "namespaces")
    assert said[0].startswith("docker: ") and said[0].endswith("trying the next kind of sandbox")
    chosen.start()
    assert chosen.run("echo hello").output == "hello\n"
    chosen.close()


def test_auto_passes_over_an_engine_without_an_image(docker_engine: Any, spec: SandboxSpec) -> None:
    said: list[str] = []
    chosen = choose.choose("auto", spec, Settings(image="localhost:9/no/such:image"), said.append)
    assert chosen.name not in choose.CONTAINERS
    assert any("localhost:9/no/such:image" in line for line in said)


def test_a_named_kind_that_is_not_there_says_why(spec: SandboxSpec, no_engine: None) -> None:
    for kind in choose.CONTAINERS:
        with pytest.raises(UnavailableError, match=f"^{kind}: .*no engine answers") as caught:
            choose.choose(kind, spec, Settings())
        assert caught.value.exit_code == 3


def test_when_nothing_works_every_reason_is_told(
    spec: SandboxSpec, no_engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "AUTO", choose.CONTAINERS)
    with pytest.raises(UnavailableError, match=r"docker: .* · podman: .*--sandbox none") as caught:
        choose.choose("auto", spec, Settings())
    assert "\n" not in str(caught.value)


def test_doctor_is_told_of_every_kind(home: Path) -> None:
    found = choose.describe(Settings())
    assert [one.name for one in found] == list(choose.NAMES)
    assert all(one.detail and "\n" not in one.detail for one in found)
    assert all(one.gaps for one in found if one.available), "each says what it does not isolate"
    assert found[-1].available
