"""The Python client of Epochal: track training runs, and the `epochal` command.

    import epochal

    with epochal.init(project="vision", params={"lr": 0.1}) as run:
        run.use_dataset("digits", "data/digits.csv")
        for step in range(100):
            run.log_metric("loss", 1 / (step + 1), step)
        run.log_model(model, register="digits", alias="champion")

The same script runs unchanged on a laptop and inside a run that the platform scheduled. Logging a
metric never waits; what the platform has not persisted is in a spool on disk that survives the
death of the process, and `epochal sync` sends it.
"""

from epochal.autologging import autolog
from epochal.errors import (
    Aborted,
    AlreadyExists,
    DataIncomplete,
    DataLoss,
    DeadlineExceeded,
    EpochalError,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NoActiveRun,
    NotConfigured,
    NotFound,
    OutOfRange,
    PermissionDenied,
    PlatformUnreachable,
    ResourceExhausted,
    RunClosed,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Violation,
)
from epochal.records.spans import Span
from epochal.results import Dataset, LoggedModel
from epochal.run import Run
from epochal.searching import FoundRuns, search_runs
from epochal.tracking import (
    current_run,
    finish,
    init,
    log_artifact,
    log_metric,
    log_metrics,
    log_model,
    log_outputs,
    log_param,
    log_params,
    log_seeds,
    log_series,
    set_tag,
    set_tags,
    use_dataset,
)

__all__ = [
    "Aborted",
    "AlreadyExists",
    "DataIncomplete",
    "DataLoss",
    "Dataset",
    "DeadlineExceeded",
    "EpochalError",
    "FailedPrecondition",
    "FoundRuns",
    "Internal",
    "InvalidArgument",
    "LoggedModel",
    "NoActiveRun",
    "NotConfigured",
    "NotFound",
    "OutOfRange",
    "PermissionDenied",
    "PlatformUnreachable",
    "ResourceExhausted",
    "Run",
    "RunClosed",
    "Span",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Violation",
    "autolog",
    "current_run",
    "finish",
    "init",
    "log_artifact",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_outputs",
    "log_param",
    "log_params",
    "log_seeds",
    "log_series",
    "search_runs",
    "set_tag",
    "set_tags",
    "use_dataset",
]
