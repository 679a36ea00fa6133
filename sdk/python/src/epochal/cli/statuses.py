"""How the status of a run looks."""

from __future__ import annotations

from typing import Final

import epochal_proto.v1 as pb

ENDED: Final = frozenset(
    {
        pb.RUN_STATUS_SUCCEEDED,
        pb.RUN_STATUS_FAILED,
        pb.RUN_STATUS_STOPPED,
        pb.RUN_STATUS_SKIPPED,
        pb.RUN_STATUS_UPSTREAM_FAILED,
    }
)
PIPELINES: Final = frozenset(
    {
        pb.RUN_KIND_DAG,
        pb.RUN_KIND_MATRIX,
        pb.RUN_KIND_SCHEDULE,
        pb.RUN_KIND_TRIGGER,
        pb.RUN_KIND_BACKFILL,
    }
)

_COLOURS: Final = {
    pb.RUN_STATUS_RUNNING: "cyan",
    pb.RUN_STATUS_SUCCEEDED: "green",
    pb.RUN_STATUS_FAILED: "red",
    pb.RUN_STATUS_UPSTREAM_FAILED: "red",
    pb.RUN_STATUS_STOPPED: "yellow",
    pb.RUN_STATUS_STOPPING: "yellow",
    pb.RUN_STATUS_RETRYING: "magenta",
}


def status_text(run: pb.Run) -> str:
    """The status in one word, as filters take it."""
    return pb.RunStatus.Name(run.status).removeprefix("RUN_STATUS_").lower()


def status_colour(run: pb.Run) -> str:
    """The colour that goes with it."""
    return _COLOURS.get(run.status, "white")


def kind_text(run: pb.Run) -> str:
    """The kind in one word, as filters take it."""
    return pb.RunKind.Name(run.kind).removeprefix("RUN_KIND_").lower()


def logged_metrics(run: pb.Run) -> list[str]:
    """Names of the run's metrics, those of its machine left out if there are others."""
    names = sorted(run.metrics)
    return [name for name in names if not name.startswith("sys/")] or names
