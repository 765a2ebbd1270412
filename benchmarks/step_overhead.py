"""What a step costs besides the model and the execution: parsing, sandbox traffic, grading, checkpoint, log.

    python benchmarks/step_overhead.py [--steps 200] [--sandbox namespaces] [--example breast-cancer]

A scripted policy writes a tiny program that leaves a valid submission, a different one at
every step. Each step's own record says how long it took in all, how long the policy and the
program; what is left is the framework's. Prints median and p99 over all steps, and the medians
of the first and the last twenty steps after step 5 with their ratio.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """Plan: attempt {number}
<write path="solution.py">
import csv, random
rows = list(csv.reader(open("/kaggle/input/{task}/sample_submission.csv")))
random.seed({number})
with open("submission.csv", "w", newline="") as out:
    writer = csv.writer(out)
    writer.writerow(rows[0])
    for row in rows[1:]:
        writer.writerow([row[0], *[round(random.random(), 4) for _ in row[1:]]])
print("saved", len(rows))
</write>"""


def main() -> None:
    """Run the session and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--sandbox", default="namespaces")
    parser.add_argument("--example", default="breast-cancer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["MLEAGENT_HOME"] = home
        costs, runs = measure(args.steps, args.sandbox, args.example)
    early, late = costs[5:25], costs[-20:]
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    print(f"{args.example}, {args.sandbox}, {len(costs)} steps; a run takes {ms(statistics.median(runs))}")
    print(f"overhead a step: median {ms(statistics.median(costs))}, p99 {ms(percentile(costs, 99))}")
    a, b = statistics.median(early), statistics.median(late)
    print(f"median of steps 6-25 {ms(a)}, of the last 20 {ms(b)}, ratio {b / a:.2f}")


def measure(steps: int, sandbox: str, example: str) -> tuple[list[float], list[float]]:
    """Overheads and durations of the runs, in seconds, step by step."""
    from mleagent.agent.finish import finish
    from mleagent.agent.start import new_session
    from mleagent.agent.wish import Wish
    from mleagent.config import load_settings
    from mleagent.policy.scripted import ScriptedPolicy

    replies = [PROGRAM.format(number=n, task=example) for n in range(steps)] + ["<submit/>"]
    settings = load_settings(model="playbook", sandbox=sandbox, steps=steps + 1, patience=steps + 1)
    solver = new_session(Wish(ROOT / "examples" / example, settings))
    solver.parts.policy = ScriptedPolicy(replies)
    try:
        solver.run(finish)
    finally:
        solver.parts.close()
    done = [step for step in solver.steps if step.facts.executed]
    return [step.overhead_s for step in done], [step.facts.duration_s for step in done]


def ms(seconds: float) -> str:
    """Milliseconds with one decimal."""
    return f"{seconds * 1e3:.1f} ms"


def percentile(values: list[float], percent: int) -> float:
    """The nearest-rank percentile."""
    return sorted(values)[min(len(values) - 1, round(percent / 100 * len(values)))]


if __name__ == "__main__":
    main()
