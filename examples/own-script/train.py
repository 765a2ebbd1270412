"""Fit on data/train.csv, predict data/valid.csv."""

import pandas as pd
from sklearn.tree import DecisionTreeClassifier

train = pd.read_csv("data/train.csv")
valid = pd.read_csv("data/valid.csv")
features = [name for name in train.columns if name.startswith("p")]

model = DecisionTreeClassifier(max_depth=6, random_state=0)
model.fit(train[features], train["digit"])

predictions = pd.DataFrame({"row": valid["row"], "digit": model.predict(valid[features])})
predictions.to_csv("predictions.csv", index=False)
