"""The grader: honest numbers on the feedback rows, sealed rows kept apart, the file to upload."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from task_private import csv_of, make_private, parts_of

from mleagent.errors import InputError
from mleagent.records import MetricSpec
from mleagent.task import metrics
from mleagent.task.grade import Grader
from mleagent.task.layout import ANSWERS_FILE, LAYOUT_FILE
from mleagent.task.stderr import Array
from mleagent.task.submission import SubmissionError

PARTS = parts_of(200, 60, 90)
ROWS = len(PARTS)
IDS = [str(100 + row) for row in range(ROWS)]
RNG = np.random.default_rng(1)
Y = np.round(RNG.gamma(2.0, 2.0, ROWS), 4)
NOISE = RNG.normal(size=ROWS)
BITS = (RNG.random(ROWS) < 0.4).astype(int)
FEEDBACK = np.asarray(PARTS) == "feedback"
SEALED = np.asarray(PARTS) == "sealed"


def regression(folder: Path, truth: Array = Y, metric: str = "rmse", **more: Any) -> Grader:
    return Grader(make_private(folder, metric, {"y": list(truth)}, PARTS, problem="regression", **more))


def sub(pred: Any, name: str = "y") -> bytes:
    return csv_of({"id": IDS, name: list(pred)})


def test_grade_is_the_metric_on_the_feedback_rows(tmp_path: Path) -> None:
    grader, pred = regression(tmp_path), Y + NOISE
    grade = grader.grade(sub(pred))
    expected = sk.root_mean_squared_error(Y[FEEDBACK], pred[FEEDBACK])
    assert grade.valid and grade.score is not None
    assert grade.score.value == pytest.approx(expected) and grade.score.n == 200
    assert grade.score.kind == "feedback" and grade.score.direction == "minimize" and grade.score.verified
    assert grade.score.se == pytest.approx(metrics.get("rmse").standard_error(Y[FEEDBACK], pred[FEEDBACK]))
    dummy = Y[FEEDBACK].std()
    assert grader.dummy() == pytest.approx(dummy) and grader.facts() == ("minimize", 0.0, grader.dummy())
    assert grade.utility == pytest.approx(1 - expected / dummy)
    assert grade.delta_utility is None and grade.delta_se is None


def test_seal_is_the_metric_on_the_sealed_rows(tmp_path: Path) -> None:
    pred = Y + NOISE
    sealed = regression(tmp_path).seal(sub(pred))
    assert sealed.score.value == pytest.approx(sk.root_mean_squared_error(Y[SEALED], pred[SEALED]))
    assert sealed.score.kind == "sealed" and sealed.score.n == 60 and sealed.score.looks is None
    assert sealed.utility == pytest.approx(1 - sealed.score.value / Y[SEALED].std())


def test_grade_never_touches_sealed_labels(tmp_path: Path) -> None:
    """With the sealed labels garbled, `grade` says the same to the last bit; only `seal` notices."""
    garbled = np.where(SEALED, 1e9 * NOISE, Y)
    honest, other = regression(tmp_path / "a"), regression(tmp_path / "b", garbled)
    first, best = sub(Y + NOISE), sub(Y + 2 * NOISE)
    assert honest.grade(first, best) == other.grade(first, best)
    assert honest.facts() == other.facts() and list(other._truths) == ["feedback"]
    assert honest.seal(first) != other.seal(first)


def test_gain_over_the_best_before_is_paired(tmp_path: Path) -> None:
    grader = regression(tmp_path)
    new, old = sub(Y + 0.9 * NOISE), sub(Y + NOISE)
    grade, before = grader.grade(new, old), grader.grade(old)
    assert grade.utility is not None and before.utility is not None and grade.utility_se is not None
    assert grade.delta_utility == pytest.approx(grade.utility - before.utility)
    assert grade.delta_se is not None and grade.delta_se < grade.utility_se / 3
    same = grader.grade(new, new)
    assert same.delta_utility == 0.0 and same.delta_se == 0.0
    assert grader.grade(new, b"nonsense").delta_utility is None


def test_unverified_scores_say_so(tmp_path: Path) -> None:
    folder = make_private(tmp_path, "rmse", {"y": list(Y)}, PARTS)
    grade = Grader(folder, verified=False).grade(sub(Y))
    assert grade.score is not None and not grade.score.verified


KINDS: list[tuple[str, Array, dict[str, Any]]] = [
    ("rmse", Y, {"problem": "regression"}),
    ("r2", Y, {"problem": "regression"}),
    ("smape", Y, {"problem": "regression"}),
    ("roc_auc", BITS, {"problem": "binary", "classes": ("0", "1")}),
    ("logloss", BITS.astype(bool), {"problem": "binary", "classes": ("False", "True")}),
    ("f1", np.where(BITS, "yes", "no"), {"problem": "binary", "classes": ("no", "yes")}),
    ("accuracy", BITS.astype(float), {"problem": "binary", "classes": ("0", "1")}),
    ("qwk", np.arange(ROWS) % 4 + 1, {"problem": "multiclass", "classes": tuple("1234")}),
    ("f1_macro", np.arange(ROWS) % 4, {"problem": "multiclass", "classes": tuple("0123")}),
]


@pytest.mark.parametrize(("metric", "truth", "layout"), KINDS)
def test_perfect_is_1_and_the_best_constant_0(
    tmp_path: Path, metric: str, truth: Array, layout: dict[str, Any]
) -> None:
    grader = Grader(make_private(tmp_path, metric, {"y": truth.tolist()}, PARTS, **layout))
    kind = grader.metric.spec.prediction
    perfect = truth.astype(float) if kind == "probability" else truth
    grade = grader.grade(sub(perfect))
    assert grade.valid, grade.reason
    assert grade.utility == pytest.approx(1.0) and grader.seal(sub(perfect)).utility == pytest.approx(1.0)
    held = truth[FEEDBACK]
    codes = np.unique(truth, return_inverse=True)[1][FEEDBACK] if kind != "value" else held
    constant = grader.metric.constant_prediction(codes)[0]
    if kind == "label":
        constant = np.unique(truth)[int(constant)]
    flat = grader.grade(sub([constant] * ROWS))
    assert flat.utility == pytest.approx(0.0, abs=1e-9), flat
    assert flat.score is not None and flat.score.value == pytest.approx(grader.dummy())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_order_of_rows_changes_nothing(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "order"
    if not folder.exists():
        regression(folder, metric="spearman")
    grader, rng = Grader(folder), np.random.default_rng(seed)
    pred, order = (Y + NOISE).round(6), rng.permutation(ROWS)
    mixed = csv_of({"id": [IDS[row] for row in order], "y": pred[order]})
    assert grader.grade(mixed) == grader.grade(sub(pred)) and grader.cut(mixed) == grader.cut(sub(pred))


def test_several_targets_are_averaged(tmp_path: Path) -> None:
    truth = {"a": list(Y), "b": list(NOISE)}
    grader = Grader(make_private(tmp_path, "mcrmse", truth, PARTS, problem="multi-target"))
    grade = grader.grade(csv_of({"id": IDS, "b": NOISE + 1, "a": Y + 3}))
    assert grade.score is not None and grade.score.value == pytest.approx(2.0)
    assert grader.dummy() == pytest.approx((Y[FEEDBACK].std() + NOISE[FEEDBACK].std()) / 2)


def test_several_yes_or_no_targets(tmp_path: Path) -> None:
    truth = {"a": BITS.tolist(), "b": (1 - BITS).tolist()}
    grader = Grader(make_private(tmp_path, "roc_auc", truth, PARTS, problem="multi-target"))
    grade = grader.grade(csv_of({"id": IDS, "a": BITS, "b": [0.5] * ROWS}))
    assert grade.score is not None and grade.score.value == pytest.approx(0.75)
    assert grade.utility == pytest.approx(0.5)


def test_ranked_lists(tmp_path: Path) -> None:
    truth = [f"l{k % 5}" for k in range(ROWS)]
    grader = Grader(make_private(tmp_path, "map@3", {"y": truth}, PARTS, problem="ranking"))
    second = [f"x {label}" for label in truth]
    grade = grader.grade(sub(second))
    assert grade.score is not None and grade.score.value == pytest.approx(0.5)
    assert 0 < grader.dummy() < 0.5
    assert grader.agreement(sub(second), sub(truth)) == pytest.approx(0.5)


def test_cut_is_the_users_own_file(tmp_path: Path) -> None:
    truth = np.where(BITS, "True", "False")
    grader = Grader(
        make_private(
            tmp_path,
            "accuracy",
            {"Won": truth.tolist()},
            PARTS,
            classes=("False", "True"),
            problem="binary",
            user_columns=("PassengerId", "Won"),
        )
    )
    lower = [str(value).lower() for value in truth]
    lines = grader.cut(csv_of({"id": IDS, "Won": lower})).decode().splitlines()
    own = [row for row, part in enumerate(PARTS) if part == "test"]
    assert lines[0] == "PassengerId,Won" and len(lines) == 91
    assert lines[1:] == [f"u{k},{truth[row]}" for k, row in enumerate(reversed(own))]
    with pytest.raises(SubmissionError, match="missing id"):
        grader.cut(csv_of({"id": IDS[:-1], "Won": lower[:-1]}))


def test_cut_keeps_numbers_as_they_were_written(tmp_path: Path) -> None:
    texts = [f"{value:.3f}" for value in Y]
    lines = regression(tmp_path).cut(sub(texts)).decode().splitlines()
    own = [row for row, part in enumerate(PARTS) if part == "test"]
    assert [line.split(",")[1] for line in lines[1:]] == [texts[row] for row in reversed(own)]


def test_agreement_of_numbers_and_labels(tmp_path: Path) -> None:
    grader = regression(tmp_path / "r")
    first = sub(Y)
    assert grader.agreement(first, sub(3 * Y + 1)) == pytest.approx(1.0)
    assert grader.agreement(first, sub(-Y)) == pytest.approx(-1.0)
    assert grader.agreement(first, sub([1.0] * ROWS)) == 0.0
    assert grader.agreement(first, sub(np.where(FEEDBACK | SEALED, -Y, Y))) == pytest.approx(1.0)
    folder = make_private(tmp_path / "l", "accuracy", {"y": BITS.tolist()}, PARTS, classes=("0", "1"))
    other = Grader(folder)
    own = np.flatnonzero(np.asarray(PARTS) == "test")
    flipped = BITS.copy()
    flipped[own[:9]] = 1 - flipped[own[:9]]
    assert other.agreement(sub(BITS), sub(flipped)) == pytest.approx(0.9)
    assert other.agreement(sub(BITS), sub([0] * ROWS)) == 0.0


def test_no_test_rows_of_the_users_own(tmp_path: Path) -> None:
    parts = ["feedback", "sealed"] * 10
    grader = Grader(make_private(tmp_path, "mae", {"y": [float(k) for k in range(20)]}, parts))
    data = csv_of({"id": [100 + k for k in range(20)], "y": range(20)})
    assert grader.cut(data) == b"id,y\n" and grader.agreement(data, data) == 1.0


USER = "import numpy as np\ndef top(truth, pred):\n    return float(np.mean(truth == pred))\n"


def test_a_users_own_metric_grades(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(USER)
    spec = MetricSpec(name="top", direction="maximize", optimum=1.0, prediction="label")
    grader = Grader(
        make_private(
            tmp_path / "private",
            "",
            {"y": np.where(BITS, "yes", "no").tolist()},
            PARTS,
            spec=spec,
            metric_source=f"{tmp_path / 'my.py'}:top",
            classes=("no", "yes"),
            problem="binary",
        )
    )
    words, other = np.where(BITS, "yes", "no"), np.where(RNG.random(ROWS) < 0.5, "yes", "no")
    grade, rival = grader.grade(sub(words), sub(other)), grader.grade(sub(other))
    assert grade.utility == 1.0 and rival.score is not None and rival.utility == 0.0
    assert grader.dummy() == pytest.approx(max(BITS[FEEDBACK].mean(), 1 - BITS[FEEDBACK].mean()))
    share = rival.score.value
    assert rival.score.se == pytest.approx(np.sqrt(share * (1 - share) / 200), rel=0.35)
    assert grade.delta_se is not None and grade.delta_se > 0


def test_overflowing_predictions_are_refused(tmp_path: Path) -> None:
    grade = regression(tmp_path).grade(sub([1e308] * ROWS))
    assert not grade.valid and "too large in size" in grade.reason


BAD = [
    ({"problem": "regression"}, "accuracy", Y.tolist(), "does not fit a regression task"),
    ({"problem": "regression"}, "rmsle", (-Y).tolist(), "labels of at least 0"),
    ({"problem": "binary", "classes": ("0", "1")}, "roc_auc", [1] * ROWS, "same truth"),
    ({"problem": "binary", "classes": ("0", "1")}, "roc_auc", [2] * ROWS, "none of the classes"),
    ({"targets": ("absent",)}, "rmse", Y.tolist(), "this task can't be used"),
]


@pytest.mark.parametrize(("layout", "metric", "truth", "expected"), BAD)
def test_a_task_that_cannot_be_scored_is_one_line(
    tmp_path: Path, layout: dict[str, Any], metric: str, truth: list[Any], expected: str
) -> None:
    folder = make_private(tmp_path, metric, {"y": truth}, PARTS, **layout)
    with pytest.raises(InputError, match=expected) as caught:
        Grader(folder).dummy()
    assert "\n" not in str(caught.value)


def test_a_broken_private_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="prepare the task anew"):
        Grader(tmp_path)
    folder = make_private(tmp_path / "p", "rmse", {"y": list(Y)}, PARTS)
    (folder / ANSWERS_FILE).write_bytes(b"no parquet")
    with pytest.raises(InputError, match="prepare the task anew"):
        Grader(folder)
    (folder / LAYOUT_FILE).write_text('{"odd":\n1}')
    with pytest.raises(InputError) as caught:
        Grader(folder)
    assert "\n" not in str(caught.value)


def test_answers_keep_to_the_contract(tmp_path: Path) -> None:
    """The user's own rows hold no label even in the private folder."""
    regression(tmp_path)
    table = pq.read_table(tmp_path / ANSWERS_FILE)
    assert table.column("y").null_count == PARTS.count("test")


