"""The annotator finds the line after which each milestone is reached, in programs of many shapes."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mleagent.records import MILESTONES
from mleagent.reward.annotate import AstAnnotator

SHORT = {"I": 0, "L": 1, "D": 2, "T": 3, "V": 4, "P": 5, "S": 6}

PROGRAMS = {
    "a plain script": """
        import os
        import pandas as pd
        from sklearn.linear_model import LogisticRegression  #I

        train = pd.read_csv("train.csv"); test = pd.read_csv("test.csv")  #L
        scaler = StandardScaler().fit(train)
        model = LogisticRegression(
            C=1.0,
        )  #D
        model.fit(train, y)  #T
        print("accuracy", model.score(val, yv))  #V
        pred = model.predict(test)  #P
        sub.to_csv("submission.csv", index=False)  #S
    """,
    "folds: followed inside the loop": """
        import pandas as pd  #I
        df = pd.read_parquet(PATH)  #L
        model = HistGradientBoostingClassifier()  #D
        for tr, va in StratifiedKFold(5).split(df, y):
            model.fit(df.iloc[tr], y[tr])  #T
            p = model.predict_proba(df.iloc[va])
            scores.append(roc_auc_score(y[va], p[:, 1]))  #V
        out = model.predict_proba(X_test)  #P
    """,
    "everything in main, called at the end": """
        from pathlib import Path
        import pandas as pd  #I
        def main():
            df = pd.read_csv("a.csv")  #L
            pipe = make_pipeline(StandardScaler(), Ridge())  #D
            print(cross_val_score(pipe, df, y).mean())  #TV
            pipe.fit(df, y)
            pipe.predict(test)  #P
            sub.to_csv(out / "submission.csv")  #S
        if __name__ == "__main__":
            main()
    """,
    "functions called once are followed, a return counts at the call": """
        import pandas as pd  #I
        def load():
            return pd.read_csv("train.csv")
        def build():
            return RandomForestRegressor()
        def evaluate(m, x, y):
            return mean_squared_error(y, m.predict(x))
        data = load()  #L
        model = build()  #D
        model.fit(data, y)  #T
        before = evaluate(model, data, y)  #V
        after = evaluate(model, data, y)
    """,
    "a training loop counts when it is over": """
        import torch
        from torch import nn  #I
        train = np.load("train.npy")  #L
        class Net(nn.Module):
            def forward(self, x):
                return x
        net = Net()  #D
        for epoch in range(10):  #T
            net.train()
            for x, y in train:
                loss = crit(net(x), y)
                loss.backward()
                opt.step()
        net.eval()
        acc = (net(x).argmax(1) == y).float().mean()  #V
    """,
    "a training loop in a function that is called for each epoch": """
        import torch  #I
        def epoch(net, data):
            for x, y in data:
                crit(net(x), y).backward()
        data = pd.read_csv("x.csv")  #L
        net = nn.Sequential(nn.Linear(3, 1))  #D
        for i in range(3):  #T
            epoch(net, data)
        print(rmse(net(x), y))  #V
    """,
    "gradient descent by hand": """
        import numpy as np  #I
        X = np.loadtxt("x.csv")  #L
        w = np.zeros(3)
        for _ in range(100):  #T
            w -= lr * X.T @ (X @ w - y)
        print(np.mean((X @ w - y) ** 2))  #V
    """,
    "a model defined before the data is there counts once both are": """
        import pandas as pd  #I
        model = GradientBoostingRegressor()
        df = pd.read_csv("train.csv")  #LD
        model.fit(df, y)  #T
    """,
    "optional imports, and a branch that may not run": """
        import pandas as pd
        try:  #I
            import lightgbm
        except ImportError:
            lightgbm = None
        if os.path.exists("cache.pkl"):
            df = restore()
        else:
            df = pd.read_csv("train.csv")  #L
        if lightgbm:  #D
            model = LGBMClassifier()
        else:
            model = LogisticRegression()
        model.fit(df, y)  #T
    """,
    "xgboost's own interface": """
        import xgboost as xgb  #I
        d = xgb.DMatrix(pd.read_csv("train.csv"))  #L
        booster = xgb.train(params, d)  #DT
        print(log_loss(y, booster.predict(dval)))  #V
    """,
    "a search whose best score is read": """
        import pandas as pd  #I
        df = pd.read_csv("t.csv")  #L
        search = GridSearchCV(SVC(), {"C": [1, 2]}, scoring="roc_auc")  #D
        search.fit(df, y)  #T
        print(search.best_score_)  #V
    """,
    "an objective handed to optuna": """
        import optuna, pandas as pd  #I
        df = pd.read_csv("t.csv")  #L
        def objective(trial):
            m = Ridge(alpha=trial.suggest_float("a", 0, 1))
            m.fit(df, y)
            return mean_absolute_error(y, m.predict(df))
        study.optimize(objective, n_trials=20)  #DTV
    """,
    "files read in a loop": """
        import glob, pandas as pd  #I
        for path in glob.glob("*.csv"):  #L
            frames.append(pd.read_csv(path))
    """,
    "a class that does it all": """
        import pandas as pd  #I
        class Solution:
            def run(self):
                self.df = pd.read_csv("train.csv")  #L
                self.model = ExtraTreesClassifier()  #D
                self.model.fit(self.df, y)  #T
        Solution().run()
    """,
    "nothing to do with learning": """
        print("hello")
        x = [i ** 2 for i in range(10)]
    """,
}


@pytest.mark.parametrize("title", PROGRAMS)
def test_marks_stand_where_the_comments_say(title: str) -> None:
    source = textwrap.dedent(PROGRAMS[title]).strip() + "\n"
    expected = {
        (MILESTONES[SHORT[letter]], number)
        for number, line in enumerate(source.splitlines(), start=1)
        if "  #" in line
        for letter in line.rsplit("#", 1)[1]
    }
    marks = AstAnnotator().annotate(source)
    assert {(mark.name, mark.line) for mark in marks} == expected
    assert [mark.line for mark in marks] == sorted(mark.line for mark in marks)


@pytest.mark.parametrize(
    "source", ["def f(:", "\0", "x = (", "%matplotlib inline", "a" * 10 + "(" * 5000, "\ufeffx"]
)
def test_text_that_is_no_program_has_no_marks(source: str) -> None:
    assert AstAnnotator().annotate(source) == []


def test_recursion_among_functions_ends() -> None:
    source = "def a():\n    b()\ndef b():\n    a()\n    m.fit(x, y)\na()\nb()\n"
    assert [mark.name for mark in AstAnnotator().annotate(source)] == ["trained model"]


@given(st.lists(st.sampled_from([line for p in PROGRAMS.values() for line in p.splitlines()]), max_size=30))
def test_any_mixture_of_lines_is_annotated_or_refused_but_never_raises(lines: list[str]) -> None:
    marks = AstAnnotator().annotate(textwrap.dedent("\n".join(lines)))
    assert len({mark.name for mark in marks}) == len(marks)
