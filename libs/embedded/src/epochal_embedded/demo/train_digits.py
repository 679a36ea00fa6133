"""Trains a linear classifier on scikit-learn's bundled digits, one epoch at a time.

Run it on a laptop (`python train_digits.py`) or through `digits.yaml`: the code is the same.
"""

import argparse
import time

import epochal
import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split


def main() -> None:
    """Train, and log what an experimenter would."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--alpha", type=float, default=0.001)
    parser.add_argument("--eta", type=float, default=0.01)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    digits = load_digits()
    x_train, x_test, y_train, y_test = train_test_split(
        digits.data / 16.0, digits.target, test_size=0.3, random_state=args.seed
    )
    model = SGDClassifier(
        loss="log_loss",
        alpha=args.alpha,
        learning_rate="constant",
        eta0=args.eta,
        random_state=args.seed,
    )
    order = np.random.default_rng(args.seed)
    with epochal.init() as run:
        run.use_dataset("digits", digits.data)
        run.log_param("train_rows", len(x_train))
        for epoch in range(args.epochs):
            rows = order.permutation(len(x_train))
            model.partial_fit(x_train[rows], y_train[rows], classes=np.arange(10))
            probabilities = model.predict_proba(x_test)
            run.log_metric("loss", float(log_loss(y_test, probabilities)), step=epoch)
            run.log_metric("accuracy", float(model.score(x_test, y_test)), step=epoch)
            time.sleep(0.05)  # an epoch of a model worth waiting for
        run.log_model(model, "digits")
        print(f"accuracy {model.score(x_test, y_test):.4f} after {args.epochs} epochs")


if __name__ == "__main__":
    main()
