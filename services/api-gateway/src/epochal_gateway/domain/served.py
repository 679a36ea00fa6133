"""Where the service of a run answers, folded from the run's own events."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb
from google.protobuf.message import Message


@dataclass(frozen=True, slots=True)
class Served:
    """What is known of a run's service.

    Attributes:
        name: of the run, with its project; empty when there is none.
        is_service: whether it is one that answers on ports.
        rewrite_path: whether the service sees paths without the gateway's prefix.
        host: where it answers; empty while it does not.
        ports: in the order the spec declares them.
        reason: in words why it does not answer.
    """

    name: str = ""
    is_service: bool = False
    rewrite_path: bool = False
    host: str = ""
    ports: tuple[int, ...] = ()
    reason: str = "it has not started yet"


class ServedAggregate:
    """Folds the events of one run."""

    category = "run"

    def initial(self) -> Served:
        """No run."""
        return Served()

    def evolve(self, state: Served, event: Message) -> Served:
        """Fold one event."""
        match event:
            case pb.RunCreated():
                is_service = event.kind == pb.RUN_KIND_SERVICE
                rewrite = is_service and _rewrites(event.compiled_json)
                return Served(event.name, is_service, rewrite)
            case pb.RunServiceReady():
                return replace(state, host=event.host, ports=tuple(event.ports), reason="")
            case pb.RunQueued() | pb.RunScheduled() | pb.RunStarting():
                return _gone(state, "it has not started yet")
            case pb.RunStarted():
                return _gone(state, "it has started and does not answer on its port yet")
            case pb.RunProcessExited():
                return _gone(state, f"its process ended with exit code {event.exit_code}")
            case pb.RunStopRequested():
                return _gone(state, "it is being stopped")
            case pb.RunAttemptLost():
                return _gone(state, "its agent was lost")
            case pb.RunSucceeded() | pb.RunFailed() | pb.RunStopped() | pb.RunSkipped():
                return _gone(state, "it has ended")
            case pb.RunUpstreamFailed() | pb.RunPreempted():
                return _gone(state, "it does not run")
            case _:
                return state


def _gone(state: Served, reason: str) -> Served:
    return replace(state, host="", ports=(), reason=reason)


def _rewrites(compiled_json: str) -> bool:
    try:
        run = json.loads(compiled_json).get("run")
    except (ValueError, AttributeError, RecursionError):
        return False
    return isinstance(run, dict) and run.get("rewritePath") is True
