"""The metric registry: equal to scikit-learn's, exact optimum and best constant, names and inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from task_cases import perfect_for, random_constant, truth_for

from mleagent.errors import InputError
from mleagent.records import Score
from mleagent.task import metrics
from mleagent.task.stderr import Array

RNG = np.random.default_rng(7)
N = 300
Y = RNG.gamma(2.0, 2.0, N)
P = np.abs(Y + RNG.normal(size=N))
C = RNG.integers(0, 4, N)
Q = np.where(RNG.random(N) < 0.6, C, RNG.integers(0, 5, N))  # predicts a class that never occurs
B = (RNG.random(N) < 0.3).astype(int)
S = np.round(np.clip(0.3 * B + 0.7 * RNG.random(N), 0.01, 0.99), 2)  # with ties
M = RNG.dirichlet(np.ones(4), N)
M[np.arange(N), C] += 0.3
M /= M.sum(axis=1, keepdims=True)

REFERENCE: list[tuple[str, Array, Array, float]] = [
    ("rmse", Y, P, sk.root_mean_squared_error(Y, P)),
    ("mse", Y, P, sk.mean_squared_error(Y, P)),
    ("mae", Y, P, sk.mean_absolute_error(Y, P)),
    ("rmsle", Y, P, sk.root_mean_squared_log_error(Y, P)),
    ("mape", Y, P, sk.mean_absolute_percentage_error(Y, P)),
    ("r2", Y, P, sk.r2_score(Y, P)),
    ("pinball@0.9", Y, P, sk.mean_pinball_loss(Y, P, alpha=0.9)),
    ("pearson", Y, P, scipy.stats.pearsonr(Y, P)[0]),
    ("spearman", np.round(Y), np.round(P), scipy.stats.spearmanr(np.round(Y), np.round(P))[0]),
    ("accuracy", C, Q, sk.accuracy_score(C, Q)),
    ("balanced_accuracy", C, np.minimum(Q, 3), sk.balanced_accuracy_score(C, np.minimum(Q, 3))),
    ("f1", B, S > 0.5, sk.f1_score(B, S > 0.5)),
    ("f1_macro", C, Q, sk.f1_score(C, Q, average="macro")),
    ("f1_micro", C, Q, sk.f1_score(C, Q, average="micro")),
    ("f1_weighted", C, Q, sk.f1_score(C, Q, average="weighted")),
    ("qwk", C, Q, sk.cohen_kappa_score(C, Q, weights="quadratic")),
    ("mcc", C, Q, sk.matthews_corrcoef(C, Q)),
    ("roc_auc", B, S, sk.roc_auc_score(B, S)),
    ("roc_auc", C, M, sk.roc_auc_score(C, M, multi_class="ovr")),
    ("average_precision", B, S, sk.average_precision_score(B, S)),
    ("average_precision", C, M, sk.average_precision_score(np.eye(4)[C], M, average="macro")),
    ("logloss", B, S, sk.log_loss(B, S)),
    ("logloss", C, M, sk.log_loss(C, M)),
    ("brier", B, S, sk.brier_score_loss(B, S)),
    ("brier", C, M, sk.brier_score_loss(C, M)),
    ("r2", np.c_[Y, P], np.c_[P, Y], sk.r2_score(np.c_[Y, P], np.c_[P, Y])),
    (
        "mcrmse",
        np.c_[Y, P],
        np.c_[P, 2 * Y],
        (sk.root_mean_squared_error(Y, P) + sk.root_mean_squared_error(P, 2 * Y)) / 2,
    ),
]


@pytest.mark.parametrize(("name", "truth", "pred", "expected"), REFERENCE)
def test_equals_scikit_learn(name: str, truth: Array, pred: Array, expected: float) -> None:
    assert metrics.get(name).score(truth, pred) == pytest.approx(expected, rel=1e-11)


def test_metrics_without_a_counterpart_in_scikit_learn() -> None:
    smape = metrics.get("smape")
    assert smape.score(np.array([0.0, 1.0, 3.0]), np.array([0.0, 0.0, 1.0])) == pytest.approx(
        (0 + 200 + 100) / 3
    )
    ranked = metrics.get("map@3")
    truth = np.array(["a", "b", "c", "a b"])
    guess = np.array(["a b c", "a b c", "a a c", "b x a"])
    # first hit, second, third (the repeated `a` earns nothing), then (1 + 2/3) / 2
    assert ranked.score(truth, guess) == pytest.approx((1 + 1 / 2 + 1 / 3 + (1 + 2 / 3) / 2) / 4)
    assert metrics.get("map@1").score(truth, guess) == pytest.approx((1 + 0 + 0 + 1) / 4)


def test_kappa_uses_the_values_of_the_classes() -> None:
    ones, other = np.array([1, 2, 4, 4, 1, 2]), np.array([1, 4, 4, 2, 1, 1])
    full = sk.cohen_kappa_score(ones, other, labels=[1, 2, 3, 4], weights="quadratic")
    assert metrics.get("qwk").score(ones, other) == pytest.approx(full)


def as_score(name: str, value: float) -> Score:
    return Score(value=value, metric=name, direction=metrics.get(name).spec.direction, kind="feedback")


@pytest.mark.parametrize("name", metrics.names())
def test_optimum_and_best_constant(name: str) -> None:
    metric = metrics.get(name)

    @settings(max_examples=25, deadline=None)
    @given(seed=st.integers(0, 2**32), n=st.integers(8, 60))
    def check(seed: int, n: int) -> None:
        rng = np.random.default_rng(seed)
        truth = truth_for(name, rng, n)
        if metric.undefined(truth):
            return
        best = metric.score(truth, perfect_for(name, truth))
        assert best == pytest.approx(metric.spec.optimum, abs=1e-9)
        dummy = metric.dummy(truth)
        for _ in range(8):
            rival = metric.score(truth, random_constant(name, truth, rng))
            slack = 1e-9 * max(1.0, abs(dummy))
            better = as_score(name, rival).better_than(as_score(name, dummy))
            assert not better or abs(rival - dummy) <= slack

    check()


@pytest.mark.parametrize("name", metrics.names())
def test_rows_decompose_and_order_does_not_matter(name: str) -> None:
    metric, rng = metrics.get(name), np.random.default_rng(3)
    truth = truth_for(name, rng, 40)
    pred = perfect_for(name, truth)[rng.permutation(40)]
    score, order = metric.score(truth, pred), rng.permutation(40)
    assert metric.score(truth[order], pred[order]) == pytest.approx(score, abs=1e-12)
    rows = metric.per_row(truth, pred)
    if rows is not None:
        assert rows.shape == (40,) and rows.mean() == pytest.approx(score)


@pytest.mark.parametrize("name", metrics.names())
def test_direction_is_that_of_betterness(name: str) -> None:
    metric, rng = metrics.get(name), np.random.default_rng(5)
    truth = truth_for(name, rng, 60)
    perfect = perfect_for(name, truth)
    worse = perfect.copy()
    worse[:20] = perfect[rng.permutation(60)[:20]]
    better = as_score(name, metric.score(truth, perfect))
    assert better.better_than(as_score(name, metric.score(truth, worse)))


def test_closed_forms_of_the_best_constant() -> None:
    assert metrics.get("rmse").dummy(Y) == pytest.approx(Y.std())
    assert metrics.get("r2").dummy(Y) == pytest.approx(0.0, abs=1e-12)
    assert metrics.get("mcrmse").dummy(np.c_[Y, P]) == pytest.approx((Y.std() + P.std()) / 2)
    rate = B.mean()
    assert metrics.get("roc_auc").dummy(B) == 0.5
    assert metrics.get("f1").dummy(B) == pytest.approx(2 * rate / (1 + rate))
    assert metrics.get("logloss").dummy(B) == pytest.approx(scipy.stats.entropy([rate, 1 - rate]))
    assert metrics.get("qwk").dummy(C) == metrics.get("mcc").dummy(C) == 0.0
    assert metrics.get("balanced_accuracy").dummy(C) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("AUC", "roc_auc"),
        ("log_loss", "logloss"),
        ("Log Loss", "logloss"),
        ("quadratic_weighted_kappa", "qwk"),
        ("MAP@3", "map@3"),
        ("map_at_7", "map@7"),
        ("map@k", "map@5"),
        ("F1-macro", "f1_macro"),
        ("pinball@.9", "pinball@0.9"),
        ("root_mean_squared_error", "rmse"),
    ],
)
def test_aliases(alias: str, name: str) -> None:
    assert metrics.get(alias).spec.name == name


def test_every_alias_leads_somewhere() -> None:
    from mleagent.task.metric_names import ALIASES

    for alias in (*ALIASES, *metrics.names()):
        metric = metrics.get(alias)
        assert metrics.get(metric.spec.name).spec == metric.spec and metric.describe


@pytest.mark.parametrize(
    ("wrong", "near"), [("rmsel", "rmsle"), ("acuracy", "accuracy"), ("roc_acu", "roc_auc")]
)
def test_unknown_metric_names_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(InputError, match=near) as caught:
        metrics.get(wrong)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize("wrong", ["map@0", "pinball@1.5", "pinball@0", "", "zzzz"])
def test_senseless_metric_is_refused(wrong: str) -> None:
    with pytest.raises(InputError):
        metrics.get(wrong)


DESCRIPTIONS = [
    (
        "Submissions are evaluated on area under the ROC curve between the predicted probability and",
        "binary",
        "roc_auc",
    ),
    ("evaluated on the area under the [receiver operating characteristic](x) curve", "binary", "roc_auc"),
    (
        "Your metric for this competition is classification accuracy, the percentage of labels",
        "binary",
        "accuracy",
    ),
    (
        "your score is the percentage of passengers you correctly predict. Metric: accuracy",
        "binary",
        "accuracy",
    ),
    ("Submissions are evaluated using the multi-class logarithmic loss.", "multiclass", "logloss"),
    (
        "Submissions are evaluated on Root-Mean-Squared-Error (RMSE) between the logarithm of the predicted "
        "value and the logarithm of the observed sales price.",
        "regression",
        "rmsle",
    ),
    ("are evaluated on the column-wise root mean squared logarithmic error.", "multi-target", "rmsle"),
    ("scored on the root mean squared error. RMSE is defined as", "regression", "rmse"),
    ("are scored using MCRMSE, mean columnwise root mean squared error:", "multi-target", "mcrmse"),
    ("## Evaluation\nscored based on the **quadratic weighted kappa**, which measures", "multiclass", "qwk"),
    ("evaluated according to the Mean Average Precision @ 5 (MAP@5):", "ranking", "map@5"),
    ("evaluated by MAP@3", "ranking", "map@3"),
    ("Submissions are evaluated on SMAPE between forecasts and actual values", "regression", "smape"),
    ("evaluated using the macro F1 score", "multiclass", "f1_macro"),
    ("will be evaluated on the F1 score", "multiclass", "f1_macro"),
    ("evaluated using the Matthews correlation coefficient (MCC)", "binary", "mcc"),
    ("evaluated using the R2 score", "regression", "r2"),
    ("Predict the price; the mean absolute error counts.", "regression", "mae"),
]


@pytest.mark.parametrize(("text", "problem", "name"), DESCRIPTIONS)
def test_metric_is_read_from_a_description(text: str, problem: str, name: str) -> None:
    classes = ("a", "b", "c") if problem == "multiclass" else ("0", "1")
    assert metrics.infer(problem, classes, None, f"Some story of a ship.\n\n{text}").name == name
    assert "description" in metrics.inferred_note(problem, classes, None, text)


@pytest.mark.parametrize(
    ("problem", "hint", "name"),
    [
        ("binary", "label", "accuracy"),
        ("binary", "probability", "roc_auc"),
        ("multiclass", "probability", "logloss"),
        ("multiclass", None, "accuracy"),
        ("regression", None, "rmse"),
        ("multi-target", "value", "mcrmse"),
        ("multi-target", "probability", "roc_auc"),
        ("ranking", None, "map@5"),
    ],
)
def test_usual_metric_where_nothing_is_said(problem: str, hint: str | None, name: str) -> None:
    prose = "An accurate story; f1 was a racing series."
    assert metrics.infer(problem, (), hint, prose).name == name
    assert "guessed from the problem" in metrics.inferred_note(problem, (), hint, prose)


def test_a_metric_that_does_not_fit_is_not_inferred_and_is_refused() -> None:
    assert metrics.infer("regression", (), None, "evaluated on accuracy").name == "rmse"
    with pytest.raises(InputError, match="does not fit a regression task"):
        metrics.check(metrics.get("accuracy"), "regression", ())
    with pytest.raises(InputError, match="f1_macro"):
        metrics.check(metrics.get("f1"), "multiclass", ("a", "b", "c"))
    metrics.check(metrics.get("rmse"), "binary", ("0", "1"))  # a regression on 0/1 labels makes sense


USER_METRIC = """
import numpy as np

