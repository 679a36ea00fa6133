"""Lightning: what modules log, hyperparameters and, if asked, the best checkpoint.

from epochal.integrations.lightning import EpochalCallback

with epochal.init():
    lightning.Trainer(callbacks=[EpochalCallback()]).fit(module, data)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_numbers, log_settings, training_run
from epochal.run import Run
from epochal.tracking import current_run

if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
    from pytorch_lightning.callbacks import Callback  # type: ignore[import-not-found,unused-ignore]  # optional
else:
    from lightning.pytorch.callbacks import Callback  # type: ignore[import-not-found,unused-ignore,no-redef]  # optional


class EpochalCallback(Callback):  # type: ignore[misc,unused-ignore]  # untyped
    """Logs what `self.log` of a module logs, at the step of the optimizer; see the module.

    Of a training in several processes the first logs.
    """

    def __init__(
        self, run: Run | None = None, *, log_model: bool = False, register: str | None = None
    ) -> None:
        """Takes the current run when none is given; `register` implies the checkpoint."""
        super().__init__()
        self._run = run
        self._log_model = log_model or register is not None
        self._register = register

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Logs settings; Lightning calls it."""
        if not trainer.is_global_zero:
            return
        self._run = self._run or current_run()
        hyper = getattr(pl_module, "hparams", {})
        log_settings(
            self._run,
            {
                **(dict(hyper) if isinstance(hyper, Mapping) else {}),
                "module": type(pl_module).__name__,
                "parameters": sum(one.numel() for one in pl_module.parameters()),
                "max_epochs": trainer.max_epochs,
                "max_steps": trainer.max_steps,
                "precision": trainer.precision,
            },
        )

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs what was logged in this step, as often as the trainer says; Lightning calls it."""
        if trainer.is_global_zero and trainer.global_step % trainer.log_every_n_steps == 0:
            found = {k: v for k, v in trainer.logged_metrics.items() if not k.endswith("_epoch")}
            log_numbers(self._run or current_run(), found, trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs the epoch's metrics, of validation as well; Lightning calls it."""
        if trainer.is_global_zero:
            run = self._run or current_run()
            found = {k: v for k, v in trainer.callback_metrics.items() if not k.endswith("_step")}
            log_numbers(run, found, trainer.global_step, "epoch/")
            run.log_metric("epoch", trainer.current_epoch, trainer.global_step)

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Logs the best checkpoint; Lightning calls it."""
        if not (trainer.is_global_zero and self._log_model):
            return
        run = self._run or current_run()
        kept = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if kept and Path(kept).exists():
            run.log_model(kept, register=self._register)


def autolog(patches: Patches, trainer: type, *, log_models: bool) -> None:
    """Adds the callback to every `fit` of a class of trainers."""

    def around(fit: Callable[..., Any]) -> Callable[..., Any]:
        def fitted(self: Any, *args: Any, **kwargs: Any) -> Any:
            if any(isinstance(one, EpochalCallback) for one in self.callbacks):
                return fit(self, *args, **kwargs)
            with training_run() as run:
                added = EpochalCallback(run, log_model=log_models)
                self.callbacks.append(added)
                try:
                    return fit(self, *args, **kwargs)
                finally:
                    self.callbacks.remove(added)

        return fitted

    patches.wrap(trainer, "fit", around)
