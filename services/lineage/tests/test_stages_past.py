"""Stages and promotions as of any position are what the view showed when it was there."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Table
from epochal_lineage.projections.promotion_rows import PROMOTIONS, PROMOTIONS_PAST
from epochal_lineage.projections.promotions import PromotionProjector
from epochal_lineage.projections.stages import STAGES, STAGES_PAST, StageProjector
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from test_registry_past import event

DATASET = "orgs/acme/projects/vision/datasets/digits"
COMPONENT = "orgs/acme/components/train"
WISHES = [f"{one}/promotions/{n}" for one in (DATASET, COMPONENT) for n in (1, 2)]
stages, versions = st.sampled_from(["Staging", "Production"]), st.sampled_from(["", "a", "b"])
wishes = st.sampled_from(WISHES)
histories = st.lists(
    st.one_of(
        st.builds(
            lambda stage, one: pb.DatasetStageSet(dataset=DATASET, stage=stage, version=one),
            stages,
            versions,
        ),
        st.builds(
            lambda stage, one: pb.ComponentStageSet(component=COMPONENT, stage=stage, tag=one),
            stages,
            versions,
        ),
        st.builds(
            lambda name, stage: pb.PromotionRequested(
                name=name,
                model_version=f"{name.partition('/promotions/')[0]}/versions/a",
                stage=stage,
            ),
            wishes,
            stages,
        ),
        st.builds(
            lambda name, outcome: pb.PromotionEvaluated(promotion=name, outcome=outcome),
            wishes,
            st.sampled_from([pb.PROMOTION_STATE_OPEN, pb.PROMOTION_STATE_REFUSED]),
        ),
        st.builds(
            lambda name, who: pb.PromotionApproved(promotion=name, approver=who, role="editor"),
            wishes,
            st.sampled_from(["users/ann", "users/bea"]),
        ),
        st.builds(lambda name: pb.PromotionCompleted(promotion=name, old_version="x"), wishes),
    ),
    max_size=30,
)


def shown_by(row: object, table: Table[object]) -> tuple[object, ...]:
    return tuple(getattr(row, column) for column in table.columns)


def now(rows: Rows, table: Table[object]) -> set[tuple[object, ...]]:
    return {shown_by(row, table) for row in rows.upserts(table)}


def then(
    rows: Rows, table: Table[object], past: Table[object], position: int
) -> set[tuple[object, ...]]:
    return {
        shown_by(row, table)
        for row in rows.upserts(past)
        if row.since <= position < row.until  # type: ignore[attr-defined]  # of both past tables
    }


def once(history: list[Message]) -> list[Message]:
    """What a log can hold: a promotion is asked for once."""
    seen: set[str] = set()
    kept: list[Message] = []
    for one in history:
        if isinstance(one, pb.PromotionRequested):
            if one.name in seen:
                continue
            seen.add(one.name)
        kept.append(one)
    return kept


@given(histories)
def test_every_position_reads_as_it_read_then(history: list[Message]) -> None:
    for projector, table, past in (
        (StageProjector(), STAGES, STAGES_PAST),
        (PromotionProjector(), PROMOTIONS, PROMOTIONS_PAST),
    ):
        rows, shown = Rows.of(), [set[tuple[object, ...]]()]
        for position, payload in enumerate(once(history), 1):
            projector.apply(rows, event(payload, position))
            shown.append(now(rows, table))
        for position, expected in enumerate(shown):
            assert then(rows, table, past, position) == expected
