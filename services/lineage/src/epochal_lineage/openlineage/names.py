"""Resource names for what OpenLineage names by namespace and name. Pure.

A "%2F" stands between the two, which no name of ours has, so nothing of another system takes the
name of something that was made here. A run keeps its UUID: where it is one of our own runs, what
is told of it joins what is known of it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final
from urllib.parse import quote
from uuid import NAMESPACE_URL, UUID, uuid5

#: Longer names end in a part of their sha256.
MAX_QUOTED: Final = 600


def job_name(project: str, namespace: str, name: str) -> str:
    """Return the resource name of a job."""
    return f"{project}/jobs/{_quoted(namespace, name)}"


def dataset_name(project: str, namespace: str, name: str) -> str:
    """Return the resource name of a dataset."""
    return f"{project}/datasets/{_quoted(namespace, name)}"


def version_name(dataset: str, version: str) -> str:
    """Return the resource name of a version of a dataset."""
    return f"{dataset}/versions/{_short(quote(version, safe=''))}"


def run_name(project: str, run_id: str) -> str:
    """Return the resource name of a run; an id that is no UUID becomes one made from it."""
    try:
        uid = UUID(run_id)
    except ValueError:
        uid = uuid5(NAMESPACE_URL, f"openlineage/run/{run_id}")
    return f"{project}/runs/{uid}"


@lru_cache(maxsize=8_192)
def _quoted(namespace: str, name: str) -> str:
    return _short(f"{quote(namespace, safe='')}%2F{quote(name, safe='')}")


def _short(quoted: str) -> str:
    if len(quoted) <= MAX_QUOTED:
        return quoted
    return f"{quoted[: MAX_QUOTED - 33]}~{hashlib.sha256(quoted.encode()).hexdigest()[:32]}"
