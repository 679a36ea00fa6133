"""`epochal.autolog()`: training libraries log by themselves, from their import on.

Nothing is imported for it: a library that is loaded is hooked now, any other when the program
imports it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

from epochal.errors import InvalidArgument
from epochal.integrations.patching import Patches

_Hook = Callable[[Patches, bool], None]


def _plain(name: str) -> _Hook:
    def hook(patches: Patches, log_models: bool) -> None:
        module = importlib.import_module(f"epochal.integrations.{name}")
        module.autolog(patches, log_models=log_models)

    return hook


def _of_class(name: str, path: str, kind: str) -> _Hook:
    def hook(patches: Patches, log_models: bool) -> None:
        module = importlib.import_module(f"epochal.integrations.{name}")
        module.autolog(patches, getattr(sys.modules[path], kind), log_models=log_models)

    return hook


#: By library: the modules after whose import it is hooked, each with how.
_LIBRARIES: Final[dict[str, dict[str, _Hook]]] = {
    "sklearn": {"sklearn.base": _plain("sklearn")},
    "xgboost": {"xgboost": _plain("xgboost")},
    "lightgbm": {"lightgbm": _plain("lightgbm")},
    "keras": {"keras": _plain("keras")},
    "lightning": {
        "lightning.pytorch": _of_class("lightning", "lightning.pytorch", "Trainer"),
        "pytorch_lightning": _of_class("lightning", "pytorch_lightning", "Trainer"),
    },
    "transformers": {
        "transformers.trainer": _of_class("huggingface", "transformers.trainer", "Trainer")
    },
}


def autolog(
    *, disable: bool = False, log_models: bool = False, exclude: Collection[str] = ()
) -> None:
    """Makes trainings of the libraries that are installed log themselves to the current run.

        epochal.autolog()
        xgboost.train(params, data, evals=[(data, "train")])

    scikit-learn, XGBoost, LightGBM, Keras, Lightning and Transformers: settings, metrics by step,
    importances. A training outside of any run begins one and finishes it. Calling it again
    replaces what was asked before.

    Args:
        disable: Takes all hooks away.
        log_models: Whether models are kept as artifacts.
        exclude: Libraries to leave alone, such as ["sklearn"].

    Raises:
        InvalidArgument: A library in `exclude` is not one of them.
    """
    if unknown := set(exclude) - set(_LIBRARIES):
        raise InvalidArgument(
            f"exclude names {', '.join(sorted(unknown))}; libraries are {', '.join(_LIBRARIES)}"
        )
    with _watch.lock:
        _watch.stop()
        if not disable:
            wanted = {
                module: hook
                for library, hooks in _LIBRARIES.items()
                if library not in exclude
                for module, hook in hooks.items()
            }
            _watch.start(wanted, log_models)


class _Watch(importlib.abc.MetaPathFinder):
    """Hooks modules as they are imported."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._patches = Patches()
        self._waiting: dict[str, _Hook] = {}
        self._log_models = False

    def start(self, hooks: dict[str, _Hook], log_models: bool) -> None:
        self._log_models = log_models
        self._waiting = dict(hooks)
        for name in list(hooks):
            if _loaded(name):
                self.loaded(name)
        if self._waiting:
            sys.meta_path.insert(0, self)

    def stop(self) -> None:
        self._waiting.clear()
        self._patches.undo()
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def loaded(self, name: str) -> None:
        with self.lock:
            hook = self._waiting.pop(name, None)
            if hook is not None:
                hook(self._patches, self._log_models)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._waiting:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        spec.loader = _Telling(spec.loader, self)
        return spec


class _Telling(importlib.abc.Loader):
    """A loader that tells when its module is there."""

    def __init__(self, loader: importlib.abc.Loader, watch: _Watch) -> None:
        self._loader = loader
        self._watch = watch

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # who asks later sees the real one
        self._loader.exec_module(module)
        self._watch.loaded(module.__name__)


def _loaded(name: str) -> bool:
    """Whether a module is there and not just being imported."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return module is not None and not getattr(spec, "_initializing", False)


_watch: Final = _Watch()
