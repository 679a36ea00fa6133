"""How a run behaves, from `init` and the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from epochal.errors import InvalidArgument
from epochal.sampling import EVERY_S
from epochal.spool.segments import MAX_BYTES

Mode = Literal["online", "offline"]
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class RunOptions:
    """Settings of one run.

    Attributes:
        mode: Whether it speaks to the platform or only to its spool.
        strict: Whether dropped telemetry raises in the training; otherwise it is counted and said.
        spool_max_bytes: Size of the spool at which telemetry is dropped.
        finish_timeout_s: How long `finish` waits for the platform to persist everything.
        system_metrics_s: Seconds between samples of the machine, for a tracked run; 0 for none.
    """

    mode: Mode = "online"
    strict: bool = False
    spool_max_bytes: int = MAX_BYTES
    finish_timeout_s: float = 30.0
    system_metrics_s: float = EVERY_S


def captures(given: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a run records what it is made of: as given, else EPOCHAL_CAPTURE, else yes."""
    if given is not None:
        return given
    return environ.get("EPOCHAL_CAPTURE", "1").lower() in _TRUE


def silenced(given: bool | None, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a run does nothing: as given, else EPOCHAL_NO_OP, else no."""
    if given is not None:
        return given
    return environ.get("EPOCHAL_NO_OP", "").lower() in _TRUE


def from_environment(
    mode: str | None, strict: bool | None, environ: Mapping[str, str] = os.environ
) -> RunOptions:
    """Options from arguments, then the environment.

    EPOCHAL_MODE, _STRICT, _SPOOL_MAX_MB, _FINISH_TIMEOUT_S, _SYSTEM_METRICS_S.

    Raises:
        InvalidArgument: One of them is not what it should be.
    """
    chosen = mode or environ.get("EPOCHAL_MODE") or "online"
    if chosen not in get_args(Mode):
        raise InvalidArgument(f"mode is 'online' or 'offline', not {chosen!r}")
    try:
        max_mb = float(environ.get("EPOCHAL_SPOOL_MAX_MB") or MAX_BYTES / 2**20)
        finish_timeout_s = float(environ.get("EPOCHAL_FINISH_TIMEOUT_S") or 30.0)
        system_metrics_s = float(environ.get("EPOCHAL_SYSTEM_METRICS_S") or EVERY_S)
    except ValueError as error:
        raise InvalidArgument(f"an EPOCHAL_ setting is not a number: {error}") from error
    return RunOptions(
        mode="offline" if chosen == "offline" else "online",
        strict=environ.get("EPOCHAL_STRICT", "").lower() in _TRUE if strict is None else strict,
        spool_max_bytes=int(max_mb * 2**20),
        finish_timeout_s=finish_timeout_s,
        system_metrics_s=max(0.0, system_metrics_s),
    )
