"""Print the accuracy of predictions.csv on data/valid.csv."""

from pathlib import Path

import pandas as pd

beside = Path(__file__).resolve().parent / "data" / "valid.csv"
truth = pd.read_csv(beside if beside.is_file() else "data/valid.csv").set_index("row")["digit"]
predictions = pd.read_csv("predictions.csv").set_index("row")["digit"]
if sorted(predictions.index) != sorted(truth.index):
    raise SystemExit("predictions.csv must hold each row of data/valid.csv once")
print(f"accuracy: {(predictions.loc[truth.index] == truth).mean():.4f}")
