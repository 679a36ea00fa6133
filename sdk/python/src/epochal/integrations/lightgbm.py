"""LightGBM: metrics of every round, settings, importances and, if asked, the model.

import lightgbm
from epochal.integrations.lightgbm import EpochalCallback

with epochal.init():
    lightgbm.train(params, data, valid_sets=[data], callbacks=[EpochalCallback()])
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_settings, training_run
from epochal.run import Run
from epochal.tracking import current_run


class EpochalCallback:
    """Logs "DATA/METRIC" of every round; see the module."""

    #: After LightGBM's own; see `lightgbm.callback`.
    order = 25
    before_iteration = False

    def __init__(self, run: Run | None = None) -> None:
        """Takes the current run when none is given."""
        self._run = run
        self._began = False

    def __call__(self, env: Any) -> None:
        """Logs the newest metrics; LightGBM calls it with its `CallbackEnv`."""
        run = self._run or current_run()
        if not self._began:
            self._began = True
            log_settings(run, env.params)
        for data, metric, value, *more in env.evaluation_result_list or ():
            run.log_metric(f"{data}/{metric}", value, env.iteration)
            if len(more) > 1:  # cross-validation adds the deviation
                run.log_metric(f"{data}/{metric}-std", more[1], env.iteration)


def log_booster(run: Run, booster: Any, *, register: str | None = None) -> None:
    """Logs a trained booster as text, which any version of LightGBM reads."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "model"
        kept.mkdir()
        booster.save_model(str(kept / "model.txt"))
        run.log_model(kept, register=register)


def log_importances(run: Run, booster: Any) -> None:
    """Logs the gain of every feature as a table, greatest first."""
    gains = booster.feature_importance(importance_type="gain")
    rows = [
        {"feature": name, "gain": float(gain)}
        for name, gain in zip(booster.feature_name(), gains, strict=True)
    ]
    if rows:
        run.log_table("feature_importance", sorted(rows, key=lambda row: -row["gain"]))


def autolog(patches: Patches, *, log_models: bool) -> None:
    """Adds the callback to every training of this process."""

    def around(train: Callable[..., Any]) -> Callable[..., Any]:
        def trained(params: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
            if any(isinstance(one, EpochalCallback) for one in callbacks or ()):
                return train(params, *args, callbacks=callbacks, **kwargs)
            with training_run() as run:
                added = EpochalCallback(run)
                booster = train(params, *args, callbacks=[*(callbacks or ()), added], **kwargs)
                log_importances(run, booster)
                if log_models:
                    log_booster(run, booster)
                return booster

        return trained

    for name in ("lightgbm", "lightgbm.engine", "lightgbm.sklearn"):
        if name in sys.modules and hasattr(sys.modules[name], "train"):
            patches.wrap(sys.modules[name], "train", around)
