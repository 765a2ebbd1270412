"""Ideas of kind `model` for short programs: one or two scikit-learn calls each.

Sizes are chosen for tables of some hundred rows, where a run should take a fraction of a second. Templates
hold `<name>` for a parameter, `<weights>` for the class weights, `{S}` for Regressor or Classifier. What a
model wants of its columns stands in `needs`, as in the playbook: impute, scale, onehot, dense.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mleagent.policy.playbook.brief import Brief
from mleagent.policy.playbook.idea import Draft, Idea, Params, Value, always, literal

LINEAR = "impute scale onehot"
TREES = "impute"
SKEWED = frozenset({"rmsle", "mape", "smape"})
Applies = Callable[[Brief], bool]


def classify(brief: Brief) -> bool:
    """Whether classes are asked for."""
    return brief.mode == "classify"


def regress(brief: Brief) -> bool:
    """Whether numbers are asked for."""
    return brief.mode == "regress"


def absolute(brief: Brief) -> bool:
    """Whether the metric rewards the conditional median."""
    return regress(brief) and brief.metric in {"mae", "mape", "smape"}


def positive(brief: Brief) -> bool:
    """Whether the target is a positive number with a long tail, as far as metric and profile tell."""
    return regress(brief) and (brief.metric in SKEWED or brief.skewed_target)


def numeric(least: int, most: int = 10_000) -> Applies:
    """At least and at most that many number columns, and no text."""
    return lambda brief: least <= len(brief.numeric) <= most and not brief.text


def filled(template: str, draft: Draft, params: Params) -> str:
    """The template as source text."""
    weights = ', class_weight="balanced"' if draft.balanced and not draft.regress else ""
    text = template.replace("<weights>", weights)
    text = text.replace("{S}", "Regressor" if draft.regress else "Classifier")
    for key, value in params.items():
        text = text.replace(f"<{key}>", literal(value))
    if "alpha" in params:  # the classifier's way to say the same penalty
        text = text.replace("<C>", literal(float(f"{1 / float(params['alpha']):.2g}")))
    return text


def _model(
    name: str,
    about: str,
    regressor: str,
    classifier: str,
    needs: str,
    applies: Applies = always,
    params: Mapping[str, tuple[Value, ...]] | None = None,
    step: str = "",
    numbers: str = "",
) -> Idea:
    """An idea that adds one model, with a step before it (`step`), or one on the numbers (`numbers`)."""

    def contribute(draft: Draft, params: Params) -> None:
        template = regressor if draft.regress else classifier
        if not template:
            return
        model = filled(template, draft, params)
        draft.models.append(model)
        draft.needs.update(needs.split())
        if model.startswith(("SVC", "LinearSVC", "RidgeClassifier", "NearestCentroid")):
            draft.mute.add(model)
        if step:
            draft.reduce.append(filled(step, draft, params))
        if numbers:
            draft.numeric_extra.append(filled(numbers, draft, params))

    def fits(brief: Brief) -> bool:
        return bool(regressor if regress(brief) else classifier) and applies(brief)

    return Idea(name, "model", about, contribute, fits, params or {})


_RIDGE, _LOGISTIC = "Ridge(alpha=<alpha>)", "LogisticRegression(C=<C>, max_iter=500<weights>)"
_SMALL_RIDGE, _SMALL_LOGISTIC = "Ridge()", "LogisticRegression(C=0.3, max_iter=500<weights>)"
_BOOST = "HistGradientBoosting{S}(max_iter=<rounds>, "
_SCALED = "TransformedTargetRegressor({}, transformer=StandardScaler())"


def _scaled(model: str) -> str:
    """A regressor whose target is brought to spread 1, for models with a unit of their own."""
    return _SCALED.replace("{}", model)


_TREES = (
    _model("hist-gradient-boosting", "histogram gradient boosting", *2 * (
        _BOOST + "learning_rate=<rate>, max_leaf_nodes=15<weights>)",), "dense",
        params={"rounds": (60,), "rate": (0.1, 0.05, 0.2)}),
    _model("shallow-boosting", "boosting of small trees", *2 * (
        _BOOST + "max_leaf_nodes=<leaves>, min_samples_leaf=5<weights>)",), "dense",
        params={"rounds": (100, 60), "leaves": (4, 6)}),
    _model("regularised-boosting", "boosting on part of the columns, large leaves", *2 * (
        _BOOST + "max_features=<share>, min_samples_leaf=30<weights>)",), "dense",
        params={"rounds": (80,), "share": (0.3, 0.6)}),
    _model("gradient-boosting", "classic boosting with row sampling", *2 * (
        "GradientBoosting{S}(n_estimators=<rounds>, max_depth=<depth>, subsample=0.7)",), "impute dense",
        lambda brief: len(brief.numeric) <= 40 and len(brief.classes) <= 3,
        {"rounds": (60, 100), "depth": (3, 2, 4)}),
    _model("stump-boosting", "boosting of single cuts", *2 * (
        "GradientBoosting{S}(n_estimators=<rounds>, max_depth=1, learning_rate=0.2)",), "impute dense",
        lambda brief: len(brief.numeric) <= 40 and len(brief.classes) <= 3, {"rounds": (80, 150)}),
    _model("random-forest", "random forest", *2 * (
        "RandomForest{S}(<trees>, min_samples_leaf=<leaf><weights>)",), TREES,
        params={"trees": (50,), "leaf": (2, 1, 5)}),
    _model("extra-trees", "extremely randomised trees", *2 * (
        "ExtraTrees{S}(<trees>, min_samples_leaf=<leaf><weights>)",), TREES,
        params={"trees": (60,), "leaf": (1, 2, 4)}),
    _model("wide-extra-trees", "randomised trees that look at every column", *2 * (
        "ExtraTrees{S}(<trees>, max_features=None, min_samples_leaf=<leaf><weights>)",), TREES,
        params={"trees": (50,), "leaf": (2, 1, 4)}),
    _model("decision-tree", "a single tree", *2 * (
        "DecisionTree{S}(max_depth=<depth>, min_samples_leaf=<leaf><weights>)",), TREES,
        params={"depth": (5, 3, 8), "leaf": (5, 10)}),
    _model("adaboost", "AdaBoost over small trees", *2 * (
        "AdaBoost{S}(DecisionTree{S}(max_depth=<depth>), n_estimators=40)",), TREES, params={"depth": (3,
          2)}),
    _model("bagged-trees", "bagged full trees", *2 * (
        "Bagging{S}(DecisionTree{S}(), n_estimators=30, max_features=<share>)",), TREES,
        params={"share": (0.7, 1.0)}),
    _model("leaf-embedding", "leaves of random trees under a linear model", _SMALL_RIDGE, _SMALL_LOGISTIC,
           TREES, step="RandomTreesEmbedding(n_estimators=60, max_depth=<depth>)",
           params={"depth": (4, 3, 5)}),
    _model("absolute-boosting", "boosting on absolute errors",
           "HistGradientBoostingRegressor(loss=\"absolute_error\", max_iter=80, max_leaf_nodes=<leaves>)", "",
           "dense", absolute, {"leaves": (8, 15)}),
    _model("poisson-boosting", "boosting with a logarithmic link",
           "HistGradientBoostingRegressor(loss=\"<loss>\", max_iter=80, max_leaf_nodes=8)".replace(
               '"<loss>"', "<loss>"), "", "dense", positive, {"loss": ("gamma", "poisson")}),
)  # fmt: skip
_LINEAR = (
    _model("linear-model", "ridge or logistic regression", _RIDGE, _LOGISTIC, LINEAR,
           params={"alpha": (1.0, 10.0, 0.1)}),
    _model("shrunken-linear", "a linear model with a strong penalty", _RIDGE, _LOGISTIC, LINEAR,
           params={"alpha": (100.0, 30.0)}),
    _model("lasso", "a linear model that leaves columns out", "LassoCV(cv=3)",
           'SGDClassifier(loss="log_loss", penalty="l1", alpha=<alpha><weights>)', LINEAR,
           params={"alpha": (0.01, 0.003)}),
    _model("elastic-net", "a linear model with both penalties", "ElasticNetCV(l1_ratio=<ratio>, cv=3)",
           'SGDClassifier(loss="log_loss", penalty="elasticnet", l1_ratio=<ratio>, alpha=0.01<weights>)',
           LINEAR, params={"ratio": (0.5, 0.2)}),
    _model("bayesian-ridge", "Bayesian ridge regression", "BayesianRidge()", "", LINEAR + " dense"),
    _model("relevance-regression", "a linear model with a relevance a column", "ARDRegression()", "",
           LINEAR + " dense", numeric(2, 40)),
    _model("matching-pursuit", "a linear model on a few chosen columns", "OrthogonalMatchingPursuitCV(cv=3)",
           "", LINEAR + " dense", numeric(12)),
    _model("huber-regression", "linear regression that bears outliers", "HuberRegressor(max_iter=500)", "",
           LINEAR, numeric(1, 60)),
    _model("ransac-regression", "linear regression on the rows that agree",
           "RANSACRegressor(min_samples=<share>)", "", LINEAR, numeric(1, 30), {"share": (0.5, 0.7)}),
    _model("median-regression", "linear regression on the median", "QuantileRegressor(alpha=<alpha>)", "",
           LINEAR, lambda brief: absolute(brief) and len(brief.numeric) <= 30, {"alpha": (0.01, 0.001)}),
    _model("tweedie-regression", "a generalised linear model with a logarithmic link",
           "TweedieRegressor(power=<power>, alpha=0.01, max_iter=300)", "", LINEAR, positive,
           {"power": (1.5, 1.0, 2.0)}),
    _model("partial-least-squares", "partial least squares", "PLSRegression(<parts>)", "", LINEAR + " dense",
           numeric(8), {"parts": (4, 2, 7)}),
    _model("linear-svm", "linear support vectors", _scaled("LinearSVR(C=<C>, max_iter=3000)"),
           "LinearSVC(C=<C>, max_iter=3000<weights>)", LINEAR, params={"C": (0.1, 0.01, 1.0)}),
    _model("linear-discriminant", "linear discriminant with shrinkage", "",
           'LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")', LINEAR + " dense"),
    _model("quadratic-discriminant", "quadratic discriminant, regularised", "",
           "QuadraticDiscriminantAnalysis(reg_param=<share>)", LINEAR + " dense",
           lambda brief: 2 <= len(brief.numeric) <= 8 and not brief.category and len(brief.classes) <= 3,
           {"share": (0.3, 0.6)}),
    _model("naive-bayes", "Gaussian naive Bayes", "", "GaussianNB()", "impute dense onehot"),
    _model("nearest-centroid", "the nearest class centre", "", "NearestCentroid()", LINEAR + " dense",
           lambda brief: brief.output == "label"),
    _model("word-bayes", "naive Bayes on word counts", "", "ComplementNB(alpha=<alpha>)", "onehot positive",
           lambda brief: bool(brief.text) and not brief.numeric, {"alpha": (1.0, 0.3)}),
)  # fmt: skip
_BENT = (
    _model("spline-model", "a smooth bend for each column, added up", _RIDGE, _LOGISTIC, LINEAR,
           lambda brief: 1 <= len(brief.numeric) <= 30, {"knots": (6, 4, 9), "alpha": (1.0, 10.0)},
           numbers="SplineTransformer(<knots>)"),
    _model("polynomial-model", "squares and products under a linear model", _RIDGE, _LOGISTIC, LINEAR,
           numeric(2, 14), {"alpha": (1.0, 10.0)}, numbers="PolynomialFeatures(2)"),
    _model("cubic-model", "all terms of third degree under a linear model", _RIDGE, _LOGISTIC, LINEAR,
           numeric(2, 5), {"alpha": (3.0, 10.0)}, numbers="PolynomialFeatures(3)"),
    _model("stepwise-model", "numbers cut into bins under a linear model", _RIDGE, _LOGISTIC, LINEAR,
           numeric(1, 30), {"bins": (6, 10, 4), "alpha": (3.0,)},
           numbers="KBinsDiscretizer(<bins>)"),
    _model("nearest-neighbours", "k nearest neighbours", *2 * (
        'KNeighbors{S}(<k>, weights="distance")',), LINEAR, params={"k": (7, 3, 15)}),
    _model("direction-neighbours", "neighbours by direction", *2 * (
        'KNeighbors{S}(<k>, metric="cosine")',), LINEAR, numeric(4), {"k": (7, 15)}),
    _model("street-neighbours", "neighbours by street distance", *2 * (
        'KNeighbors{S}(<k>, p=1, weights="distance")',), LINEAR, numeric(2, 60), {"k": (7, 3, 15)}),
    _model("support-vectors", "support vectors with an RBF kernel", _scaled("SVR(C=<C>)"),
           "SVC(C=<C><weights>)", LINEAR, params={"C": (3.0, 1.0, 10.0)}),
    _model("sharp-support-vectors", "support vectors with a narrow kernel",
          _scaled("SVR(C=<C>, gamma=<gamma>)"),
           "SVC(C=<C>, gamma=<gamma><weights>)", LINEAR, numeric(1, 12), {"C": (10.0, 3.0), "gamma": (1.0,
           0.5)}),
    _model("polynomial-support-vectors", "support vectors with a polynomial kernel",
           _scaled('SVR(kernel="poly", degree=<degree>, coef0=1)'),
           'SVC(kernel="poly", degree=<degree>, coef0=1<weights>)', LINEAR, numeric(2, 60), {"degree": (2,
           3)}),
    _model("kernel-ridge", "ridge regression with a kernel",
           _scaled('KernelRidge(kernel="rbf", gamma=<gamma>, alpha=0.1)'), "", LINEAR,
           params={"gamma": (0.05, 0.2, 0.01)}),
    _model("laplacian-ridge", "ridge regression with a pointed kernel",
           _scaled('KernelRidge(kernel="laplacian", gamma=<gamma>, alpha=0.1)'), "", LINEAR + " dense",
           params={"gamma": (0.1, 0.3)}),
    _model("kernel-approximation", "Nystroem features under a linear model", _SMALL_RIDGE, _SMALL_LOGISTIC,
           LINEAR, params={"gamma": (0.1, 0.02, 0.5)}, step="Nystroem(gamma=<gamma>, n_components=60)"),
    _model("random-waves", "random waves under a linear model", _SMALL_RIDGE, _SMALL_LOGISTIC, LINEAR,
           numeric(1, 20), {"gamma": (0.5, 2.0, 0.1)}, step="RBFSampler(gamma=<gamma>, n_components=150)"),
    _model("neural-network", "a small multi-layer perceptron",
           _scaled('MLPRegressor(hidden_layer_sizes=(<width>,), solver="lbfgs", alpha=<alpha>, '
                   'max_iter=100)'),
           'MLPClassifier(hidden_layer_sizes=(<width>,), solver="lbfgs", alpha=<alpha>, max_iter=100)',
           LINEAR,
           lambda brief: not brief.text, {"width": (20, 50), "alpha": (1.0, 0.1, 10.0)}),
    _model("gaussian-process", "a Gaussian process",
           "GaussianProcessRegressor(RBF(<length>) + WhiteKernel(0.1), optimizer=None, normalize_y=True)",
           "GaussianProcessClassifier(RBF(<length>), optimizer=None)", LINEAR + " dense",
           lambda brief: len(brief.classes) <= 3 and not brief.text, {"length": (2.0, 1.0, 5.0)}),
)  # fmt: skip

IDEAS = (*_TREES, *_LINEAR, *_BENT)
