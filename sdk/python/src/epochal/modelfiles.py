"""A Python object as files of a model: what loads it again, and what it needs for that."""

from __future__ import annotations

import importlib.util
import json
import pickle
import platform
import sys
from pathlib import Path
from typing import Final

from epochal.errors import InvalidArgument

_FRAMEWORKS: Final = ("numpy", "scipy", "sklearn", "torch", "xgboost", "lightgbm", "pandas")


def write_model(model: object, folder: Path) -> list[Path]:
    """Writes a model's object and its description into a folder; returns the files.

    joblib is used where it is installed, for its large arrays, else pickle. `model.json` names
    Python, class and the versions of the frameworks in use: who loads it must know them.

    Raises:
        InvalidArgument: The object cannot be pickled.
    """
    use_joblib = importlib.util.find_spec("joblib") is not None
    file = folder / ("model.joblib" if use_joblib else "model.pkl")
    try:
        if use_joblib:
            import joblib  # type: ignore[import-untyped]  # ships no types; optional

            joblib.dump(model, file)
        else:
            with file.open("wb") as opened:
                pickle.dump(model, opened, protocol=5)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise InvalidArgument(
            f"this {type(model).__qualname__} cannot be pickled ({error}): "
            "save it with its framework and log the file or folder"
        ) from error
    description = {
        "format": "joblib" if use_joblib else "pickle",
        "class": f"{type(model).__module__}.{type(model).__qualname__}",
        "python": platform.python_version(),
        "packages": {
            name: str(getattr(sys.modules[name], "__version__", ""))
            for name in _FRAMEWORKS
            if name in sys.modules
        },
    }
    about = folder / "model.json"
    about.write_text(json.dumps(description, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return [file, about]
