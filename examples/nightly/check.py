"""Scores a fresh classifier of scikit-learn's bundled wines; fails when it got worse."""

import argparse

import epochal
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--due", default="")
parser.add_argument("--wanted", type=float, default=0.9)
args = parser.parse_args()

wine = load_wine()
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
accuracy = float(cross_val_score(model, wine.data, wine.target, cv=5).mean())
print(f"due {args.due or 'now'}: accuracy {accuracy:.4f}, wanted {args.wanted}")
with epochal.init() as run:
    run.log_metric("accuracy", accuracy)
    run.log_outputs(accuracy=accuracy)
if accuracy < args.wanted:
    raise SystemExit(f"accuracy {accuracy:.4f} is below {args.wanted}")
