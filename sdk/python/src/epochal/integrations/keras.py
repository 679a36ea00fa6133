"""Keras 3: metrics of every epoch (and batch, if asked), settings and, if asked, the best model.

from epochal.integrations.keras import EpochalCallback

with epochal.init():
    model.fit(X, y, epochs=5, callbacks=[EpochalCallback()])
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras  # type: ignore[import-not-found,unused-ignore]  # optional, not in every environment

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_numbers, log_settings, training_run
from epochal.run import Run
from epochal.tracking import current_run


class EpochalCallback(keras.callbacks.Callback):  # type: ignore[misc,name-defined,unused-ignore]  # untyped
    """Logs what Keras measures; see the module."""

    def __init__(
        self,
        run: Run | None = None,
        *,
        every_batches: int = 0,
        log_model: bool = False,
        monitor: str = "",
        register: str | None = None,
    ) -> None:
        """Takes the current run when none is given.

        Args:
            run: to log to.
            every_batches: Logs "batch/NAME" each so many batches; 0 for none.
            log_model: Whether the model is kept.
            monitor: Such as "val_loss": the model of the epoch where this was least is kept, or
                greatest, when its name ends in "acc", "accuracy" or "auc"; the last one without.
            register: Id in the registry to make a version of; implies `log_model`.
        """
        super().__init__()
        self._run = run
        self._every = every_batches
        self._log_model = log_model or register is not None
        self._monitor = monitor
        self._register = register
        self._batches = 0
        self._best: float | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs settings; Keras calls it."""
        self._run = self._run or current_run()
        if self._log_model:
            self._folder = tempfile.TemporaryDirectory()
        optimizer = getattr(self.model, "optimizer", None)
        settings = {
            "model": self.model.name,
            "parameters": self.model.count_params() if self.model.built else None,
            "epochs": self.params.get("epochs"),
            "steps": self.params.get("steps"),
        }
        if optimizer is not None:
            config = optimizer.get_config()
            settings |= {f"optimizer.{name}": value for name, value in config.items()}
        log_settings(self._run, settings)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs a batch, each so many; Keras calls it."""
        self._batches += 1
        if self._every and self._batches % self._every == 0:
            log_numbers(self._run or current_run(), logs or {}, self._batches, "batch/")

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Logs an epoch, and keeps the model if it is the best; Keras calls it."""
        run = self._run or current_run()
        found = dict(logs or {})
        log_numbers(run, found, epoch)
        if self._folder is None or (self._monitor and self._monitor not in found):
            return
        if self._monitor:
            value = float(found[self._monitor])
            greater = self._monitor.endswith(("acc", "accuracy", "auc"))
            if self._best is not None and (value <= self._best if greater else value >= self._best):
                return
            self._best = value
            self._save()

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Logs the model that is kept; Keras calls it."""
        if self._folder is None:
            return
        if self._best is None:
            self._save()
        (self._run or current_run()).log_model(
            Path(self._folder.name) / "model.keras", register=self._register
        )
        self._folder.cleanup()
        self._folder = None

    def _save(self) -> None:
        if self._folder is not None:
            self.model.save(Path(self._folder.name) / "model.keras")


def autolog(patches: Patches, *, log_models: bool) -> None:
    """Adds the callback to every `fit` of this process."""

    def around(fit: Callable[..., Any]) -> Callable[..., Any]:
        def fitted(self: Any, *args: Any, **kwargs: Any) -> Any:
            callbacks = kwargs.get("callbacks")
            given = getattr(callbacks, "callbacks", callbacks) or ()
            if any(isinstance(one, EpochalCallback) for one in given):
                return fit(self, *args, **kwargs)
            with training_run() as run:
                added = EpochalCallback(run, log_model=log_models)
                if isinstance(callbacks, keras.callbacks.CallbackList):
                    callbacks.append(added)
                    return fit(self, *args, **kwargs)
                kwargs["callbacks"] = [*given, added]
                return fit(self, *args, **kwargs)

        return fitted

    patches.wrap(keras.Model, "fit", around)
