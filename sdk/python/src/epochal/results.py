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
    """A dataset a run read or made.

    Attributes:
        name: such as "digits".
        uri: where it is.
        digest: of its content, or empty when only the place is known.
        version: full name of the version; empty while the platform has not been told.
        failed: what was found by rules that do not hold.
    """

    name: str
    uri: str
    digest: str
    version: str = ""
    failed: tuple[str, ...] = ()
