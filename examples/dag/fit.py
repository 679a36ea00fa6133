"""Fits one classifier to the split digits; with --publish it becomes a model version."""

import argparse

import epochal
import numpy as np
from sklearn.linear_model import LogisticRegression

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float, required=True)
parser.add_argument("--publish", action="store_true")
args = parser.parse_args()

data = np.load("digits.npz")
model = LogisticRegression(C=args.strength, max_iter=500).fit(data["x"], data["y"])
accuracy = float(model.score(data["x_test"], data["y_test"]))
print(f"C={args.strength}: accuracy {accuracy:.4f}")
with epochal.init() as run:
    run.log_metric("accuracy", accuracy)
    if args.publish:
        run.log_model(model, "digits", register="digits", alias="best")
    else:
        run.log_outputs(accuracy=accuracy, fitted_with=args.strength)
