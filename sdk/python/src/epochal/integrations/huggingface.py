"""Hugging Face Transformers: what its Trainer logs, arguments and, if asked, the best checkpoint.

from epochal.integrations.huggingface import EpochalCallback

with epochal.init():
    Trainer(model=model, args=args, train_dataset=data, callbacks=[EpochalCallback()]).train()
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerCallback  # type: ignore[import-not-found,unused-ignore]  # optional

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_numbers, log_settings, training_run
from epochal.run import Run
from epochal.tracking import current_run

#: What the Trainer tells once, at the end; outputs, not series.
_TOTALS = frozenset({"train_runtime", "train_samples_per_second", "train_steps_per_second"})


class EpochalCallback(TrainerCallback):  # type: ignore[misc,unused-ignore]  # untyped
    """Logs "train/NAME" and "eval/NAME" at the Trainer's step; see the module."""

    def __init__(
        self, run: Run | None = None, *, log_model: bool = False, register: str | None = None
    ) -> None:
        """Takes the current run when none is given; `register` implies the model."""
        super().__init__()
        self._run = run
        self._log_model = log_model or register is not None
        self._register = register

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Logs arguments and the model's configuration; the Trainer calls it."""
        if not state.is_world_process_zero:
            return
        self._run = self._run or current_run()
        model = kwargs.get("model")
        config = getattr(model, "config", None)
        settings: dict[str, object] = dict(args.to_sanitized_dict())
        if config is not None and hasattr(config, "to_diff_dict"):
            settings |= {f"model.{name}": value for name, value in config.to_diff_dict().items()}
        log_settings(self._run, settings)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kw: Any
    ) -> None:
        """Logs what is told; the Trainer calls it."""
        if not state.is_world_process_zero:
            return
        run = self._run or current_run()
        for name, value in (logs or {}).items():
            if name in _TOTALS or name == "total_flos":
                run.log_metric(name, float(value), state.global_step)
            elif name.startswith("eval_"):
                log_numbers(run, {name[5:]: value}, state.global_step, "eval/")
            else:
                log_numbers(run, {name: value}, state.global_step, "train/")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Logs the best model, or the last; the Trainer calls it."""
        if not (state.is_world_process_zero and self._log_model):
            return
        run = self._run or current_run()
        best = state.best_model_checkpoint
        if best and Path(best).is_dir():
            run.log_model(best, register=self._register)
            return
        model = kwargs.get("model")
        if model is not None and hasattr(model, "save_pretrained"):
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
                run.log_model(folder, register=self._register)


def autolog(patches: Patches, trainer: type, *, log_models: bool) -> None:
    """Adds the callback to every `train` of a class of trainers."""

    def around(train: Callable[..., Any]) -> Callable[..., Any]:
        def trained(self: Any, *args: Any, **kwargs: Any) -> Any:
            known = self.callback_handler.callbacks
            if any(isinstance(one, EpochalCallback) for one in known):
                return train(self, *args, **kwargs)
            with training_run() as run:
                added = EpochalCallback(run, log_model=log_models)
                self.add_callback(added)
                try:
                    return train(self, *args, **kwargs)
                finally:
                    self.remove_callback(added)

        return trained

    patches.wrap(trainer, "train", around)
