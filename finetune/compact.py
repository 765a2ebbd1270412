"""The short program form: a plan becomes some twenty lines of scikit-learn in which only choices vary.

`program(task, plan)` takes names from the files and columns by type, so that a small model that writes such
programs need not copy names from its prompt, and spells scikit-learn's names out where they are used, so that
it need not know at the first line what the last will call (scikit-learn 1.6 loads its modules by name). Train
and test are joined for making columns, and parted by position again. The text runs as it stands: in the
sandbox, on Kaggle, and in `headroom`'s fast evaluator.
"""

from __future__ import annotations

import re

from mleagent.policy.playbook.brief import Brief, brief_of
from mleagent.policy.playbook.idea import Draft
from mleagent.records import Task

from .ideas import Plan, get, plan_of, tidy
from .ideas_models import SKEWED

_MODULES = {
    "itertools": "combinations",
    "sklearn.calibration": "CalibratedClassifierCV",
    "sklearn.cluster": "KMeans FeatureAgglomeration",
    "sklearn.compose": "make_column_transformer TransformedTargetRegressor",
    "sklearn.cross_decomposition": "PLSRegression",
    "sklearn.decomposition": "PCA TruncatedSVD",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.ensemble": "HistGradientBoostingRegressor HistGradientBoostingClassifier "
    "GradientBoostingRegressor GradientBoostingClassifier RandomForestRegressor RandomForestClassifier "
    "ExtraTreesRegressor ExtraTreesClassifier AdaBoostRegressor AdaBoostClassifier BaggingRegressor "
    "BaggingClassifier RandomTreesEmbedding VotingRegressor VotingClassifier StackingRegressor "
    "StackingClassifier",
    "sklearn.experimental": "enable_iterative_imputer",
    "sklearn.feature_extraction.text": "TfidfVectorizer CountVectorizer HashingVectorizer",
    "sklearn.feature_selection": "SelectPercentile SelectFromModel VarianceThreshold f_regression f_classif "
    "mutual_info_regression mutual_info_classif",
    "sklearn.gaussian_process": "GaussianProcessRegressor GaussianProcessClassifier",
    "sklearn.gaussian_process.kernels": "RBF WhiteKernel",
    "sklearn.impute": "SimpleImputer KNNImputer IterativeImputer",
    "sklearn.kernel_approximation": "Nystroem RBFSampler",
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.linear_model": "Ridge RidgeCV LogisticRegression LassoCV SGDClassifier ElasticNetCV "
    "BayesianRidge ARDRegression OrthogonalMatchingPursuitCV HuberRegressor RANSACRegressor "
    "QuantileRegressor TweedieRegressor",
    "sklearn.model_selection": "cross_val_score TunedThresholdClassifierCV",
    "sklearn.naive_bayes": "GaussianNB ComplementNB",
    "sklearn.neighbors": "KNeighborsRegressor KNeighborsClassifier NearestCentroid",
    "sklearn.neural_network": "MLPRegressor MLPClassifier",
    "sklearn.pipeline": "make_pipeline make_union",
    "sklearn.preprocessing": "StandardScaler RobustScaler MinMaxScaler QuantileTransformer PowerTransformer "
    "Normalizer OneHotEncoder OrdinalEncoder TargetEncoder KBinsDiscretizer PolynomialFeatures "
    "SplineTransformer FunctionTransformer",
    "sklearn.svm": "SVR SVC LinearSVR LinearSVC",
    "sklearn.tree": "DecisionTreeRegressor DecisionTreeClassifier",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}
_APART = {"itertools", "sklearn.experimental"}
"""Modules whose names a program imports; all others are spelt out."""
_SPELT = "|".join(name for name, module in _HOME.items() if module not in _APART)
_CALLED = re.compile(rf"(?<![\w.\"])({_SPELT})\b")
MODULES = tuple(_MODULES)
"""Every module a program may import beside numpy and pandas."""
_SCORERS = {
    "mae": "neg_mean_absolute_error", "logloss": "neg_log_loss", "brier": "neg_brier_score",
    "roc_auc": "roc_auc", "average_precision": "average_precision", "f1": "f1", "f1_macro": "f1_macro",
    "balanced_accuracy": "balanced_accuracy", "mcc": "matthews_corrcoef",
}  # fmt: skip
"""For the program's own check; elsewhere scikit-learn's default (R2, accuracy) orders models well enough."""
_FALLBACK = "hist-gradient-boosting"
_NUMBERS = 'num = X.select_dtypes("number").columns'
_OTHERS = 'cat = X.select_dtypes(exclude="number").columns'
_PARTED = "A, B = X[: len(y)], X[len(y) :]"
_NEW_CATEGORIES = re.compile(r"astype\(str\)$|astype\(str\) \+|day_name|\.str\[0\]")
"""Lines that make columns which are no numbers."""


_PIECES = re.compile(r"(?:[^\w\r\n]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+")


