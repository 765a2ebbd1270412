"""Ideas of kind `model` that grow trees: boosting in its makes, forests, single trees.

Each adds one scikit-learn (or LightGBM, XGBoost, CatBoost) estimator to a draft,
as a classifier or a regressor. Costs are relative to gradient boosting of 200
rounds; the loss follows the metric where the estimator allows it.
"""

from __future__ import annotations

from typing import Any

from .brief import Brief
from .idea import Draft, Idea, Params, Raw, Value, call


def suffix(draft: Draft) -> str:
    """`Regressor` or `Classifier`."""
    return "Regressor" if draft.regress else "Classifier"


def weights(draft: Draft) -> dict[str, Any]:
    """The `class_weight` keyword, where class weights were asked for."""
    return {"class_weight": "balanced"} if draft.balanced and not draft.regress else {}


def absolute(brief: Brief) -> bool:
    """Whether the metric rewards the conditional median."""
    return brief.metric in {"mae", "mape", "smape", "medae"}


def at_most(rows: int, width: int = 10**9) -> Any:
    """Applies to tables up to that size."""
    return lambda brief: brief.rows <= rows and brief.width <= width


def number(value: Value) -> float:
    """A parameter as a number."""
    return float(value)


def _hist(draft: Draft, params: Params) -> None:
    loss: dict[str, Any] = {}
    if draft.regress and absolute(draft.brief) and draft.target is None:
        loss["loss"] = "absolute_error"
    if draft.regress and "pinball" in draft.brief.metric:
        loss.update(loss="quantile", quantile=0.5)
    trees = max(1, len(draft.brief.classes) - 1) if not draft.regress else 1
    if trees > 2:  # a tree a class and round: fewer rounds, or it takes minutes
        params = {**params, "max_iter": max(40, int(params.get("max_iter", 100)) * 3 // trees)}
    draft.model(
        "sklearn.ensemble",
        f"HistGradientBoosting{suffix(draft)}",
        needs="dense",
        cost=number(params.get("max_iter", 100)) / 200 * trees,
        **loss,
        **params,
        **weights(draft),
        random_state=0,
    )


def _early(draft: Draft, params: Params) -> None:
    _hist(draft, {**params, "max_iter": 600, "early_stopping": True})
    draft.heavy -= 2.0


def _gradient(draft: Draft, params: Params) -> None:
    loss: dict[str, Any] = {"loss": "absolute_error"} if draft.regress and absolute(draft.brief) else {}
    draft.model(
        "sklearn.ensemble", f"GradientBoosting{suffix(draft)}", needs="impute dense",
        cost=4.0 * max(1, len(draft.brief.classes) - 1), **loss, **params, random_state=0,
    )  # fmt: skip


def _forest(name: str) -> Any:
    def add(draft: Draft, params: Params) -> None:
        draft.model(
            "sklearn.ensemble", f"{name}{suffix(draft)}", needs="impute", multi=True, cost=2.0,
            **params, **weights(draft), n_jobs=2, random_state=0,
        )  # fmt: skip

    return add


def _tree(draft: Draft, params: Params) -> None:
    draft.model(
        "sklearn.tree", f"DecisionTree{suffix(draft)}", needs="impute", multi=True, cost=0.1,
        **params, **weights(draft), random_state=0,
    )  # fmt: skip


def _adaboost(draft: Draft, params: Params) -> None:
    draft.use("sklearn.tree", f"DecisionTree{suffix(draft)}")
    depth = params["depth"]
    draft.model(
        "sklearn.ensemble", f"AdaBoost{suffix(draft)}", needs="impute", cost=2.0,
        estimator=Raw(f"DecisionTree{suffix(draft)}(max_depth={depth})"),
        n_estimators=params["n_estimators"], learning_rate=params["learning_rate"], random_state=0,
    )  # fmt: skip


def _bagging(draft: Draft, params: Params) -> None:
    draft.model(
        "sklearn.ensemble", f"Bagging{suffix(draft)}", needs="impute", multi=True, cost=1.5,
        **params, random_state=0,
    )  # fmt: skip


def _leaf_embedding(draft: Draft, params: Params) -> None:
    draft.use("sklearn.ensemble", "RandomTreesEmbedding")
    leaves = call("RandomTreesEmbedding", **params, random_state=0)
    if draft.regress:
        draft.model("sklearn.linear_model", "Ridge", needs="impute", multi=True, cost=1.0)
    else:
        draft.model(
            "sklearn.linear_model", "LogisticRegression", needs="impute", cost=1.5, C=0.1, max_iter=500,
            **weights(draft),
        )  # fmt: skip
    draft.after(leaves)


def _lightgbm(draft: Draft, params: Params) -> None:
    objective: dict[str, Any] = {"objective": "l1"} if draft.regress and absolute(draft.brief) else {}
    draft.model(
        "lightgbm", f"LGBM{suffix(draft)}", needs="dense", **objective, **params, **weights(draft),
        n_jobs=2, verbose=-1, random_state=0,
    )  # fmt: skip


def _xgboost(draft: Draft, params: Params) -> None:
    draft.model(
        "xgboost", f"XGB{suffix(draft)}", needs="dense", tree_method="hist", **params,
        n_jobs=2, random_state=0,
    )  # fmt: skip


def _catboost(draft: Draft, params: Params) -> None:
    balanced: dict[str, Any] = {"auto_class_weights": "Balanced"} if weights(draft) else {}
    draft.model(
        "catboost", f"CatBoost{suffix(draft)}", needs="dense", cost=3.0, **params, **balanced,
        thread_count=2, verbose=False, allow_writing_files=False, random_seed=0,
    )  # fmt: skip


_RATES = (0.1, 0.03, 0.05, 0.2)

IDEAS = (
    Idea(
        "hist-gradient-boosting", "model", "histogram gradient boosting; takes missing values as they are",
        _hist,
        params={"learning_rate": (0.1, 0.05, 0.15), "max_iter": (100, 200, 60),
                "max_leaf_nodes": (31, 15, 63), "l2_regularization": (0.0, 1.0)},
        weight=2.0,
    ),
    Idea(
        "shallow-boosting", "model", "gradient boosting of small trees, slow and smooth", _hist,
        params={"learning_rate": (0.05, 0.1), "max_iter": (200, 300), "max_leaf_nodes": (6, 4, 10),
                "min_samples_leaf": (10, 5, 30)},
        weight=1.6,
    ),
    Idea(
        "regularised-boosting", "model", "gradient boosting with large leaves and column sampling", _hist,
        params={"learning_rate": (0.06, 0.04), "max_iter": (200, 300), "min_samples_leaf": (40, 80),
                "max_features": (0.4, 0.2, 0.7), "l2_regularization": (3.0, 10.0)},
    ),
    Idea(
        "early-stopped-boosting", "model", "gradient boosting that stops when its own check stalls", _early,
        params={"learning_rate": (0.05, 0.03), "max_leaf_nodes": (31, 15)},
        applies=lambda brief: brief.rows >= 500,
    ),
    Idea(
        "gradient-boosting", "model", "classic gradient boosting with row sampling", _gradient,
        params={"n_estimators": (150, 300), "learning_rate": (0.08, 0.05), "max_depth": (3, 2, 4),
                "subsample": (0.7, 0.5)},
        applies=at_most(3000, 80),
    ),
    Idea(
        "random-forest", "model", "random forest", _forest("RandomForest"),
        params={"n_estimators": (200, 300), "min_samples_leaf": (1, 2, 5), "max_features": ("sqrt", 0.5)},
        weight=1.4,
    ),
    Idea(
        "extra-trees", "model", "extremely randomised trees", _forest("ExtraTrees"),
        params={"n_estimators": (200, 300), "min_samples_leaf": (1, 2, 4), "max_features": ("sqrt", 0.6)},
        weight=1.5,
    ),
    Idea("decision-tree", "model", "a single tree", _tree,
         params={"max_depth": (6, 4, 10), "min_samples_leaf": (5, 10, 20)}, weight=0.1),
    Idea("adaboost", "model", "AdaBoost over small trees", _adaboost,
         params={"depth": (2, 3, 1), "n_estimators": (80, 150), "learning_rate": (0.5, 0.2)}, weight=0.4,
         applies=at_most(10_000, 300)),
    Idea("bagged-trees", "model", "bagged full trees on part of the columns", _bagging,
         params={"n_estimators": (60, 100), "max_features": (0.7, 0.5), "max_samples": (0.8, 0.5)},
         weight=0.5, applies=at_most(20_000, 500)),
    Idea("leaf-embedding", "model", "leaves of random trees as inputs of a linear model", _leaf_embedding,
         params={"n_estimators": (100, 50), "max_depth": (5, 3)}, weight=0.4, applies=at_most(20_000, 500)),
    Idea("lightgbm", "model", "LightGBM", _lightgbm, package="lightgbm", weight=2.0,
         params={"n_estimators": (300, 150, 600), "learning_rate": _RATES[:3], "num_leaves": (31, 15, 63),
                 "colsample_bytree": (0.8, 0.5)}),
    Idea("xgboost", "model", "XGBoost", _xgboost, package="xgboost", weight=1.8,
         params={"n_estimators": (300, 150), "learning_rate": (0.05, 0.1), "max_depth": (5, 3, 7),
                 "subsample": (0.8, 0.6), "colsample_bytree": (0.8, 0.5)}),
    Idea("catboost", "model", "CatBoost", _catboost, package="catboost", weight=1.8,
         params={"iterations": (300, 600), "learning_rate": (0.06, 0.1), "depth": (6, 4, 8)}),
)  # fmt: skip
