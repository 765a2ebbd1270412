"""The container sandbox, for docker and for podman through its compatible API.

The container's main process is the runner; the host speaks to it over the attach socket. If
mleagent is killed, that socket closes, the runner ends and the container with it; what is then
left in the engine's list is removed when the next session starts. What the container is made of
is in `container.py`, where its image comes from in `image.py`.
"""

from __future__ import annotations

import threading
from typing import Any

from .. import clock
from ..errors import SandboxError, UnavailableError
from ..protocols import SandboxSpec
from . import container, engine, image, reap
from .attach import Attachment, attach
from .base import RunnerSandbox
from .client import RunnerClient, Setup
from .env import clean_env

END_S = 15.0
"""Longest wait for an engine when something must be ended; one that is gone refuses at once."""


class DockerSandbox(RunnerSandbox):
    """A hardened container; `kind` is `docker` or `podman`."""

    def __init__(
        self, spec: SandboxSpec, kind: str = "docker", progress: image.Progress | None = None
    ) -> None:
        super().__init__(spec)
        self.kind = kind
        self._progress = progress
        self._engine: Any = None
        self._info: dict[str, Any] = {}
        self._container: Any = None
        self._attachment: Attachment | None = None
        self._leftover: list[str] = []
        self._lock = threading.Lock()

    def _own_gaps(self) -> tuple[str, ...]:
        return container.gaps(self._info) if self._info else ()

    def available(self, build: image.Progress | None = None) -> str:
        """Engine and image in one line, if both can be had. Raises UnavailableError, within seconds, if not.

        With `build` (which gets the progress) a missing image is pulled or built at once, if a base is
        there or a registry answers; without, that it could be is enough.
        """
        client = engine.connect(self.kind)
        try:
            self._info = client.info()
            named = self.spec.image
            wanted = image.wanted_tag(named)
            about = f"{engine.description(client)}, image {wanted}"
            if image.present(client, wanted):
                return about
            if not image.obtainable(client, named):
                mend = image.NAME_MEND if named else image.MENDS
                raise UnavailableError(f"{about} is not there and no registry answers; {mend}")
            if build is None:
                return f"{about} to be made on first use"
            image.ensure(client, named, build)
            return about
        except UnavailableError as error:
            raise UnavailableError(f"{self.kind}: {error}") from None
        finally:
            client.close()

    def _launch(self) -> tuple[RunnerClient, Setup]:
        import docker
        import requests

        try:
            self._connect()
            attachment = self._create(image.ensure(self._engine, self.spec.image, self._progress))
            setup = self._setup()
        except (docker.errors.DockerException, requests.RequestException, OSError) as error:
            self._end()
            raise SandboxError(f"{self.kind}: the container can't be started: {_reason(error)}") from None
        return RunnerClient(attachment, attachment, self._end, self.kind), setup

    def _create(self, chosen: str) -> Attachment:
        """Create, attach, start: in this order nothing the runner says is missed."""
        name = f"mleagent-{self.spec.session_id}-{clock.new_id()[-6:]}"
        labels = reap.labels(self.spec.session_id)
        podman = engine.is_podman(self._engine)
        wanted = container.options(self.spec, chosen, self._info, labels, name, podman)
        self._container = self._engine.containers.create(**wanted)
        self._attachment = attachment = attach(self._container)
        self._container.start()
        return attachment

    def _connect(self) -> None:
        """A fresh connection (the engine may have been restarted), and what others left removed."""
        self._engine = engine.connect(self.kind)
        self._info = self._engine.info()
        for name in self._leftover:
            _remove(self._engine, name)
        self._leftover = []
        reap.reap(self._engine)

    def _setup(self) -> Setup:
        return Setup(
            work=container.WORK,
            input=f"/kaggle/input/{self.spec.task_name}",
            env={**clean_env(self.spec.limits), "PATH": self._image_path()},
            supervise_memory=not self._info.get("MemoryLimit", True),
            private_cpus=False,
        )

    def _image_path(self) -> str:
        """PATH as the image sets it: that is where its Python is."""
        for entry in self._container.image.attrs["Config"].get("Env") or ():
            if entry.startswith("PATH="):
                return str(entry[len("PATH=") :])
        return "/usr/local/bin:/usr/bin:/bin"

    def close(self) -> None:
        """Remove the container and let go of the engine; twice is harmless."""
        super().close()
        if self._engine is not None:
            self._engine.close()

    def _end(self) -> str:
        with self._lock:
            box, self._container = self._container, None
            attachment, self._attachment = self._attachment, None
        if box is None:
            return ""
        self._engine.api.timeout = END_S
        why = _why_lost(box, self.kind)
        if attachment is not None:
            said = attachment.stderr.rpartition("\n")[2]
            why = f"{why}: {said}" if why and said else why or said
            attachment.hang_up()
        if not _remove(self._engine, box.name):
            self._leftover.append(box.name)
        return why


def _remove(client: Any, name: str) -> bool:
    """Remove a container by force; whether it is gone."""
    import docker
    import requests

    try:
        client.api.remove_container(name, force=True, v=True)
    except docker.errors.NotFound:
        return True
    except docker.errors.APIError as error:
        return "already in progress" in str(error)
    except requests.RequestException:
        return False
    return True


def _why_lost(box: Any, kind: str) -> str:
    """Why a container no longer answers: one line, or '' while it seems well."""
    import docker
    import requests

    try:
        box.reload()
    except docker.errors.NotFound:
        return "its container was removed"
    except (docker.errors.DockerException, requests.RequestException):
        return f"the {kind} engine stopped"
    state = box.attrs["State"]
    if state.get("OOMKilled"):
        return "its runner ran out of memory"
    if state.get("Status") not in ("running", "created"):
        return f"its container ended (exit code {state.get('ExitCode')})"
    return ""


def _reason(error: Exception) -> str:
    """The engine's own words, on one line."""
    text = str(getattr(error, "explanation", None) or error)
    return " ".join(text.split())[:300]
