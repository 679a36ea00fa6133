"""Trains on scikit-learn's bundled breast-cancer data, epoch by epoch, telling the loss of each.

The model, a logistic regression, is written out here and the file is read as it is: a trial then
starts at once, for importing scikit-learn takes longer than all its epochs.
"""

import argparse
import time
from importlib.util import find_spec
from pathlib import Path

import epochal
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--eta", type=float, required=True)
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()

sklearn = find_spec("sklearn")
if sklearn is None or sklearn.origin is None:
    raise SystemExit("install scikit-learn: its data is used")
table = np.loadtxt(
    Path(sklearn.origin).parent / "datasets/data/breast_cancer.csv", delimiter=",", skiprows=1
)
rng = np.random.default_rng(7)
rng.shuffle(table)
x, y = table[:, :-1], table[:, -1]
x = np.column_stack([(x - x.mean(axis=0)) / x.std(axis=0), np.ones(len(x))])
x, x_test, y, y_test = x[:400], x[400:], y[:400], y[400:]
weights = np.zeros(x.shape[1])


def probabilities(rows: np.ndarray) -> np.ndarray:
    """How likely each row is benign."""
    return 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))


with epochal.init() as run:
    for epoch in range(1, args.epochs + 1):
        for batch in np.array_split(rng.permutation(len(x)), 20):
            slope = x[batch].T @ (probabilities(x[batch]) - y[batch]) / len(batch)
            weights -= args.eta * (slope + args.alpha * weights)
        found = probabilities(x_test)
        loss = -np.mean(y_test * np.log(found) + (1 - y_test) * np.log(1 - found))
        run.log_metric("loss", loss, step=epoch)
        time.sleep(0.1)  # an epoch of a model worth stopping early
    run.log_metric("accuracy", np.mean((found > 0.5) == y_test), step=args.epochs)
