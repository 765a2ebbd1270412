"""Ideas that change the source of a script somebody else wrote.

Each takes a script's text and gives changed texts with the idea's name: another
estimator, scaled inputs, copies averaged, a blend, one numeric argument changed.
Only the estimator's expression and the imports are touched, so the user's own
reading, features and output stay as they are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_CLASSIFIERS = {
    "SVC", "NuSVC", "LinearSVC", "LogisticRegression", "LogisticRegressionCV", "GaussianNB", "MultinomialNB",
    "BernoulliNB", "ComplementNB", "Perceptron", "LinearDiscriminantAnalysis",
    "QuadraticDiscriminantAnalysis", "NearestCentroid",
}  # fmt: skip
_REGRESSORS = {
    "SVR", "NuSVR", "LinearSVR", "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet",
    "ElasticNetCV", "BayesianRidge", "KernelRidge", "PLSRegression",
}  # fmt: skip
_SCALED = "make_pipeline(StandardScaler(), {})"
_SWAPS: dict[str, tuple[tuple[str, str], ...]] = {
    "Classifier": (
        ("support-vectors", _SCALED.format("SVC(C=10{proba}, random_state=0)")),
        ("extra-trees", "ExtraTreesClassifier(n_estimators=300, n_jobs=2, random_state=0)"),
        ("hist-gradient-boosting", "HistGradientBoostingClassifier(max_iter=200, random_state=0)"),
        ("linear-model", _SCALED.format("LogisticRegression(max_iter=2000)")),
        ("nearest-neighbours", _SCALED.format('KNeighborsClassifier(n_neighbors=5, weights="distance")')),
        ("random-forest", "RandomForestClassifier(n_estimators=300, n_jobs=2, random_state=0)"),
        ("neural-network", _SCALED.format("MLPClassifier((100,), alpha=0.01, max_iter=400, random_state=0)")),
    ),
    "Regressor": (
        ("hist-gradient-boosting", "HistGradientBoostingRegressor(max_iter=200, random_state=0)"),
        ("extra-trees", "ExtraTreesRegressor(n_estimators=300, n_jobs=2, random_state=0)"),
        ("linear-model", _SCALED.format("RidgeCV(alphas=[0.1, 1.0, 10.0, 100.0])")),
        ("random-forest", "RandomForestRegressor(n_estimators=300, n_jobs=2, random_state=0)"),
        ("support-vectors", _SCALED.format("SVR(C=10)")),
        ("nearest-neighbours", _SCALED.format('KNeighborsRegressor(n_neighbors=7, weights="distance")')),
    ),
}
_MODULES = {
    "SVC": "svm", "SVR": "svm", "ExtraTrees": "ensemble", "HistGradientBoosting": "ensemble",
    "RandomForest": "ensemble", "Voting": "ensemble", "Bagging": "ensemble", "KNeighbors": "neighbors",
    "LogisticRegression": "linear_model", "RidgeCV": "linear_model", "MLP": "neural_network",
    "make_pipeline": "pipeline", "StandardScaler": "preprocessing", "PolynomialFeatures": "preprocessing",
    "QuantileTransformer": "preprocessing", "CalibratedClassifierCV": "calibration",
}  # fmt: skip
_STEPS = (
    ("standard-scaling", "StandardScaler()"),
    ("quantile-scaling", 'QuantileTransformer(n_quantiles=50, output_distribution="normal")'),
    ("polynomial-features", "PolynomialFeatures(2, include_bias=False)"),
)


@dataclass(frozen=True)
class Place:
    """An estimator's expression in a source: `text[start:end]`."""

    start: int
    end: int
    name: str

    @property
    def kind(self) -> str:
        """`Classifier` or `Regressor`."""
        return "Regressor" if self.name in _REGRESSORS or self.name.endswith("Regressor") else "Classifier"


def variants(source: str) -> Iterator[tuple[str, str]]:
    """(idea's name, changed source), the most promising first; nothing for a text that is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    place = _estimator(source, tree)
    if place is not None:
        yield from _swaps(source, place)
        yield from _around(source, place)
    yield from _constants(source, tree)


def blend(source: str, other_names: list[str]) -> tuple[str, str] | None:
    """The source with a vote of the named swap ideas in the estimator's place."""
    try:
        place = _estimator(source, ast.parse(source))
    except (SyntaxError, ValueError):
        return None
    if place is None:
        return None
    known = {name: text.replace("{proba}", "") for name, text in _SWAPS[place.kind]}
    parts = [known[name] for name in other_names if name in known][:3]
    if len(parts) < 2:
        return None
    soft = place.kind == "Classifier"
    if soft:
        parts = [_soft(part) for part in parts]
    named = ", ".join(f'("{chr(97 + number)}", {part})' for number, part in enumerate(parts))
    vote = f"Voting{place.kind}([{named}]{', voting=' + chr(34) + 'soft' + chr(34) if soft else ''})"
    return "blend-average " + " ".join(other_names[:3]), _replace(source, place, vote)


