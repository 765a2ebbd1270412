"""Ideas of kind `model` that are not trees: linear ones, kernels, neighbours, Bayes, networks.

Most want imputed, scaled, one-hot columns; they say so in `needs` and the
composer sees to it unless another idea already does.
"""

from __future__ import annotations

from .brief import Brief
from .idea import Contribution, Draft, Idea, Params, Raw
from .models_trees import absolute, at_most, suffix, weights

LINEAR = "impute scale onehot"
CLASSIFIERS = frozenset({"naive-bayes", "linear-discriminant", "quadratic-discriminant"})
"""Models that know classes only: they can't join regression on class numbers."""


def _classify(brief: Brief) -> bool:
    return brief.mode == "classify"


def _regress(brief: Brief) -> bool:
    return brief.mode == "regress"


def _linear(draft: Draft, params: Params) -> None:
    if draft.regress:
        draft.use("numpy", "logspace")
        draft.model(
            "sklearn.linear_model", "RidgeCV", needs=LINEAR, multi=True, cost=0.1,
            alphas=Raw("logspace(-2, 4, 13)"),
        )  # fmt: skip
    else:
        draft.model(
            "sklearn.linear_model", "LogisticRegression", needs=LINEAR, cost=0.5, C=params["C"],
            max_iter=1000, **weights(draft),
        )  # fmt: skip


def _elastic(draft: Draft, params: Params) -> None:
    if draft.regress:
        draft.model(
            "sklearn.linear_model", "ElasticNetCV", needs=LINEAR, cost=0.5,
            l1_ratio=params["l1_ratio"], cv=4, random_state=0,
        )  # fmt: skip
    else:
        draft.model(
            "sklearn.linear_model", "SGDClassifier", needs=LINEAR, cost=0.2, loss="log_loss",
            penalty="elasticnet", alpha=params["alpha"], l1_ratio=params["l1_ratio"], average=True,
            max_iter=2000, **weights(draft), random_state=0,
        )  # fmt: skip


def _simple(
    module: str, name: str, *, needs: str = LINEAR, multi: bool = False, cost: float = 0.3
) -> Contribution:
    """A model whose keywords are its parameters."""

    def add(draft: Draft, params: Params) -> None:
        draft.model(module, name, needs=needs, multi=multi, cost=cost, **params)

    return add


