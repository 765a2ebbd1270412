"""Removes containers whose mleagent process is gone, and images no version here uses any more.

A killed session's container ends by itself (its stdin closes with the process), but stays listed.
Containers carry labels saying which process on which host made them; one is removed only if it
was made on this host and that very process (same id, same start time) no longer lives, so
sessions running side by side, or on other machines sharing an engine, are never touched.
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from ..config import data_home
from ..errors import UnavailableError
from . import engine, image

SESSION = "mleagent.session"
PID = "mleagent.pid"
STARTED = "mleagent.started"
HOST = "mleagent.host"
HOME = "mleagent.home"


def labels(session_id: str) -> dict[str, str]:
    """What every container made by this process is labelled with."""
    return {
        SESSION: session_id,
        PID: str(os.getpid()),
        STARTED: process_start(os.getpid()),
        HOST: platform.node(),
        HOME: str(data_home()),
    }


def process_start(pid: int) -> str:
    """When a process started, in words that only compare for equality; empty if there is none."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command name before it may hold blanks and brackets: count from the last bracket.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if fields[0] == "Z" else fields[19]
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def abandoned(labelled: dict[str, str]) -> bool:
    """Whether the process these labels name was on this host and is gone."""
    if labelled.get(HOST) != platform.node() or not labelled.get(PID, "").isdigit():
        return False
    return process_start(int(labelled[PID])) != labelled.get(STARTED)


def reap(client: Any) -> list[str]:
    """Remove abandoned containers of one engine; the names of those removed."""
    import docker

    gone = []
    for container in client.containers.list(all=True, filters={"label": SESSION}, ignore_removed=True):
        if not abandoned(container.labels):
            continue
        try:
            container.remove(force=True, v=True)
        except docker.errors.APIError:
            continue  # another session is removing it at the same time
        gone.append(container.name)
    return gone


def stale_images(client: Any) -> list[str]:
    """Remove stock images of other versions of the recipe that nothing runs on; their names."""
    import docker

    gone = []
    current = {image.stock_tag(kind) for kind in ("", *image.RECIPES)}
    for repository in sorted(tag.partition(":")[0] for tag in current):
        tags = [tag for found in client.images.list(name=repository) for tag in found.tags]
        for tag in sorted(set(tags) - current):
            try:
                client.images.remove(tag)
            except docker.errors.APIError:
                continue  # a container still runs on it
            gone.append(tag)
    return gone


def clean() -> list[str]:
    """Reap on every engine that answers (`mleagent doctor --clean`); what was removed, a line each."""
    done = []
    for kind in ("docker", "podman"):
        try:
            client = engine.connect(kind)
        except UnavailableError:
            continue
        done += [f"{kind}: container {name}" for name in reap(client)]
        done += [f"{kind}: image {name}" for name in stale_images(client)]
        client.close()
    return done