def _soft(expression: str) -> str:
    return f"CalibratedClassifierCV({expression}, cv=3)" if "SVC(" in expression else expression


def _estimator(source: str, tree: ast.AST) -> Place | None:
    """The outermost scikit-learn estimator that is constructed in the source."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node.end_lineno is None or node.end_col_offset is None:
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if re.search(r"\w(Classifier|Regressor)$", name) or name in _CLASSIFIERS | _REGRESSORS:
            start = _offset(source, node.lineno, node.col_offset)
            return Place(start, _offset(source, node.end_lineno, node.end_col_offset), name)
    return None


def _offset(source: str, line: int, column: int) -> int:
    """Place of a line (1-based) and a column in UTF-8 bytes, as an index into the text."""
    lines = source.splitlines(keepends=True)
    before = sum(len(text) for text in lines[: line - 1])
    return before + len(lines[line - 1].encode()[:column].decode(errors="ignore"))


def _replace(source: str, place: Place, expression: str) -> str:
    """The source with another expression in the estimator's place, imports mended."""
    changed = source[: place.start] + expression + source[place.end :]
    needed = []
    for word in dict.fromkeys(re.findall(r"\b[A-Za-z_]+(?=\()", expression)):
        module = next((m for prefix, m in _MODULES.items() if word.startswith(prefix)), None)
        if module and not re.search(rf"import\b[^\n]*\b{word}\b", source):
            needed.append(f"from sklearn.{module} import {word}\n")
    changed = _without_import(changed, place.name)
    at = _import_place(changed)
    return changed[:at] + "".join(sorted(needed)) + changed[at:]


def _without_import(source: str, name: str) -> str:
    """The source without the import of a name it no longer uses."""
    if len(re.findall(rf"\b{name}\b", source)) != 1:
        return source
    return re.sub(rf"^from sklearn[.\w]* import {name}\n", "", source, flags=re.MULTILINE)


def _import_place(source: str) -> int:
    """Where an import line may be put: before the first import that is not from `__future__`."""
    for node in ast.parse(source).body:
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not future and not docstring:
            return _offset(source, node.lineno, 0)
    return len(source)


def _swaps(source: str, place: Place) -> Iterator[tuple[str, str]]:
    for name, expression in _SWAPS[place.kind]:
        text = expression.replace("{proba}", "")
        if place.kind == "Classifier" and "predict_proba" in source:
            text = _soft(text)
        if re.match(r"\w+", text).group() != place.name:  # type: ignore[union-attr]
            yield name, _replace(source, place, text)


def _around(source: str, place: Place) -> Iterator[tuple[str, str]]:
    """The estimator as it is, with something before or around it."""
    inner = source[place.start : place.end]
    for name, step in _STEPS:
        yield name, _replace(source, place, f"make_pipeline({step}, {inner})")
    bagging = f"Bagging{place.kind}({inner}, n_estimators=10, max_samples=0.9, random_state=0)"
    yield "bagged-copies", _replace(source, place, bagging)


def _constants(source: str, tree: ast.AST) -> Iterator[tuple[str, str]]:
    """One numeric keyword argument or UPPER_CASE constant doubled or halved."""
    for node in ast.walk(tree):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Call):
            pairs = [(k.arg, k.value) for k in node.keywords if k.arg]
        elif (
            isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        ):
            pairs = [(node.targets[0].id, node.value)] if node.targets[0].id.isupper() else []
        for name, value in pairs:
            yield from _constant(source, name, value)


def _constant(source: str, name: str, value: ast.expr) -> Iterator[tuple[str, str]]:
    if not isinstance(value, ast.Constant) or type(value.value) not in (int, float):
        return
    number = value.value
    if (
        number == 0
        or "random" in name
        or "seed" in name.lower()
        or name in ("n_jobs", "axis", "verbose", "cv")
    ):
        return
    assert isinstance(number, int | float) and value.end_lineno and value.end_col_offset
    start = _offset(source, value.lineno, value.col_offset)
    end = _offset(source, value.end_lineno, value.end_col_offset)
    for factor in (2, 0.5, 4):
        new = max(1, round(number * factor)) if isinstance(number, int) else float(f"{number * factor:.4g}")
        if new != number:
            yield f"tune {name} to {new}", source[:start] + repr(new) + source[end:]
