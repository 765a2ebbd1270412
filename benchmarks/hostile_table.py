"""Every hostile program in every sandbox this machine has, as a Markdown table of verdicts.

    python benchmarks/hostile_table.py [--only WORD]

Prints the machine, a row a program, and what each sandbox says it does not isolate. A cell is the run's
verdict; one that was not contained is in capitals, with its problems below. Exit code 1 if there is one.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "hostile"))

from hostile_files import FILES
from hostile_kernel import KERNEL
from hostile_kit import Arena, Scene
from hostile_network import NETWORK
from hostile_resources import RESOURCES

from mleagent.errors import MleagentError

KINDS = ("docker", "podman", "bubblewrap", "namespaces")


def main() -> int:
    """Run and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="programs whose name holds this word")
    only = parser.parse_args().only
    programs = [p for p in (*FILES, *NETWORK, *KERNEL, *RESOURCES) if only in p.name]
    folder = Path(tempfile.mkdtemp(prefix="mleagent-hostile-"))
    table: dict[str, dict[str, str]] = {}
    gaps: dict[str, tuple[str, ...]] = {}
    problems: list[str] = []
    try:
        for kind in KINDS:
            place = folder / kind
            place.mkdir()
            with Scene(place) as scene:
                os.environ["MLEAGENT_HOME"] = str(scene.home)
                try:
                    arena = Arena(kind, scene)
                except MleagentError as error:
                    print(f"{kind}: not measured: {error}", file=sys.stderr)
                    continue
                table[kind] = {}
                began = time.monotonic()
                for program in programs:
                    verdict, found = arena.attempt(program)
                    table[kind][program.name] = verdict.upper() if found else verdict
                    problems += [f"{kind}: {program.name}: {line}" for line in found]
                gaps[kind] = arena.box.gaps
                arena.close()
                took = time.monotonic() - began
                print(f"{kind}: {len(programs)} programs in {took:.0f} s", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    _print(table, gaps, problems, [program.name for program in programs])
    return 1 if problems else 0


def _print(
    table: dict[str, dict[str, str]], gaps: dict[str, tuple[str, ...]], problems: list[str], names: list[str]
) -> None:
    print(f"Linux {platform.release()} on {platform.machine()}, Python {platform.python_version()}\n")
    print("| program | " + " | ".join(table) + " |")
    print("|---|" + "---|" * len(table))
    for name in names:
        print(f"| {name} | " + " | ".join(column[name] for column in table.values()) + " |")
    print(f"\n{len(names)} programs, {len(problems)} problems")
    for line in problems:
        print(f"- {line}")
    print("\nNot isolated, as the sandboxes say themselves:")
    for kind, lines in gaps.items():
        print(f"- {kind}: {'; '.join(lines) or 'nothing known'}")


if __name__ == "__main__":
    sys.exit(main())
