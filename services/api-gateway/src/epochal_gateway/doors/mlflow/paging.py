"""Pages as MLflow's clients turn them: max_results, page_token, and their limits."""

from __future__ import annotations

import json
from typing import Final

from epochal_kernel.errors import InvalidArgument
from epochal_kernel.paging import pack, unpack

from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields

DEFAULT_RESULTS: Final = 1_000
MAX_RESULTS: Final = 50_000

_VIEWS: Final = {
    "ACTIVE_ONLY": (True, False),
    "DELETED_ONLY": (False, True),
    "ALL": (True, True),
    "1": (True, False),
    "2": (False, True),
    "3": (True, True),
}


def max_results(fields: Fields, default: int = DEFAULT_RESULTS, most: int = MAX_RESULTS) -> int:
    """Return how many results a page may have.

    Raises:
        MlflowError: fewer than one, or too many.
    """
    wanted = fields.whole("max_results", default)
    shown = f"Invalid value {wanted} for parameter 'max_results' supplied. It must be"
    if wanted < 1:
        raise MlflowError(f"{shown} a positive integer")
    if wanted > most:
        raise MlflowError(f"{shown} at most {most}")
    return wanted


def offset_of(token: str, question: object) -> int:
    """Return where a page begins.

    Raises:
        MlflowError: the token is none, or belongs to another question.
    """
    if not token:
        return 0
    try:
        asked, offset = json.loads(unpack(token))
    except (InvalidArgument, ValueError, TypeError):
        raise MlflowError("Invalid page token") from None
    if asked != json.loads(json.dumps(question)) or not isinstance(offset, int) or offset < 0:
        raise MlflowError("Invalid page token: keep filter and order as they were")
    return offset


def token_of(question: object, offset: int) -> str:
    """Return the token of the page that begins at an offset."""
    return pack(json.dumps([question, offset]))


def view(fields: Fields, name: str) -> tuple[bool, bool]:
    """Return whether active things are wanted, and whether deleted ones are.

    Raises:
        MlflowError: no such view.
    """
    given = str(fields.whole(name)) if not fields.is_text(name) else fields.text(name)
    found = _VIEWS.get(given if given != "0" else "ACTIVE_ONLY")
    if found is None:
        raise MlflowError(f"Invalid value {given} for parameter '{name}' supplied.")
    return found
