"""The scheduler's read model: live runs, pipelines' runs, queues, results, components."""

from __future__ import annotations

from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.projections.model import ReadModel, event_types

from epochal_scheduler.projections.children import ChildProjector
from epochal_scheduler.projections.components import ComponentProjector
from epochal_scheduler.projections.live_runs import (
    ENDS,
    LIVE_RUNS,
    LiveRunProjector,
    LiveRunRow,
    run_id_of,
)
from epochal_scheduler.projections.queues import QueueProjector
from epochal_scheduler.projections.results import ResultProjector

__all__ = ["ENDS", "LIVE_RUNS", "READ_MODEL", "LiveRunProjector", "LiveRunRow", "run_id_of"]

READ_MODEL = ReadModel(
    service="scheduler",
    version=4,
    ddl=resources.files("epochal_scheduler").joinpath("sql", "read_model.sql").read_text(),
    projectors=(
        LiveRunProjector(),
        ChildProjector(),
        QueueProjector(),
        ResultProjector(),
        ComponentProjector(),
    ),
    interests=event_types(
        pb.RunCreated,
        pb.RunQueued,
        pb.RunScheduled,
        pb.RunStarting,
        pb.RunStarted,
        pb.RunProcessExited,
        pb.RunStopRequested,
        pb.RunAttemptLost,
        pb.RunPreempted,
        pb.RunRetrying,
        pb.RunReused,
        pb.RunResumed,
        pb.RunOutputsRecorded,
        pb.RunApprovalGiven,
        pb.RunHoldReleased,
        pb.RunPaused,
        pb.RunUnpaused,
        pb.RunPipelineUpdated,
        *ENDS,
        pb.ProducerOpened,
        pb.TelemetrySealed,
        pb.QueueConfigured,
        pb.QueueDeleted,
        pb.ProjectPolicySet,
        pb.ComponentRegistered,
        pb.ComponentDeleted,
        pb.ComponentStageSet,
        # What triggers may wait for.
        pb.CustomEventEmitted,
        pb.ArtifactLogged,
        pb.DatasetUsed,
        pb.ModelAliasSet,
        # What triggers may wait for, and what may stop a run.
        pb.MetricAlertRaised,
    ),
)
