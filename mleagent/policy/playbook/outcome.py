"""Ideas on the side of the answer: targets, class weights, ensembles, calibration, thresholds,
validation schemes, row sampling, and repairs of what a run or a grader complained about.
"""

from __future__ import annotations

from .brief import Brief
from .idea import Contribution, Draft, Idea, Params

SKEW_METRICS = {"rmsle", "mape", "smape"}
THRESHOLD_SCORERS = {
    "f1": "f1", "f1_binary": "f1", "f1_macro": "f1_macro", "f1_weighted": "f1_weighted",
    "balanced_accuracy": "balanced_accuracy", "mcc": "matthews_corrcoef", "accuracy": "accuracy",
}  # fmt: skip
"""Metrics on labels that a cut other than 0.5 may help, with scikit-learn's name."""


def _target(keywords: str, *imports: tuple[str, str]) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        if draft.regress:
            draft.imports.update(imports)
            parts = keywords.replace("<rows>", str(max(5, min(300, draft.brief.rows // 3))))
            draft.target = parts

    return add


def _balanced(draft: Draft, params: Params) -> None:
    draft.balanced = True


def _ensemble(kind: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.ensemble = kind

    return add


def _bag(draft: Draft, params: Params) -> None:
    draft.bag = int(params["copies"])
    draft.heavy *= draft.bag


def _calibrate(method: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        if not draft.regress and not draft.brief.multi:
            draft.use("sklearn.calibration", "CalibratedClassifierCV")
            draft.wrap.append(f'CalibratedClassifierCV({{}}, method="{method}", cv=3)')
            draft.heavy *= 3

    return add


def _threshold(draft: Draft, params: Params) -> None:
    if draft.regress or draft.brief.multi:
        return
    draft.use("sklearn.model_selection", "TunedThresholdClassifierCV")
    scorer = THRESHOLD_SCORERS.get(draft.brief.metric, "balanced_accuracy")
    draft.wrap.append(f'TunedThresholdClassifierCV({{}}, scoring="{scorer}", cv=3)')
    draft.heavy *= 4


def _cuts(how: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.regress, draft.cuts = True, how

    return add


def _clip(draft: Draft, params: Params) -> None:
    draft.clip = True


def _validate(kind: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.validation, draft.folds = kind, int(params.get("folds", 0))

    return add


def _sample(draft: Draft, params: Params) -> None:
    draft.sample_rows = int(draft.brief.rows * float(params["share"])) or 1


def _repair(name: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.repairs.add(name)

    return add


def _regress(brief: Brief) -> bool:
    return brief.mode == "regress"


def _plain_classes(brief: Brief) -> bool:
    return brief.mode == "classify" and not brief.multi


def _skew(brief: Brief) -> bool:
    return _regress(brief) and (brief.skewed_target or brief.metric in SKEW_METRICS)


def _two_labels(brief: Brief) -> bool:
    return _plain_classes(brief) and brief.output == "label" and len(brief.classes) == 2


def _ordered(brief: Brief) -> bool:
    """Classes that are numbers, under the metric that knows their order."""
    numbers = all(name.lstrip("-").replace(".", "", 1).isdigit() for name in brief.classes)
    return (
        _plain_classes(brief)
        and brief.metric == "qwk"
        and brief.output == "label"
        and numbers
        and len(brief.classes) > 2
    )


_PREPROCESSING = "sklearn.preprocessing"

IDEAS = (
    Idea("log-target", "target-transform", "models learn the logarithm of the target",
         _target("func=np.log1p, inverse_func=np.expm1"), _skew, weight=1.5),
    Idea("root-target", "target-transform", "models learn the square root of the target",
         _target("func=np.sqrt, inverse_func=np.square"), _skew, weight=0.5),
    Idea("arcsinh-target", "target-transform", "models learn a logarithm that bears negative numbers",
         _target("func=np.arcsinh, inverse_func=np.sinh"), _regress, weight=0.6),
    Idea("quantile-target", "target-transform", "models learn the target's rank as a normal number",
         _target('transformer=QuantileTransformer(n_quantiles=<rows>, output_distribution="normal")',
                 (_PREPROCESSING, "QuantileTransformer")), _regress, weight=0.6),
    Idea("power-target", "target-transform", "models learn a Yeo-Johnson transform of the target",
         _target("transformer=PowerTransformer()", (_PREPROCESSING, "PowerTransformer")), _regress,
         weight=0.6),
    Idea("standard-target", "target-transform", "models learn the target scaled to spread 1",
         _target("transformer=StandardScaler()", (_PREPROCESSING, "StandardScaler")), _regress, weight=0.3),
    Idea("balanced-class-weights", "class-weights", "rare classes weigh as much as common ones", _balanced,
         lambda brief: brief.mode == "classify", weight=0.7),
    Idea("blend-average", "ensemble", "the mean of several models", _ensemble("blend"), weight=1.5),
    Idea("stacking", "ensemble", "a linear model over several models' out-of-fold predictions",
         _ensemble("stack"), lambda brief: not brief.multi and brief.rows >= 100, weight=1.2),
    Idea("stacking-with-columns", "ensemble", "stacking that sees the columns too",
         _ensemble("stack-passthrough"), lambda brief: not brief.multi and brief.rows >= 300, weight=0.5),
    Idea("bagged-copies", "calibration", "copies of the model on other rows, averaged", _bag,
         params={"copies": (5, 8, 3)}, applies=lambda brief: brief.rows <= 50_000, weight=0.8),
    Idea("sigmoid-calibration", "calibration", "probabilities mended by a sigmoid", _calibrate("sigmoid"),
         lambda brief: _plain_classes(brief) and brief.output == "probability", weight=0.5),
    Idea("isotonic-calibration", "calibration", "probabilities mended by a step function",
         _calibrate("isotonic"),
         lambda brief: _plain_classes(brief) and brief.output == "probability" and brief.rows >= 500,
         weight=0.5),
    Idea("tuned-threshold", "threshold", "the cut between two classes chosen for the metric", _threshold,
         _two_labels, weight=1.0),
    Idea("ordinal-cuts", "threshold", "regression on ordered classes, cut to the classes' shares",
         _cuts("shares"), _ordered, weight=1.2),
    Idea("searched-cuts", "threshold", "regression on ordered classes, cuts searched for the metric",
         _cuts("search"), _ordered, weight=1.2),
    Idea("clip-to-range", "threshold", "predictions kept inside the range seen in training", _clip, _regress,
         weight=0.5),
    Idea("holdout-validation", "validation", "a fifth of the rows set aside", _validate("holdout")),
    Idea("kfold-validation", "validation", "k folds", _validate("kfold"), params={"folds": (5, 3)}),
    Idea("repeated-validation", "validation", "k folds, twice", _validate("repeated"),
         params={"folds": (5, 3)}, applies=lambda brief: brief.rows <= 2000, weight=0.3),
    Idea("group-validation", "validation", "folds that keep a group together", _validate("group"),
         lambda brief: bool(brief.group), {"folds": (5, 3)}),
    Idea("time-validation", "validation", "the latest fifth of the rows set aside", _validate("time"),
         lambda brief: bool(brief.time)),
    Idea("sample-rows", "rows", "train on part of the rows", _sample,
         lambda brief: brief.rows > 1000, {"share": (0.5, 0.25, 0.1, 0.03)}, weight=0.0),
    Idea("coerce-numbers", "repair", "numeric columns read as numbers whatever stands in them",
         _repair("coerce"), weight=0.0),
    Idea("replace-infinities", "repair", "infinite values become missing ones", _repair("finite"),
         weight=0.0),
    Idea("follow-sample", "repair", "ids and columns exactly as in the sample submission",
         _repair("sample"), weight=0.0),
    Idea("fill-predictions", "repair", "missing predictions become the middle of the others",
         _repair("fill"), weight=0.0),
    Idea("bound-predictions", "repair", "predictions inside the metric's range", _repair("bound"),
         weight=0.0),
    Idea("unstratified-folds", "repair", "folds that do not balance classes", _repair("plain"), weight=0.0),
)  # fmt: skip
