"""Between the executor and the execution cache: what a run depends on, and how one is played again.

The key is made of everything a program can see: the workspace's tree, the public
data, the command and the program as run, the seed, the image or interpreter with its
packages, and the limits. Where the sandbox holds something the workspace does not
know (a file too large to take, a pipe), nothing is looked up and nothing kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from .. import __version__
from ..protocols import Sandbox, SandboxSpec
from ..records import Execution, Limits
from ..reward.instrument import Instrumented
from .cache import Entry, ExecutionCache
from .workspace import PathRefused, Workspace

_NOT_IN_KEY = {"session_id", "public", "limits", "preload", "packages"}


class Recall:
    """The cache as one session's executor uses it."""

    def __init__(
        self, cache: ExecutionCache, workspace: Workspace, sandbox: Sandbox, public: str, seed: int
    ) -> None:
        """`public` is the hash of the data the sandbox reads, `Task.content_hash`; `sandbox` is started.

        Raises SandboxError when it can't be asked what is installed.
        """
        self.cache, self._workspace, self._sandbox = cache, workspace, sandbox
        self._public, self._seed = public, seed
        self._environment = environment(sandbox)
        spec = getattr(sandbox, "spec", None)
        self._added = spec.packages if isinstance(spec, SandboxSpec) else ()

    def key(self, command: str, program: Instrumented, limits: Limits) -> str | None:
        """The run's key; None when its start is not fully known."""
        if self._sandbox.skipped:
            return None
        tree = self._workspace.tree()
        if tree is None:
            return None
        parts = [
            __version__, tree, self._public, command, program.path,
            program.source.replace(f"[mle:{program.tag}]", "[mle:]"),
            self._seed, self._environment, [_installed(folder) for folder in self._added],
            limits.model_dump(mode="json", exclude={"wall_s"}),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def replay(self, key: str, program: Instrumented, limits: Limits, keep: str) -> Execution | None:
        """Do to the workspace what the kept run did (but to the file `keep`), and give its facts.

        None when there is none, or when it took longer than `limits` now allow. The
        sandbox is told with the next run.
        """
        entry = self.cache.get(key)
        if entry is None or entry.execution.duration_s > limits.wall_s:
            return None
        for path in entry.removed:
            with contextlib.suppress(PathRefused, OSError):
                self._workspace.remove(path)
        for path, data in entry.changed.items():
            if path != keep:
                with contextlib.suppress(PathRefused):
                    self._workspace.write(path, data)
        output = entry.execution.output.replace(f"[mle:{entry.tag}]", f"[mle:{program.tag}]")
        return entry.execution.model_copy(update={"cached": True, "output": output})

    def keep(self, key: str, program: Instrumented, run: Execution, changed: Mapping[str, bytes]) -> None:
        """Keep a run that has just been pulled, if all it left was taken."""
        if not self._sandbox.skipped:
            self.cache.put(key, Entry(run, program.tag, changed, self._sandbox.removed))


def environment(sandbox: Sandbox) -> str:
    """A digest of what programs run in: kind, image or interpreter, mounts, packages with versions.

    `sandbox` is started. Raises SandboxError when it can't be asked.
    """
    spec = getattr(sandbox, "spec", None)
    fields = spec.model_dump(mode="json", exclude=_NOT_IN_KEY) if isinstance(spec, SandboxSpec) else None
    parts = [sandbox.name, getattr(sandbox, "python", ""), fields, sandbox.packages()]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _installed(folder: Path) -> list[str]:
    """Distributions in a package folder, which grows while a session goes on."""
    return sorted(path.name for path in folder.glob("*.dist-info"))