def pieces(text: str) -> int:
    """Pieces that Qwen2's pre-tokeniser cuts a text into: the least tokens any vocabulary needs for it."""
    return len(_PIECES.findall(text))


def program(task: Task, plan: Plan) -> str:
    """The program of a plan for a task; ideas that do not apply are left out. Deterministic."""
    brief = brief_of(task)
    return render(lay(brief, tidy(plan, brief)))


def lay(brief: Brief, plan: Plan) -> Draft:
    """Every choice's contribution in one draft; a boosting model where the plan has none."""
    draft = Draft(brief=brief, regress=brief.mode == "regress", folds=3)
    if any(choice.name.startswith("ordinal-") and choice.name != "ordinal-encoding" for choice in plan):
        draft.regress = True  # models must know it before they are laid
    for choice in plan:
        idea = get(choice.name)
        if idea is not None:
            idea.contribute(draft, {**dict(idea.default().params), **dict(choice.params)})
    if not draft.models:
        for choice in plan_of(_FALLBACK):
            idea = get(choice.name)
            assert idea is not None
            idea.contribute(draft, dict(choice.params))
    return draft


def render(draft: Draft) -> str:
    """The text of a filled draft."""
    body = "\n".join([*_read(draft), *_columns(draft), *_model(draft), *_submit(draft)])
    lines = ["import numpy as np", "import pandas as pd", "import sklearn"]
    if "combinations(" in body:
        lines.append("from itertools import combinations")
    if "IterativeImputer(" in body:
        lines.append("from sklearn.experimental import enable_iterative_imputer")
    return "\n".join(lines) + "\n\n" + spelt_out(body) + "\n"


def spelt_out(text: str) -> str:
    """The text with every scikit-learn name under the module it is found in."""
    return _CALLED.sub(lambda match: f"{_HOME[match.group()]}.{match.group()}", text)


def _read(draft: Draft) -> list[str]:
    return [
        "np.random.seed(0)",
        'train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")',
        'sub = pd.read_csv("sample_submission.csv")',
        "y = train.pop(train.columns.difference(test.columns)[0])",
        "X = pd.concat([train, test], ignore_index=True).drop(columns=sub.columns[0])",
    ]


# --- columns --------------------------------------------------------------------


def _made(draft: Draft) -> bool:
    """Whether the plan makes columns that are no numbers."""
    return any(_NEW_CATEGORIES.search(line) for line in draft.frames)


def _has_categories(draft: Draft) -> bool:
    """Whether columns that are neither numbers nor texts reach the model."""
    brief = draft.brief
    return bool(brief.category or brief.group) or _made(draft) or not brief.known


def _dummies(draft: Draft) -> bool:
    """Whether categories become columns at once, by pandas: the shortest way, unless a step on numbers
    alone, another encoder or a text asks for columns to be kept apart.
    """
    apart = draft.encode or draft.brief.text or draft.scale or draft.numeric_extra
    return _has_categories(draft) and not apart


def _columns(draft: Draft) -> list[str]:
    """Lines that make columns, between reading and the model."""
    brief, frames = draft.brief, draft.frames
    lines: list[str] = []
    if brief.dates:
        lines.append(r'dates = [c for c in X if X[c].astype(str).str.match(r"\d{4}-\d\d-\d\d").all()]')
        if any("when" in line for line in frames):
            lines.append("when = X[dates].apply(pd.to_datetime)")
        lines.append("X = X.drop(columns=dates)")
    uses = set(re.findall(r"\w+", "\n".join(frames)))
    if any("P" in re.findall(r"\w+", line) for line in draft.images):
        lines.append("P = X.to_numpy(float).reshape(len(X), int(X.shape[1] ** 0.5), -1)")
    lines += draft.images
    if "num" in uses:
        lines.append(_NUMBERS)
    apart = _has_categories(draft) and not _dummies(draft)
    if "cat" in uses or brief.text or (apart and not _made(draft)):
        lines.append(_OTHERS)
    if brief.text:
        lines += ["text = X[cat].nunique().idxmax()", "cat = cat.drop(text)"]
    lines += frames
    if _dummies(draft):
        lines.append("X = pd.get_dummies(X)")
    elif _made(draft):
        lines.append(_OTHERS + (".drop(text)" if brief.text else ""))
    return lines


# --- the model ------------------------------------------------------------------


def _piped(*steps: str) -> str:
    kept = [step for step in steps if step]
    if not kept:
        return '"passthrough"'
    return kept[0] if len(kept) == 1 else f"make_pipeline({', '.join(kept)})"


def _number_steps(draft: Draft) -> list[str]:
    """Steps on number columns: what the plan says, else what the model wants."""
    gaps = draft.brief.missing or bool(draft.frames) or not draft.brief.known
    impute = draft.impute or ("SimpleImputer()" if "impute" in draft.needs and gaps else "")
    early = [step for step in draft.numeric_extra if "Polynomial" in step or "Spline" in step]
    return [
        impute,
        draft.scale or _usual_scaler(draft),
        *(s for s in draft.numeric_extra if s not in early),
        *early,
    ]


