"""Finds a container engine and speaks its API: docker, or podman through its compatible socket.

`connect` gives a docker SDK client that has answered once, or an UnavailableError that says
in one line why not and what to do. Where the engine listens comes from DOCKER_HOST, the
docker command's current context or podman's usual socket places, never from a setting of ours.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..errors import UnavailableError

PROBE_S = 1.5
"""An engine that has not answered by then counts as absent (a local one takes milliseconds)."""
CALL_S = 120.0
"""Longest silence of an engine within one API call afterwards."""


def connect(kind: str) -> Any:
    """A docker SDK client for `docker` or `podman`. Raises UnavailableError."""
    import docker
    import requests

    try:
        if kind == "podman":
            client = docker.DockerClient(base_url=_podman_url(), timeout=PROBE_S)
        else:
            client = docker.from_env(timeout=PROBE_S)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException, OSError) as error:
        raise UnavailableError(_why(kind, error)) from None
    client.api.timeout = CALL_S
    return client


def description(client: Any) -> str:
    """Name and version of the engine for people: `Docker Engine 28.1, linux/amd64`."""
    version = client.version()
    name = "Podman" if is_podman(client) else "Docker Engine"
    return f"{name} {version.get('Version', '?')}, {version.get('Os', '?')}/{version.get('Arch', '?')}"


def is_podman(client: Any) -> bool:
    """Whether podman answers, also where DOCKER_HOST leads to it."""
    components = client.version().get("Components") or []
    return any("podman" in str(part.get("Name", "")).lower() for part in components)


def _podman_url() -> str:
    """Address of the podman socket that exists. Raises UnavailableError with the mend."""
    named = os.environ.get("CONTAINER_HOST")
    if named:
        return named
    if shutil.which("podman") is None:
        raise UnavailableError("podman: not installed")
    runtime = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    places = [runtime / "podman/podman.sock"]
    if os.getuid() == 0:
        places.append(Path("/run/podman/podman.sock"))
    if sys.platform == "darwin":
        places += _machine_sockets()
    for place in places:
        if place.exists():
            return f"unix://{place}"
    mend = (
        "podman machine start" if sys.platform == "darwin" else "systemctl --user enable --now podman.socket"
    )
    raise UnavailableError(f"podman: installed, but its API socket is not there; run `{mend}`")


def _machine_sockets() -> list[Path]:
    """Where podman's virtual machine on macOS forwards its socket to."""
    form = "{{.ConnectionInfo.PodmanSocket.Path}}"
    try:
        done = subprocess.run(
            ["podman", "machine", "inspect", "--format", form],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [Path(line) for line in done.stdout.split() if line]


def _why(kind: str, error: Exception) -> str:
    if shutil.which(kind) is None and "DOCKER_HOST" not in os.environ:
        return f"{kind}: not installed, no engine answers"
    text = str(error).lower()
    if "permission denied" in text:
        return f"{kind}: the engine's socket refuses this user; add yourself to the group `docker`"
    mend = "start Docker Desktop" if sys.platform == "darwin" else "`sudo systemctl start docker`"
    if kind == "podman":
        mend = "`systemctl --user enable --now podman.socket`"
    return f"{kind}: installed, but no engine answers; {mend}"
