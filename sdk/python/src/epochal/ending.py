"""How a run ends: persisted, sealed and then finished; or kept for later, and said so."""

from __future__ import annotations

import time
import traceback
from typing import Literal

import epochal_proto.v1 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from epochal.errors import DataIncomplete, EpochalError, InvalidArgument, Unavailable
from epochal.notices import say
from epochal.operations import refusal_in_words
from epochal.options import RunOptions
from epochal.recording import Recorder
from epochal.spool.folder import RunFolder
from epochal.telemetry import Telemetry

Outcome = Literal["succeeded", "failed", "stopped"]

_STATUS = {
    "succeeded": pb.RUN_STATUS_SUCCEEDED,
    "failed": pb.RUN_STATUS_FAILED,
    "stopped": pb.RUN_STATUS_STOPPED,
}
_MESSAGE_LIMIT = 20_000


def outcome_of(error: BaseException | None) -> tuple[Outcome, str]:
    """What an exception that leaves the training means for the run, and the message to keep."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "succeeded", ""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "interrupted from the keyboard"
    lines = traceback.format_exception(error)
    return "failed", "".join(lines)[-_MESSAGE_LIMIT:]


def finish_request(
    run: str, status: Outcome, message: str, end_time_s: float | None = None
) -> pb.FinishRunRequest:
    """The request that ends a tracked run, now or at a time in seconds since 1970."""
    if status not in _STATUS:
        raise InvalidArgument(f"a run ends as one of {', '.join(_STATUS)}, not {status!r}")
    end = Timestamp()
    end.FromMicroseconds(int((time.time() if end_time_s is None else end_time_s) * 1e6))
    return pb.FinishRunRequest(
        name=run, status=_STATUS[status], message=message[-_MESSAGE_LIMIT:], end_time=end
    )


def incomplete_request(folder: RunFolder, dropped: int, why: str) -> pb.ReportLossRequest:
    """The request that marks a run whose telemetry is not all there."""
    return pb.ReportLossRequest(
        run=folder.run, producer=str(folder.producer), points=dropped, reason=why[:2_000]
    )


def end_run(
    folder: RunFolder,
    recorder: Recorder,
    telemetry: Telemetry,
    options: RunOptions,
    finish: pb.FinishRunRequest,
) -> None:
    """Ends a run here; its folder is removed when the platform has everything.

    Raises:
        EpochalError: In strict mode, when something is missing.
    """
    complete = False
    try:
        telemetry.stop_taking()
        dropped_why = folder.dropped()[1]
        if telemetry.dropped:
            recorder.record(incomplete_request(folder, telemetry.dropped, dropped_why))
        if options.mode == "online":
            complete = _deliver(folder, recorder, telemetry, options, finish)
        elif folder.owned:
            recorder.record(finish)
    finally:
        telemetry.close()
        recorder.close()
        if complete:
            folder.remove()
        else:
            folder.release()
    if not complete:
        say(f"the run is kept in {folder.path}; send it with `epochal sync {folder.path}`")
    if options.strict and telemetry.dropped:
        raise DataIncomplete(f"{telemetry.dropped} points were dropped, because {dropped_why}")
    if options.strict and options.mode == "online" and not complete:
        raise recorder.trouble or Unavailable(
            f"the platform has not got everything of {folder.run}"
        )


def _deliver(
    folder: RunFolder,
    recorder: Recorder,
    telemetry: Telemetry,
    options: RunOptions,
    finish: pb.FinishRunRequest,
) -> bool:
    """Brings everything to the platform; False when it is not there in time.

    The order is the promise: a run is finished only after its telemetry is sealed.
    """
    timeout_s = options.finish_timeout_s
    caught_up = recorder.catch_up(1.0)
    sealed = caught_up and telemetry.seal(1.0)
    if not sealed:
        say(f"waiting up to {timeout_s:.0f} s for the platform to take what is left")
        caught_up = recorder.catch_up(timeout_s)
        sealed = telemetry.seal(timeout_s if caught_up else 1.0)
    if not folder.owned:
        return caught_up and sealed
    if not (caught_up and sealed):
        recorder.defer(finish)
        return False
    try:
        recorder.record(finish)
    except EpochalError as error:
        say(refusal_in_words(finish, error))
    return recorder.catch_up(timeout_s)