def _usual_scaler(draft: Draft) -> str:
    if "positive" in draft.needs:
        return "MinMaxScaler()"
    if "scale" not in draft.needs:
        return ""
    return "RobustScaler()" if _dummies(draft) else "StandardScaler()"  # which leaves rare 0/1 as they are


def _encoder(draft: Draft) -> str:
    return draft.encode or 'OneHotEncoder(handle_unknown="ignore")'


def _vectoriser(draft: Draft) -> str:
    text = draft.text or "CountVectorizer(max_features=300)"
    if "dense" in draft.needs and "SVD" not in text:
        return f"make_pipeline({text}, TruncatedSVD(20))"
    return text


def _prepared(draft: Draft) -> list[str]:
    """The steps before the model, as arguments of a pipeline."""
    steps = [step for step in _number_steps(draft) if step]
    parts = []
    if _has_categories(draft) and not _dummies(draft):
        parts.append(f"({_encoder(draft)}, cat)")
    if draft.brief.text:
        parts.append(f"({_vectoriser(draft)}, text)")
    if not parts:
        return steps
    # also without number columns in the profile: flags written 0 and 1 are numbers to pandas
    parts.append(f"remainder={_piped(*steps)}")
    if "dense" in draft.needs:
        parts.append("sparse_threshold=0")
    return [f"make_column_transformer({', '.join(parts)})"]


def _joined(draft: Draft) -> str:
    """One estimator of the draft's models, with everything wrapped round it."""
    suffix = "Regressor" if draft.regress else "Classifier"
    probable = not draft.regress and draft.brief.output == "probability"
    models = list(dict.fromkeys(draft.models))
    if not draft.regress and (probable or len(models) > 1 or draft.wrap):
        models = [f"CalibratedClassifierCV({m}, cv=3)" if m in draft.mute else m for m in models]
    model = models[0]
    if len(models) > 1:
        named = "[" + ", ".join(f'("{"abcd"[place]}", {text})' for place, text in enumerate(models)) + "]"
        if draft.ensemble == "stack" and not draft.target:  # which scikit-learn will not wrap
            model = f"Stacking{suffix}({named}, cv=3)"
        else:
            model = f"Voting{suffix}({named}" + (")" if draft.regress else ', voting="soft")')
    for template in draft.wrap:
        model = template.replace("{}", model)
    if draft.target and draft.regress:
        model = f"TransformedTargetRegressor({model}, {draft.target})"
    return model


def _model(draft: Draft) -> list[str]:
    embedding = "RandomTreesEmbedding("
    full = embedding + "sparse_output=False, " if "dense" in draft.needs else embedding
    steps = [*_prepared(draft), *(step.replace(embedding, full) for step in draft.reduce)]
    lines = [f"prep = {steps.pop(0)}"] if steps and len(steps[0]) > 60 else []
    if lines:
        steps.insert(0, "prep")
    lines += [f"model = {_piped(*steps, _joined(draft))}", _PARTED]
    folds = 2 if draft.wrap and draft.folds == 3 else draft.folds  # wrapped models fit several times each
    lines.append(f'print("score", cross_val_score(model, A, y, cv={folds}{_scoring(draft)}).mean())')
    return lines


def _scoring(draft: Draft) -> str:
    """The keyword for cross-validation where the metric is far from scikit-learn's default score."""
    brief = draft.brief
    name = _SCORERS.get(brief.metric, "") if draft.regress == (brief.mode == "regress") else ""
    if name == "roc_auc" and len(brief.classes) > 2:
        name = "roc_auc_ovr"
    return f', scoring="{name}"' if name else ""


# --- the submission -------------------------------------------------------------


def _submit(draft: Draft) -> list[str]:
    """Fit on all labelled rows, predict the rest, save."""
    brief = draft.brief
    lines = ["model.fit(A, y)"]
    guess = "model.predict(B)"
    where = "sub[y.name]"
    if brief.output == "probability":
        guess = "model.predict_proba(B)"
        if len(brief.classes) > 2:
            where = "sub[sorted(sub.columns[1:])]"  # the order of predict_proba, whatever the sample's
        else:
            guess += "[:, 1]"
    elif draft.cuts == "round":
        guess += ".round().clip(y.min(), y.max()).astype(int)"
    elif draft.cuts == "shares":
        lines.append(f"guess = pd.Series({guess}).rank(pct=True)")
        guess = 'np.quantile(y, guess, method="nearest")'
    elif draft.regress and draft.clip:
        guess += ".clip(y.min(), y.max())"
    elif brief.metric in SKEWED:
        guess += ".clip(0)"
    return [*lines, f"{where} = {guess}", 'sub.to_csv("submission.csv", index=False)']
