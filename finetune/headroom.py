"""The headroom table: is there something to learn on the synthetic tasks, before any model is trained?

`python -m finetune.headroom` runs the panel and random plans on train and report tasks (resumable; CPU
minutes, no model, no sandbox), and writes to `benchmarks/results/` the table with its verdict on the two
thresholds of DESIGN §10, a heat map of ideas against generating processes, and the same map as CSV.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mleagent.config import data_home

from .headroom_map import as_csv, as_text, effects
from .headroom_rules import BUDGETS, constant_plans, table
from .headroom_run import TaskRuns, execute
from .ideas import plan_line
from .plans import PANEL
from .synth_base import Floats
from .synth_sets import load, per_family

Table = Mapping[str, Mapping[int, Floats]]
NEEDED = {"random to oracle": ("random", "oracle", 0.15), "constant to profile-aware": (
    "constant", "profile-aware", 0.03)}  # fmt: skip
"""DESIGN §10: by how much the second column must lie above the first at 3 executions."""
_AT = 3


def verdicts(found: Table) -> list[tuple[str, float, float, float, bool]]:
    """(what, gap, its standard error over tasks, least wanted, whether it holds)."""
    rows = []
    for what, (low, high, least) in NEEDED.items():
        gaps = found[high][_AT] - found[low][_AT]
        mean, error = float(gaps.mean()), float(gaps.std(ddof=1) / np.sqrt(len(gaps)))
        rows.append((what, mean, error, least, mean >= least))
    return rows


def degenerate(report: Sequence[TaskRuns]) -> list[TaskRuns]:
    """Tasks where hardly anything works: few plans (under 1 in 20) reach half of the best, or none any."""
    found = []
    for task in report:
        values = np.array([run.unseen for run in task.runs])
        if values.max() <= 0 or float((values >= values.max() / 2).mean()) < 0.05:
            found.append(task)
    return found


def document(train: Sequence[TaskRuns], report: Sequence[TaskRuns], command: str) -> str:
    """The page `headroom.md`."""
    found = table(train, report)
    runs = [run for task in (*train, *report) for run in task.runs]
    seconds = np.array([run.cpu_s for run in runs])
    lines = [
        "# Headroom: is there something to learn on the synthetic tasks?",
        "",
        f"Mean sealed utility of {len(report)} report tasks by number of executions, standard error over "
        f"tasks in brackets. Recipes were chosen on {len(train)} train tasks. What each column means is said "
        "in `finetune/headroom_rules.py`; sealed here are all rows whose labels no program is shown (the "
        "sealed part and the task's own test rows).",
        "",
        "| executions | " + " | ".join(found) + " |",
        "|---|" + "---|" * len(found),
    ]
    for count in BUDGETS:
        cells = [f"{v[count].mean():.3f} ({_error(v[count]):.3f})" for v in found.values()]
        lines.append(f"| {count} | " + " | ".join(cells) + " |")
    lines += ["", f"At {_AT} executions:", ""]
    for what, gap, error, least, holds in verdicts(found):
        lines.append(
            f"- {what}: +{gap:.3f} ± {error:.3f} (wanted ≥ {least}): {'holds' if holds else 'FAILS'}"
        )
    best = ", then ".join(f"`{plan_line(PANEL[number])}`" for number in constant_plans(train)[:_AT])
    odd = degenerate(report)
    lines += [
        "",
        f"The constant recipe: {best}.",
        "",
        f"{len(runs)} runs, {sum(run.valid for run in runs) / len(runs):.2%} left a valid submission. CPU "
        f"seconds of a run in a warm process: median {np.median(seconds):.3f}, 90 % under "
        f"{np.quantile(seconds, 0.9):.3f}. Program length in pre-token pieces: median "
        f"{np.median([run.pieces for run in runs]):.0f}, 90 % under "
        f"{np.quantile([run.pieces for run in runs], 0.9):.0f}. Report tasks where under a twentieth of the "
        f"plans reach half of the best: {len(odd)} ({', '.join(sorted(t.family for t in odd)) or 'none'}).",
        "",
        f"Made by `{command}` on {platform.machine()}, Python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in ("numpy", "pandas", "scikit-learn"))
        + ".",
        "",
        "## Recipes against generating processes",
        "",
        "Utility of a panel recipe minus the mean of random plans on the same tasks, in hundredths; `.` is "
        "within 3 of it. All train and report tasks. The numbers as CSV: `headroom_map.csv`.",
        "",
        "```",
        as_text(effects([*train, *report])),
        "```",
        "",
    ]
    return "\n".join(lines)


def _error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def _version(name: str) -> str:
    from importlib.metadata import version

    return version(name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is missing, write the documents; 0 when both thresholds hold, 1 when one fails."""
    parser = argparse.ArgumentParser(prog="python -m finetune.headroom", description=__doc__)
    parser.add_argument("--train", type=int, default=2, help="train tasks a family (default 2)")
    parser.add_argument("--report", type=int, default=72, help="report tasks (default 72, all)")
    parser.add_argument("--random", type=int, default=24, help="random plans a report task (default 24)")
    parser.add_argument(
        "--runs", type=Path, default=data_home() / "headroom.jsonl", help="results, appended to"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="folder of the documents"
    )
    options = parser.parse_args(arguments)
    listed = load().entries
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    wanted = per_family([e for e in listed if e.set == "train"], options.train)
    train = execute(wanted, options.runs, min(8, options.random), say)
    chosen = [e for e in listed if e.set == "report"][: options.report]
    report = execute(chosen, options.runs, options.random, say)
    command = f"python -m finetune.headroom --train {options.train} --report {options.report}"
    text = document(train, report, f"{command} --random {options.random}")
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "headroom.md").write_text(text, encoding="utf-8")
    (options.out / "headroom_map.csv").write_text(as_csv(effects([*train, *report])), encoding="utf-8")
    print(text.split("\n## ")[0])
    return 0 if all(holds for *_, holds in verdicts(table(train, report))) else 1


if __name__ == "__main__":
    sys.exit(main())
