"""Gets Python packages on this machine, for a Python that runs elsewhere: resolve, download, unpack.

Takes names or requirement files, the target's Python and what it has already; gives a folder of
unpacked wheels. Only wheels, never source archives: installing one runs no code of its author's.
The network is used here or not at all, and with a wheelhouse not even here. pip sees the target's
packages as its own installed ones, so nothing is fetched twice and versions fit.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, UnavailableError

TIMEOUT_S = 1800.0
"""Longest that one call of pip may take."""
REQUIREMENT = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\[[A-Za-z0-9,._-]+\])?"
    r"(?:(?:===?|[<>]=?|!=|~=)[A-Za-z0-9.*+!_-]+(?:,(?:===?|[<>]=?|!=|~=)[A-Za-z0-9.*+!_-]+)*)?"
)
"""A name, perhaps with extras and versions; never an option, a path or an address."""
_OLDEST_GLIBC = 17
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Target:
    """The Python that will import the packages."""

    python: str
    """`3.11`."""
    machine: str = "x86_64"
    """As `uname -m` says."""
    libc: str = "glibc 2.28"
    """`glibc 2.36`, `musl`, or '' for another system's (macOS)."""

    @property
    def platforms(self) -> tuple[str, ...]:
        """Wheel platforms it takes; () lets pip take this machine's own."""
        machine = _MACHINES.get(self.machine, self.machine)
        if self.libc.startswith("glibc 2."):
            newest = int(self.libc.split(".")[1])
            tags = [f"manylinux_2_{minor}_{machine}" for minor in range(_OLDEST_GLIBC, newest + 1)]
            return (*tags, f"manylinux2014_{machine}", f"linux_{machine}")
        return (f"musllinux_1_2_{machine}", f"musllinux_1_1_{machine}") if self.libc == "musl" else ()


@dataclass(frozen=True)
class Source:
    """Where packages come from."""

    wheelhouse: Path | None = None
    """A folder of wheels: then no index is asked."""

    @property
    def words(self) -> str:
        """For people."""
        return f"the wheels in {self.wheelhouse}, without network" if self.wheelhouse else "the package index"

    def options(self) -> list[str]:
        """What pip is told of it."""
        return ["--no-index", "--find-links", str(self.wheelhouse)] if self.wheelhouse else []


def checked_requirement(text: str) -> str:
    """`text` as one plain requirement. Raises InputError for options, paths, addresses."""
    if not REQUIREMENT.fullmatch(text.strip()):
        raise InputError(f"{text!r} is no package name; write e.g. lightgbm or lightgbm==4.6.0")
    return text.strip()


def fetch(
    wanted: Sequence[str], target: Target, installed: Iterable[str], source: Source, folder: Path
) -> tuple[str, ...]:
    """Add packages, with what they need, to `folder`; what was added, `name==version`.

    Args:
        wanted: requirements, or `-r` and a file's path.
        target: the Python that will import them.
        installed: `name==version` of what that Python has already.
        source: a wheelhouse or the index.
        folder: made when missing; each package appears in it whole.

    Raises UnavailableError with pip's reason when they can't be had.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".packages-", dir=folder.parent) as place:
        stage = Path(place)
        found = _resolved(wanted, target, installed, source, stage)
        if found:
            call = ["install", "--no-deps", "--no-compile", "--target", str(stage / "new")]
            _pip([*call, *_for(target), *source.options(), *found], stage / "has", source)
        _open_to_all(stage / "new")
        _move_in(stage / "new", folder)
    return found


def download(wanted: Sequence[str], target: Target, source: Source, folder: Path) -> None:
    """Put the wheels of `wanted` and of all they need into `folder`. Raises UnavailableError."""
    with tempfile.TemporaryDirectory(prefix="mleagent-pip-") as place:
        call = ["download", "--dest", str(folder), *_for(target), *source.options(), *wanted]
        _pip(call, _seen(Path(place) / "has", ()), source)


def _resolved(
    wanted: Sequence[str], target: Target, installed: Iterable[str], source: Source, stage: Path
) -> tuple[str, ...]:
    report = stage / "report.json"
    call = ["install", "--dry-run", "--report", str(report), *_for(target), *source.options(), *wanted]
    _pip(call, _seen(stage / "has", installed), source)
    items = json.loads(report.read_text(encoding="utf-8"))["install"]
    return tuple(f"{item['metadata']['name']}=={item['metadata']['version']}" for item in items)


def _for(target: Target) -> list[str]:
    options = ["--only-binary", ":all:", "--python-version", target.python, "--implementation", "cp"]
    for platform in target.platforms:
        options += ["--platform", platform]
    return options


def _seen(folder: Path, installed: Iterable[str]) -> Path:
    """A folder in which pip finds itself, and `installed` as if they were there."""
    spec = importlib.util.find_spec("pip")
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            "packages can't be fetched: pip is not installed beside mleagent; run "
            f"{sys.executable} -m ensurepip"
        )
    folder.mkdir(parents=True)
    (folder / "pip").symlink_to(next(iter(spec.submodule_search_locations)))
    for line in installed:
        name, _, version = line.partition("==")
        info = folder / f"{re.sub(r'[-_.]+', '_', name)}-{version}.dist-info"
        with contextlib.suppress(FileExistsError):
            info.mkdir()
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            (info / "METADATA").write_text(text, encoding="utf-8")
            (info / "INSTALLER").write_text("mleagent\n", encoding="utf-8")
    return folder


def _pip(arguments: Sequence[str], seen: Path, source: Source) -> None:
    """Run pip with only `seen` on its path. Raises UnavailableError with its last error."""
    command = [sys.executable, "-P", "-S", "-m", "pip", *arguments]
    command += ["--quiet", "--disable-pip-version-check", "--no-input"]
    env = {**os.environ, "PYTHONPATH": str(seen), "PIP_REQUIRE_VIRTUALENV": "0"}
    if source.wheelhouse:
        # Otherwise find-links of the user's own configuration would still be asked.
        env = {key: value for key, value in env.items() if not key.startswith("PIP_")}
        env["PIP_CONFIG_FILE"] = os.devnull
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"packages can't be had: pip gave no result in {TIMEOUT_S:.0f} s") from None
    if done.returncode != 0:
        raise UnavailableError(f"packages can't be had from {source.words}: {_reason(done.stderr)}")


def _reason(said: str) -> str:
    lines = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("No matching", "Could not", "Cannot", "Invalid"))]
    return (telling or lines or ["pip failed"])[-1][:300]


def _move_in(new: Path, folder: Path) -> None:
    """Each entry of `new` to `folder`, replacing an older one; folders shared by packages are merged."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    for entry in sorted(new.iterdir()) if new.is_dir() else ():
        there = folder / entry.name
        if there.is_dir() and entry.is_dir():
            shutil.copytree(entry, there, dirs_exist_ok=True)
        else:
            os.replace(entry, there)


def _open_to_all(folder: Path) -> None:
    """Readable by whoever runs inside, whatever the user's umask."""
    for path in _all(folder):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _all(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield Path(place)
        yield from (Path(place, name) for name in (*folders, *files) if not Path(place, name).is_symlink())
