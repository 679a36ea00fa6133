"""MLflow's ids and ours: runs are UUIDs without dashes, experiments numbers of projects."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final
from uuid import UUID

from epochal_gateway.doors.mlflow.errors import MlflowError

#: The experiment that is always there.
DEFAULT_ID: Final = "0"
DEFAULT_NAME: Final = "Default"
DEFAULT_PROJECT: Final = "main"

_PROJECT_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_NO_WORD = re.compile(r"[^a-z0-9]+")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}\Z")


def run_uuid(run_id: str, field: str = "run_id") -> UUID | None:
    """Return the UUID of a run id, with or without dashes; None for one that is no UUID.

    Raises:
        MlflowError: MLflow has no such ids either.
    """
    if _RUN_ID.match(run_id) is None:
        raise MlflowError(f"Invalid value \"{run_id[:300]}\" for parameter '{field}' supplied.")
    try:
        return UUID(run_id)
    except ValueError:
        return None


def run_id(run: str) -> str:
    """Return MLflow's id of a run, from its name or UUID."""
    return run.rpartition("/")[2].replace("-", "")


def experiment_number(experiment_id: str) -> int:
    """Return the number that an experiment id is.

    Raises:
        MlflowError: it is none.
    """
    if not (experiment_id.isascii() and experiment_id.isdigit() and len(experiment_id) < 19):
        raise MlflowError(
            f"Invalid experiment ID '{experiment_id[:300]}'. Experiment ID must be a valid integer."
        )
    return int(experiment_id)


def project_id(name: str, taken: int = 0) -> str:
    """Return the project id for an experiment's name: readable, and the same each time.

    A name that is a project id already is its own. Two calls that race for one name choose one id,
    so that only one of them can be first.

    Args:
        name: of the experiment.
        taken: how many ids made of this name are taken, by projects that have another name by now
            or are archived.
    """
    if _PROJECT_ID.match(name) and not taken:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    word = _NO_WORD.sub("-", plain).strip("-")[:48].strip("-") or "experiment"
    mark = f"{taken}:{name}" if taken else name
    return f"{word}-{hashlib.sha256(mark.encode(errors='surrogatepass')).hexdigest()[:8]}"
