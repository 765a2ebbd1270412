"""Ideas on the side of the answer for short programs: targets, weights, blends, thresholds, validation."""

from __future__ import annotations

from mleagent.policy.playbook.brief import Brief
from mleagent.policy.playbook.idea import Contribution, Draft, Idea, Params

from .ideas_models import classify, filled, positive, regress

_SCORERS = {
    "f1": "f1", "f1_macro": "f1_macro", "balanced_accuracy": "balanced_accuracy", "mcc": "matthews_corrcoef",
    "accuracy": "accuracy",
}  # fmt: skip


def _target(keywords: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        if draft.regress:
            draft.target = keywords

    return add


def _balanced(draft: Draft, params: Params) -> None:
    draft.balanced = True


def _wrap(template: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        if not draft.regress:
            draft.wrap.append(filled(template, draft, params))

    return add


def _bag(draft: Draft, params: Params) -> None:
    if draft.ensemble == "stack":
        return  # already a blend of many, and scikit-learn refuses some of these
    suffix = "Regressor" if draft.regress else "Classifier"
    draft.wrap.append(f"Bagging{suffix}({{}}, n_estimators={params['copies']})")


def _threshold(draft: Draft, params: Params) -> None:
    if not draft.regress:
        scorer = _SCORERS.get(draft.brief.metric, "balanced_accuracy")
        draft.wrap.append(f'TunedThresholdClassifierCV({{}}, scoring="{scorer}", cv=2)')


def _beside(regressor: str, classifier: str, needs: str) -> Contribution:
    """A second model whose predictions are averaged with the first's."""

    def add(draft: Draft, params: Params) -> None:
        draft.models.append(filled(regressor if draft.regress else classifier, draft, params))
        draft.needs.update(needs.split())

    return add


def _stack(draft: Draft, params: Params) -> None:
    _beside("ExtraTreesRegressor(40)", "ExtraTreesClassifier(40)", "impute")(draft, params)
    draft.ensemble = "stack"


def _cuts(how: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.regress, draft.cuts = True, how

    return add


def _clip(draft: Draft, params: Params) -> None:
    draft.clip = True


def _folds(draft: Draft, params: Params) -> None:
    draft.folds = int(params["folds"])


def _plain(brief: Brief) -> bool:
    return classify(brief) and not brief.multi


def _probable(brief: Brief) -> bool:
    return _plain(brief) and brief.output == "probability"


def _two_labels(brief: Brief) -> bool:
    return _plain(brief) and brief.output == "label" and len(brief.classes) == 2


def ordered(brief: Brief) -> bool:
    """Whether classes are numbers under the metric that knows their order."""
    whole = all(name.isdigit() for name in brief.classes)
    return _plain(brief) and brief.metric == "qwk" and whole and len(brief.classes) > 2


_LINEAR = "impute scale onehot"

IDEAS = (
    Idea("log-target", "target-transform", "the model learns the logarithm of the target",
         _target("func=np.log1p, inverse_func=np.expm1"), positive),
    Idea("root-target", "target-transform", "the model learns the square root of the target",
         _target("func=np.sqrt, inverse_func=np.square"), positive),
    Idea("quantile-target", "target-transform", "the model learns the target's rank as a normal number",
         _target('transformer=QuantileTransformer(n_quantiles=50, output_distribution="normal")'), regress),
    Idea("power-target", "target-transform", "the model learns a Yeo-Johnson transform of the target",
         _target("transformer=PowerTransformer()"), lambda brief: regress(brief) and not positive(brief)),
    Idea("arcsinh-target", "target-transform", "a logarithm that bears negative numbers",
         _target("func=np.arcsinh, inverse_func=np.sinh"), regress),
    Idea("balanced-class-weights", "class-weights", "rare classes weigh as much as common ones", _balanced,
         classify),
    Idea("blend-linear", "ensemble", "the mean with a linear model",
         _beside("RidgeCV()", "LogisticRegression(max_iter=500<weights>)", _LINEAR)),
    Idea("blend-forest", "ensemble", "the mean with randomised trees",
         _beside("ExtraTreesRegressor(50)", "ExtraTreesClassifier(50<weights>)", "impute")),
    Idea("blend-boosting", "ensemble", "the mean with gradient boosting",
         _beside(*2 * ("HistGradientBoosting{S}(max_iter=60, max_leaf_nodes=8<weights>)",), "dense")),
    Idea("blend-kernel", "ensemble", "the mean with support vectors",
         _beside("TransformedTargetRegressor(SVR(C=3), transformer=StandardScaler())",
                 "CalibratedClassifierCV(SVC(C=3<weights>), cv=3)", _LINEAR)),
    Idea("blend-neighbours", "ensemble", "the mean with nearest neighbours",
         _beside(*2 * ("KNeighbors{S}(9)",), _LINEAR)),
    Idea("stacking", "ensemble", "a linear model over this one and randomised trees", _stack),
    Idea("bagged-copies", "calibration", "copies of the model on other rows, averaged", _bag,
         params={"copies": (5, 8)}),
    Idea("sigmoid-calibration", "calibration", "probabilities mended by a sigmoid",
         _wrap('CalibratedClassifierCV({}, cv=3)'), _probable),
    Idea("isotonic-calibration", "calibration", "probabilities mended by a step function",
         _wrap('CalibratedClassifierCV({}, method="isotonic", cv=3)'), _probable),
    Idea("tuned-threshold", "threshold", "the cut between two classes chosen for the metric", _threshold,
         _two_labels),
    Idea("ordinal-rounding", "threshold", "regression on ordered classes, rounded", _cuts("round"), ordered),
    Idea("ordinal-cuts", "threshold", "regression on ordered classes, cut to the classes' shares",
         _cuts("shares"), ordered),
    Idea("clip-to-range", "threshold", "predictions kept inside the range seen in training", _clip, regress),
    Idea("kfold-validation", "validation", "more or fewer folds", _folds, params={"folds": (5, 2)}),
)  # fmt: skip
