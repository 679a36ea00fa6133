"""What checks share, in a client's environment."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from mlflow.exceptions import MlflowException


def refused(error_code: str, call: Callable[[], object], words: str = "") -> None:
    """Assert that a call is refused with one of MLflow's codes, and in these words."""
    try:
        call()
    except MlflowException as error:
        told = error
    else:
        raise AssertionError(f"not refused: expected {error_code}")
    assert told.error_code == error_code, (told.error_code, str(told))
    assert words in str(told), str(told)


def fresh(word: str = "exp") -> str:
    """A name that no other check has."""
    return f"{word}-{uuid4().hex[:8]}"
