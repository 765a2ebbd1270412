"""Clean the mess, encode products by target inside folds, read the notes; boosting and a linear model."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder

train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
y = train["returned"]


def clean(raw):
    """Numbers as numbers, dates as dates, one spelling a category."""
    iso = pd.to_datetime(raw["ordered_at"], format="%Y-%m-%d %H:%M:%S", errors="coerce")
    when = iso.fillna(pd.to_datetime(raw["ordered_at"], format="%d.%m.%Y %H:%M", errors="coerce"))
    text = raw["price"].astype(str).str.replace("EUR ", "").str.replace(",", ".")
    out = pd.DataFrame({"price": text.astype(float)})
    out["quantity"] = raw["quantity"].astype(str).str.extract(r"(\d+)")[0].astype(float)
    out["discount"] = raw["discount_pct"].fillna(0)
    out["wrapped"] = raw["gift_wrap"].astype(str).str.lower().str[0].isin(["y", "1", "t"]).astype(float)
    out["delivery"] = raw["delivery_days"]
    out["age"] = raw["customer_age"].where(raw["customer_age"] < 120)
    out["month"], out["hour"] = when.dt.month, when.dt.hour
    out["january"] = (when.dt.month == 1).astype(float)
    out["points"] = raw["loyalty_points"]
    for name in ("category", "device", "payment"):
        out[name] = raw[name].astype(str).str.strip().str.lower()
    out["size"] = raw["size"].fillna("none").astype(str)
    out["product"] = raw["product_code"].astype(str)
    out["note"] = raw["note"].fillna("").str.lower()
    return out


numbers = [
    "price",
    "quantity",
    "discount",
    "wrapped",
    "delivery",
    "age",
    "month",
    "hour",
    "january",
    "points",
]
classes = ["category", "device", "payment", "size"]
X, X_test = clean(train), clean(test)
linear = make_pipeline(
    make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
        (OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"), [*classes, "product"]),
        (TfidfVectorizer(ngram_range=(1, 2), min_df=5), "note"),
    ),
    LogisticRegression(C=0.3, max_iter=3000),
)
boosted = make_pipeline(
    make_column_transformer(
        ("passthrough", numbers),
        (TargetEncoder(random_state=0), [*classes, "product", "note"]),
    ),
    HistGradientBoostingClassifier(
        learning_rate=0.04, max_iter=120, max_leaf_nodes=8, l2_regularization=5, random_state=0
    ),
)
ranks = sum(
    weight * pd.Series(m.fit(X, y).predict_proba(X_test)[:, 1]).rank(pct=True)
    for m, weight in ((linear, 0.7), (boosted, 0.3))
)
pd.DataFrame({"order_id": test["order_id"], "returned": ranks}).to_csv("submission.csv", index=False)
