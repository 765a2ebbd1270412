"""What a call in a machine-learning program means: which milestone its name stands for.

Takes names as they appear in source text (`read_csv`, `LogisticRegression`, `fit`)
and answers with a milestone or one of the weaker hints below. Names only: nothing
is imported or run, so unknown libraries cost milestones, never an error.
"""

from __future__ import annotations

import ast
import re

from ..records import MILESTONES

IMPORTED, LOADED, DEFINED, TRAINED, SCORED, PREDICTED, SAVED = MILESTONES

GRADIENT = "gradient step"
"""One update of a hand-written training loop: trained only when the loop is over."""
WEAK_SCORED = "perhaps a score"
"""Arithmetic that looks like a metric; believed only after training."""
WEAK_PREDICTED = "perhaps a test prediction"
"""A prediction that does not say on what."""
WEAK_SAVED = "perhaps a submission"
"""A table written under a name that does not say submission."""

_READ = re.compile(
    r"(read|scan)_(?!text$|bytes$|only)\w+|fetch_\w+|load_(?!model|state|weights|dict|config|env)\w+"
)
_READ_NAMES = {
    *("loadtxt", "genfromtxt", "fromfile", "imread", "imread_collection", "ImageFolder", "DictReader"),
    *("TabularDataset", "image_dataset_from_directory", "flow_from_directory", "flow_from_dataframe"),
}
_READ_OWNED = {("np", "load"), ("numpy", "load"), ("Image", "open"), ("csv", "reader")}

_MODEL = re.compile(
    r"\w*(Classifier|Regressor|Regression|RegressionCV|SVC|SVR|NB|Ensemble|AutoML)"
    r"|(LGBM|XGB|CatBoost)\w*|\w*(Ridge|Lasso|ElasticNet|LogisticRegression|Lars|KMeans)(CV)?"
    r"|\w*(SearchCV|Discriminant\w*|Predictor|ForImageClassification)"
)
_MODEL_NAMES = {
    *("Pipeline", "make_pipeline", "Sequential", "Model", "Linear", "DummyClassifier", "IsolationForest"),
    *(
        "create_model",
        "from_pretrained",
        "GaussianMixture",
        "MultiOutputRegressor",
        "TabPFN",
        "LightningModule",
    ),
}
_TRANSFORMER = re.compile(
    r"\w*(Scaler|Encoder|Imputer|Transformer|Vectorizer|PCA|SVD|NMF|Selector|Discretizer|Features|Binarizer"
    r"|Normalizer|Tokenizer|Components|Analysis|Nystroem|RBFSampler|Threshold|UMAP|TSNE)|Select\w+|RFE|RFECV"
)
_FIT = {"fit", "fit_predict", "fit_generator", "fine_tune", "lstsq", "polyfit", "curve_fit", "fit_one_cycle"}
_GRADIENT = {"backward", "train_on_batch", "partial_fit", "apply_gradients", "training_step"}
_CROSS = {"cross_val_score": (TRAINED, SCORED), "cross_validate": (TRAINED, SCORED)}
_CROSS_NAMES = {**_CROSS, "cross_val_predict": (TRAINED,), "cv": (TRAINED, SCORED)}
_SCORE = re.compile(
    r"\w+_(score|error|deviance|loss|auc)|auc|score|evaluate|validate|classification_report|confusion_matrix"
    r"|(calc_|compute_|get_|my_|mean_)?(mc)?(rmse|rmsle|mae|mse|mape|smape|r2|auc|accuracy|acc|f1|logloss|qwk|mcc"
    r"|kappa|pearsonr|spearmanr|map_?(at_?)?k|apk|metric)(_metric|_fn|_score|_\d+)?"
)
_NOT_SCORE = re.compile(
    r"(zero|cross_entropy|mse|l1|nll|bce|huber|smooth_l1|triplet|ctc)_loss|make_scorer|set_\w+"
)
_PREDICT = {"predict", "predict_proba", "predict_log_proba", "decision_function", "predict_generator"}
_WRITE = {"to_csv", "write_csv", "savetxt", "to_parquet", "write_parquet", "writerows", "copyfile", "copy"}
SCORE_ATTRIBUTES = {"best_score_", "oob_score_", "best_score", "evals_result_", "cv_results_"}