def test_a_step_costs_little(tmp_path: Path) -> None:
    """2,000 feedback rows among 6,000: the aim is 8 ms a grade; here with room for a busy machine."""
    parts = parts_of(2000, 1000, 3000)
    truth, ids = RNG.normal(size=6000), [str(100 + row) for row in range(6000)]
    grader = Grader(make_private(tmp_path, "rmse", {"y": truth.tolist()}, parts))
    best = csv_of({"id": ids, "y": truth + 1})
    grader.grade(best)
    spent = []
    for shift in range(7):
        data = csv_of({"id": ids, "y": truth + shift})
        start = time.perf_counter()
        assert grader.grade(data, best).valid
        spent.append(time.perf_counter() - start)
    assert sorted(spent)[3] < 0.04


def test_a_refit_answers_the_users_rows_alone(tmp_path: Path) -> None:
    grader = regression(tmp_path)
    texts = np.asarray([f"{value:.3f}" for value in Y])
    own = [row for row, part in enumerate(PARTS) if part == "test"]
    alone = csv_of({"id": [IDS[row] for row in own], "y": texts[own]})
    assert grader.cut(alone) == grader.cut(sub(texts))
    assert grader.agreement(sub(texts), alone) == pytest.approx(1.0)
    assert "missing ids" in grader.grade(alone).reason  # yet it is no submission to score
    with pytest.raises(SubmissionError, match="missing ids"):
        grader.cut(csv_of({"id": [IDS[row] for row in own[:-1]], "y": texts[own[:-1]]}))


