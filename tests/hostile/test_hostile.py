"""Every hostile program is contained by every sandbox: verdict, host untouched, next run as if nothing was.

One sandbox meets all programs of a kind, one after another; it is made anew only when it was lost, which
counts as not contained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hostile_files import FILES
from hostile_kernel import KERNEL
from hostile_kit import Arena, Program, Scene
from hostile_network import NETWORK
from hostile_resources import RESOURCES

from mleagent.sandbox import cgroup

PROGRAMS = (*FILES, *NETWORK, *KERNEL, *RESOURCES)
KINDS = ["namespaces", "namespaces-watched", "bubblewrap", pytest.param("docker", marks=pytest.mark.docker)]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with pytest.MonkeyPatch.context() as patch, Scene(tmp_path_factory.mktemp("host")) as made:
        patch.setenv("MLEAGENT_HOME", str(made.home))
        patch.setenv("MY_API_KEY", made.secret)
        yield made


@pytest.fixture(scope="module", params=KINDS)
def arena(request: pytest.FixtureRequest, scene: Scene) -> Iterator[Arena]:
    need: Callable[[str], None] = request.getfixturevalue("any_sandbox_of_module")
    need(request.param.split("-")[0])
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "namespaces-watched":  # a machine that lets us make no control group
            patch.setattr(cgroup, "create", lambda _limits: None)
        made = Arena(request.param.split("-")[0], scene)
        yield made
        made.close()


def test_the_suite_is_large_enough() -> None:
    assert len({program.name for program in PROGRAMS}) == len(PROGRAMS) >= 40


@pytest.mark.timeout(120)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name.replace(" ", "-"))
def test_contained(arena: Arena, program: Program) -> None:
    _verdict, problems = arena.attempt(program)
    assert problems == []


def test_one_sandbox_met_them_all(arena: Arena) -> None:
    assert arena.started == 1


@pytest.mark.parametrize(
    "program",
    [program for program in PROGRAMS if program.safe],
    ids=lambda program: program.name.replace(" ", "-"),
)
def test_the_check_fails_without_isolation(
    program: Program, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Scene(tmp_path_factory.mktemp("open")) as own:
        arena = Arena("none", own)
        try:
            _verdict, problems = arena.attempt(program)
        finally:
            arena.close()
    assert problems
