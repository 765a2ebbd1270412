"""What every hostile program is judged by: the host it must not touch, and the postcondition.

A `Program` is data. `Scene` is a host with things worth stealing or breaking: held-out labels, other
sessions, the user's own files, servers, secrets in a neighbour's environment, all readable by everybody, so
that only the sandbox keeps a program from them. `attempt` runs one program in a sandbox and lists what is
wrong: an empty list means contained.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import select
import socket
import subprocess
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mleagent.errors import SandboxError, SandboxLostError
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Execution, Limits
from mleagent.sandbox.choose import make

LIMITS = Limits(wall_s=20, memory_mb=384, disk_mb=32, pids=64, cpus=1, output_bytes=64_000)
GRACE_S = 12.0
"""How long past its limit a run may take to be ended and cleared on a busy machine."""
END = "end of program"

PRELUDE = """\
import ctypes, json, os, signal, socket, subprocess, sys, time
FACTS = json.loads('''{facts}''')
libc = ctypes.CDLL(None, use_errno=True)
def tried(what, call, *arguments):
    try:
        got = call(*arguments)
    except (OSError, ValueError, OverflowError, subprocess.SubprocessError) as error:
        return print("held", what, type(error).__name__)
    print("ESCAPED", what, repr(got)[:300])
def refused(what, result):
    print("held" if result == -1 else "ESCAPED", what, result)
def others():
    own = {{os.getpid()}}
    here = os.getpid()
    while here > 1:
        stat = open(f"/proc/{{here}}/stat").read().rpartition(")")[2].split()
        here = int(stat[1])
        # A shell may stand between the runner and this program; that one is its own.
        if open(f"/proc/{{here}}/cmdline", "rb").read().startswith(b"sh\\0"):
            own.add(here)
    return sorted({{int(name) for name in os.listdir("/proc") if name.isdigit()}} - own)
"""

ORDINARY = """\
import builtins, csv, os, sys
assert type(print) is type(len) and builtins.print is print, print
import json, numpy, random
assert numpy.mean([1.0, 3.0]) == 2.0 and json.loads("[1]") == [1] and "evil" not in sys.modules
python = {path.split("/")[2] for path in (sys.prefix, sys.base_prefix, *sys.path) if path.startswith("/tmp/")}
left = set(os.listdir("/tmp") + os.listdir("/dev/shm")) - python  # of a checkout that lies in /tmp
assert not left or os.environ["HOME"] != "/tmp", left
total = sum(int(row["y"]) for row in csv.DictReader(open("input/train.csv")))
print("ordinary", total)
"""
PROCESSES = (
    "python -c \"import os; print(*sorted(open(f'/proc/{p}/stat').read().split(' (')[1].split(')')[0]"
    " for p in os.listdir('/proc') if p.isdigit()))\""
)


@dataclass(frozen=True)
class Visit:
    """What a program's own check may look at after the run."""

    scene: Scene
    box: Sandbox
    run: Execution
    files: dict[str, bytes]
    """What came out of the work folder."""
    skipped: str


Check = Callable[[Visit], Iterator[str] | list[str]]


@dataclass(frozen=True)
class Program:
    """A hostile program and what may become of it."""

    name: str
    source: str
    allowed: tuple[str, ...] = ("ok",)
    """Verdicts that count as contained."""
    ends: bool = True
    """It must reach its last line: every attempt was made."""
    wall_s: float = 20.0
    command: str = "python prog.py"
    check: Check | None = None
    """Problems that only this program could have made."""
    safe: bool = False
    """May run without isolation, on files the test made itself: there its check must fail."""
    seen_from_host: Callable[[Scene], str] | None = None
    """Called on the host when the program's first line arrives; a problem or ''."""


