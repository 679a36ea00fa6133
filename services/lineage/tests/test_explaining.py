"""Why something is there: back from its events to the request, the trigger, the approval."""

from __future__ import annotations

from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
import pytest_asyncio
from graph_world import PROJECT, RIVAL, GraphWorld, Told, dataset, model, opened, run


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[GraphWorld]:
    async with opened(database) as made:
        yield made


async def why(world: GraphWorld, node: str, **more: object) -> list[pb.Cause]:
    request = pb.ExplainNodeRequest(parent=PROJECT, node=node, **more)
    found = await world.explaining.explain_node(request, world.context)
    assert [cause.number for cause in found.causes] == list(range(len(found.causes)))
    assert all(cause.explains < cause.number for cause in found.causes)
    return list(found.causes)


async def test_a_deployment_leads_back_to_the_drift_that_began_it(world: GraphWorld) -> None:
    watch, train, serve = run(1), run(2), run(3)
    (_, opened_alert) = await world.tell(
        pb.RunCreated(name=watch, display_name="watch", creator="users/ann"),
        Told(pb.MetricAlertRaised(run=watch), actor="services/monitor", request=2),
    )
    await world.tell(
        Told(
            pb.RunCreated(name=train, edges=[pb.RunEdge(kind="event", source=str(opened_alert))]),
            actor="services/scheduler",
            request=3,
            cause=opened_alert,
        ),
        Told(
            pb.RunApprovalGiven(approver="users/bob", right="role:admin", reason="looks right"),
            resource=train,
            actor="users/bob",
        ),
        pb.DatasetUsed(run=train, dataset=dataset("d", "1")),
        pb.ModelRegistered(name=model("m")),
        Told(pb.ModelVersionRegistered(name=model("m", 1), version=1, run=train), actor=train),
        pb.ModelVersionTagged(name=model("m", 1), tags={"a": "b"}),
        pb.ModelVersionStageChanged(name=model("m", 1), stage="Production", reason="better"),
        pb.ModelAliasSet(model=model("m"), alias="champion", version=2),
        pb.RunCreated(name=serve, kind=pb.RUN_KIND_SERVICE),
        pb.ModelVersionUsed(run=serve, model_version=model("m", 1)),
    )
    found = await why(world, serve)
    told = {(one.relation, one.type, one.actor): one for one in found}
    assert found[0].type == "RunCreated"
    assert (found[0].resource, found[0].explains) == (serve, -1)
    version = told["serves", "ModelVersionRegistered", train]
    assert version.explains == 0
    stage = told["stage changed by", "ModelVersionStageChanged", "users/ann"]
    assert (stage.detail, stage.explains) == ("no stage to Production; better", version.number)
    trained = told["trained by", "RunCreated", "services/scheduler"]
    assert trained.explains == version.number
    approved = told["approved by", "RunApprovalGiven", "users/bob"]
    assert approved.detail == "by right of role:admin; looks right"
    assert approved.explains == trained.number
    alert = told["caused by", "MetricAlertRaised", "services/monitor"]
    assert (alert.explains, alert.resource) == (trained.number, watch)
    assert "ModelVersionTagged" not in {one.type for one in found}
    assert "ModelAliasSet" not in {one.type for one in found}  # it is on another version
    assert len(await why(world, serve, depth=1)) < len(found)
    early = await why(world, train, as_of=pb.Moment(position=3))
    assert "RunApprovalGiven" not in {one.type for one in early}


async def test_steps_retries_and_one_request_are_followed_once(world: GraphWorld) -> None:
    pipeline, step, again = run(1), run(2), run(3)
    await world.tell(
        Told(pb.RunCreated(name=pipeline), request=1),
        Told(pb.RunCreated(name=step, pipeline=pipeline, step="train"), request=1),
        pb.RunCreated(name=again, origin=step, origin_kind="restart"),
        # a circle, as only a broken client could make it
        Told(pb.RunCreated(name=pipeline, origin=again, origin_kind="restart"), request=1),
    )
    found = await why(world, again)
    relations = {(one.resource, one.relation) for one in found}
    assert {(step, "restart of"), (pipeline, "step of")} <= relations | {(pipeline, "same request")}
    positions = [one.position for one in found]
    assert len(positions) == len(set(positions)) == 4


async def test_causes_of_another_organisation_are_not_told(world: GraphWorld) -> None:
    (theirs,) = await world.tell(Told(pb.RunCreated(name=run(1, RIVAL)), org="rival", request=5))
    await world.tell(
        Told(
            pb.RunCreated(name=run(2), edges=[pb.RunEdge(kind="event", source=str(theirs))]),
            request=5,
            cause=theirs,
        )
    )
    assert [one.resource for one in await why(world, run(2))] == [run(2)]


async def test_who_approved_a_promotion_is_told_of_its_version(world: GraphWorld) -> None:
    def promotion(number: int) -> str:
        return f"{model('m')}/promotions/{number}"

    await world.tell(
        pb.ModelRegistered(name=model("m")),
        *(
            pb.ModelVersionRegistered(name=model("m", number), version=number, source="s3://m")
            for number in (1, 2)
        ),
        *(
            Told(
                pb.PromotionRequested(
                    name=promotion(number),
                    model_version=model("m", number),
                    stage="Production",
                    reason="better",
                ),
                resource=model("m"),
            )
            for number in (1, 2)
        ),
        *(
            Told(
                pb.PromotionApproved(promotion=promotion(number), role="admin"),
                resource=model("m"),
                actor=f"users/approver-{number}",
            )
            for number in (1, 2)
        ),
    )
    found = {(one.relation, one.actor, one.detail) for one in await why(world, model("m", 2))}
    assert ("approved by", "users/approver-2", "admin") in found
    assert ("promotion asked for by", "users/ann", "to Production; better") in found
    assert "users/approver-1" not in {actor for _, actor, _ in found}