def last_name(node: ast.expr) -> str:
    """`c` of `a.b.c`, `f` of `f`; empty for anything else."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def owner(node: ast.expr) -> str:
    """`b` of `a.b.c`: the name that an attribute is taken from; empty for anything else."""
    return last_name(node.value) if isinstance(node, ast.Attribute) else ""


def mentions(node: ast.AST, *words: str) -> bool:
    """Whether a name, attribute or string in `node` contains one of `words` (lower case)."""
    for part in ast.walk(node):
        text = part.id if isinstance(part, ast.Name) else part.attr if isinstance(part, ast.Attribute) else ""
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text = part.value
        if any(word in text.lower() for word in words):
            return True
    return False


def is_model(name: str) -> bool:
    """Whether a class or function of this name makes something that learns."""
    return name in _MODEL_NAMES or (bool(_MODEL.fullmatch(name)) and not is_transformer(name))


def is_transformer(name: str) -> bool:
    """Whether it only transforms features: fitting one is not training a model."""
    return bool(_TRANSFORMER.fullmatch(name)) and name not in {"LinearDiscriminantAnalysis"}


def call_means(call: ast.Call, kinds: dict[str, str]) -> tuple[str, ...]:
    """Milestones and hints that are reached once `call` has returned.

    `kinds` tells for a variable which constructor it was last assigned from.
    """
    name, base = last_name(call.func), owner(call.func)
    if name in _CROSS_NAMES and (name != "cv" or base in {"lgb", "xgb", "lightgbm", "xgboost", "catboost"}):
        return _CROSS_NAMES[name]
    if name in _READ_NAMES or _READ.fullmatch(name) or (base, name) in _READ_OWNED:
        return (LOADED,)
    if name in _PREDICT:
        return (PREDICTED,) if any(mentions(a, "test", "sub") for a in call.args) else (WEAK_PREDICTED,)
    if name in _WRITE or (name == "open" and _opens_for_writing(call)):
        return (SAVED,) if mentions(call, "submission") else (WEAK_SAVED,) if name in _WRITE else ()
    if name in _FIT | _GRADIENT | {"train", "step"}:
        return _training(call, name, base, kinds)
    if _SCORE.fullmatch(name) and not _NOT_SCORE.fullmatch(name):
        return (SCORED,)
    if is_model(name):
        return (DEFINED,)
    return (WEAK_SCORED,) if name in {"mean", "average"} and _compares(call) else ()


def _training(call: ast.Call, name: str, base: str, kinds: dict[str, str]) -> tuple[str, ...]:
    if name in _GRADIENT or (name == "step" and "opt" in base.lower()):
        return (GRADIENT,)
    if name == "step":
        return ()
    if name == "train":
        # `model.train()` only switches a torch module's mode; `xgb.train(params, data)` trains.
        boosted = base in {"xgb", "lgb", "xgboost", "lightgbm"}
        given = bool(call.args or call.keywords) and not _only_constants(call)
        trains = given or "trainer" in base.lower()
        return (DEFINED, TRAINED) if boosted else (TRAINED,) if trains else ()
    source = call.func.value if isinstance(call.func, ast.Attribute) else None
    made = last_name(source.func) if isinstance(source, ast.Call) else kinds.get(base, "")
    if is_transformer(made):
        return ()
    return (DEFINED, TRAINED) if name in {"lstsq", "polyfit", "curve_fit"} else (TRAINED,)


def _only_constants(call: ast.Call) -> bool:
    return all(isinstance(a, ast.Constant) for a in call.args) and not call.keywords


def _opens_for_writing(call: ast.Call) -> bool:
    return any(isinstance(a, ast.Constant) and a.value in {"w", "wt", "a"} for a in call.args[1:2])


def _compares(call: ast.Call) -> bool:
    """`(pred == y).mean()`, `np.mean(a == b)`, `np.mean((p - y) ** 2)`: a metric by hand."""
    return any(
        (isinstance(part, ast.Compare) and isinstance(part.ops[0], ast.Eq))
        or (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow) and isinstance(part.left, ast.BinOp))
        or (isinstance(part, ast.Call) and last_name(part.func) in {"abs", "square"})
        for part in ast.walk(call)
    )
