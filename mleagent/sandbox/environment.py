"""What a task's programs may import beyond the stock sandbox, and the weights they may load: `[env]`.

Takes the paths of `[env]` and a started sandbox; gives folders of packages, made outside once per
content and mounted read-only, and environment variables. The sandbox itself never has a network:
whatever is fetched is fetched here, before the session or after the user's yes.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import clock
from ..config import user_path
from ..errors import InputError, SandboxError, SandboxLostError
from ..protocols import Sandbox
from ..records import Limits
from .wheels import Source, Target, checked_requirement, fetch

BUNDLED = "wheelhouse"
"""Folder of the data folder that `mleagent bundle load` fills."""
ENVS = "envs"
_WRITABLE = ("/tmp", "/var/tmp", "/dev", "/proc", "/kaggle")
_ASK = (
    "import sys,json,platform;l=platform.libc_ver();"
    "print(json.dumps(['%d.%d'%sys.version_info[:2],platform.machine(),"
    "' '.join(l) if l[0] else 'musl' if sys.platform=='linux' else '']))"
)


@dataclass(frozen=True)
class Recipe:
    """`[env]`, checked: paths are absolute and there."""

    requirements: Path | None = None
    source: Source = Source()  # noqa: RUF009 - frozen
    python: str = ""
    """An interpreter of this machine; '' for the sandbox's own."""


def recipe(folder: Path, requirements: str, wheelhouse: str, python: str) -> Recipe:
    """`[env]` of the task in `folder`; relative paths are relative to it. Raises InputError."""
    asked = _there(folder, requirements, "requirements", Path.is_file, "a file of requirements")
    wheels = _there(folder, wheelhouse, "wheelhouse", Path.is_dir, "a folder of wheels")
    named = python
    if python and "/" in python:
        # Not resolved: a venv's python is a link, and Python finds its venv by the link's name.
        there = folder.absolute() / user_path(python)
        _there(folder, python, "python", Path.is_file, "a Python, e.g. .venv/bin/python")
        named = os.path.normpath(there)
    elif python:
        named = shutil.which(python) or ""
        if not named:
            raise InputError(f"[env] python {python!r} is not on PATH; write its path")
    return Recipe(asked, Source(wheels), named)


def kind(setting: str, wanted: Recipe) -> str:
    """The kind of sandbox: a Python of this machine needs one that uses this machine's. Raises InputError."""
    if not wanted.python or setting in ("bubblewrap", "namespaces", "none"):
        return setting
    if setting == "auto":
        return "bubblewrap" if shutil.which("bwrap") else "namespaces"
    raise InputError(
        f"[env] python is a Python of this machine, {setting} has its own; use [env] requirements or image, "
        "or --sandbox namespaces"
    )


def _there(folder: Path, text: str, key: str, test: Callable[[Path], bool], what: str) -> Path | None:
    if not text:
        return None
    path = folder.absolute() / user_path(text)
    if not test(path):
        raise InputError(f"[env] {key} {text!r}: {path} is not there; name {what}")
    return path


def sources(given: Source, home: Path) -> list[Source]:
    """Where to look, in order: the wheelhouse named, else what a bundle brought, then the index."""
    if given.wheelhouse is not None:
        return [given]
    bundled = home / BUNDLED
    return [*([Source(bundled)] if bundled.is_dir() else []), given]


def target_of(sandbox: Sandbox) -> Target:
    """The Python inside a started sandbox. Raises SandboxError."""
    run = sandbox.run(f"python -I -c {shlex.quote(_ASK)}", Limits(wall_s=30.0, output_bytes=4096))
    if run.status == "lost":
        raise SandboxLostError(run.detail)
    try:
        python, machine, libc = json.loads(run.output)
        return Target(str(python), str(machine), str(libc))
    except ValueError:
        raise SandboxError(f"the Python inside the sandbox does not run: {run.detail}") from None


