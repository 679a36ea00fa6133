"""Trains on scikit-learn's bundled irises; with --release the model is registered as champion."""

import argparse

import epochal
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

parser = argparse.ArgumentParser()
parser.add_argument("--release", action="store_true")
args = parser.parse_args()

iris = load_iris()
model = RandomForestClassifier(n_estimators=20, random_state=7)
accuracy = float(cross_val_score(model, iris.data, iris.target, cv=3).mean())
print(f"accuracy {accuracy:.4f}")
with epochal.init() as run:
    run.log_metric("accuracy", accuracy)
    if args.release:
        fitted = model.fit(iris.data, iris.target)
        run.log_model(fitted, "iris", register="iris", alias="champion")
    else:
        run.log_outputs(accuracy=accuracy)
