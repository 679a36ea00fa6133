"""scikit-learn: settings, scores and, if asked, the model of what is fitted.

from epochal.integrations.sklearn import log_estimator

with epochal.init() as run:
    log_estimator(run, model.fit(X, y), X, y)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from epochal.integrations.patching import Patches
from epochal.integrations.training import log_settings, training_run
from epochal.run import Run

#: Their trainings log themselves.
_OTHERS = ("xgboost", "lightgbm")
_depth = threading.local()


def log_estimator(
    run: Run,
    estimator: Any,
    X: Any = None,
    y: Any = None,
    *,
    prefix: str = "training",
    log_model: bool = False,
    register: str | None = None,
) -> None:
    """Logs a fitted estimator: its settings, its score on some data, what a search found.

    Args:
        run: to log to.
        estimator: fitted.
        X: data to score; nothing is scored without.
        y: what is true of it.
        prefix: of the names of scores.
        log_model: whether the model is kept.
        register: id in the registry to make a version of; implies `log_model`.
    """
    log_settings(
        run, {**estimator.get_params(deep=True), "estimator_class": type(estimator).__name__}
    )
    if X is not None and y is not None and hasattr(estimator, "score"):
        run.log_metric(f"{prefix}/score", estimator.score(X, y))
        for name, value in _scores(estimator, X, y).items():
            run.log_metric(f"{prefix}/{name}", value)
    if hasattr(estimator, "cv_results_"):
        log_settings(run, estimator.best_params_, "best.")
        run.log_metric("best_cv_score", estimator.best_score_)
        results: Mapping[str, Any] = estimator.cv_results_
        run.log_table(
            "cv_results",
            {
                name: [str(cell) for cell in column]
                if name.startswith("param")
                else [float(cell) for cell in column]
                for name, column in results.items()
            },
        )
    if log_model or register:
        run.log_model(estimator, register=register)


def autolog(patches: Patches, *, log_models: bool) -> None:
    """Makes every `fit` log itself, also of estimators that are defined or imported later.

    Only the outermost does: what a pipeline or a search fits inside belongs to it.
    """
    from sklearn.base import BaseEstimator

    def around(fit: Callable[..., Any]) -> Callable[..., Any]:
        def fitted(self: Any, *args: Any, **kwargs: Any) -> Any:
            # What only prepares data, such as a scaler or an encoder, is no training.
            if getattr(_depth, "value", 0) or not hasattr(type(self), "predict"):
                return fit(self, *args, **kwargs)
            with training_run() as run:
                _depth.value = 1
                try:
                    made = fit(self, *args, **kwargs)
                    given = (*args[:2], *(None,) * (2 - len(args)))
                    X, y = kwargs.get("X", given[0]), kwargs.get("y", given[1])
                    log_estimator(run, self, X, y, log_model=log_models)
                finally:
                    _depth.value = 0
                return made

        return fitted

    def watch(kind: type) -> None:
        if "fit" in vars(kind) and not kind.__module__.startswith(_OTHERS):
            patches.wrap(kind, "fit", around)

    def around_subclass(init: Callable[..., Any]) -> object:
        # `init` is bound to BaseEstimator: its function takes whichever class is being made.
        def made(cls: Any, /, **kwargs: Any) -> None:
            init.__func__(cls, **kwargs)  # type: ignore[attr-defined]  # a classmethod's
            watch(cls)

        return classmethod(made)

    for kind in _below(BaseEstimator):
        watch(kind)
    patches.replace(BaseEstimator, "__init_subclass__", around_subclass)


def _below(kind: type) -> Iterator[type]:
    seen: set[type] = set()
    waiting = [kind]
    each: type
    while waiting:
        for each in waiting.pop().__subclasses__():
            if each not in seen:
                seen.add(each)
                waiting.append(each)
                yield each


def _scores(estimator: Any, X: Any, y: Any) -> dict[str, float]:
    """More scores of what scikit-learn knows to be a classifier or a regressor of one target."""
    from sklearn import base, metrics

    if not hasattr(estimator, "predict"):
        return {}
    if base.is_classifier(estimator):
        predicted = estimator.predict(X)
        return {
            "f1_weighted": float(metrics.f1_score(y, predicted, average="weighted")),
            "balanced_accuracy": float(metrics.balanced_accuracy_score(y, predicted)),
        }
    if base.is_regressor(estimator):
        predicted = estimator.predict(X)
        return {
            "mean_squared_error": float(metrics.mean_squared_error(y, predicted)),
            "mean_absolute_error": float(metrics.mean_absolute_error(y, predicted)),
        }
    return {}