def test_a_refit_without_ids_matches_by_position(tmp_path: Path) -> None:
    grader = regression(tmp_path, id_column=None, columns=("y",))
    own = [row for row, part in enumerate(PARTS) if part == "test"]
    assert grader.cut(csv_of({"y": Y[own]})) == grader.cut(csv_of({"y": Y}))


def test_several_label_targets_without_classes(tmp_path: Path) -> None:
    truth = {"a": (np.arange(ROWS) % 3).tolist(), "b": BITS.astype(float).tolist()}
    grader = Grader(make_private(tmp_path, "accuracy", truth, PARTS, problem="multi-target"))
    data = csv_of({"id": IDS, "a": truth["a"], "b": [7] * ROWS})
    grade = grader.grade(data)
    assert grade.score is not None and grade.score.value == pytest.approx(0.5)
    assert "no whole number" in grader.grade(csv_of({"id": IDS, "a": truth["a"], "b": [0.5] * ROWS})).reason
    assert grader.cut(data).startswith(b"id,a,b\n")


def test_class_columns_for_a_metric_of_labels(tmp_path: Path) -> None:
    words = np.where(BITS, "yes", "no")
    grader = Grader(
        make_private(
            tmp_path,
            "accuracy",
            {"y": words.tolist()},
            PARTS,
            problem="binary",
            classes=("no", "yes"),
            columns=("id", "yes", "no"),
            class_columns=(("yes", "yes"), ("no", "no")),
        )
    )
    data = csv_of({"id": IDS, "yes": BITS * 0.6 + 0.1, "no": 0.5 - BITS * 0.2})
    assert grader.grade(data).utility == 1.0
    assert grader.cut(data).splitlines()[0] == b"id,yes,no"


def test_columns_that_cannot_answer_are_refused_at_once(tmp_path: Path) -> None:
    folder = make_private(
        tmp_path, "logloss", {"y": ["a", "b", "c"] * 2}, ["feedback"] * 6, classes=("a", "b", "c")
    )
    with pytest.raises(InputError, match="one for each of the 3 classes"):
        Grader(folder)


def test_a_metric_of_numbers_refuses_class_columns(tmp_path: Path) -> None:
    more = {"columns": ("id", "n", "y1"), "class_columns": (("n", "0"), ("y1", "1")), "classes": ("0", "1")}
    folder = make_private(tmp_path, "rmse", {"y": BITS.tolist()}, PARTS, problem="binary", **more)
    with pytest.raises(InputError, match="has 2"):
        Grader(folder)
