"""Stages of datasets as rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table


@dataclass(frozen=True, slots=True)
class DatasetStageRow:
    """The version that has a stage of a dataset."""

    dataset: str
    stage: str
    version: str
    reason: str
    author: str
    update_time: datetime


DATASET_STAGES = Table("dataset_stage", DatasetStageRow, ("dataset", "stage"))


class DatasetStageProjector:
    """Projects stages of datasets."""

    name = "dataset stages"
    tables = (DATASET_STAGES,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.DatasetStageSet(version="") as gone:
                rows.delete(DATASET_STAGES, gone.dataset, gone.stage)
            case pb.DatasetStageSet() as given:
                rows.put(
                    DATASET_STAGES,
                    DatasetStageRow(
                        given.dataset,
                        given.stage,
                        given.version,
                        given.reason,
                        event.actor,
                        event.recorded_at,
                    ),
                )
            case _:
                return
