"""How long `mleagent --help` takes beside a bare import of typer and rich, and beside `mini --help`.

Run with the venv's Python: `python benchmarks/help_time.py [PATH_OF_mini]`, where mini is that
of mini-swe-agent in a venv of its own. The commands are timed in turn, so that a busy machine
hits all alike; medians and ratios are printed.
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 21


def main() -> None:
    """Time the commands in turn and print the table."""
    ours = Path(sys.executable).with_name("mleagent")
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "import typer, rich.console": [sys.executable, "-c", "import typer, rich.console"],
        "mleagent --help": [str(ours), "--help"]
        if ours.exists()
        else [sys.executable, "-m", "mleagent.cli.app", "--help"],
    }
    if len(sys.argv) > 1:
        commands["mini --help"] = [sys.argv[1], "--help"]
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
            times[name].append(time.perf_counter() - started)
    print(f"{platform.platform()}, Python {platform.python_version()}, {RUNS} runs each, medians")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:<28} {median * 1000:7.1f} ms   ours / it: {medians['mleagent --help'] / median:.2f}")


if __name__ == "__main__":
    main()