def _neighbours(draft: Draft, params: Params) -> None:
    draft.model(
        "sklearn.neighbors", f"KNeighbors{suffix(draft)}", needs=LINEAR, multi=True, cost=0.5,
        n_neighbors=min(int(params["n_neighbors"]), max(1, draft.brief.rows // 5)),
        weights=params["weights"],
    )  # fmt: skip


def _svm(draft: Draft, params: Params) -> None:
    if draft.regress:
        draft.use("sklearn.compose", "TransformedTargetRegressor")
        draft.use("sklearn.preprocessing", "StandardScaler")
        draft.use("sklearn.svm", "SVR")
        draft.models.append(
            f"TransformedTargetRegressor(SVR(C={params['C']}, gamma={params['gamma']!r}), "
            "transformer=StandardScaler())"
        )
        draft.needs.update(LINEAR.split())
        draft.native_multi, draft.heavy = False, draft.heavy + 2
    else:
        draft.model(
            "sklearn.svm", "SVC", needs=LINEAR, proba=False, cost=2.0, **params, **weights(draft),
            random_state=0,
        )  # fmt: skip


def _linear_svm(draft: Draft, params: Params) -> None:
    if draft.regress:
        draft.model(
            "sklearn.svm", "LinearSVR", needs=LINEAR, cost=0.5, **params, max_iter=5000, random_state=0
        )
    else:
        draft.model(
            "sklearn.svm", "LinearSVC", needs=LINEAR, proba=False, cost=0.5, **params, max_iter=5000,
            **weights(draft), random_state=0,
        )  # fmt: skip


def _final_linear(draft: Draft, cost: float) -> None:
    """The linear model that reads a richer basis."""
    if draft.regress:
        draft.use("numpy", "logspace")
        draft.model(
            "sklearn.linear_model", "RidgeCV", needs=LINEAR, multi=True, cost=cost,
            alphas=Raw("logspace(-2, 4, 13)"),
        )  # fmt: skip
    else:
        draft.model(
            "sklearn.linear_model", "LogisticRegression", needs=LINEAR, cost=cost, C=0.3, max_iter=1000,
            **weights(draft),
        )  # fmt: skip


def _nystroem(draft: Draft, params: Params) -> None:
    draft.use("sklearn.kernel_approximation", "Nystroem")
    gamma = f"{params['gamma_scale']} / {draft.brief.width}"
    parts = min(int(params["n_components"]), max(10, draft.brief.rows // 3))
    _final_linear(draft, 1.0)
    draft.after(f"Nystroem(gamma={gamma}, n_components={parts}, random_state=0)")


def _splines(draft: Draft, params: Params) -> None:
    draft.use("sklearn.preprocessing", "SplineTransformer")
    draft.numeric_extra.append(f"SplineTransformer(n_knots={params['n_knots']}, degree=3)")
    _final_linear(draft, 0.7)


def _polynomial(draft: Draft, params: Params) -> None:
    draft.use("sklearn.preprocessing", "PolynomialFeatures")
    draft.numeric_extra.append(
        f"PolynomialFeatures(2, interaction_only={params['interaction_only']}, include_bias=False)"
    )
    _final_linear(draft, 1.0)


def _network(draft: Draft, params: Params) -> None:
    layers = "(" + ", ".join(str(params["layers"]).split("-")) + ",)"
    draft.model(
        "sklearn.neural_network", f"MLP{suffix(draft)}", needs=LINEAR, multi=draft.regress, cost=2.0,
        hidden_layer_sizes=Raw(layers.replace(",,", ",")), alpha=params["alpha"],
        early_stopping=draft.brief.rows > 500, max_iter=150, random_state=0,
    )  # fmt: skip
    if draft.regress and draft.target is None and not draft.brief.multi:
        draft.use("sklearn.compose", "TransformedTargetRegressor")
        draft.use("sklearn.preprocessing", "StandardScaler")
        draft.models[-1] = f"TransformedTargetRegressor({draft.models[-1]}, transformer=StandardScaler())"


def _process(draft: Draft, params: Params) -> None:
    draft.use("sklearn.gaussian_process.kernels", "RBF", "WhiteKernel")
    scale = f"{params['length']} * {draft.brief.width} ** 0.5"
    if draft.regress:
        draft.model(
            "sklearn.gaussian_process", "GaussianProcessRegressor", needs=LINEAR + " dense", cost=3.0,
            kernel=Raw(f"RBF({scale}) + WhiteKernel(0.5)"), normalize_y=True, random_state=0,
        )  # fmt: skip
    else:
        draft.model(
            "sklearn.gaussian_process", "GaussianProcessClassifier", needs=LINEAR + " dense", cost=6.0,
            kernel=Raw(f"2.0 * RBF({scale})"), optimizer=Raw("None"), random_state=0,
        )  # fmt: skip


def _pls(draft: Draft, params: Params) -> None:
    parts = min(int(params["n_components"]), max(1, len(draft.brief.numeric) - 1))
    draft.model(
        "sklearn.cross_decomposition", "PLSRegression", needs=LINEAR + " dense", multi=True, cost=0.2,
        n_components=parts,
    )  # fmt: skip


def _constant(draft: Draft, params: Params) -> None:
    draft.model("sklearn.dummy", f"Dummy{suffix(draft)}", multi=True, cost=0.0)


def _median_linear(draft: Draft, params: Params) -> None:
    draft.model(
        "sklearn.linear_model", "QuantileRegressor", needs=LINEAR, cost=2.0, quantile=0.5,
        alpha=params["alpha"], solver="highs",
    )  # fmt: skip


def _roomy(brief: Brief) -> bool:
    """Rows enough for a covariance matrix a class."""
    return brief.rows > 4 * max(2, len(brief.classes)) * brief.width


def _positive(brief: Brief) -> bool:
    return _regress(brief) and (brief.skewed_target or brief.metric in {"rmsle", "mape", "smape"})


IDEAS = (
    Idea("linear-model", "model", "logistic regression or ridge", _linear,
         params={"C": (1.0, 0.1, 0.03, 10.0)}, weight=1.5),
    Idea("elastic-net", "model", "linear model with L1 and L2 penalties", _elastic,
         params={"l1_ratio": (0.5, 0.1, 0.9), "alpha": (0.001, 0.0001, 0.01)}, weight=0.7),
    Idea("nearest-neighbours", "model", "k nearest neighbours", _neighbours, weight=0.8,
         params={"n_neighbors": (7, 3, 15, 31), "weights": ("distance", "uniform")},
         applies=at_most(30_000)),
    Idea("support-vectors", "model", "support vector machine with an RBF kernel", _svm, weight=1.5,
         params={"C": (3.0, 1.0, 10.0, 0.5), "gamma": ("scale", "auto")}, applies=at_most(6000)),
    Idea("linear-svm", "model", "linear support vector machine", _linear_svm, weight=0.7,
         params={"C": (0.1, 0.01, 1.0)}, applies=at_most(50_000)),
    Idea("kernel-approximation", "model", "Nystroem features under a linear model", _nystroem, weight=0.8,
         params={"n_components": (300, 150), "gamma_scale": (0.5, 1.0, 0.1)}),
    Idea("spline-model", "model", "smooth additive model on splines", _splines, weight=1.0,
         params={"n_knots": (5, 8, 4)},
         applies=lambda brief: 0 < len(brief.numeric) <= 60 or not brief.known),
    Idea("polynomial-model", "model", "linear model on products of columns", _polynomial, weight=0.8,
         params={"interaction_only": (False, True)},
         applies=lambda brief: 0 < len(brief.numeric) <= 20),
    Idea("neural-network", "model", "multi-layer perceptron", _network, weight=0.9,
         params={"layers": ("64-32", "100", "128-64"), "alpha": (0.01, 0.0001, 0.3)},
         applies=at_most(60_000)),
    Idea("gaussian-process", "model", "Gaussian process", _process, weight=0.8,
         params={"length": (1.0, 0.5, 2.0)},
         applies=lambda brief: brief.rows <= 700 and len(brief.classes) <= 4),
    Idea("naive-bayes", "model", "Gaussian naive Bayes",
         _simple("sklearn.naive_bayes", "GaussianNB", needs="impute dense", cost=0.1),
         applies=_classify, weight=0.3),
    Idea("linear-discriminant", "model", "linear discriminant analysis with shrinkage",
         _simple("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis", needs=LINEAR + " dense"),
         params={"solver": ("lsqr",), "shrinkage": ("auto", 0.1)}, applies=_classify, weight=0.9),
    Idea("quadratic-discriminant", "model", "quadratic discriminant analysis, regularised",
         _simple("sklearn.discriminant_analysis", "QuadraticDiscriminantAnalysis", needs=LINEAR + " dense"),
         params={"reg_param": (0.3, 0.1, 0.6)},
         applies=lambda brief: _classify(brief) and _roomy(brief), weight=0.5),
    Idea("bayesian-ridge", "model", "Bayesian ridge regression",
         _simple("sklearn.linear_model", "BayesianRidge", needs=LINEAR + " dense"),
         applies=_regress, weight=0.7),
    Idea("lasso", "model", "Lasso with its penalty chosen by cross-validation",
         _simple("sklearn.linear_model", "LassoCV", cost=0.5), params={"cv": (4, 6)}, applies=_regress,
         weight=0.7),
    Idea("huber-regression", "model", "linear regression that bears outliers",
         _simple("sklearn.linear_model", "HuberRegressor"),
         params={"epsilon": (1.35, 1.1), "alpha": (0.01, 1.0), "max_iter": (1000,)}, applies=_regress,
         weight=0.6),
    Idea("kernel-ridge", "model", "ridge regression with an RBF kernel",
         _simple("sklearn.kernel_ridge", "KernelRidge", multi=True, cost=1.0),
         params={"kernel": ("rbf", "laplacian"), "alpha": (0.3, 1.0, 0.1), "gamma": (0.02, 0.1)},
         applies=lambda brief: _regress(brief) and brief.rows <= 3000, weight=0.6),
    Idea("partial-least-squares", "model", "partial least squares", _pls, params={"n_components": (3, 2, 6)},
         applies=lambda brief: _regress(brief) and len(brief.numeric) >= 3, weight=0.5),
    Idea("tweedie-regression", "model", "generalised linear model for positive, skewed targets",
         _simple("sklearn.linear_model", "TweedieRegressor"),
         params={"power": (1.5, 1.0), "alpha": (0.1, 0.01), "max_iter": (500,)}, applies=_positive,
         weight=0.5),
    Idea("median-regression", "model", "linear regression on the median", _median_linear,
         params={"alpha": (0.01, 0.1)},
         applies=lambda brief: _regress(brief) and absolute(brief) and brief.rows <= 1500, weight=0.6),
    Idea("constant-prediction", "model", "the best constant: the last resort", _constant, weight=0.0),
)  # fmt: skip
