"""XGBoost: metrics of every round, settings, importances and, if asked, the model.

import xgboost
from epochal.integrations.xgboost import EpochalCallback

with epochal.init():
    xgboost.train(params, data, evals=[(data, "train")], callbacks=[EpochalCallback()])
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import xgboost  # type: ignore[import-not-found,unused-ignore]  # optional, not in every environment

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_settings, training_run
from epochal.run import Run
from epochal.tracking import current_run

#: History of one metric: numbers, or mean and deviation in cross-validation.
_Log = Mapping[str, Mapping[str, list[Any]]]


class EpochalCallback(xgboost.callback.TrainingCallback):  # type: ignore[misc,name-defined,unused-ignore]  # untyped
    """Logs "DATA/METRIC" of every round, then what was best; see the module."""

    def __init__(
        self, run: Run | None = None, *, log_model: bool = False, register: str | None = None
    ) -> None:
        """Takes the current run when none is given; `register` implies the model."""
        super().__init__()
        self._run = run
        self._log_model = log_model or register is not None
        self._register = register

    def before_training(self, model: Any) -> Any:
        """Logs settings; XGBoost calls it."""
        self._run = self._run or current_run()
        if hasattr(model, "save_config"):
            log_settings(self._run, _settings(json.loads(model.save_config())))
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: _Log) -> bool:
        """Logs the newest metrics; XGBoost calls it."""
        run = self._run or current_run()
        for data, metrics in evals_log.items():
            for metric, values in metrics.items():
                newest = values[-1]
                if isinstance(newest, tuple):  # cross-validation
                    run.log_metric(f"{data}/{metric}-std", newest[1], epoch)
                    newest = newest[0]
                run.log_metric(f"{data}/{metric}", newest, epoch)
        return False

    def after_training(self, model: Any) -> Any:
        """Logs importances and the model; XGBoost calls it."""
        run = self._run or current_run()
        if not hasattr(model, "get_score"):
            return model
        if scores := model.get_score(importance_type="gain"):
            rows = [{"feature": name, "gain": gain} for name, gain in scores.items()]
            run.log_table("feature_importance", sorted(rows, key=lambda row: -row["gain"]))
        if self._log_model:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "model.ubj"
                model.save_model(file)
                kept = Path(folder) / "model"
                kept.mkdir()
                file.replace(kept / file.name)
                run.log_model(kept, register=self._register)
        return model


def autolog(patches: Patches, *, log_models: bool) -> None:
    """Adds the callback to every training of this process."""

    def around(train: Callable[..., Any]) -> Callable[..., Any]:
        def trained(params: Any, *args: Any, callbacks: Any = None, **kwargs: Any) -> Any:
            if any(isinstance(one, EpochalCallback) for one in callbacks or ()):
                return train(params, *args, callbacks=callbacks, **kwargs)
            with training_run() as run:
                added = EpochalCallback(run, log_model=log_models)
                return train(params, *args, callbacks=[*(callbacks or ()), added], **kwargs)

        return trained

    for name in ("xgboost", "xgboost.training", "xgboost.sklearn"):
        if name in sys.modules and hasattr(sys.modules[name], "train"):
            patches.wrap(sys.modules[name], "train", around)


def _settings(config: Mapping[str, Any]) -> dict[str, object]:
    """The settings of training out of the whole configuration of a booster."""
    learner = config.get("learner", {})
    found: dict[str, object] = {}
    objective = learner.get("objective", {})
    if "name" in objective:
        found["objective"] = objective["name"]
    booster = learner.get("gradient_booster", {})
    found["booster"] = booster.get("name", "")
    for group in (booster.get("tree_train_param"), booster.get("updater")):
        if isinstance(group, Mapping):
            found |= {name: value for name, value in group.items() if isinstance(value, str)}
    return {name: value for name, value in found.items() if value != ""}
