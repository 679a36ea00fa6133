"""What checks share, in a client's environment."""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import uuid4

import requests
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


def requested(
    verb: str, path: str, params: list[tuple[str, str]] | None = None, json: object = None
) -> dict:
    """Call the API itself, as pages of MLflow's own do."""
    answer = requests.request(
        verb,
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}",
        params=params,
        json=json,
        headers={"authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"},
        timeout=60,
    )
    answer.raise_for_status()
    return answer.json()