class Scene:
    """A host with something to lose. Use as a context manager."""

    def __init__(self, root: Path) -> None:
        self.root, self.secret, self.token = root, secrets.token_hex(16), f"7{secrets.randbelow(10**8):08d}"
        self.public, self.home, self.user = root / "public", root / "home", root / "user"
        for folder in (self.public, self.home, self.user):
            folder.mkdir()
        self.labels = self._write(self.home / f"tasks/x/private/labels-{self.token}.csv")
        self.other = self._write(self.home / f"sessions/other/work/notes-{self.token}.txt")
        self.own = self._write(self.user / f"diary-{self.token}.txt")
        (self.public / "train.csv").write_text("id,y\n1,0\n2,1\n3,1\n")
        (self.public / "sample_submission.csv").write_text("id,y\n4,0\n")
        self._open_to_all()
        self._closing = contextlib.ExitStack()

    def _write(self, path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{self.secret}\n")
        return path

    def _open_to_all(self) -> None:
        for path in (self.root, *self.root.rglob("*")):
            path.chmod(0o777 if path.is_dir() else 0o666)

    def __enter__(self) -> Scene:
        self.servers = [
            self._server(socket.AF_INET, ("0.0.0.0", 0)),
            self._server(socket.AF_UNIX, str(self.root / "s")),
        ]
        self.servers.append(self._server(socket.AF_UNIX, f"\0mleagent-{self.token}"))
        with contextlib.suppress(OSError):
            self.servers.append(self._server(socket.AF_INET6, ("::1", 0)))
        self.datagrams = self._closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.datagrams.bind(("0.0.0.0", 0))
        neighbour = subprocess.Popen(["sleep", "3600"], env={**os.environ, "API_KEY": self.secret})
        self._closing.callback(neighbour.wait)
        self._closing.callback(neighbour.kill)
        self._before = self._state()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _server(self, family: int, address: object) -> socket.socket:
        server = self._closing.enter_context(socket.socket(family))
        server.bind(address)
        server.listen()
        return server

    @property
    def facts(self) -> dict[str, object]:
        """What a program that knows this host well would know."""
        return {
            "token": self.token,
            "hidden": [str(path) for path in (self.labels, self.other, self.own)],
            "folders": [str(path) for path in (self.home, self.user, self.public)],
            "tcp": self.servers[0].getsockname()[1],
            "tcp6": self.servers[3].getsockname()[1] if len(self.servers) > 3 else 1,
            "udp": self.datagrams.getsockname()[1],
            "unix": str(self.root / "s"),
            "abstract": f"mleagent-{self.token}",
            "pid": os.getpid(),
        }

    def settle(self) -> None:
        """Take the host as it is now as untouched."""
        self._before = self._state()

    def changes(self) -> list[str]:
        """What is no longer as it was on the host, and what still runs there."""
        now = self._state()
        found = [f"host: {name} changed" for name in now if now[name] != self._before[name]]
        self._before = now
        ready = select.select([*self.servers, self.datagrams], [], [], 0)[0]
        for server in ready:
            found.append(f"host: {server.getsockname()!r} was reached")
            with contextlib.suppress(OSError):
                server.recv(1) if server is self.datagrams else server.accept()[0].close()
        return found + self._alive()

    def _alive(self) -> list[str]:
        """Processes with the token on their command line; given a moment to be gone."""
        deadline = time.monotonic() + 2
        while True:
            alive = [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if self._marked(path)]
            if not alive or time.monotonic() > deadline:
                return [f"host: process {pid} still runs" for pid in alive]
            time.sleep(0.05)

    def _marked(self, path: Path) -> bool:
        with contextlib.suppress(OSError):
            return self.token.encode() in path.read_bytes()
        return False

    def _state(self) -> dict[str, object]:
        files = {
            str(path): (path.stat().st_mode, path.stat().st_size, path.is_file() and _digest(path))
            for path in sorted(self.root.rglob("*"))
            if not path.is_socket()
        }
        kernel = [Path(f"/proc/sys/kernel/{name}") for name in ("hostname", "domainname", "core_pattern")]
        return {
            "files": files,
            "kernel settings": [path.read_text() for path in kernel if path.exists()],
            "clock": round((time.time() - time.monotonic()) / 30),
            "droppings": [
                p.name for p in (*Path("/tmp").iterdir(), *Path("/dev/shm").iterdir()) if self.token in p.name
            ],
        }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Arena:
    """One sandbox of a kind that meets program after program; made anew only when it was lost."""

    def __init__(self, kind: str, scene: Scene) -> None:
        self.kind, self.scene, self.started = kind, scene, 0
        spec = SandboxSpec(session_id="hostile", task_name="toy", public=scene.public, limits=LIMITS)
        self.box: Sandbox = make(kind, spec)
        self._usual: Counter[str] = Counter()
        self._start()

    def _start(self) -> None:
        self.box.start()
        self.started += 1
        self.box.put({"ordinary.py": ORDINARY.encode()})
        self.box.run("python ordinary.py")
        self._usual = Counter(self.box.run(PROCESSES).output.split())
        self.scene.settle()  # the start itself may write into the data folder

    def close(self) -> None:
        self.box.close()

    def attempt(self, program: Program) -> tuple[str, list[str]]:
        """Run it: (verdict, problems). The sandbox is usable afterwards, or the attempt is a problem."""
        source = PRELUDE.format(facts=json.dumps(self.scene.facts)) + textwrap.dedent(program.source)
        if program.ends:
            source += f'\nprint("{END}")\n'
        problems: list[str] = []

        def on_output(_text: str) -> None:
            if program.seen_from_host and not looked:
                looked.append(program.seen_from_host(self.scene))

        looked: list[str] = []
        self.box.put({"prog.py": source.encode()})
        began = time.monotonic()
        run = self.box.run(program.command, LIMITS.model_copy(update={"wall_s": program.wall_s}), on_output)
        if time.monotonic() - began > program.wall_s + GRACE_S:
            problems.append(f"ended only after {time.monotonic() - began:.0f} s")
        problems += [line for line in looked if line]
        problems += self._verdict(program, run)
        problems += self.scene.changes()
        try:
            problems += self._files(program, run) if run.status != "lost" else []
            problems += self._next_run()
        except SandboxError as error:
            problems.append(f"the sandbox did not survive: {error}")
            self._start()
        return run.status, problems

    def _verdict(self, program: Program, run: Execution) -> list[str]:
        found = [line[:300] for line in run.output.splitlines() if line.startswith("ESCAPED")]
        if run.status not in program.allowed:
            found.append(
                f"verdict {run.status} ({run.detail}), not {'/'.join(program.allowed)}: {run.output[-600:]}"
            )
        if program.ends and run.status == "ok" and not run.output.endswith(f"{END}\n"):
            found.append(f"did not reach its end: {run.output[-300:]!r}")
        if self.scene.secret in run.output:
            found.append("a secret of the host was printed")
        if any((ord(c) < 32 and c not in "\n\t") or c in "\x7f\x9b\u202e" for c in run.output):
            found.append("the output holds control characters")
        if len(run.output.encode()) > LIMITS.output_bytes + 200:
            found.append(f"{len(run.output)} characters of output were kept")
        return found

    def _files(self, program: Program, run: Execution) -> list[str]:
        files = self.box.pull(1 << 20)
        found = [
            f"{path} holds a secret of the host"
            for path, data in files.items()
            if self.scene.secret.encode() in data
        ]
        if sum(map(len, files.values())) > 1 << 20:
            found.append("more bytes came out than were asked for")
        if program.check is not None:
            found += program.check(Visit(self.scene, self.box, run, files, "\n".join(self.box.skipped)))
        return found

    def _next_run(self) -> list[str]:
        """The same sandbox can be emptied, and serves an ordinary program as if nothing had been."""
        found = []
        emptied = self.box.run("find . -mindepth 1 -delete")
        if emptied.status != "ok" or self.box.pull(1 << 20):
            found.append(f"the work folder can't be emptied: {emptied.output[-300:]}")
        self.box.put({"ordinary.py": ORDINARY.encode()})
        run = self.box.run("python ordinary.py")
        if (run.status, run.output) != ("ok", "ordinary 2\n"):
            found.append(f"the next ordinary run: {run.status} {run.detail} {run.output[-300:]}")
        left = Counter(self.box.run(PROCESSES).output.split()) - self._usual
        return found + [f"{name} still runs inside" for name in left]


__all__ = ["Arena", "Check", "LIMITS", "Program", "SandboxLostError", "Scene", "Visit"]
