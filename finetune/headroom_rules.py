"""The columns of the headroom table, computed from runs: random, constant, profile-aware, oracle.

Every column is a way to choose k executions on a task; of these the one with the best *feedback* utility
counts, as in a session, and is scored on rows nobody is shown. Constant and profile-aware recipes are chosen
on train tasks and scored on report tasks. The oracle knows how good each plan is on one half of the unseen
rows and executes the k best; what it reports is the *other* half, both ways round, so that luck on the rows
it chose by is never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from .headroom_run import Run, TaskRuns
from .plans import PANEL
from .synth_base import Floats, Ints

BUDGETS = (1, 3, 8)
_DRAWS = 200


def best_by_feedback(runs: Sequence[Run]) -> Run:
    """The run a session would keep: the best feedback utility, the earliest of equals."""
    return max(runs, key=lambda run: (run.valid, run.feedback))


def random_value(task: TaskRuns, count: int) -> float:
    """Expected unseen utility after `count` plans drawn at random."""
    pool = [run for run in task.runs if run.panel is None]
    rng = Random(f"random {task.seed} {count}")
    picks = [best_by_feedback(rng.sample(pool, min(count, len(pool)))).unseen for _ in range(_DRAWS)]
    return sum(picks) / len(picks)


def oracle_value(task: TaskRuns, count: int) -> float:
    """Unseen utility when the `count` best plans are known (by halves, see the module)."""
    by_first = sorted(task.runs, key=lambda run: -run.first)[:count]
    by_second = sorted(task.runs, key=lambda run: -run.second)[:count]
    return (best_by_feedback(by_first).second + best_by_feedback(by_second).first) / 2


def panel_table(tasks: Sequence[TaskRuns]) -> tuple[Floats, Floats]:
    """(feedback, unseen) utilities of the panel, each (tasks, plans); invalid runs have feedback -1."""
    feedback, unseen = np.full((len(tasks), len(PANEL)), -1.0), np.zeros((len(tasks), len(PANEL)))
    for row, task in enumerate(tasks):
        for run in task.runs:
            if run.panel is not None:
                feedback[row, run.panel] = run.feedback if run.valid else -1.0
                unseen[row, run.panel] = run.unseen
    return feedback, unseen


def kept(feedback: Floats, unseen: Floats, plans: Sequence[int]) -> Floats:
    """Unseen utility (tasks,) of the plan that feedback picks among `plans`."""
    chosen = feedback[:, list(plans)].argmax(axis=1)
    return np.asarray(unseen[np.arange(len(unseen)), np.asarray(plans)[chosen]])


def greedy(feedback: Floats, unseen: Floats, weights: Floats, count: int) -> list[int]:
    """`count` plans, each added because the weighted mean of what feedback then picks rises most."""
    plans: list[int] = []
    for _ in range(count):
        rest = [plan for plan in range(unseen.shape[1]) if plan not in plans]
        values = [float(weights @ kept(feedback, unseen, [*plans, plan])) for plan in rest]
        plans.append(rest[int(np.argmax(values))])
    return plans


def profile_matrix(tasks: Sequence[TaskRuns], names: Sequence[str], words: Sequence[str]) -> Floats:
    """What a rule sees of each task: profile features, and whether its description holds each word."""
    rows = []
    for task in tasks:
        said = set(task.words.lower().replace(".", " ").replace(",", " ").split())
        rows.append(
            [task.features.get(name, 0.0) for name in names] + [float(word in said) for word in words]
        )
    return np.array(rows)


def vocabulary(tasks: Sequence[TaskRuns]) -> list[str]:
    """Words of the descriptions that some, but not most, tasks hold."""
    counts: dict[str, int] = {}
    for task in tasks:
        for word in set(task.words.lower().replace(".", " ").replace(",", " ").split()):
            counts[word] = counts.get(word, 0) + 1
    return sorted(word for word, count in counts.items() if 2 <= count <= len(tasks) / 3 and word.isalpha())


def alike(known: Floats, asked: Floats, outcome: Floats) -> Floats:
    """How alike tasks are (asked, known): how often trees that predict outcomes put them together."""
    from sklearn.ensemble import ExtraTreesRegressor

    trees = ExtraTreesRegressor(400, min_samples_leaf=3, max_features=0.4, random_state=0)
    trees.fit(known, outcome - outcome.mean(axis=1, keepdims=True))
    first: Ints = trees.apply(asked)
    second: Ints = trees.apply(known)
    return np.asarray((first[:, None, :] == second[None, :, :]).mean(axis=2))


def profile_rule(
    train: Sequence[TaskRuns], report: Sequence[TaskRuns], with_words: bool, prior: float = 0.004
) -> list[list[int]]:
    """For each report task the panel plans to try, best first: what served the train tasks most like it.

    `prior` is the weight every train task has anyway, so that the rule falls back on the constant recipe.
    """
    names = sorted({name for task in train for name in task.features})
    words = vocabulary(train) if with_words else []
    feedback, unseen = panel_table(train)
    likeness = alike(profile_matrix(train, names, words), profile_matrix(report, names, words), unseen)
    return [greedy(feedback, unseen, row + prior, max(BUDGETS)) for row in likeness]


def table(train: Sequence[TaskRuns], report: Sequence[TaskRuns]) -> dict[str, dict[int, Floats]]:
    """Unseen utility of each report task by column and number of executions."""
    feedback, unseen = panel_table(train)
    constant = greedy(feedback, unseen, np.full(len(train), 1 / len(train)), max(BUDGETS))
    asked, truth = panel_table(report)
    rules = {
        "profile-aware": profile_rule(train, report, with_words=False),
        "profile and words": profile_rule(train, report, with_words=True),
    }
    found: dict[str, dict[int, Floats]] = {name: {} for name in ("random", "constant", *rules, "oracle")}
    for count in BUDGETS:
        found["random"][count] = np.array([random_value(task, count) for task in report])
        found["constant"][count] = kept(asked, truth, constant[:count])
        for name, plans in rules.items():
            found[name][count] = np.array([
                kept(asked[[row]], truth[[row]], chosen[:count])[0] for row, chosen in enumerate(plans)
            ])  # fmt: skip
        found["oracle"][count] = np.array([oracle_value(task, count) for task in report])
    return found


def constant_plans(train: Sequence[TaskRuns]) -> list[int]:
    """The constant recipe's panel numbers, first to be tried first."""
    feedback, unseen = panel_table(train)
    return greedy(feedback, unseen, np.full(len(train), 1 / len(train)), max(BUDGETS))
