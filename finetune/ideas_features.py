"""Ideas that make columns for short programs: pairs, rows, categories, dates, texts, pixels, curves.

Lines work on `X`, train above test, with `num` and `cat` the names of its number and other columns, `dates`
and `when` those of its dates, `text` the name of its text column, `P` its pixels as (rows, side, side). They
never look at the target, so seeing the test rows' columns is no leak.
"""

from __future__ import annotations

from math import isqrt

from mleagent.policy.playbook.brief import Brief
from mleagent.policy.playbook.idea import Contribution, Draft, Idea, Kind, Params, Value

from .ideas_models import Applies, filled


def _lines(*templates: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.frames.extend(filled(template, draft, params) for template in templates)

    return add


def _pixels(*templates: str) -> Contribution:
    """Lines that come before all others, because they replace the columns."""

    def add(draft: Draft, params: Params) -> None:
        draft.images.extend(filled(template, draft, params) for template in templates)

    return add


def _text(template: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.text = filled(template, draft, params)

    return add


def plain_numbers(least: int, most: int = 60) -> Applies:
    """Number columns between these counts."""
    return lambda brief: least <= len(brief.numeric) <= most


def _square(brief: Brief) -> bool:
    return brief.image_table and isqrt(len(brief.numeric)) ** 2 == len(brief.numeric) and not brief.missing


def _curve(brief: Brief) -> bool:
    return brief.image_table and not brief.missing and not brief.category


def _categories(least: int) -> Applies:
    return lambda brief: len(brief.category) >= least


def _dates(least: int) -> Applies:
    return lambda brief: len(brief.dates) >= least


def _words(brief: Brief) -> bool:
    return bool(brief.text)


def _idea(
    kind: Kind,
    name: str,
    about: str,
    contribute: Contribution,
    applies: Applies,
    **params: tuple[Value, ...],
) -> Idea:
    return Idea(name, kind, about, contribute, applies, params)


def _pairs(expression: str, mark: str) -> Contribution:
    return _lines("for a, b in combinations(num, 2):", f'    X[a + "{mark}" + b] = {expression}')


def _frame(expression: str) -> str:
    return f'X = pd.DataFrame({expression}).add_prefix("p")'


_STEPS = "never low poor XS rarely fair S sometimes medium M often high good L always excellent XL"
_PAIRS = plain_numbers(2, 10)
_TABLE = (
    _idea("feature", "pairwise-products", "products of all pairs of numbers", _pairs("X[a] * X[b]", "*"),
          _PAIRS),
    _idea("feature", "pairwise-ratios", "ratios of all pairs of numbers",
          _pairs("X[a] / (X[b].abs() + 0.01)", "/"), _PAIRS),
    _idea("feature", "pairwise-differences", "differences of all pairs of numbers", _pairs("X[a] - X[b]",
          "-"),
          _PAIRS),
    _idea("feature", "absolute-differences", "gaps between all pairs of numbers",
          _pairs("(X[a] - X[b]).abs()", "~"), _PAIRS),
    _idea("feature", "pairwise-maxima", "the greater of all pairs of numbers",
          _pairs("np.maximum(X[a], X[b])", "^"),
          _PAIRS),
    _idea("feature", "log-skewed-columns", "logarithm of positive columns with a long tail",
          _lines("skew = [c for c in num if X[c].min() >= 0 and X[c].skew() > <skew>]",
                 "X[skew] = np.log(X[skew] + 1e-3)"), plain_numbers(1), skew=(1, 0.5)),
    _idea("feature", "arcsinh-columns", "a logarithm for numbers of either sign",
          _lines("X[num] = np.arcsinh(X[num])"), plain_numbers(1)),
    _idea("feature", "clip-outliers", "numbers clipped at their outer quantiles",
          _lines("X[num] = X[num].clip(X[num].quantile(<share>), X[num].quantile(1 - <share>), axis=1)"),
          plain_numbers(1), share=(0.01, 0.03)),
    _idea("feature", "blank-outliers", "numbers far outside become missing",
          _lines("far = (X[num] - X[num].median()).abs() > <times> * X[num].std()",
          "X[num] = X[num].mask(far)"),
          plain_numbers(1), times=(3, 2)),
    _idea("feature", "rank-columns", "ranks instead of numbers", _lines("X[num] = X[num].rank(pct=True)"),
          plain_numbers(1)),
    _idea("feature", "row-statistics", "mean, spread, least and most of a row",
          _lines('X = X.join(X[num].agg(["mean", "std", "min", "max"], axis=1))'), plain_numbers(4, 200)),
    _idea("feature", "row-ranks", "the place of each number in its row",
          _lines("X[num] = X[num].rank(axis=1)"),
          plain_numbers(3)),
    _idea("feature", "row-centred", "numbers against the mean of their row",
          _lines("X[num] = X[num].sub(X[num].mean(axis=1), axis=0)"), plain_numbers(3)),
    _idea("feature", "circle-columns", "numbers from zero to their most as an angle",
          _lines("turn = X[num] / (X[num].max() + 1) * 2 * np.pi",
                 'X = X.join(np.sin(turn).add_suffix(" sin")).join(np.cos(turn).add_suffix(" cos"))'),
          plain_numbers(1, 20)),
    _idea("feature", "wave-columns", "fast waves of each number",
          _lines("turn = <speed> * (X[num] - X[num].mean()) / X[num].std()",
                 'X = X.join(np.sin(turn).add_suffix(" sin")).join(np.cos(turn).add_suffix(" cos"))'),
          plain_numbers(1, 20), speed=(3, 5, 2)),
    _idea("feature", "centre-distance", "how far a row is from the middle",
          _lines('X["far"] = (((X[num] - X[num].mean()) / X[num].std()) ** 2).sum(axis=1)'), plain_numbers(2,
          30)),
    _idea("feature", "missing-count", "how many values a row lacks",
          _lines('X["missing"] = X[num].isna().sum(axis=1)'), lambda brief: brief.missing),
    _idea("feature", "missing-flags", "a column that says which values are missing",
          _lines('X = X.join(X[num].isna().add_suffix(" missing").astype(int))'),
          lambda brief: brief.missing and bool(brief.numeric)),
)  # fmt: skip
_CATEGORY = (
    _idea("feature", "frequency-encoding", "how often each category occurs",
          _lines("for c in cat:", '    X[c + " count"] = X[c].map(X[c].value_counts())'), _categories(1)),
    _idea("feature", "group-aggregates", "numbers against the middle of their category",
          _lines("for c in cat:",
          '    X = X.join((X[num] - X.groupby(c)[num].transform(<middle>)).add_suffix(" in " + c))'),
          lambda brief: bool(brief.numeric) and 1 <= len(brief.category) + bool(brief.group) <= 4,
          middle=("mean", "median")),
    _idea("feature", "category-crosses", "pairs of categories as one",
          _lines("for a, b in combinations(cat, 2):", '    X[a + b] = X[a].astype(str) + X[b].astype(str)'),
          lambda brief: 2 <= len(brief.category) <= 5),
    _idea("feature", "code-letters", "the first letter of a code", _lines(
        "for c in cat:", '    X[c + " letter"] = X[c].astype(str).str[0]'), _categories(1)),
    _idea("feature", "code-numbers", "the number inside a code", _lines(
        "for c in cat:",
          '    X[c + " number"] = X[c].astype(str).str.extract(r"(\\d+)")[0].astype(float).fillna(-1)'),
        _categories(1)),
    _idea("feature", "value-lengths", "length of a category's name", _lines(
        "for c in cat:", '    X[c + " length"] = X[c].astype(str).str.len()'), _categories(1)),
    _idea("feature", "grade-words", "words of a scale as steps",
          _lines(f'steps = "{_STEPS}"',
                 "for c in cat:",
                 '    X[c + " step"] = X[c].map({w: i for i, w in enumerate(steps.split())}).fillna(-1)'),
          _categories(1)),
    _idea("feature", "flag-count", "how many flags of a row are set",
          _lines('X["flags"] = X.isin([1, True, "yes", "True"]).sum(axis=1)'),
          lambda brief: len(brief.category) >= 4),
)  # fmt: skip
_DATE = (
    _idea("date-features", "date-elapsed", "days since the first",
          _lines("for c in dates:", '    X[c + " days"] = (when[c] - when[c].min()).dt.days'), _dates(1)),
    _idea("date-features", "date-parts", "year, month and weekday",
          _lines("for c in dates:", '    X[c + " year"], X[c + " month"] = when[c].dt.year, when[c].dt.month',
                 '    X[c + " weekday"] = when[c].dt.dayofweek'), _dates(1)),
    _idea("date-features", "date-cycles", "the season as sine and cosine",
          _lines("for c in dates:", "    turn = when[c].dt.dayofyear / 365.25 * 2 * np.pi",
                 '    X[c + " sin"], X[c + " cos"] = np.sin(turn), np.cos(turn)'), _dates(1)),
    _idea("date-features", "weekday-categories", "the weekday as a category",
          _lines("for c in dates:", '    X[c + " day"] = when[c].dt.day_name()'), _dates(1)),
    _idea("date-features", "date-differences", "days between two dates",
          _lines("for a, b in combinations(dates, 2):", "    X[a + b] = (when[b] - when[a]).dt.days"),
          _dates(2)),
)  # fmt: skip
_TEXT = (
    _idea("text-features", "text-words", "TF-IDF of words",
          _text("TfidfVectorizer(sublinear_tf=True, min_df=<df>)"),
          _words, df=(1, 2)),
    _idea("text-features", "text-pairs", "TF-IDF of words and word pairs",
          _text("TfidfVectorizer(ngram_range=(1, 2), min_df=<df>)"), _words, df=(2, 1)),
    _idea("text-features", "text-characters", "TF-IDF of character runs",
          _text('TfidfVectorizer(analyzer="char_wb", ngram_range=(2, <longest>), min_df=2)'), _words,
          longest=(4, 3)),
    _idea("text-features", "text-counts", "which words occur",
          _text("CountVectorizer(binary=True, min_df=<df>)"),
          _words, df=(2, 1)),
    _idea("text-features", "text-topics", "words reduced to a few topics",
          _text("make_pipeline(TfidfVectorizer(), TruncatedSVD(<parts>))"), _words, parts=(20, 10, 40)),
    _idea("text-features", "text-hashing", "hashed word counts",
          _text("HashingVectorizer(n_features=<size>)"),
          _words, size=(256, 128)),
    _idea("feature", "text-lengths", "letters and words of a text",
          _lines('X["letters"], X["words"] = X[text].str.len(), X[text].str.count(" ")'), _words),
    _idea("feature", "text-signs", "exclamation marks and capitals of a text",
          _lines('X["marks"], X["capitals"] = X[text].str.count("!"), X[text].str.count("[A-Z]")'), _words),
)  # fmt: skip
_LAST = (
    _idea("feature", "numbers-as-categories", "numbers with few values as categories",
          _lines("few = [c for c in num if X[c].nunique() <= <values>]", "X[few] = X[few].astype(str)"),
          plain_numbers(1, 30), values=(12, 6)),
    _idea("feature", "drop-correlated-columns", "one of each pair of near-equal columns",
          _lines("link = X.corr(numeric_only=True).abs()",
                 "X = X.drop(columns=link.columns[(np.triu(link, 1) > <limit>).any(axis=0)])"),
          plain_numbers(4, 200), limit=(0.9, 0.7)),
)  # fmt: skip
"""After all others, because they change which columns are numbers."""
_FLAT = ".reshape(len(X), -1)"
_IMAGE = (
    _idea("image-features", "pixel-edges", "differences of neighbouring pixels beside the pixels",
          _pixels(_frame(f"np.hstack([X, np.diff(P, axis=1){_FLAT}, np.diff(P){_FLAT}])")), _square),
    _idea("image-features", "pixel-gradients", "strength of edges instead of pixels",
          _pixels("g = np.gradient(P, axis=(1, 2))", _frame(f"np.hypot(*g){_FLAT}")), _square),
    _idea("image-features", "pixel-sums", "sums of rows and columns beside the pixels",
          _pixels(_frame("np.hstack([X, P.sum(axis=1), P.sum(axis=2)])")), _square),
    _idea("image-features", "pixel-frequencies", "the two-dimensional spectrum, which forgets position",
          _pixels(_frame(f"abs(np.fft.rfft2(P)){_FLAT}")), _square),
    _idea("image-features", "pixel-centred", "the picture moved to its centre of brightness",
          _pixels("s = P.shape[1]", "t = np.arange(s)",
                 "m = [((p.sum(1) @ t) / p.sum(), (p.sum(0) @ t) / p.sum()) for p in P + 1e-6]",
                 "roll = [np.roll(p, (s // 2 - round(a), s // 2 - round(b)), (0, 1)) "
                 "for p, (a, b) in zip(P, m)]",
                 _frame(f"np.stack(roll){_FLAT}")), _square),
    _idea("image-features", "pixel-pooling", "means of small squares",
          _pixels("h = P.shape[1] // 2 * 2", _frame(
              f"P[:, :h, :h].reshape(len(X), h // 2, 2, h // 2, 2).mean(axis=(2, 4)){_FLAT}")), _square),
    _idea("image-features", "sorted-values", "a row's values in order of size, which forgets position",
          _pixels(_frame("np.sort(X, axis=1)")), _curve),
    _idea("image-features", "black-and-white", "pixels above half their greatest", _pixels(
        _frame("(X > X.to_numpy().max() / 2).astype(int)")), _square),
    _idea("image-features", "value-statistics", "mean, spread, quartiles of a row's values only",
          _pixels(_frame("np.column_stack([X.mean(1), X.std(1), "
                         "np.quantile(X, [0.1, 0.25, 0.5, 0.75, 0.9], axis=1).T])")),
          _curve),
    _idea("image-features", "curve-standard", "each row brought to mean 0 and spread 1",
          _pixels("X = X.sub(X.mean(axis=1), axis=0).div(X.std(axis=1), axis=0)"), _curve),
    _idea("image-features", "curve-slopes", "differences of neighbours along a row", _pixels(
        _frame("np.diff(X, n=<times>, axis=1)")), _curve, times=(1, 2)),
    _idea("image-features", "curve-frequencies", "the spectrum along a row, which forgets the phase",
          _pixels(_frame("abs(np.fft.rfft(X, axis=1))")), _curve),
    _idea("image-features", "curve-smoothing", "means over neighbours along a row",
          _pixels("X = X.T.rolling(<width>, center=True, min_periods=1).mean().T"), _curve, width=(5, 9)),
    _idea("image-features", "curve-echoes", "how a row goes along with itself some places on",
          _pixels("Z = X.to_numpy() - X.to_numpy().mean(axis=1, keepdims=True)",
                 _frame("np.column_stack([(Z[:, k:] * Z[:, : Z.shape[1] - k]).mean(axis=1) "
                        "for k in range(12)])")),
          _curve),
)  # fmt: skip

IDEAS = (*_TABLE, *_CATEGORY, *_DATE, *_TEXT, *_LAST, *_IMAGE)
