"""Ideas of kind `feature`, `date-features`, `text-features`, `image-features`.

Row-wise lines go into `add_features(df)`; lines that need both tables, or the
target, work on `X`, `X_test` and `y`. What is learnt from `y` here is coarse
(which five columns matter most), so that validation stays close to honest.
"""

from __future__ import annotations

from collections.abc import Callable

from .brief import Brief
from .idea import Contribution, Draft, Idea, Params

PARSE = "moments(df[column])"
MOMENTS = r"""def moments(values):
    text = values.astype(str).str.replace(r"^(\d{1,2})\.(\d{1,2})\.(\d{4})", r"\3-\2-\1", regex=True)
    return pd.to_datetime(text, errors="coerce", format="mixed", utc=True)"""
"""Dates of a column; those with dots have the day first."""


def row_wise(text: str) -> Contribution:
    """Lines of `add_features(df)`."""
    return lambda draft, params: draft.features.extend(_lines(text, params))


def joint(text: str) -> Contribution:
    """Lines that see X and X_test together."""
    return lambda draft, params: draft.frames.extend(_lines(text, params))


def _lines(text: str, params: Params) -> list[str]:
    for key, value in params.items():
        text = text.replace(f"<{key}>", str(value))
    return text.strip("\n").split("\n")


def _numbers(least: int) -> Callable[[Brief], bool]:
    return lambda brief: least <= len(brief.numeric) <= 60 or (not brief.known and least <= 2)


def _categories(least: int) -> Callable[[Brief], bool]:
    return lambda brief: len(brief.category) >= least


def _dates(least: int) -> Callable[[Brief], bool]:
    return lambda brief: len(brief.dates) >= least


def _pairs(expression: str, mark: str) -> Contribution:
    """New columns from the pairs of the columns that go along most with the target."""
    return joint(
        f"""
target = pd.Series(y if y.ndim == 1 else y[:, 0], index=X.index)
top = X.select_dtypes("number").corrwith(target).abs().nlargest(<columns>).index
for df in (X, X_test):
    for i, a in enumerate(top):
        for b in top[i + 1 :]:
            df[f"{{a}} {mark} {{b}}"] = {expression}
"""
    )


_SKEWED = """
skewed = [c for c in X.select_dtypes("number") if X[c].min() >= 0 and X[c].skew() > <skew>]
for df in (X, X_test):
    df[skewed] = np.log1p(df[skewed].clip(lower=0))
"""
_CLIPPED = """
inside = X.select_dtypes("number").quantile([<share>, 1 - <share>])
for df in (X, X_test):
    df[inside.columns] = df[inside.columns].clip(inside.iloc[0], inside.iloc[1], axis=1)
"""
_COUNTS = """
for column in X.select_dtypes(exclude="number").columns:
    counts = pd.concat([X[column], X_test[column]]).value_counts()
    for df in (X, X_test):
        df[column + " count"] = df[column].map(counts).astype(float)
"""
_AGGREGATES = """
groups = [c for c in X.select_dtypes(exclude="number") if X[c].nunique() < len(X) / 5][:4]
for column in X.select_dtypes("number").columns[:6]:
    for group in groups:
        middle = X.groupby(group)[column].<statistic>()
        for df in (X, X_test):
            df[f"{column} against {group}"] = df[column] - df[group].map(middle).astype(float)
"""
_CROSSES = """
few = [c for c in X.select_dtypes(exclude="number") if X[c].nunique() <= <values>][:5]
for i, a in enumerate(few):
    for b in few[i + 1 :]:
        for df in (X, X_test):
            df[f"{a} and {b}"] = df[a].astype(str) + " " + df[b].astype(str)
"""
_UNCORRELATED = """
linked = X.select_dtypes("number").corr().abs()
twins = [c for i, c in enumerate(linked) if (linked.iloc[:i, i] > <limit>).any()]
X, X_test = X.drop(columns=twins), X_test.drop(columns=twins)
"""
_AS_CATEGORIES = """
few = [c for c in X.select_dtypes("number") if X[c].nunique() <= <values>]
for df in (X, X_test):
    df[[f"{c} value" for c in few]] = df[few].astype(float).astype(str).to_numpy()
"""
_STATISTICS = """
numbers = df.select_dtypes("number")
df["row mean"], df["row spread"] = numbers.mean(axis=1), numbers.std(axis=1)
df["row least"], df["row most"] = numbers.min(axis=1), numbers.max(axis=1)
"""
_SPELLING = """
for column in df.select_dtypes(exclude="number").columns:
    df[column] = df[column].astype(str).str.strip().str.lower().where(df[column].notna())
"""
_SENTINELS = """
low, high = X.select_dtypes("number").quantile(0.1), X.select_dtypes("number").quantile(0.9)
for df in (X, X_test):
    numbers = df[low.index]
    df[low.index] = numbers.where((numbers - high).le(<spreads> * (high - low)) | (high <= low))
"""
_LETTERS = """
for column in df.select_dtypes(exclude="number").columns:
    df[column + " head"] = df[column].astype(str).str.extract(r"^([A-Za-z]+)")[0]
    df[column + " tail"] = df[column].astype(str).str.extract(r"([A-Za-z]+)$")[0]
"""
_DIGITS = """
for column in df.select_dtypes(exclude="number").columns:
    digits = df[column].astype(str).str.replace(",", ".").str.extract(r"(-?\\d+\\.?\\d*)")[0]
    df[column + " number"] = pd.to_numeric(digits, errors="coerce")
"""
_LENGTHS = """
for column in df.select_dtypes(exclude="number").columns:
    df[column + " length"] = df[column].astype(str).str.len()
"""
_PARTS = f"""
for column in DATES:
    when = {PARSE}
    df[column + " year"], df[column + " month"] = when.dt.year, when.dt.month
    df[column + " day"], df[column + " weekday"] = when.dt.day, when.dt.dayofweek
    df[column + " hour"] = when.dt.hour
"""
_CYCLES = f"""
for column in DATES:
    when = {PARSE}
    for part, period in (("dayofyear", 365.25), ("dayofweek", 7), ("hour", 24)):
        turn = 2 * np.pi * getattr(when.dt, part) / period
        df[f"{{column}} {{part}} sin"], df[f"{{column}} {{part}} cos"] = np.sin(turn), np.cos(turn)
"""
_ELAPSED = f"""
for column in DATES:
    when = {PARSE}
    df[column + " days"] = (when - pd.Timestamp("2000-01-01", tz="UTC")).dt.total_seconds() / 86400
"""
_BETWEEN = f"""
days = {{column: {PARSE} for column in DATES}}
for i, a in enumerate(DATES):
    for b in DATES[i + 1 :]:
        df[f"{{a}} to {{b}}"] = (days[b] - days[a]).dt.total_seconds() / 86400
"""
_WORDS = """
for column in TEXT:
    words = df[column].fillna("").astype(str)
    df[column + " letters"], df[column + " words"] = words.str.len(), words.str.split().str.len()
    df[column + " signs"] = words.str.count(r"[!?.,]")
    df[column + " capitals"] = words.str.count(r"[A-Z]")
"""


