"""Fit on data/train.csv, predict data/valid.csv: the tree replaced by a support vector machine."""

import pandas as pd
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

train = pd.read_csv("data/train.csv")
valid = pd.read_csv("data/valid.csv")
features = [name for name in train.columns if name.startswith("p")]

model = make_pipeline(StandardScaler(), SVC(C=10, gamma=0.05))
model.fit(train[features], train["digit"])

predictions = pd.DataFrame({"row": valid["row"], "digit": model.predict(valid[features])})
predictions.to_csv("predictions.csv", index=False)
