"""What the supervisor says about itself, in one file that is replaced as a whole.

`epochal up`, `status` and `down` read it. Process ids in it carry the start time of the process, so
that a number the system gave to somebody else is never taken for ours.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from epochal_embedded.home import Home
from epochal_embedded.servers.children import ProcessMark
from epochal_embedded.servers.folders import publish

# How the supervisor's process ends when it does not end well.
EXIT_FAILED = 1
EXIT_ALREADY_RUNNING = 4

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]
UnitState = Literal[
    "waiting", "starting", "ready", "not ready", "backing off", "stopping", "stopped"
]


@dataclass(frozen=True, slots=True)
class UnitReport:
    """One supervised process."""

    name: str
    state: UnitState
    port: int
    restarts: int
    mark: ProcessMark | None
    ready_after_s: float | None
    last_error: str
    probed: bool = False


@dataclass(frozen=True, slots=True)
class PlatformReport:
    """The whole platform at one moment."""

    phase: Phase
    message: str
    supervisor: ProcessMark
    url: str
    units: tuple[UnitReport, ...]

    @property
    def running(self) -> bool:
        """Whether the supervisor that wrote this lives."""
        return self.supervisor.process() is not None

    def write(self, home: Home) -> None:
        """Replace the state file."""
        publish(home.state, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, home: Home) -> PlatformReport | None:
        """Read the state file; None when there is none, or it is not one."""
        try:
            found = json.loads(home.state.read_text(encoding="utf-8"))
            return cls(
                phase=found["phase"],
                message=found["message"],
                supervisor=ProcessMark(**found["supervisor"]),
                url=found["url"],
                units=tuple(_unit(item) for item in found["units"]),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None


def _unit(item: dict[str, object]) -> UnitReport:
    mark = item.pop("mark")
    fields = {**item, "mark": ProcessMark(**mark) if isinstance(mark, dict) else None}
    return UnitReport(**fields)  # type: ignore[arg-type]  # a wrong field is a TypeError, caught


def unready(units: Sequence[UnitReport]) -> list[str]:
    """Return the names of the units that do not serve."""
    return [unit.name for unit in units if unit.state != "ready"]
