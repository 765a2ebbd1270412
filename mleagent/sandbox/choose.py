"""Decides which sandbox a session gets: the one named, or the first of four that works here.

`auto` tries docker, podman, bubblewrap, then Linux namespaces, and tells through `progress` why
one that is installed was passed over. `none` (no isolation) is never chosen, only named. A kind
counts as working when it has proved it: an engine that answers and has an image, or, for the kinds
that need no engine, a sandbox that was really started.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Settings
from ..errors import InputError, SandboxError, UnavailableError
from ..protocols import SandboxSpec
from ..records import Limits, Record

if TYPE_CHECKING:
    from .base import RunnerSandbox
    from .image import Progress

CONTAINERS = ("docker", "podman")
AUTO = (*CONTAINERS, "bubblewrap", "namespaces")
NAMES = (*AUTO, "none")


class Availability(Record):
    """What `doctor` says of one kind of sandbox on this machine."""

    name: str
    available: bool
    detail: str
    """Engine, version and image, or why it can't be had with the mend."""
    gaps: tuple[str, ...] = ()
    """What it would not isolate, as far as it is known without starting a session."""


def choose(
    setting: str, spec: SandboxSpec, settings: Settings, progress: Progress | None = None
) -> RunnerSandbox:
    """A sandbox that works here, not yet started.

    Args:
        setting: `auto` or one of `NAMES`.
        spec: what it is made for; an empty image is filled from the settings.
        settings: for `image`.
        progress: gets a line when something slow begins or a kind is passed over.

    Raises InputError for an unknown name, UnavailableError with every reason when none works.
    """
    say = progress or (lambda _line: None)
    spec = spec if spec.image else spec.model_copy(update={"image": settings.image})
    if setting not in ("auto", *NAMES):
        raise InputError(f"--sandbox {setting!r} is unknown; one of auto, {', '.join(NAMES)}")
    if setting != "auto":
        sandbox = make(setting, spec, say)
        _prove(sandbox, say, build=False)
        return sandbox
    reasons = []
    for kind in AUTO:
        sandbox = make(kind, spec, say)
        try:
            _prove(sandbox, say, build=True)
        except UnavailableError as error:
            reasons.append(str(error))
            if "not installed" not in str(error):
                say(f"{error}; trying the next kind of sandbox")
            continue
        return sandbox
    mend = "start Docker Desktop or podman" if sys.platform == "darwin" else "install docker or bubblewrap"
    raise UnavailableError(
        f"no sandbox can be had: {' · '.join(reasons)}; {mend}, or accept no isolation with --sandbox none"
    )


def make(kind: str, spec: SandboxSpec, progress: Progress | None = None) -> RunnerSandbox:
    """The sandbox of this kind, unproven; imports only what this kind needs."""
    if kind in CONTAINERS:
        from .docker import DockerSandbox

        return DockerSandbox(spec, kind, progress)
    if kind == "bubblewrap":
        from .bubblewrap import BubblewrapSandbox

        return BubblewrapSandbox(spec)
    if kind == "namespaces":
        from .namespaces import NamespacesSandbox

        return NamespacesSandbox(spec)
    from .none import NoneSandbox

    return NoneSandbox(spec)


def describe(settings: Settings) -> list[Availability]:
    """Every kind on this machine, for `doctor`; takes seconds and builds nothing."""
    found = []
    with tempfile.TemporaryDirectory(prefix="mleagent-doctor-") as folder:
        limits = Limits(wall_s=20, memory_mb=512, disk_mb=64)
        spec = SandboxSpec(session_id="doctor", task_name="doctor", public=Path(folder), limits=limits)
        for kind in NAMES:
            sandbox = make(kind, spec.model_copy(update={"image": settings.image}))
            try:
                detail = _prove(sandbox, lambda _line: None, build=False)
            except UnavailableError as error:
                detail = str(error).removeprefix(f"{kind}: ")
                found.append(Availability(name=kind, available=False, detail=detail))
                continue
            found.append(Availability(name=kind, available=True, detail=detail, gaps=sandbox.gaps))
    return found


def _prove(sandbox: RunnerSandbox, say: Progress, build: bool) -> str:
    """A line on what would run; raises UnavailableError beginning with the kind when it would not."""
    from .docker import DockerSandbox

    kind = sandbox.name
    if isinstance(sandbox, DockerSandbox):
        return sandbox.available(say if build else None)
    if kind == "none":
        return "no isolation at all; only when named"
    try:
        sandbox.start()
    except (UnavailableError, SandboxError) as error:
        text = str(error)
        raise UnavailableError(text if text.startswith(kind) else f"{kind}: {text}") from None
    finally:
        sandbox.close()
    return "starts"