def _vectoriser(template: str, name: str) -> Contribution:
    def add(draft: Draft, params: Params) -> None:
        draft.use("sklearn.feature_extraction.text", name)
        draft.text = "".join(_lines(template, params))

    return add


def _topics(draft: Draft, params: Params) -> None:
    # hashing, for its width does not depend on the words: a small vocabulary must not fail
    draft.use("sklearn.feature_extraction.text", "HashingVectorizer", "TfidfTransformer")
    draft.use("sklearn.decomposition", "TruncatedSVD")
    draft.use("sklearn.pipeline", "make_pipeline")
    words = f"HashingVectorizer(n_features=4096, ngram_range=(1, {params['longest']}), alternate_sign=False)"
    parts = min(int(params["n_components"]), max(2, draft.brief.rows // 10))
    draft.text = f"make_pipeline({words}, TfidfTransformer(), TruncatedSVD({parts}, random_state=0))"


def _image(expression: str) -> Contribution:
    return lambda draft, params: draft.images.extend(_lines(expression, params))


def _text(brief: Brief) -> bool:
    return bool(brief.text)


def _paths(brief: Brief) -> bool:
    return bool(brief.paths)


_TFIDF = (
    "TfidfVectorizer(sublinear_tf=True, ngram_range=(1, <longest>), min_df=<min_df>, max_features=<most>)"
)
_CHARS = 'TfidfVectorizer(analyzer="char_wb", ngram_range=(2, <longest>), min_df=2, max_features=<most>)'

IDEAS = (
    Idea("pairwise-ratios", "feature", "ratios of the columns that matter most",
         _pairs("df[a] / (df[b].abs() + 1e-3)", "per"), _numbers(2), {"columns": (4, 6, 3)}),
    Idea("pairwise-products", "feature", "products of the columns that matter most",
         _pairs("df[a] * df[b]", "times"), _numbers(2), {"columns": (4, 6, 3)}),
    Idea("pairwise-differences", "feature", "differences of the columns that matter most",
         _pairs("df[a] - df[b]", "minus"), _numbers(2), {"columns": (4, 6, 3)}),
    Idea("pairwise-sums", "feature", "sums of the columns that matter most",
         _pairs("df[a] + df[b]", "plus"), _numbers(2), {"columns": (4, 6)}, weight=0.5),
    Idea("log-skewed-columns", "feature", "logarithm of columns with a long tail", joint(_SKEWED),
         _numbers(1), {"skew": (1, 0.5, 2)}),
    Idea("clip-outliers", "feature", "columns clipped at their outer quantiles", joint(_CLIPPED),
         _numbers(1), {"share": (0.01, 0.005, 0.03)}, weight=0.7),
    Idea("far-values-missing", "feature", "numbers far outside, such as 999, become missing ones",
         joint(_SENTINELS), _numbers(1), {"spreads": (5, 3, 10)}, weight=0.8),
    Idea("one-spelling", "feature", "categories in small letters without spaces around", row_wise(_SPELLING),
         _categories(1), weight=0.6),
    Idea("frequency-encoding", "feature", "how often each category occurs", joint(_COUNTS), _categories(1)),
    Idea("group-aggregates", "feature", "a number against the middle of its category", joint(_AGGREGATES),
         lambda brief: bool(brief.category and brief.numeric), {"statistic": ("mean", "median")}),
    Idea("category-crosses", "feature", "pairs of categories as one", joint(_CROSSES), _categories(2),
         {"values": (12, 6, 30)}, weight=0.8),
    Idea("numbers-as-categories", "feature", "numbers with few values also as categories",
         joint(_AS_CATEGORIES), _numbers(1), {"values": (10, 5, 20)}, weight=0.6),
    Idea("drop-correlated-columns", "feature", "one of each pair of near-equal columns", joint(_UNCORRELATED),
         _numbers(3), {"limit": (0.97, 0.99, 0.9)}, weight=0.6),
    Idea("missing-count", "feature", "how many values a row lacks",
         row_wise('df["missing count"] = df.isna().sum(axis=1)'), lambda brief: brief.missing),
    Idea("row-statistics", "feature", "mean, spread, least and most of a row", row_wise(_STATISTICS),
         _numbers(4), weight=0.7),
    Idea("code-letters", "feature", "the letters a code starts and ends with", row_wise(_LETTERS),
         _categories(1), weight=0.8),
    Idea("code-numbers", "feature", "the number inside a code or text", row_wise(_DIGITS), _categories(1),
         weight=0.9),
    Idea("value-lengths", "feature", "length of a category's name", row_wise(_LENGTHS), _categories(1),
         weight=0.3),
    Idea("date-parts", "date-features", "year, month, day, weekday, hour", row_wise(_PARTS), _dates(1),
         weight=1.5),
    Idea("date-cycles", "date-features", "season, week and day as sine and cosine", row_wise(_CYCLES),
         _dates(1)),
    Idea("date-elapsed", "date-features", "days since a fixed day", row_wise(_ELAPSED), _dates(1),
         weight=1.3),
    Idea("date-differences", "date-features", "days between two dates", row_wise(_BETWEEN), _dates(2),
         weight=1.3),
    Idea("text-words", "text-features", "TF-IDF of words and word pairs",
         _vectoriser(_TFIDF, "TfidfVectorizer"), _text,
         {"longest": (2, 1), "min_df": (2, 1), "most": (20000, 3000)}, weight=1.5),
    Idea("text-characters", "text-features", "TF-IDF of character runs",
         _vectoriser(_CHARS, "TfidfVectorizer"), _text, {"longest": (4, 5, 3), "most": (20000, 5000)},
         weight=1.2),
    Idea("text-topics", "text-features", "word counts reduced by a singular value decomposition", _topics,
         _text, {"longest": (2, 1), "n_components": (20, 40, 10)}),
    Idea("text-hashing", "text-features", "hashed word counts",
         _vectoriser('HashingVectorizer(n_features=<size>, norm="l2", alternate_sign=False)',
                     "HashingVectorizer"),
         _text, {"size": (4096, 1024)}, weight=0.5),
    Idea("text-lengths", "text-features", "letters, words, signs and capitals of a text", row_wise(_WORDS),
         _text),
    Idea("image-pixels", "image-features", "the image, small and grey",
         _image('np.asarray(image.convert("L").resize((<side>, <side>)), float).ravel() / 255'), _paths,
         {"side": (16, 8, 24)}, weight=1.5),
    Idea("image-colours", "image-features", "the image, small and in colour",
         _image('np.asarray(image.convert("RGB").resize((<side>, <side>)), float).ravel() / 255'), _paths,
         {"side": (8, 12, 16)}),
    Idea("image-histograms", "image-features", "histograms of the three colours",
         _image('np.asarray(image.convert("RGB").histogram(), float).reshape(-1, <width>).sum(axis=1) '
                "/ (image.width * image.height)"), _paths, {"width": (16, 32, 8)}),
    Idea("image-edges", "image-features", "strength of horizontal and vertical edges",
         _image('np.abs(np.stack(np.gradient(np.asarray(image.convert("L").resize((<side>, <side>)), '
                "float)))).ravel() / 255"), _paths, {"side": (16, 8)}, weight=1.2),
)  # fmt: skip
