"""What every runner-based sandbox shares: the Sandbox protocol on top of one RunnerClient.

A kind of sandbox only says how its runner is started (`_launch`) and ended
(`_end`); files, runs, verdicts and loss are the same for all of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event

from ..errors import InputError, SandboxError, SandboxLostError
from ..protocols import SandboxSpec
from ..records import Execution, Limits
from .client import Hello, RunnerClient, Setup
from .gpu import GpuHeldError, Lease
from .preload import preloads

RUNNER_DIR = Path(__file__).with_name("runner")
"""The runner's code; made readable inside at `RUNNER_INSIDE`."""
RUNNER_INSIDE = "/opt/mleagent/runner"
PACKAGES_INSIDE = "/opt/mleagent/packages"
"""Below it the spec's package folders lie, numbered."""


def package_binds(spec: SandboxSpec) -> list[tuple[Path, str]]:
    """(folder on this machine, its place inside) of the spec's package folders."""
    return [(folder, f"{PACKAGES_INSIDE}/{number}") for number, folder in enumerate(spec.packages)]


class RunnerSandbox(ABC):
    """A sandbox whose inside is a runner. Subclasses set `kind` and write the two hooks."""

    kind = ""

    def __init__(self, spec: SandboxSpec) -> None:
        if spec.task_name in ("", ".", "..") or "/" in spec.task_name or "\0" in spec.task_name:
            raise InputError(f"task name {spec.task_name!r} can't name a folder; set name in mleagent.toml")
        self.spec = spec
        self._client: RunnerClient | None = None
        self._gaps: tuple[str, ...] = ()
        self.gpu = Lease() if spec.gpus else None
        """Held during every run that may use a GPU; replaced by whoever knows what has to make room."""
        self.python = ""
        """Version of the runner's Python, `3.11.7`; known once started."""

    @abstractmethod
    def _launch(self) -> tuple[RunnerClient, Setup]:
        """Create the sandbox and connect to its runner (`hello` is called by `start`).

        Raises UnavailableError or SandboxError with one line that names the mend.
        """

    @abstractmethod
    def _end(self) -> str:
        """End everything inside by force and free what is held; why it had ended, or ''.

        Called at `close`, and from any thread when the runner is given up; twice is harmless.
        """

    def _own_gaps(self) -> tuple[str, ...]:
        """What this kind does not isolate on this machine."""
        return ()

    def _package_paths(self) -> list[str]:
        """Where the spec's package folders are seen inside."""
        return [place for _, place in package_binds(self.spec)]

    def _extra_env(self) -> dict[str, str]:
        """The spec's own variables, and PYTHONPATH for its package folders."""
        paths = self._package_paths()
        return {**dict(self.spec.env), **({"PYTHONPATH": ":".join(paths)} if paths else {})}

    @property
    def name(self) -> str:
        """The kind: `docker`, `podman`, `bubblewrap`, `namespaces` or `none`."""
        return self.kind

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is not isolated here; complete once started."""
        return (*self._own_gaps(), *self._gaps)

    def start(self) -> None:
        """Create it with an empty work folder; ends a former one. Raises SandboxError, UnavailableError."""
        self.close()
        try:
            client, setup = self._launch()
            setup = replace(setup, env={**setup.env, **self._extra_env()})
            held = self.spec.limits.memory_mb
            setup = replace(setup, warm=self.spec.warm, preload=preloads(self.spec), memory_mb=held)
        except BaseException:
            self._end()
            raise
        try:
            hello: Hello = client.hello(setup)
        except SandboxLostError:
            raise SandboxError(f"{self.kind}: {self._explain(client.lost)}") from None
        finally:
            if not client.ready:
                client.close()
                self._end()
        self._client, self._gaps, self.python = client, hello.gaps, hello.python
        self._started()

    def _explain(self, why: str) -> str:
        """One line on why it did not start, with the mend where there is one."""
        return f"it did not start: {why}"

    def _started(self) -> None:  # noqa: B027 - most kinds have nothing to do here
        """Hook: the runner answers; what only its start needed can go."""

    def _runner(self) -> RunnerClient:
        if self._client is None:
            raise SandboxLostError(f"the {self.kind} sandbox is not running; start it")
        return self._client

    def put(self, files: dict[str, bytes | None]) -> None:
        """Write these files into the work folder (None removes)."""
        self._runner().put(files)

    def run(
        self,
        command: str,
        limits: Limits | None = None,
        on_output: Callable[[str], None] | None = None,
        stop: Event | None = None,
    ) -> Execution:
        """Run a shell command; limits default to the session's, memory, pids and disk can't exceed them."""
        whole = self.spec.limits
        asked = limits or whole
        bounded = asked.model_copy(
            update={
                "memory_mb": min(asked.memory_mb, whole.memory_mb),
                "pids": min(asked.pids, whole.pids),
                "cpus": min(asked.cpus, whole.cpus),
                "disk_mb": whole.disk_mb,
            }
        )
        try:
            with self.gpu.hold("a program in a sandbox", stop) if self.gpu else nullcontext():
                return self._runner().run(command, bounded, on_output, stop)
        except GpuHeldError as error:
            return Execution(command=command, status="killed", detail=str(error), sandbox=self.kind)

    def pull(self, max_bytes: int) -> dict[str, bytes]:
        """Changed regular files of the work folder, smallest first, up to `max_bytes`."""
        return self._runner().pull(max_bytes)

    @property
    def removed(self) -> tuple[str, ...]:
        """Files gone from the work folder, as seen by the last `pull`."""
        return self._client.removed if self._client else ()

    @property
    def skipped(self) -> tuple[str, ...]:
        """What the last `pull` left behind, a line each."""
        return self._client.skipped if self._client else ()

    def packages(self) -> tuple[str, ...]:
        """Distributions of the Python inside, `name==1.2`."""
        return self._runner().packages()

    def reset(self) -> None:
        """Make it as good as new; ended, and SandboxLostError raised, when that can't be proved."""
        self._runner().reset()

    def close(self) -> None:
        """End everything inside and remove it; twice is harmless."""
        if self._client is not None:
            self._client.close()
            self._client = None
            self._end()
