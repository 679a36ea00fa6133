"""Trains on scikit-learn's bundled breast-cancer data, epoch by epoch, telling the loss of each."""

import argparse
import time

import epochal
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

parser = argparse.ArgumentParser()
parser.add_argument("--eta", type=float, required=True)
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--epochs", type=int, default=30)
args = parser.parse_args()

data = load_breast_cancer()
x, x_test, y, y_test = train_test_split(data.data, data.target, test_size=0.3, random_state=7)
scaler = StandardScaler().fit(x)
x, x_test = scaler.transform(x), scaler.transform(x_test)
model = SGDClassifier(
    loss="log_loss", alpha=args.alpha, learning_rate="constant", eta0=args.eta, random_state=7
)
with epochal.init() as run:
    for epoch in range(1, args.epochs + 1):
        model.partial_fit(x, y, classes=np.unique(data.target))
        run.log_metric("loss", log_loss(y_test, model.predict_proba(x_test)), step=epoch)
        time.sleep(0.1)  # an epoch of a model worth stopping early
    run.log_metric("accuracy", model.score(x_test, y_test), step=args.epochs)
