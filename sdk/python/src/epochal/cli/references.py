"""Runs, components and queues as people name them."""

from __future__ import annotations

import re
from itertools import islice
from typing import Annotated, Final

import epochal_proto.v1 as pb
import typer
from epochal_proto.v1.services import RunService

from epochal.cli.session import Session
from epochal.errors import InvalidArgument, NotFound
from epochal.names import is_run

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SEARCHED: Final = 10_000

RunArgument = Annotated[
    str, typer.Argument(help="Full name, UUID, the beginning of one, or the display name.")
]


def run_name(session: Session, reference: str) -> str:
    """The full name of the run a person means.

    Raises:
        NotFound: None of the project's newest runs is it.
        InvalidArgument: Several are; the message lists them.
    """
    if is_run(reference):
        return reference
    if _UUID.fullmatch(reference):
        return f"{session.project}/runs/{reference}"
    runs = session.paged(
        RunService.LIST_RUNS, pb.ListRunsRequest(parent=session.project), lambda page: page.runs
    )
    found = [
        run
        for run in islice(runs, _SEARCHED)
        if run.display_name == reference or run.uid.startswith(reference.lower())
    ]
    if not found:
        raise NotFound(
            f"no run {reference!r} in {session.project}: `epochal runs ls` shows those there are"
        )
    if len(found) > 1:  # children bear the name of their pipeline
        found = [run for run in found if not run.pipeline] or found
    if len(found) > 1:
        some = "\n".join(f"  {run.uid}  {run.display_name}" for run in found[:10])
        raise InvalidArgument(f"{reference!r} could be {len(found)} runs; give more of it:\n{some}")
    return found[0].name


def component_name(org: str, reference: str) -> str:
    """The full name of a component or preset given as NAME, NAME:TAG or ORG/NAME:TAG."""
    if reference.startswith("orgs/"):
        return reference
    path, _, tag = reference.partition(":")
    owner, slash, name = path.rpartition("/")
    parent = f"orgs/{owner}" if slash else org
    return f"{parent}/components/{name}" + (f"/versions/{tag}" if tag else "")


def queue_name(org: str, reference: str) -> str:
    """The full name of a queue given as a spec has it: "gpu" or "agent/gpu"."""
    if reference.startswith("orgs/"):
        return reference
    return f"{org}/queues/{reference.replace('/', '~')}"
