"""What logging a model or using a dataset came to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LoggedModel:
    """A model's files under its run, and the version it was registered as (empty when not yet)."""

    path: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset a run read: name, place, and digest of its content if known."""

    name: str
    uri: str
    digest: str
