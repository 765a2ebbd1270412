"""What it costs to run a program: three small programs, every way to run them, in one table.

    python benchmarks/sandbox_latency.py [--n 9] [--hour 20]

An empty script, one that fits a logistic regression on a small table and one that groups a table
with pandas, through: bare `python`, the docker SDK's exec in a running container, `docker run --rm`,
bubblewrap with a fresh interpreter, and ours, warm and fresh, in each sandbox this machine has. The
ways take turns, so that a busy moment of the machine hits all of them alike. Medians of the wall
time as the caller sees it, and the ratio to two of them. `work` is what the program takes by its own
clock, from its first line to its last, in a warm fork; the overhead is what is above it.

`--hour N` runs the second program N times with two at once, and N times in a loop of docker SDK
execs, and says how many that makes an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

TABLE = "id,a,b,c,y\n" + "".join(
    f"{n},{n * 37 % 101},{n * 53 % 89},{n % 7},{int(n * 37 % 101 > 50)}\n" for n in range(300)
)
SKLEARN = """
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
train = pd.read_csv("/kaggle/input/bench/train.csv")
X, y = train[["a", "b", "c"]], train.y
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
print(model.score(X, y))
"""
PANDAS = """
import pandas as pd
train = pd.read_csv("/kaggle/input/bench/train.csv")
print(train.groupby("c").a.agg(["mean", "max"]).sort_values("mean"))
"""
PROGRAMS = {"empty": "", "scikit-learn": SKLEARN, "pandas": PANDAS}
SDK = "docker SDK exec"
Way = Callable[[str], None]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=9, help="runs of each program, each way")
    parser.add_argument("--hour", type=int, default=20, help="runs for the executions an hour; 0: leave out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        os.environ["MLEAGENT_HOME"] = f"{folder}/home"
        public = Path(folder, "public")
        public.mkdir()
        (public / "train.csv").write_text(TABLE)
        for path in (Path(folder), public):
            path.chmod(0o755)
        ways = dict(all_ways(public, Path(folder), stack))
        print_machine()
        works = {name: work(ways, name) for name in PROGRAMS}
        print_table(measure(ways, args.n), works)
        if args.hour:
            print_hour(ways, public, stack, args.hour)


def print_machine() -> None:
    """The machine and the versions."""
    import numpy
    import sklearn

    docker = output(["docker", "version", "--format", "{{.Server.Version}}"]) or "none"
    bwrap = output(["bwrap", "--version"]) or "none"
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {load}; docker {docker}, {bwrap}")
    print(
        f"Python {platform.python_version()}, numpy {numpy.__version__}, scikit-learn {sklearn.__version__}\n"
    )


def output(command: list[str]) -> str:
    """What a command says; '' when it can't."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()


# --- the ways -----------------------------------------------------------------


def all_ways(public: Path, folder: Path, stack: contextlib.ExitStack) -> Iterator[tuple[str, Way]]:
    """(name, function that runs the program of that name) of everything this machine has."""
    scripts = folder / "scripts"
    scripts.mkdir()
    for name, source in PROGRAMS.items():
        inside = scripts / f"run-{name}.py"
        inside.write_text(source)
        (scripts / f"bare-{name}.py").write_text(source.replace("/kaggle/input/bench", str(public)))
    threads = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    yield "bare python", lambda name: call([sys.executable, str(scripts / f"bare-{name}.py")], threads)
    image = docker_image()
    if image:
        yield from docker_ways(image, public, scripts, stack)
    kinds = [
        kind for kind, there in (("docker", bool(image)), ("bubblewrap", shutil.which("bwrap"))) if there
    ]
    for kind in [*kinds, "namespaces"]:
        yield f"ours warm, {kind}", ours(kind, public, stack, warm=True)
    for kind in [*kinds[1:], "namespaces"]:
        yield f"ours fresh, {kind}", ours(kind, public, stack, warm=False)


def docker_image() -> str:
    """The stock image if an engine has it."""
    from mleagent.errors import MleagentError
    from mleagent.sandbox import engine, image

    try:
        return image.ensure(engine.connect("docker"))
    except MleagentError:
        return ""


def docker_ways(
    image: str, public: Path, scripts: Path, stack: contextlib.ExitStack
) -> Iterator[tuple[str, Way]]:
    """What others do: an exec in a running container, and a container a run, hardened alike."""
    import docker

    client = docker.from_env()
    stack.callback(client.close)
    mounts = {
        str(public): {"bind": "/kaggle/input/bench", "mode": "ro"},
        str(scripts): {"bind": "/s", "mode": "ro"},
    }
    hardened: dict[str, Any] = {
        "network_mode": "none", "read_only": True, "cap_drop": ["ALL"], "mem_limit": "2g",
        "security_opt": ["no-new-privileges"], "user": "1000:1000", "init": True, "pids_limit": 128,
        "volumes": mounts, "environment": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    }  # fmt: skip
    box = client.containers.run(image, ["sleep", "3600"], detach=True, remove=True, **hardened)
    stack.callback(box.kill)

    def by_exec(name: str) -> None:
        done = box.exec_run(["python3", f"/s/run-{name}.py"], demux=True)
        assert done.exit_code == 0, done.output

    def by_run(name: str) -> None:
        client.containers.run(image, ["python3", f"/s/run-{name}.py"], remove=True, **hardened)

    yield SDK, by_exec
    yield "docker run --rm (SDK)", by_run


