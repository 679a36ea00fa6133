"""Splits scikit-learn's bundled digits once, for all that follow."""

import argparse
import os
from pathlib import Path

import epochal
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--test-share", type=float, default=0.3)
args = parser.parse_args()

digits = load_digits()
parts = train_test_split(
    digits.data / 16.0, digits.target, test_size=args.test_share, random_state=7
)
file = Path(os.environ.get("EPOCHAL_RUN_OUTPUTS_PATH", "."), "digits.npz")
np.savez(file, **dict(zip(("x", "x_test", "y", "y_test"), parts, strict=True)))
with epochal.init() as run:
    run.use_dataset("digits", digits.data)
    run.log_outputs(rows=len(digits.data))
    print(f"{len(parts[0])} rows to train with, {len(parts[1])} to test with")
