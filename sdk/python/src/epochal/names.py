"""Resource names (AIP-122): how they are built, and how short forms become full ones."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from epochal.errors import InvalidArgument, Violation

_ID: Final = r"[a-z0-9][a-z0-9-]{0,62}"
_PROJECT: Final = re.compile(rf"orgs/{_ID}/projects/{_ID}")
_RUN: Final = re.compile(rf"orgs/{_ID}/projects/{_ID}/runs/[0-9a-f-]{{36}}")


def full_project(project: str, default: str) -> str:
    """The full name of a project given in full, as "ORG/PROJECT" or as "PROJECT".

    `default` is a full project name; its organisation is taken for a bare "PROJECT".

    Raises:
        InvalidArgument: It cannot be a project's name.
    """
    parts = project.split("/") if project else default.split("/")
    if len(parts) == 1:
        parts = [*default.split("/")[:2], "projects", parts[0]]
    elif len(parts) == 2:
        parts = ["orgs", parts[0], "projects", parts[1]]
    name = "/".join(parts)
    if not _PROJECT.fullmatch(name):
        message = f"{project!r} is not a project: lower case letters, digits and dashes"
        raise InvalidArgument(message, violations=[Violation("project", "pattern", message)])
    return name


def run_name(project: str, uid: UUID) -> str:
    """The full name of a run."""
    return f"{project}/runs/{uid}"


def is_run(name: str) -> bool:
    """Whether this is the full name of a run."""
    return _RUN.fullmatch(name) is not None


def project_of(name: str) -> str:
    """The project part of the name of something inside a project."""
    return "/".join(name.split("/")[:4])


def org_of(name: str) -> str:
    """The organisation part of any name inside an organisation."""
    return "/".join(name.split("/")[:2])


def last_part(name: str) -> str:
    """What stands after the last slash."""
    return name.rsplit("/", 1)[-1]
