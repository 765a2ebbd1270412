"""Do thousands of executions leave anything behind? Memory, descriptors, processes, containers, disk.

    python benchmarks/sandbox_soak.py [--runs 2000] [--kinds namespaces,docker] [--pool]

Runs in a row in one sandbox (and with --pool through a pool of two, a lease for every five):
most write files and end well, some fail, some leave a daemon behind, some exceed their time.
Measured after 50 runs of warming up and at the end, from the host, as root for all of it.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from mleagent.config import data_home
from mleagent.protocols import Sandbox, SandboxSpec
from mleagent.records import Limits
from mleagent.sandbox.choose import make
from mleagent.sandbox.pool import Pool

WARM_UP = 50
SCRIPT = b"""import json, os, sys
for n in range(5):
    with open(f"{n}.json", "w") as file:
        json.dump({"pid": os.getpid(), "n": list(range(2000))}, file)
print(sum(json.load(open("1.json"))["n"]))
sys.exit(int(sys.argv[1]))
"""


@dataclass
class Snapshot:
    """What is held at one moment."""

    host_mb: float
    """Resident memory of this process."""
    host_descriptors: int
    host_threads: int
    inside_processes: int
    inside_mb: float
    inside_descriptors: int
    containers: int
    cgroups: int
    disk_kb: int
    """Data folder and our temporary folders."""

    def growth(self, before: Snapshot) -> dict[str, float]:
        """Each field less that of `before`."""
        return {name: value - getattr(before, name) for name, value in asdict(self).items()}


def main() -> None:
    """Print a table for each kind and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--kinds", default="namespaces,docker")
    parser.add_argument("--pool", action="store_true")
    args = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    for kind in args.kinds.split(","):
        with tempfile.TemporaryDirectory() as home:
            os.environ["MLEAGENT_HOME"] = home
            began = time.monotonic()
            before, after = soak(kind, args.runs, args.pool)
            took = time.monotonic() - began
        way = "pool of 2" if args.pool else "one sandbox"
        print(f"\n{kind}, {way}, {args.runs} runs after {WARM_UP}, {took:.0f} s")
        for name, change in after.growth(before).items():
            print(
                f"  {name:<20} {getattr(before, name):>10.1f} {getattr(after, name):>10.1f} {change:>+9.1f}"
            )


def soak(kind: str, runs: int, pooled: bool = False, warm_up: int = WARM_UP) -> tuple[Snapshot, Snapshot]:
    """What is held after the warming up, and after `runs` more runs."""
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder)
        public.chmod(0o755)
        (public / "train.csv").write_text("a,b\n1,2\n")
        spec = SandboxSpec(
            session_id="soak",
            task_name="soak",
            public=public,
            limits=Limits(memory_mb=512, disk_mb=64, pids=64),
        )
        with _used(kind, spec, pooled) as use:
            use(warm_up)
            before = snapshot(spec.session_id)
            use(runs)
            return before, snapshot(spec.session_id)


@contextmanager
def _used(kind: str, spec: SandboxSpec, pooled: bool) -> Iterator[object]:
    maker = partial(make, kind)
    if pooled:
        with Pool(maker, 2) as pool:
            pool.prepare(spec, 2)

            def through_pool(count: int) -> None:
                for at in range(0, count, 5):
                    with pool.lease(spec) as box:
                        exercise(box, range(at, min(at + 5, count)))

            yield through_pool
        return
    box = maker(spec)
    box.start()
    try:
        yield lambda count: exercise(box, range(count))
    finally:
        box.close()


def exercise(box: Sandbox, numbers: range) -> None:
    """A run for each number; raises AssertionError when one does not end as it must."""
    for number in numbers:
        box.put({"prog.py": SCRIPT, f"in/{number % 7}.txt": b"x" * 5000})
        if number % 100 == 40:
            wanted, result = "timeout", box.run("sleep 30", Limits(wall_s=0.2))
        elif number % 25 == 10:
            wanted, result = "ok", box.run("(setsid sleep 100 &) ; (sleep 100 &) ; echo x > $TMPDIR/left")
        else:
            code = 3 if number % 10 == 3 else 0
            wanted, result = "error" if code else "ok", box.run(f"python prog.py {code}")
        assert result.status == wanted, (number, result)
        box.pull(10**7)


# --- measuring ----------------------------------------------------------------


def snapshot(session: str) -> Snapshot:
    """Measure this process, what it started, and what lies about."""
    gc.collect()
    roots, containers = _containers(session)
    inside = _below([os.getpid(), *roots]) - {os.getpid()}
    return Snapshot(
        host_mb=_resident_mb(os.getpid()),
        host_descriptors=len(os.listdir("/proc/self/fd")),
        host_threads=len(os.listdir("/proc/self/task")),
        inside_processes=len(inside),
        inside_mb=sum(map(_resident_mb, inside)),
        inside_descriptors=sum(_descriptors(pid) for pid in inside),
        containers=containers,
        cgroups=sum(1 for _ in Path("/sys/fs/cgroup").glob(f"**/mleagent-{os.getpid()}-*")),
        disk_kb=_disk_kb(),
    )


def _containers(session: str) -> tuple[list[int], int]:
    """(main processes, number) of the session's containers."""
    from mleagent.errors import UnavailableError
    from mleagent.sandbox import engine, reap

    try:
        client = engine.connect("docker")
    except UnavailableError:
        return [], 0
    try:
        wanted = {"label": [f"{reap.SESSION}={session}", f"{reap.PID}={os.getpid()}"]}
        found = client.containers.list(all=True, filters=wanted)
        return [int(one.attrs["State"]["Pid"]) for one in found if one.attrs["State"]["Pid"]], len(found)
    finally:
        client.close()


def _below(roots: list[int]) -> set[int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found, size = set(roots), 0
    while size != len(found):
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def _resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def _descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _disk_kb() -> int:
    own = Path(tempfile.gettempdir()).glob(f"mleagent-*-{os.getpid()}-*")
    files = [file for top in (data_home(), *own) for file in top.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files) // 1024


if __name__ == "__main__":
    main()
