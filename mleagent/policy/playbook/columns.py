"""Ideas that prepare columns inside the pipeline: imputers, scalers, encoders, selection.

They live in the model's pipeline, so cross-validation fits them on the training
part only. A model's own wants (see `Draft.needs`) fill the slots that no idea took.
"""

from __future__ import annotations

from math import isqrt

from .brief import Brief
from .idea import Contribution, Draft, Idea, Params, call, literal


def _impute(expression: str, *needs: tuple[str, str]) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.imports.update(needs)
        inside = {key: value for key, value in params.items() if key != "indicator"}
        draft.impute = call(expression, **inside)

    return add


def _scale(name: str, **fixed: object) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.use("sklearn.preprocessing", name)
        extra = dict(fixed)
        if name == "QuantileTransformer":
            extra["n_quantiles"] = max(5, min(500, draft.brief.rows // 3))
        draft.scale = call(name, **extra, **params)

    return add


def _encode(name: str, **fixed: object) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.use("sklearn.preprocessing", name)
        draft.encode = call(name, **fixed, **params)

    return add


def target_encoder(draft: Draft, smooth: float | str = "auto") -> str:
    """The expression of scikit-learn's cross-fitting target encoder."""
    draft.use("sklearn.preprocessing", "TargetEncoder")
    kind = "continuous" if draft.regress else "multiclass" if len(draft.brief.classes) > 2 else "binary"
    return call("TargetEncoder", target_type=kind, smooth=smooth, random_state=0)


def _target_encode(draft: Draft, params: Params) -> None:
    if not draft.brief.multi:
        draft.encode = target_encoder(draft, params["smooth"])


def _both_encoders(draft: Draft, params: Params) -> None:
    if draft.brief.multi:
        return _encode("OneHotEncoder", handle_unknown="infrequent_if_exist", sparse_output=False)(
            draft, params
        )
    _target_encode(draft, {"smooth": "auto"})
    draft.use("sklearn.preprocessing", "OneHotEncoder")
    draft.use("sklearn.pipeline", "make_union")
    onehot = call(
        "OneHotEncoder", handle_unknown="infrequent_if_exist", sparse_output=False,
        max_categories=params["max_categories"],
    )  # fmt: skip
    draft.encode = f"make_union({onehot}, {draft.encode})"


def _numeric(template: str, module: str, name: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.use(module, name)
        draft.needs.add("impute")
        text = template
        for key, value in params.items():
            bounded = min(int(value), max(2, draft.brief.rows // 5))
            text = text.replace(f"<{key}>", literal(bounded))
        draft.numeric_extra.append(text)

    return add


def _reduce(template: str, *imports: tuple[str, str], needs: str = "impute dense") -> Contribution:
    """A pipeline step after all columns; `<rows>` and `<width>` bound its size to the task."""

    def add(draft: Draft, params: Params) -> None:
        draft.imports.update(imports)
        draft.needs.update(needs.split())
        text = template.replace("<test>", "f_regression" if draft.regress else "f_classif")
        text = text.replace("<Trees>", "ExtraTreesRegressor" if draft.regress else "ExtraTreesClassifier")
        for key, value in params.items():
            if key == "n_components":
                value = max(1, min(int(value), draft.brief.numbers - 1, draft.brief.rows // 5))
            if key == "clusters":
                value = max(2, min(int(value), draft.brief.rows // 5))
            text = text.replace(f"<{key}>", literal(value))
        if "f_" in text:
            draft.use("sklearn.feature_selection", "f_regression" if draft.regress else "f_classif")
        if "Trees" in text:
            draft.use("sklearn.ensemble", text[text.index("Extra") :].split("(")[0])
        draft.reduce.append(text)

    return add


def _edges(draft: Draft, params: Params) -> None:
    side = isqrt(draft.brief.pixels)
    draft.helpers.append(
        "def add_edges(pixels):\n"
        f"    image = np.asarray(pixels, float).reshape(len(pixels), {side}, {side})\n"
        "    right, down = np.diff(image, axis=2), np.diff(image, axis=1)\n"
        "    return np.hstack([part.reshape(len(image), -1) for part in (image, right, down)])"
    )
    draft.use("sklearn.preprocessing", "FunctionTransformer")
    draft.needs.add("impute")
    draft.numeric_extra.append("FunctionTransformer(add_edges)")


def _sums(draft: Draft, params: Params) -> None:
    side = isqrt(draft.brief.pixels)
    draft.helpers.append(
        "def add_sums(pixels):\n"
        f"    image = np.asarray(pixels, float).reshape(len(pixels), {side}, {side})\n"
        "    return np.hstack([np.asarray(pixels), image.sum(axis=1), image.sum(axis=2)])"
    )
    draft.use("sklearn.preprocessing", "FunctionTransformer")
    draft.needs.add("impute")
    draft.numeric_extra.append("FunctionTransformer(add_sums)")


def _missing(brief: Brief) -> bool:
    return brief.missing and (brief.numbers > 0 or not brief.known)


def _numbers(brief: Brief) -> bool:
    return brief.numbers > 0 or not brief.known


def _square(brief: Brief) -> bool:
    return brief.image_table and brief.pixels > 0


def _wide(brief: Brief) -> bool:
    return brief.numbers >= 8 and not brief.text


def _single(brief: Brief) -> bool:
    return _wide(brief) and not brief.multi


_IMPUTE = ("sklearn.impute", "SimpleImputer")
_UNION = (("sklearn.pipeline", "make_union"), ("sklearn.preprocessing", "FunctionTransformer"))
_CATEGORY = {"handle_unknown": "infrequent_if_exist", "sparse_output": False}

IDEAS = (
    Idea("median-imputation", "imputer", "missing numbers become the median",
         _impute("SimpleImputer", _IMPUTE), _missing, {"strategy": ("median",)}),
    Idea("mean-imputation", "imputer", "missing numbers become the mean",
         _impute("SimpleImputer", _IMPUTE), _missing, {"strategy": ("mean",)}, weight=0.4),
    Idea("missing-indicators", "imputer", "median, and a column that says a value was missing",
         _impute("SimpleImputer", _IMPUTE), _missing, {"strategy": ("median",), "add_indicator": (True,)},
         weight=1.2),
    Idea("outside-imputation", "imputer", "missing numbers become a value far outside",
         _impute("SimpleImputer", _IMPUTE), _missing, {"strategy": ("constant",), "fill_value": (-999, -1)},
         weight=0.4),
    Idea("neighbour-imputation", "imputer", "missing numbers from the nearest rows",
         _impute("KNNImputer", ("sklearn.impute", "KNNImputer")),
         lambda brief: _missing(brief) and brief.rows <= 5000, {"n_neighbors": (8, 4, 15)}),
    Idea("model-imputation", "imputer", "missing numbers from a regression on the other columns",
         _impute("IterativeImputer", ("sklearn.experimental", "enable_iterative_imputer"),
                 ("sklearn.impute", "IterativeImputer")),
         lambda brief: _missing(brief) and brief.rows <= 5000 and len(brief.numeric) <= 40,
         {"max_iter": (5, 10), "random_state": (0,)}, weight=0.7),
    Idea("standard-scaling", "scaler", "mean 0, spread 1", _scale("StandardScaler"), _numbers, weight=0.6),
    Idea("robust-scaling", "scaler", "scaled by median and quartiles", _scale("RobustScaler"), _numbers,
         weight=0.6),
    Idea("range-scaling", "scaler", "scaled to 0..1", _scale("MinMaxScaler"), _numbers, weight=0.6),
    Idea("quantile-scaling", "scaler", "ranks mapped to a normal distribution",
         _scale("QuantileTransformer", output_distribution="normal"), _numbers),
    Idea("power-scaling", "scaler", "Yeo-Johnson transform towards a normal distribution",
         _scale("PowerTransformer"), _numbers),
    Idea("one-hot-encoding", "encoder", "a column a category, rare ones together",
         _encode("OneHotEncoder", **_CATEGORY), lambda brief: brief.has_category,
         {"max_categories": (20, 10, 40)}),
    Idea("rare-categories", "encoder", "one-hot with rare categories as one",
         _encode("OneHotEncoder", **_CATEGORY), lambda brief: brief.has_category,
         {"min_frequency": (0.01, 0.02, 0.05)}),
    Idea("ordinal-encoding", "encoder", "categories as whole numbers",
         _encode("OrdinalEncoder", handle_unknown="use_encoded_value", unknown_value=-1),
         lambda brief: brief.has_category, weight=0.8),
    Idea("target-encoding", "encoder", "categories as cross-fitted target means", _target_encode,
         lambda brief: brief.has_category and not brief.multi, {"smooth": ("auto", 10.0, 30.0)}, weight=1.3),
    Idea("target-and-one-hot", "encoder", "target means beside one-hot columns", _both_encoders,
         lambda brief: brief.has_category and not brief.multi, {"max_categories": (15, 8)}),
    Idea("binning", "feature-selection", "numbers cut into bins",
         _numeric('KBinsDiscretizer(<bins>, encode="onehot-dense", strategy="kmeans")',
                  "sklearn.preprocessing", "KBinsDiscretizer"),
         lambda brief: _numbers(brief) and brief.numbers <= 60, {"bins": (8, 5, 16)}, weight=0.4),
    Idea("drop-flat-columns", "feature-selection", "without columns that hardly vary",
         _reduce("VarianceThreshold(<threshold>)", ("sklearn.feature_selection", "VarianceThreshold"),
                 needs="impute"), _wide, {"threshold": (0.0, 0.00001)}, weight=0.3),
    Idea("best-columns", "feature-selection", "the columns with the strongest single link to the target",
         _reduce("SelectPercentile(<test>, percentile=<percentile>)",
                 ("sklearn.feature_selection", "SelectPercentile")), _single, {"percentile": (60, 30, 80)}),
    Idea("forest-selection", "feature-selection", "the columns that a quick forest uses",
         _reduce("SelectFromModel(<Trees>(60, random_state=0), threshold=<threshold>)",
                 ("sklearn.feature_selection", "SelectFromModel")),
         _wide, {"threshold": ("0.5*mean", "0.25*mean", "median")}),
    Idea("principal-components", "feature-selection", "principal components instead of columns",
         _reduce("PCA(<share>, random_state=0)", ("sklearn.decomposition", "PCA")), _wide,
         {"share": (0.95, 0.99, 0.9)}, weight=0.9),
    Idea("add-components", "feature-selection", "principal components beside the columns",
         _reduce("make_union(FunctionTransformer(), PCA(<n_components>, random_state=0))", *_UNION,
                 ("sklearn.decomposition", "PCA")), _wide, {"n_components": (5, 10, 3)}, weight=0.8),
    Idea("cluster-distances", "feature-selection", "distances to the centres of clusters",
         _reduce("make_union(FunctionTransformer(), KMeans(<clusters>, n_init=2, random_state=0))", *_UNION,
                 ("sklearn.cluster", "KMeans")), _numbers, {"clusters": (8, 15, 30)}, weight=0.7),
    Idea("discriminant-axes", "feature-selection", "discriminant axes beside the columns",
         _reduce("make_union(FunctionTransformer(), LinearDiscriminantAnalysis())", *_UNION,
                 ("sklearn.discriminant_analysis", "LinearDiscriminantAnalysis")),
         lambda brief: _single(brief) and brief.mode == "classify", weight=0.7),
    Idea("pixel-edges", "feature-selection", "differences of neighbouring pixels", _edges, _square,
         weight=1.3),
    Idea("pixel-sums", "feature-selection", "sums of pixel rows and columns", _sums, _square, weight=0.8),
)  # fmt: skip
