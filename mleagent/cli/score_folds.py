"""`mleagent score --folds N`: a script over N different splits of the same task.

Each split is prepared of its own (split seeds 0 … N-1), the script runs once on each,
and the mean is given with its standard error over splits. The splits share rows, so
that error is a rough one; the scores are of the feedback kind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import InputError
from ..trajectory.lines import duration, with_error

if TYPE_CHECKING:
    from ..agent.wish import Wish
    from ..records import Grade, Score


@dataclass(frozen=True)
class Row:
    """What a script scored on one split."""

    seed: int
    grade: Grade
    submission: bytes | None
    seconds: float


def show_folds(wish: Wish, file: Path | None, folds: int, as_json: bool) -> None:
    """Run and print a row a split, then the mean. Raises InputError where splits can't differ."""
    from .score_cmd import as_row, in_words, run_once

    rows, scores, data = [], [], []
    for seed in range(folds):
        task, row = run_once(replace(wish, split_seed=seed), file, quiet=True)
        if task.private is None:
            raise InputError("--folds: nothing is held out in this project, so there is one split only")
        if task.time_column:
            raise InputError(f"--folds: this task is split by time ({task.time_column}): one split only")
        score = row.grade.score
        if not row.grade.valid or score is None:
            raise InputError(f"{file}: invalid on split seed {seed}: {row.grade.reason}")
        rows.append(row)
        scores.append(score)
        data.append(as_row(task, row.grade))
        if not as_json:
            took = duration(row.seconds)
            typer.echo(f"split seed {seed}  {score.kind} {score.metric} {in_words(row.grade)}  {took}")
    _show_mean(rows, scores, data, as_json)


def _show_mean(
    rows: Sequence[Row], scores: Sequence[Score], data: list[dict[str, object]], as_json: bool
) -> None:
    first = scores[0]
    mean, se = mean_and_error([score.value for score in scores])
    utility, utility_se = mean_and_error([row.grade.utility or 0.0 for row in rows])
    if as_json:
        whole = {
            "kind": first.kind, "metric": first.metric, "direction": first.direction, "splits": len(rows),
            "mean": mean, "se": se, "utility": utility, "utility_se": utility_se, "folds": data,
        }  # fmt: skip
        typer.echo(json.dumps(whole, ensure_ascii=False))
        return
    typer.echo(
        f"mean of {len(rows)} splits  {first.kind} {first.metric} {with_error(mean, se)}, "
        f"utility {with_error(utility, utility_se)} (± over splits, which share rows)"
    )


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error: the sample deviation over the root of the count (count ≥ 2)."""
    mean = math.fsum(values) / len(values)
    spread = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(spread / len(values))
