"""Where models of MLflow's registry are: names are the organisation's, models those of projects.

MLflow's registry has one room; ours has one for each project, with its roles. A model is made in
the organisation's default project, or, by callers who may not write there, in the one project where
they may. It is found by name wherever the caller may look.
"""

from __future__ import annotations

from contextlib import suppress

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound, PermissionDenied
from epochal_proto.v1.services import RegistryService

from epochal_gateway.doors.mlflow import experiments
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import DEFAULT_ID, DEFAULT_PROJECT
from epochal_gateway.doors.mlflow.session import Session


async def home(session: Session) -> str:
    """Return the project where the caller's models are made.

    Raises:
        PermissionDenied: there is none where it may.
    """
    default = f"{session.org}/projects/{DEFAULT_PROJECT}"
    if session.platform.directory.project(default) is None and not session.identity.run:
        with suppress(MlflowError):  # there is none, and the caller may not begin it
            await experiments.find(session, DEFAULT_ID)
    writable = [name for name in readable(session) if _may(session, "model.write", name)]
    if default in writable:
        return default
    if len(writable) == 1:
        return writable[0]
    known = f", and has it in {', '.join(writable)}" if writable else ""
    raise PermissionDenied(
        f"{session.identity.actor} lacks model.write on {default}, where models are made{known}: "
        "let somebody who has it create the model, or use a token that has one project only",
        reason="PERMISSION_MISSING",
        resource=default,
    )


def readable(session: Session) -> list[str]:
    """Return the projects, archived ones left out, where the caller may look at models."""
    return [
        row.name
        for row in experiments.visible(session)
        if not row.archived and _may(session, "model.read", row.name)
    ]


async def find(session: Session, name: str) -> pb.Model:
    """Return the model that people call this; one of the default project first, then the oldest.

    Raises:
        MlflowError: there is none, for this caller, or the name is none.
    """
    check_name(name)
    parents = readable(session)
    found: list[pb.Model] = []
    if parents:
        request = pb.SearchModelsRequest(parents=parents, display_name=name)
        found = list((await session.call(RegistryService.SEARCH_MODELS, request)).models)
    if not found:
        raise no_such(f"Registered Model with name={name} not found")
    default = f"{session.org}/projects/{DEFAULT_PROJECT}/"
    return min(
        found,
        key=lambda model: (
            not model.name.startswith(default),
            model.create_time.ToNanoseconds(),
            model.name,
        ),
    )


def check_name(name: str) -> None:
    """Refuse a name that MLflow's registry has no model under.

    Raises:
        MlflowError: it is empty, has a slash or a colon, or is "." or "..".
    """
    if not name.strip():
        raise MlflowError("Missing value for required parameter 'name'.")
    if "/" in name or ":" in name:
        raise MlflowError(f"Invalid model name '{name}'. Names cannot contain '/' or ':'.")
    if name in (".", ".."):
        raise MlflowError(f"Invalid model name '{name}': it would be another place as a path.")


def _may(session: Session, permission: str, project: str) -> bool:
    try:
        session.check(permission, project)
    except (PermissionDenied, NotFound):
        return False
    return True