def ours(kind: str, public: Path, stack: contextlib.ExitStack, warm: bool) -> Way:
    """A started sandbox of ours with the programs in its work folder; warm once this returns."""
    from mleagent.protocols import SandboxSpec
    from mleagent.records import Limits
    from mleagent.sandbox.choose import make

    limits = Limits(wall_s=60, memory_mb=2048, disk_mb=64, pids=128, cpus=2)
    spec = SandboxSpec(session_id="bench", task_name="bench", public=public, limits=limits, warm=warm)
    sandbox = make(kind, spec)
    sandbox.start()
    stack.callback(sandbox.close)
    timed = "import time; began = time.perf_counter()\n{}\nprint('took', time.perf_counter() - began)\n"
    files: dict[str, bytes | None] = {f"run-{name}.py": source.encode() for name, source in PROGRAMS.items()}
    files |= {f"run-timed-{name}.py": timed.format(source).encode() for name, source in PROGRAMS.items()}
    sandbox.put(files)

    def run(name: str) -> str:
        done = sandbox.run(f"python run-{name}.py")
        assert done.status == "ok", done
        return done.output

    run("scikit-learn")
    return run  # type: ignore[return-value]


def call(command: list[str], env: dict[str, str]) -> None:
    """A plain child process."""
    subprocess.run(command, capture_output=True, check=True, env=env)


# --- measuring ----------------------------------------------------------------


def measure(ways: dict[str, Way], n: int) -> dict[str, dict[str, float]]:
    """{way: {program: median seconds}}; the ways take turns."""
    times: dict[str, dict[str, list[float]]] = {way: {name: [] for name in PROGRAMS} for way in ways}
    for turn in range(n + 1):
        for way, run in ways.items():
            for name in PROGRAMS:
                began = time.perf_counter()
                run(name)
                if turn:  # the first fills caches
                    times[way][name].append(time.perf_counter() - began)
    return {way: {name: statistics.median(x) for name, x in of.items()} for way, of in times.items()}


def work(ways: dict[str, Way], name: str) -> float:
    """Seconds a program takes by its own clock in a warm fork, the median of nine."""
    run: Any = ways["ours warm, namespaces"]
    return statistics.median(float(run(f"timed-{name}").split()[-1]) for _ in range(9))


def print_table(medians: dict[str, dict[str, float]], works: dict[str, float]) -> None:
    """Medians in milliseconds, ratios of the scikit-learn program, overhead of the empty one."""
    names = list(PROGRAMS)
    print("| way | " + " | ".join(f"{name}, ms" for name in names) + " | / bare python | / docker SDK exec |")
    print("|---|" + "---:|" * (len(names) + 2))
    for way, of in medians.items():
        ratios = [
            of["scikit-learn"] / medians[base]["scikit-learn"] if base in medians else 0
            for base in ("bare python", SDK)
        ]
        cells = [f"{of[name] * 1e3:.0f}" for name in names] + [f"{ratio:.3f}" for ratio in ratios]
        print(f"| {way} | " + " | ".join(cells) + " |")
    print("\nThe ratios are those of the scikit-learn program. Above the work itself, medians:")
    for way, of in medians.items():
        if "warm" in way:
            shown = [f"{name} {(of[name] - works[name]) * 1e3:.1f} ms" for name in names]
            print(f"  {way}: " + ", ".join(shown))


def print_hour(ways: dict[str, Way], public: Path, stack: contextlib.ExitStack, n: int) -> None:
    """Executions an hour of the scikit-learn program: two sandboxes at once against a loop of execs."""
    rates: dict[str, float] = {}
    if SDK in ways:
        rates[f"a loop of {SDK}"] = rate([ways[SDK]], max(4, n // 4))
    for kind in ("docker", "bubblewrap", "namespaces"):
        if f"ours warm, {kind}" in ways:
            pair = [ways[f"ours warm, {kind}"], ours(kind, public, stack, warm=True)]
            rates[f"two of ours, {kind}"] = rate(pair, n)
    base = next(iter(rates.values()))
    print("\nExecutions an hour of the scikit-learn program:")
    for way, value in rates.items():
        print(f"  {way}: {value:,.0f} ({value / base:.1f} x)")


def rate(ways: list[Way], n: int) -> float:
    """Executions an hour with one thread a way, `n` runs in all."""
    threads = [
        threading.Thread(target=lambda run=run: [run("scikit-learn") for _ in range(n // len(ways))])
        for run in ways
    ]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return n // len(ways) * len(ways) / (time.perf_counter() - began) * 3600


if __name__ == "__main__":
    main()