def build(
    wanted: Recipe, sandbox: Sandbox, home: Path, say: Callable[[str], None] = lambda _line: None
) -> Path:
    """The package folder of `[env] requirements`, made when it is new; see `wheels.fetch` for what it raises.

    `sandbox` must be started: what its Python has already is neither fetched nor replaced.
    """
    assert wanted.requirements is not None
    target, installed = target_of(sandbox), sandbox.packages()
    place = home / ENVS / _key(wanted, target, installed)
    if not place.is_dir():
        say(f"fetching the packages of {wanted.requirements}; once")
        building = home / ENVS / f".{clock.new_id()}"
        try:
            add(["-r", str(wanted.requirements)], target, installed, sources(wanted.source, home), building)
            building.rename(place)
        except OSError:
            if not place.is_dir():  # else another session was faster
                raise
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return place


def _key(wanted: Recipe, target: Target, installed: Sequence[str]) -> str:
    assert wanted.requirements is not None
    wheels = wanted.source.wheelhouse
    names = sorted(f"{x.name} {x.stat().st_size}" for x in wheels.iterdir()) if wheels else []
    told = [wanted.requirements.read_text(encoding="utf-8"), str(target), *installed, "wheels", *names]
    return hashlib.sha256("\0".join(told).encode()).hexdigest()[:24]


def install(name: str, sandbox: Sandbox, folder: Path, given: Source, home: Path) -> tuple[str, ...]:
    """Add one package, with what it needs, to a mounted package folder; what was added.

    Raises InputError for what is no package name, UnavailableError when it can't be had.
    """
    wanted = checked_requirement(name)
    installed = (*sandbox.packages(), *listed(folder))
    return add([wanted], target_of(sandbox), installed, sources(given, home), folder)


def add(
    wanted: Sequence[str], target: Target, installed: Iterable[str], places: Sequence[Source], folder: Path
) -> tuple[str, ...]:
    """`wheels.fetch` from the first of `places` that has everything; the last one's error counts."""
    from ..errors import UnavailableError

    for place in places[:-1]:
        try:
            return fetch(wanted, target, installed, place, folder)
        except UnavailableError:
            continue
    return fetch(wanted, target, installed, places[-1], folder)


def listed(*folders: Path) -> tuple[str, ...]:
    """`name==version` of the packages that lie in these folders."""
    found = importlib.metadata.distributions(path=[str(folder) for folder in folders])
    return tuple(sorted({f"{item.metadata['Name']}=={item.version}" for item in found}, key=str.lower))


def merged(inside: Sequence[str], *folders: Path) -> tuple[str, ...]:
    """What programs can import: `inside`, and the folders' packages instead of those of the same name."""
    names = {line.partition("==")[0].lower(): line for line in (*inside, *listed(*folders))}
    return tuple(names[key] for key in sorted(names))


def checked_mounts(mounts: Sequence[Path]) -> tuple[Path, ...]:
    """`mounts`, if they can be seen inside. Raises InputError for one that the work area would hide."""
    for mount in mounts:
        hidden = next((place for place in _WRITABLE if mount.is_relative_to(place)), None)
        if hidden:
            raise InputError(f"--mount {mount}: programs have a {hidden} of their own; move it elsewhere")
    return tuple(mounts)


def weights_env(mounts: Sequence[Path]) -> tuple[tuple[str, str], ...]:
    """Variables that point the usual caches at the weights in `mounts` (seen at the same path inside).

    A mount may be the cache itself or hold it, as `~/.cache` does. The caches are read-only, so what
    libraries write beside weights goes to the work area.
    """
    found: dict[str, str] = {}
    for mount in mounts:
        for place in (mount, mount / "huggingface"):
            hub = place / "hub" if (place / "hub").is_dir() else place
            if any(hub.glob("models--*")):
                found.setdefault("HF_HOME", str(place))
                found.setdefault("HF_HUB_CACHE", str(hub))
                found |= {"HF_DATASETS_CACHE": "/tmp/hf-datasets", "HF_ASSETS_CACHE": "/tmp/hf-assets"}
        for place in (mount, mount / "torch"):
            if (place / "hub" / "checkpoints").is_dir():
                found.setdefault("TORCH_HOME", str(place))
        for name, place in (("NLTK_DATA", mount / "nltk_data"), ("KERAS_HOME", mount / ".keras")):
            if place.is_dir():
                found.setdefault(name, str(place))
    return tuple(found.items())
