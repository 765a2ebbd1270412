"""The differential test: every program of the corpus does the same warm and fresh."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from boxes import made
from warm_programs import HELPERS, PROGRAMS

from mleagent.protocols import Sandbox
from mleagent.records import Execution, Limits
from mleagent.sandbox.runner import faithful

LIMITS = Limits(wall_s=60, memory_mb=2048, disk_mb=128, pids=128, cpus=2, output_bytes=256_000)
COMMAND = "python prog.py one 'two words'"
ON_DOCKER = [
    "main_names",
    "argv_and_path",
    "environment",
    "imports_beside",
    "exit_text",
    "uncaught_chain",
    "atexit",
    "file_left_open",
    "process_pool",
    "multiprocessing_spawn",
    "signal_int_self",
    "seeded",
    "sklearn_joblib",
    "sklearn_openmp",
]
Pair = tuple[Sandbox, Sandbox]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("public")
    place.chmod(0o755)
    (place / "train.csv").write_text("id,y\n1,0\n")
    (place / "train.csv").chmod(0o644)
    return place


def pair(kind: str, folder: Path) -> Iterator[Pair]:
    boxes = [made(kind, folder, LIMITS, warm=warm) for warm in (True, False)]
    try:
        for box in boxes:
            box.start()
        assert boxes[0].run("true").status == "ok"
        wait_until_warm(boxes[0])
        yield boxes[0], boxes[1]
    finally:
        for box in boxes:
            box.close()


def wait_until_warm(box: Sandbox) -> None:
    """A program that imports what is preloaded waits for it."""
    box.put(
        {"wait.py": b"import sys\nthere = 'sklearn.ensemble' in sys.modules\nimport numpy\nprint(there)\n"}
    )
    outputs = (box.run("python wait.py").output for _ in range(10))
    assert any(output == "True\n" for output in outputs)
    box.put({"wait.py": None})


@pytest.fixture(scope="module")
def namespaces(folder: Path) -> Iterator[Pair]:
    yield from pair("namespaces", folder)


@pytest.fixture(scope="module")
def docker(folder: Path, docker_engine: Any) -> Iterator[Pair]:
    yield from pair("docker", folder)


def result(box: Sandbox, source: str | bytes) -> tuple[Execution, dict[str, bytes]]:
    assert box.run("find . -mindepth 1 -delete").status == "ok"
    program = source if isinstance(source, bytes) else source.encode()
    box.put({**{name: text.encode() for name, text in HELPERS.items()}, "prog.py": program})
    execution = box.run(COMMAND)
    return execution, box.pull(10**8)


def normal(text: str) -> str:
    """What differs from run to run, as a sign."""
    text = re.sub(r"0x[0-9a-f]{6,}", "<address>", text)
    text = re.sub(r"(?:pid|Pid|PID)[ =:]*\d+|ForkPoolWorker-\d+|\(\d+\) at", "<pid>", text)
    return re.sub(r"Thread-\d+", "<thread>", text)


def same(pair: Pair, name: str) -> None:
    (warm, warm_files), (fresh, fresh_files) = (result(box, PROGRAMS[name]) for box in pair)
    assert normal(warm.output) == normal(fresh.output)
    assert (warm.status, warm.exit_code, warm.missing_package) == (
        fresh.status,
        fresh.exit_code,
        fresh.missing_package,
    )
    assert warm_files == fresh_files


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_fork_does_what_a_fresh_interpreter_does(namespaces: Pair, name: str) -> None:
    same(namespaces, name)


@pytest.mark.docker
@pytest.mark.parametrize("name", ON_DOCKER)
def test_so_it_does_in_docker(docker: Pair, name: str) -> None:
    same(docker, name)


def test_nearly_the_whole_corpus_really_runs_in_a_fork() -> None:
    sources = [text.encode() if isinstance(text, str) else text for text in PROGRAMS.values()]
    forked = sum(faithful.plain(source) for source in sources)
    assert len(sources) >= 60 and forked >= 0.85 * len(sources)
    assert faithful.script_command(COMMAND) == ["python", "prog.py", "one", "two words"]
