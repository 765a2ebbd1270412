"""Ridge on splines, a Gaussian process and shallow boosting, averaged."""

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler

train, test = pd.read_csv("train.csv"), pd.read_csv("test.csv")
y = train.pop("progression")
X, X_test = train.drop(columns="id"), test.drop(columns="id")
for table in (X, X_test):
    table["bmi_bp"] = table["bmi"] * table["blood_pressure"] / 100

kernel = DotProduct() + 1.0 * RBF(5.0) + WhiteKernel(1.0)
models = [
    make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 3, 20))),
    make_pipeline(SplineTransformer(4, degree=2), RidgeCV(np.logspace(-1, 3, 20))),
    make_pipeline(StandardScaler(), GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)),
    ExtraTreesRegressor(400, min_samples_leaf=4, max_features=0.5, random_state=0),
]
out = np.mean([model.fit(X, y).predict(X_test) for model in models], axis=0)
pd.DataFrame({"id": test["id"], "progression": out}).to_csv("submission.csv", index=False)
