"""The lineage read model: the graph, the model registry, logged models."""

from __future__ import annotations

from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.projections.model import ReadModel, event_types

from epochal_lineage.projections.datasets import DatasetProjector
from epochal_lineage.projections.facts.telling import INTERESTS
from epochal_lineage.projections.graph import GraphProjector
from epochal_lineage.projections.logged_models import LoggedModelProjector
from epochal_lineage.projections.openlineage import OpenLineageProjector
from epochal_lineage.projections.promotions import PromotionProjector
from epochal_lineage.projections.registry import RegistryProjector
from epochal_lineage.projections.stages import StageProjector
from epochal_lineage.projections.version_facts import VersionFactProjector

READ_MODEL = ReadModel(
    service="lineage",
    version=12,
    ddl="\n".join(
        resources.files("epochal_lineage").joinpath("sql", name).read_text()
        for name in (
            "graph_tables.sql",
            "dataset_tables.sql",
            "openlineage_tables.sql",
            "read_model.sql",
            "promotions.sql",
            "stage_tables.sql",
        )
    ),
    projectors=(
        GraphProjector(),
        DatasetProjector(),
        OpenLineageProjector(),
        RegistryProjector(),
        LoggedModelProjector(),
        PromotionProjector(),
        VersionFactProjector(),
        StageProjector(),
    ),
    interests=INTERESTS
    | event_types(
        pb.DatasetValidated,
        pb.ModelRegistered,
        pb.ModelRenamed,
        pb.ModelDescribed,
        pb.ModelTagged,
        pb.ModelDeleted,
        pb.ModelVersionRegistered,
        pb.ModelVersionDescribed,
        pb.ModelVersionTagged,
        pb.ModelVersionStageChanged,
        pb.ModelVersionDeleted,
        pb.ModelAliasSet,
        pb.ModelAliasDeleted,
        pb.ModelLogged,
        pb.LoggedModelFinalized,
        pb.LoggedModelParamsAdded,
        pb.LoggedModelTagged,
        pb.LoggedModelMeasured,
        pb.LoggedModelDeleted,
        pb.LoggedModelUsed,
        pb.LoggedModelProduced,
        pb.RegistryPolicySet,
        pb.PromotionRequested,
        pb.PromotionEvaluated,
        pb.PromotionApproved,
        pb.PromotionRejected,
        pb.PromotionCompleted,
        pb.PromotionReviewed,
        pb.RunSucceeded,
        pb.ParamsLogged,
        pb.TagsSet,
        pb.ModelVersionFilesListed,
        pb.ModelVersionSigned,
        pb.CardSectionWritten,
        pb.DatasetStageSet,
        pb.ComponentStageSet,
        pb.ComponentRegistered,
        pb.ComponentDeleted,
        pb.ModelVersionUsed,
    ),
)
