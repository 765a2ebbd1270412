"""What the tests of every kind of sandbox share: how one is made, and how a program is run in it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Execution, Limits
from mleagent.sandbox.choose import make

LIMITS = Limits(wall_s=60, memory_mb=512, disk_mb=64, pids=64, cpus=2, output_bytes=64_000)


def made(kind: str, public: Path, limits: Limits = LIMITS, **spec: Any) -> Sandbox:
    """A sandbox of this kind (see `kind` in conftest.py), not yet started."""
    return make(
        kind.split("-")[0],
        SandboxSpec(session_id="contract", task_name="toy", public=public, limits=limits, **spec),
    )


def python(box: Sandbox, source: str, limits: Limits | None = None) -> Execution:
    """Run `source` as a program in the work folder."""
    box.put({"prog.py": textwrap.dedent(source).encode()})
    return box.run("python prog.py", limits)
