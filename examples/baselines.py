"""Measures what a dummy, the playbook and a strong hand-written solution score on each example.

    python examples/baselines.py                    dummy and strong columns
    python examples/baselines.py --playbook         the playbook column (runs `mleagent solve`)
    python examples/baselines.py --only wine        one example

Scores are on the sealed rows, the mean over five split seeds, since these tables are small.
Hand-written solutions are plain scripts in `baselines/`; they see the prepared public folder
only, as an agent would. Results go to `baselines/results.json` and into the table of
README.md; a run replaces only what it measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "baselines" / "results.json"
EVAL = "own-script"
SEEDS = range(5)
Measured = dict[str, float]


def run(command: list[str], folder: Path) -> str:
    """Standard output of a command; its stderr is shown when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed in {folder}:\n{done.stderr[-2000:]}")
    return done.stdout


def mean(values: list[float]) -> float:
    """The mean to six digits."""
    return round(statistics.fmean(values), 6)


def measure_strong(name: str, home: Path) -> dict[str, Measured]:
    """Sealed score and utility of the best constant and of `baselines/<name>.py`."""
    from mleagent.task.grade import Grader
    from mleagent.task.options import load, merged
    from mleagent.task.prepare import prepare

    dummies, scores, utilities, seconds, rows = [], [], [], [], []
    for seed in SEEDS:
        task = prepare(HERE / name, merged(load(HERE / name), seed=seed), home)
        assert task.private is not None
        grader = Grader(task.private)
        with tempfile.TemporaryDirectory() as work:
            for entry in task.public.iterdir():
                (Path(work) / entry.name).symlink_to(entry)
            started = time.monotonic()
            run([sys.executable, str(HERE / "baselines" / f"{name}.py")], Path(work))
            seconds.append(time.monotonic() - started)
            sealed = grader.seal((Path(work) / "submission.csv").read_bytes())
        dummies.append(grader.dummy("sealed"))
        scores.append(sealed.score.value)
        utilities.append(sealed.utility)
        rows.append(task.rows_sealed)
    return {
        "dummy": {"score": mean(dummies), "utility": 0.0},
        "strong": {
            "score": mean(scores),
            "utility": mean(utilities),
            "seconds": round(statistics.median(seconds), 1),
        },
        "rows": {"sealed": rows[0]},
    }


def measure_project(name: str) -> dict[str, Measured]:
    """The same for a project with an eval script: its own script is the start."""
    scores = {}
    for column, script in (
        ("start", HERE / name / "train.py"),
        ("strong", HERE / "baselines" / f"{name}.py"),
    ):
        with tempfile.TemporaryDirectory() as work:
            shutil.copytree(HERE / name, work, dirs_exist_ok=True)
            shutil.copy(script, Path(work) / "train.py")
            run([sys.executable, "train.py"], Path(work))
            scores[column] = {"score": float(run([sys.executable, "eval.py"], Path(work)).split()[-1])}
    labels = pd.read_csv(HERE / name / "data" / "valid.csv")["digit"]
    scores["dummy"] = {"score": mean([(labels == labels.mode()[0]).mean()])}
    return scores


def measure_playbook(name: str, steps: int, sandbox: str = "auto") -> dict[str, Measured]:
    """What `mleagent solve` with the playbook reaches in so many steps."""
    scores, utilities, seconds = [], [], []
    for seed in SEEDS if name != EVAL else SEEDS[:1]:
        with tempfile.TemporaryDirectory() as home:
            program = Path(sys.executable).with_name("mleagent")
            options = f"--model playbook --headless --json --steps {steps} --split-seed {seed} --sandbox {sandbox}"
            command = [str(program), "solve", str(HERE / name), *options.split()]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                env={**os.environ, "MLEAGENT_HOME": home},
                timeout=3600,
                check=False,
            )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        end = json.loads(done.stdout.strip().splitlines()[-1])
        scores.append(end["sealed"] if end["sealed"] is not None else end["best_feedback"])
        utilities += [end["utility"]] if end["utility"] is not None else []
        seconds.append(end["wall_s"])
    measured = {
        "score": mean(scores),
        "seconds": round(statistics.median(seconds), 1),
        "steps": steps,
        **({"utility": mean(utilities)} if utilities else {}),
    }
    return {"playbook": measured}


def cell(values: Measured | None, utility: bool = True) -> str:
    """`0.9915 (u 0.98)`, or a dash for what was not measured."""
    if not values:
        return "–"
    score = f"{values['score']:.2f}" if abs(values["score"]) >= 10 else f"{values['score']:.4f}"
    return f"{score} (u {values['utility']:.2f})" if utility and "utility" in values else score


def table(results: dict[str, dict[str, Measured]], metrics: dict[str, str]) -> str:
    """The Markdown table of README.md."""
    lines = ["| example | metric | sealed rows | dummy | playbook | strong |", "|---|---|---|---|---|---|"]
    for name, columns in results.items():
        rows = int(columns["rows"]["sealed"]) if "rows" in columns else "self-reported"
        dummy = cell(columns.get("dummy"), utility=False)
        if "start" in columns:
            dummy += f", its own script {columns['start']['score']:.4f}"
        playbook, strong = cell(columns.get("playbook")), cell(columns.get("strong"))
        lines.append(f"| {name} | {metrics[name]} | {rows} | {dummy} | {playbook} | {strong} |")
    return "\n".join(lines)


METRICS = {
    "breast-cancer": "ROC AUC ↑",
    "wine": "log loss ↓",
    "diabetes": "RMSE ↓",
    "blood-panel": "MCRMSE ↓",
    "digits": "accuracy ↑",
    "digits-images": "macro F1 ↑",
    "messy-shop": "ROC AUC ↑",
    EVAL: "accuracy ↑",
}


def versions() -> str:
    """What the numbers were measured with."""
    import sklearn

    system = (
        f"Python {platform.python_version()}, scikit-learn {sklearn.__version__}, pandas {pd.__version__}"
    )
    return f"{system}, {os.cpu_count()} × {platform.machine()}"


def publish(results: dict[str, dict[str, Measured]]) -> None:
    """Keep the numbers and write the table between the marks of README.md."""
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    readme = HERE / "README.md"
    text = f"{table(results, METRICS)}\n\nMeasured with {versions()}."
    before, mark, rest = readme.read_text(encoding="utf-8").partition("<!-- scores -->\n")
    _, end, after = rest.partition("<!-- /scores -->")
    if not mark or not end:
        raise SystemExit(f"{readme}: the marks <!-- scores --> and <!-- /scores --> are gone; put them back")
    readme.write_text(f"{before}{mark}{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    """Measure, keep, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--playbook", action="store_true", help="measure the playbook instead")
    parser.add_argument("--steps", type=int, default=8, help="steps of the playbook")
    parser.add_argument("--sandbox", default="auto", help="where the playbook runs")
    parser.add_argument("--print", action="store_true", help="only print, leave results and README alone")
    parser.add_argument("--only", choices=METRICS, help="one example")
    args = parser.parse_args()
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    for name in [args.only] if args.only else METRICS:
        with tempfile.TemporaryDirectory() as home:
            if args.playbook:
                new = measure_playbook(name, args.steps, args.sandbox)
            else:
                new = measure_project(name) if name == EVAL else measure_strong(name, Path(home))
        results[name] = {**results.get(name, {}), **new}
        print(name, json.dumps(new), flush=True)
        if not args.print:
            publish({key: results[key] for key in METRICS if key in results})


if __name__ == "__main__":
    main()
