"""Ideas on single columns for short programs: imputers, scalers, encoders, selection of columns.

They are steps of the model's pipeline, so that cross-validation fits them on the training part only.
"""

from __future__ import annotations

from collections.abc import Mapping

from mleagent.policy.playbook.brief import Brief
from mleagent.policy.playbook.idea import Contribution, Draft, Idea, Kind, Params, Value

from .ideas_models import Applies, classify, filled, numeric


def _slot(slot: str, template: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        setattr(draft, slot, filled(template, draft, params))

    return add


def _numbers(template: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.numeric_extra.append(filled(template, draft, params))
        draft.needs.add("impute")

    return add


def _reduce(template: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        text = template.replace("<test>", "f_regression" if draft.regress else "f_classif")
        text = text.replace("<information>", f"mutual_info_{'regression' if draft.regress else 'classif'}")
        draft.reduce.append(filled(text, draft, params))
        draft.needs.update(("impute", "dense"))

    return add


def _missing(brief: Brief) -> bool:
    return brief.missing and bool(brief.numeric)


def _categories(brief: Brief) -> bool:
    return bool(brief.category)


def _idea(
    kind: Kind,
    name: str,
    about: str,
    contribute: Contribution,
    applies: Applies,
    **params: tuple[Value, ...],
) -> Idea:
    found: Mapping[str, tuple[Value, ...]] = params
    return Idea(name, kind, about, contribute, applies, found)


def _target_encode(draft: Draft, params: Params) -> None:
    kind = ', target_type="continuous"' if draft.regress else ""
    draft.encode = f"TargetEncoder(smooth={params['smooth']!r}{kind})".replace("'", '"')


def _both(draft: Draft, params: Params) -> None:
    _target_encode(draft, {"smooth": "auto"})
    draft.encode = f'make_union(OneHotEncoder(handle_unknown="ignore", sparse_output=False), {draft.encode})'


_SIMPLE = numeric(1, 60)
_WIDE = numeric(8)

IDEAS = (
    _idea("imputer", "median-imputation", "missing numbers become the median",
          _slot("impute", 'SimpleImputer(strategy="median")'), _missing),
    _idea("imputer", "missing-indicators", "a column that says a value was missing",
          _slot("impute", "SimpleImputer(add_indicator=True)"), _missing),
    _idea("imputer", "outside-imputation", "missing numbers become a value far outside",
          _slot("impute", 'SimpleImputer(strategy="constant", fill_value=<value>)'), _missing, value=(-999,
          -1)),
    _idea("imputer", "neighbour-imputation", "missing numbers from the nearest rows",
          _slot("impute", "KNNImputer(n_neighbors=<k>)"), _missing, k=(8, 4)),
    _idea("imputer", "model-imputation", "missing numbers from a regression on the others",
          _slot("impute", "IterativeImputer(max_iter=5)"), lambda b: _missing(b) and len(b.numeric) <= 20),
    _idea("scaler", "standard-scaling", "mean 0, spread 1", _slot("scale", "StandardScaler()"), _SIMPLE),
    _idea("scaler", "robust-scaling", "scaled by median and quartiles", _slot("scale", "RobustScaler()"),
          _SIMPLE),
    _idea("scaler", "range-scaling", "scaled to 0..1", _slot("scale", "MinMaxScaler()"), _SIMPLE),
    _idea("scaler", "quantile-scaling", "ranks mapped to a normal distribution",
          _slot("scale", 'QuantileTransformer(n_quantiles=50, output_distribution="normal")'), _SIMPLE),
    _idea("scaler", "rank-scaling", "ranks between 0 and 1", _slot("scale",
          "QuantileTransformer(n_quantiles=50)"),
          _SIMPLE),
    _idea("scaler", "power-scaling", "Yeo-Johnson towards a normal distribution",
          _slot("scale", "PowerTransformer()"), _SIMPLE),
    _idea("scaler", "row-scaling", "each row brought to length 1", _slot("scale", "Normalizer()"),
          numeric(3)),
    _idea("encoder", "one-hot-encoding", "a column a category",
          _slot("encode", 'OneHotEncoder(handle_unknown="ignore")'), _categories),
    _idea("encoder", "rare-categories", "one-hot with rare categories as one",
          _slot("encode", 'OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=<rows>)'),
          _categories, rows=(4, 8)),
    _idea("encoder", "ordinal-encoding", "categories as whole numbers",
          _slot("encode", 'OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, '
                          'encoded_missing_value=-1)'),
          _categories),
    _idea("encoder", "target-encoding", "categories as cross-fitted target means", _target_encode,
          _categories,
          smooth=("auto", 5.0, 20.0)),
    _idea("encoder", "target-and-one-hot", "target means beside one-hot columns", _both, _categories),
    _idea("feature-selection", "best-columns", "the columns with the strongest single link",
          _reduce("SelectPercentile(<test>, percentile=<share>)"), _WIDE, share=(30, 15, 60)),
    _idea("feature-selection", "informative-columns",
          "the columns that share most information with the target",
          _reduce("SelectPercentile(<information>, percentile=<share>)"),
          lambda b: 6 <= len(b.numeric) <= 20 and not b.category, share=(50, 30)),
    _idea("feature-selection", "forest-selection", "the columns that a quick forest uses",
          _reduce("SelectFromModel(ExtraTrees{S}(40), threshold=<level>)"), _WIDE, level=("mean", "median")),
    _idea("feature-selection", "linear-selection", "the columns that a penalised linear model keeps",
          lambda draft, params: _reduce(
              f"SelectFromModel({'LassoCV(cv=3)' if draft.regress else 'LogisticRegression(C=0.1)'})"
          )(draft, params), _WIDE),
    _idea("feature-selection", "principal-components", "principal components instead of columns",
          _reduce("PCA(<parts>)"), lambda b: len(b.numeric) >= 12 and not b.text, parts=(8, 4, 0.95)),
    _idea("feature-selection", "add-components", "principal components beside the columns",
          _reduce("make_union(FunctionTransformer(), PCA(0.8))"), _WIDE),
    _idea("feature-selection", "column-groups", "like columns averaged",
          _reduce("FeatureAgglomeration(<parts>)"), lambda b: len(b.numeric) >= 16 and not b.text, parts=(10,
          16)),
    _idea("feature-selection", "cluster-distances", "distances to centres of clusters beside the columns",
          _reduce("make_union(FunctionTransformer(), KMeans(<parts>, n_init=1))"), numeric(2), parts=(10,
          20)),
    _idea("feature-selection", "cluster-distances-only",
          "distances to centres of clusters instead of columns",
          _reduce("KMeans(<parts>, n_init=1)"), numeric(2), parts=(20, 40)),
    _idea("feature-selection", "discriminant-axes", "discriminant axes beside the columns",
          _reduce("make_union(FunctionTransformer(), LinearDiscriminantAnalysis())"),
          lambda b: classify(b) and _WIDE(b)),
    _idea("feature-selection", "drop-flat-columns", "without columns that hardly vary",
          _reduce("VarianceThreshold(<level>)"), numeric(20), level=(0.01, 0.1)),
    _idea("feature-selection", "squares", "squares beside the numbers",
          _numbers("make_union(FunctionTransformer(), FunctionTransformer(np.square))"), _SIMPLE),
    _idea("feature-selection", "binning", "numbers cut into bins, in order",
          _numbers('KBinsDiscretizer(<bins>, encode="ordinal")'), _SIMPLE, bins=(6, 12)),
)  # fmt: skip
