"""Parameter importance by fANOVA, in a process of its own: python -m epochal_tracker.importance.

Reads `{"columns": {name: [value, ...]}, "target": [number, ...]}` and writes `{name: share}`. What
it imports (Optuna, scikit-learn) takes more memory than the whole tracker; with the process it is
gone again. A value is a number, a text, or null where a run lacks the parameter.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence

Cell = float | str | None
MISSING = "(none)"


def shares(columns: Mapping[str, Sequence[Cell]], target: Sequence[float]) -> dict[str, float]:
    """Return the share of the target's variance that each parameter explains (Hutter et al. 2014).

    A column of numbers only is a continuous parameter; any other one has its distinct values as
    categories, with one for runs that lack it.
    """
    import optuna
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
    )
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    spaces: dict[str, BaseDistribution] = {}
    cells: dict[str, list[float | str]] = {}
    for name, column in columns.items():
        numbers = [value for value in column if isinstance(value, float | int)]
        if len(numbers) == len(column):
            spaces[name] = FloatDistribution(min(numbers), max(numbers))
            cells[name] = [float(number) for number in numbers]
        else:
            texts = [MISSING if value is None else str(value) for value in column]
            spaces[name] = CategoricalDistribution(sorted(set(texts)))
            cells[name] = list(texts)
    study = optuna.create_study()
    study.add_trials(
        [
            create_trial(
                params={name: cells[name][place] for name in spaces},
                distributions=dict(spaces),
                value=number,
            )
            for place, number in enumerate(target)
        ]
    )
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {name: float(share) for name, share in found.items()}


def main() -> None:
    """Answer one question."""
    asked = json.load(sys.stdin)
    json.dump(shares(asked["columns"], asked["target"]), sys.stdout)


if __name__ == "__main__":
    main()