def score(truth, pred):
    return float(np.abs(truth - pred).max())

def broken(truth, pred):
    raise RuntimeError("no\\nluck")

def nothing(truth, pred):
    return float("nan")

not_a_function = 3
"""


def test_a_users_own_metric(tmp_path: Path) -> None:
    (tmp_path / "my_metric.py").write_text(USER_METRIC)
    metric = metrics.load_user_metric("my_metric.py:score", tmp_path, maximize=False, optimum=0.0)
    assert metric.spec.direction == "minimize" and metric.spec.name == "score"
    assert metric.score(Y, P) == pytest.approx(np.abs(Y - P).max())
    # The best constant for the largest error is the middle of the range; the search comes near.
    assert metric.dummy(Y) <= 1.25 * (Y.max() - Y.min()) / 2
    assert (metric.standard_error(Y, P) or 0) > 0
    assert metric.standard_error(Y, P) == metric.standard_error(Y, P)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("my_metric.py", "my_metric.py:score"),
        ("absent.py:score", "no file"),
        ("my_metric.py:absent", "no function 'absent'"),
        ("my_metric.py:not_a_function", "no function"),
        ("syntax.py:score", "SyntaxError"),
    ],
)
def test_a_bad_user_metric_is_one_line(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "my_metric.py").write_text(USER_METRIC)
    (tmp_path / "syntax.py").write_text("def score(:\n")
    with pytest.raises(InputError, match=reason) as caught:
        metrics.load_user_metric(source, tmp_path, True, 1.0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "reason"), [("broken", "RuntimeError: no luck"), ("nothing", "finite")])
def test_a_failing_user_metric_is_one_line(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "my_metric.py").write_text(USER_METRIC)
    metric = metrics.load_user_metric(f"my_metric.py:{name}", tmp_path, True, 1.0)
    with pytest.raises(InputError, match=reason) as caught:
        metric.score(Y, P)
    assert "\n" not in str(caught.value)
