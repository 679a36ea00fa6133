"""The graph answers as it stood at any position, exactly what a naive reading of events gives."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from typing import cast

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import InvalidArgument, NotFound
from epochal_kernel.projections.rebuild import digests
from epochal_lineage.projections import READ_MODEL
from google.protobuf.message import Message
from graph_world import (
    ACME,
    OTHER,
    PROJECT,
    RIVAL,
    GraphWorld,
    Told,
    dataset,
    model,
    names,
    opened,
    pairs,
    run,
)

Edge = tuple[str, str, int]


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[GraphWorld]:
    async with opened(database) as made:
        yield made


def chain(stages: int) -> list[Message]:
    """Runs that each read what the one before has made."""
    history: list[Message] = []
    for stage in range(stages):
        history += [
            pb.RunCreated(name=run(stage), display_name=f"stage {stage}"),
            pb.DatasetUsed(run=run(stage), dataset=dataset("d", str(stage))),
            pb.DatasetProduced(run=run(stage), dataset=dataset("d", str(stage + 1))),
        ]
    return history


def random_history(chance: random.Random, length: int) -> list[Message]:
    """Events that bind, end and bind again few things, so that all that can happen does."""
    runs = [run(number) for number in range(5)]
    versions = [dataset("d", str(number)) for number in range(5)]
    history: list[Message] = []
    holder: dict[str, int] = {}
    while len(history) < length:
        some, data, number = chance.choice(runs), chance.choice(versions), chance.randint(1, 3)
        alias = chance.choice("ab")
        match chance.randrange(6):
            case 0:
                history.append(pb.DatasetUsed(run=some, dataset=data))
            case 1:
                history.append(pb.DatasetProduced(run=some, dataset=data))
            case 2:
                name = model("m", number)
                history.append(pb.ModelVersionRegistered(name=name, version=number, run=some))
            case 3:
                old = holder.get(alias, 0)
                holder[alias] = number
                history.append(
                    pb.ModelAliasSet(model=model("m"), alias=alias, version=number, old_version=old)
                )
            case 4 if alias in holder:
                old = holder.pop(alias)
                history.append(pb.ModelAliasDeleted(model=model("m"), alias=alias, old_version=old))
            case 5:
                history.append(pb.ModelVersionUsed(run=some, model_version=model("m", number)))
            case _:
                pass
    return history


def edges_at(history: Sequence[Message], position: int) -> set[Edge]:
    """The edges that stood after the first so many events, read event by event."""
    edges: set[Edge] = set()
    for event in history[:position]:
        match event:
            case pb.DatasetUsed():
                edges.add((event.dataset, event.run, pb.EDGE_KIND_USED))
            case pb.DatasetProduced():
                edges.add((event.run, event.dataset, pb.EDGE_KIND_PRODUCED))
            case pb.ModelVersionRegistered():
                edges.add((event.run, event.name, pb.EDGE_KIND_TRAINED))
            case pb.ModelVersionUsed():
                edges.add((event.model_version, event.run, pb.EDGE_KIND_USED))
            case pb.ModelAliasSet() | pb.ModelAliasDeleted():
                alias = f"{event.model}/aliases/{event.alias}"
                edges = {edge for edge in edges if edge[1] != alias}
                if isinstance(event, pb.ModelAliasSet):
                    version = f"{event.model}/versions/{event.version}"
                    edges.add((version, alias, pb.EDGE_KIND_HOLDS))
            case _:
                raise AssertionError(event)
    return edges


def reach(edges: set[Edge], start: str, depth: int, *, up: bool) -> set[Edge]:
    """Edges met from a node in so many steps."""
    here, met = {start}, set()
    for _ in range(depth):
        new = {edge for edge in edges if edge[1 if up else 0] in here}
        met |= new
        here |= {edge[0 if up else 1] for edge in new}
    return met


def distance(edges: set[Edge], source: str, target: str) -> int | None:
    """Length of a shortest way along the data."""
    here = {source}
    for steps in range(len(edges) + 1):
        if target in here:
            return steps
        here |= {b for a, b, _ in edges if a in here}
    return None


@pytest.mark.parametrize("seed", range(8))
async def test_any_history_as_of_any_moment_is_what_its_events_say(
    world: GraphWorld, seed: int
) -> None:
    chance = random.Random(seed)
    history = random_history(chance, 60)
    await world.tell(*history, batch=chance.randint(1, 60))
    for _ in range(12):
        position, depth = chance.randint(1, 60), chance.randint(1, 8)
        edges = edges_at(history, position)
        nodes = sorted({node for edge in edges for node in edge[:2]})
        if not nodes:
            continue
        start, end = chance.choice(nodes), chance.choice(nodes)
        moment = pb.Moment(position=position)
        for up in (True, False):
            found = await world.walk(start, up=up, depth=depth, as_of=moment)
            assert pairs(found.edges) == reach(edges, start, depth, up=up)
            assert found.position == position
        path = await world.queries.find_graph_path(
            pb.FindGraphPathRequest(parent=PROJECT, source=start, target=end, as_of=moment),
            world.context,
        )
        there, back = distance(edges, start, end), distance(edges, end, start)
        shortest = there if there is not None else back
        assert path.found == (shortest is not None)
        if shortest is not None:
            assert len(path.edges) == shortest
            assert pairs(path.edges) <= edges
            assert [node.name for node in path.nodes][:: len(path.nodes) - 1 or 1][0] == start
            assert path.nodes[-1].name == end


async def test_rows_of_a_rebuild_are_those_of_events_taken_one_by_one(
    world: GraphWorld,
) -> None:
    await world.tell(*random_history(random.Random(7), 80), batch=1)
    async with world.pool.acquire() as connection:
        before = await digests(connection, READ_MODEL)
        await connection.execute(
            "TRUNCATE graph_node, graph_edge, column_edge, run_artifact, model, model_version"
        )
    world.progress._position = 0
    await world.project(batch=13)
    async with world.pool.acquire() as connection:
        assert await digests(connection, READ_MODEL) == before
    assert before["graph_edge"].rows > 20


async def test_pages_of_a_walk_are_of_one_moment_and_give_every_edge_once(
    world: GraphWorld,
) -> None:
    await world.tell(*chain(8))
    whole = await world.walk(dataset("d", "0"))
    assert len(whole.edges) == 16
    assert not whole.next_page_token
    found: list[Edge] = []
    token = ""
    while True:
        page = await world.walk(dataset("d", "0"), page_size=3, page_token=token)
        assert page.position == whole.position
        found += [(one.source, one.target, one.kind) for one in page.edges]
        token = page.next_page_token
        if not token:
            break
        await world.tell(pb.DatasetUsed(run=run(90), dataset=dataset("d", "0")))
    assert found == [(one.source, one.target, one.kind) for one in whole.edges]
    with pytest.raises(InvalidArgument):
        await world.walk(dataset("d", "0"), page_token="bm8")


async def test_a_walk_is_cut_by_depth_kind_and_window(world: GraphWorld) -> None:
    await world.tell(*chain(4))
    near = await world.walk(dataset("d", "0"), depth=2)
    assert names(near.nodes) == {dataset("d", "0"), run(0), dataset("d", "1")}
    assert [node.distance for node in near.nodes] == [0, 1, 2]
    only = await world.walk(dataset("d", "0"), node_kinds=[pb.NODE_KIND_RUN])
    assert names(only.nodes) == {run(number) for number in range(4)}
    assert not only.edges
    used = await world.walk(dataset("d", "0"), edge_kinds=[pb.EDGE_KIND_USED])
    assert names(used.nodes) == {dataset("d", "0"), run(0)}
    late = await world.walk(run(2), since=pb.Moment(position=8))
    assert names(late.nodes) == {run(2), dataset("d", "3"), run(3), dataset("d", "4")}


async def test_what_made_a_node_and_an_edge_is_told(world: GraphWorld) -> None:
    ids = await world.tell(*chain(1))
    found = await world.walk(run(0), up=True)
    (edge,) = found.edges
    assert (edge.position, edge.event_id, edge.count) == (2, str(ids[1]), 1)
    node = await world.queries.get_graph_node(
        pb.GetGraphNodeRequest(parent=PROJECT, node=run(0)), world.context
    )
    assert (node.position, node.event_id, node.display_name) == (1, str(ids[0]), "stage 0")
    assert node.HasField("time")
    then = pb.Moment()
    then.time.CopyFrom(node.time)
    assert (await world.walk(run(0), as_of=then)).position >= 1


async def test_a_dataset_stands_for_all_its_versions(world: GraphWorld) -> None:
    await world.tell(*chain(3))
    family = f"{PROJECT}/datasets/d"
    found = await world.walk(family)
    assert {run(number) for number in range(3)} < names(found.nodes)
    listed = await world.queries.list_graph_nodes(
        pb.ListGraphNodesRequest(parent=PROJECT, family=family, page_size=3), world.context
    )
    assert [node.name for node in listed.nodes] == [dataset("d", str(n)) for n in range(3)]
    rest = await world.queries.list_graph_nodes(
        pb.ListGraphNodesRequest(
            parent=PROJECT, family=family, page_size=3, page_token=listed.next_page_token
        ),
        world.context,
    )
    assert [node.name for node in rest.nodes] == [dataset("d", "3")]
    assert not rest.next_page_token


async def test_a_dataset_of_very_many_versions_stands_for_the_newest_and_says_so(
    world: GraphWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_lineage.store.graph.MOST_MEMBERS", 2)
    await world.tell(
        *(pb.DatasetUsed(run=run(number), dataset=dataset("d", str(number))) for number in range(4))
    )
    family = f"{PROJECT}/datasets/d"
    walked = await world.walk(family)
    assert names(walked.nodes) == {
        family,
        *(dataset("d", str(number)) for number in (2, 3)),
        *(run(number) for number in (2, 3)),
    }
    assert walked.starts_cut
    assert not (await world.walk(family, as_of=pb.Moment(position=2))).starts_cut, "two of two"
    path = pb.FindGraphPathRequest(parent=PROJECT, source=family, target=run(0))
    lost = await world.queries.find_graph_path(path, world.context)
    assert (lost.found, lost.starts_cut) == (False, True)
    request = pb.AssessImpactRequest(parent=PROJECT, node=family)
    assert (await world.queries.assess_impact(request, world.context)).truncated
    request.node = dataset("d", "0")
    assert not (await world.queries.assess_impact(request, world.context)).truncated


async def test_the_graph_of_jobs_is_the_union_over_the_window(world: GraphWorld) -> None:
    """Each run of the job has read another file: none of them is forgotten."""
    job = pb.RunCreated(compiled_json='{"name": "train"}')
    history: list[Message] = []
    for number in range(3):
        created = pb.RunCreated()
        created.CopyFrom(job)
        created.name = run(number)
        history += [
            created,
            pb.DatasetUsed(run=run(number), dataset=dataset(f"in{number}", "1")),
            pb.DatasetProduced(run=run(number), dataset=dataset("out", str(number))),
        ]
    await world.tell(*history)
    node = f"{PROJECT}/jobs/train"

    async def families(**more: object) -> set[tuple[str, str, int]]:
        found: set[tuple[str, str, int]] = set()
        for up in (True, False):
            walked = await world.walk(node, up=up, grain=pb.LINEAGE_GRAIN_JOB, **more)
            found |= {(one.source, one.target, one.count) for one in walked.edges}
        return found

    out = f"{PROJECT}/datasets/out"
    assert await families() == {
        *((f"{PROJECT}/datasets/in{number}", node, 1) for number in range(3)),
        (node, out, 3),
    }
    assert await families(since=pb.Moment(position=3), as_of=pb.Moment(position=6)) == {
        (f"{PROJECT}/datasets/in1", node, 1),
        (node, out, 1),
    }


async def test_a_run_is_of_the_job_that_it_was_known_to_be_of_then(world: GraphWorld) -> None:
    """A run that is told of again under another job moves with what it did, and had not before."""
    await world.tell(
        pb.RunCreated(name=run(1), compiled_json='{"name": "train"}'),
        pb.DatasetUsed(run=run(1), dataset=dataset("in", "1")),
        pb.RunCreated(name=run(1), compiled_json='{"name": "retrain"}'),
        pb.RunCreated(name=run(2), compiled_json='{"name": "train"}'),
    )
    given = f"{PROJECT}/datasets/in"

    async def readers(job: str, position: int) -> set[tuple[str, str]]:
        walked = await world.walk(
            f"{PROJECT}/jobs/{job}",
            up=True,
            grain=pb.LINEAGE_GRAIN_JOB,
            as_of=pb.Moment(position=position),
        )
        below = await world.walk(
            given, grain=pb.LINEAGE_GRAIN_JOB, as_of=pb.Moment(position=position)
        )
        assert pairs(below.edges) == {
            (given, f"{PROJECT}/jobs/{'train' if position < 3 else 'retrain'}", edge.kind)
            for edge in below.edges
        }
        return {(edge.source, edge.target) for edge in walked.edges}

    assert await readers("train", 2) == {(given, f"{PROJECT}/jobs/train")}
    assert await readers("train", 4) == set()
    assert await readers("retrain", 4) == {(given, f"{PROJECT}/jobs/retrain")}


async def test_impact_names_the_models_that_still_serve(world: GraphWorld) -> None:
    service = run(7)
    await world.tell(
        pb.RunCreated(name=run(1)),
        pb.DatasetUsed(run=run(1), dataset=dataset("bad", "1")),
        pb.ModelRegistered(name=model("m")),
        *(
            pb.ModelVersionRegistered(name=model("m", number), version=number, run=run(1))
            for number in (1, 2, 3)
        ),
        pb.ModelAliasSet(model=model("m"), alias="champion", version=2),
        pb.RunCreated(name=service, kind=pb.RUN_KIND_SERVICE),
        pb.ModelVersionUsed(run=service, model_version=model("m", 1)),
    )

    async def impact(position: int = 0) -> pb.AssessImpactResponse:
        return await world.queries.assess_impact(
            pb.AssessImpactRequest(
                parent=PROJECT,
                node=f"{PROJECT}/datasets/bad",
                as_of=pb.Moment(position=position),
            ),
            world.context,
        )

    before = await impact()
    assert [(one.name, one.serving) for one in before.models] == [
        (model("m", 1), True),
        (model("m", 2), True),
        (model("m", 3), False),
    ]
    assert list(before.models[0].deployments) == [service]
    assert list(before.models[1].holds) == ["champion"]
    assert names(before.deployments) == {service}
    counted = {one.kind: one.count for one in before.counts}
    assert counted[pb.NODE_KIND_MODEL_VERSION] == 3
    assert counted[pb.NODE_KIND_DEPLOYMENT] == 1
    await world.tell(
        Told(pb.RunStopped(), resource=service),
        pb.ModelAliasDeleted(model=model("m"), alias="champion", old_version=2),
        pb.ModelVersionDeleted(name=model("m", 3)),
    )
    after = await impact()
    assert [(one.name, one.serving) for one in after.models] == [
        (model("m", 1), False),
        (model("m", 2), False),
    ]
    assert not after.deployments
    assert await impact(before.position) == before
    gone = await world.walk(run(1))
    ended = {node.name: node.end_position for node in gone.nodes}
    assert ended[model("m", 3)] == before.position + 3
    assert ended[service] == before.position + 1


async def test_other_content_at_a_path_is_another_version(world: GraphWorld) -> None:
    def logged(digest: bytes) -> Message:
        return pb.ArtifactLogged(run=run(1), path="m.bin", sha256=digest * 32)

    first = f"{run(1)}/artifacts/m.bin@{'01' * 6}"
    await world.tell(
        pb.RunCreated(name=run(1)),
        logged(b"\x01"),
        pb.ModelVersionRegistered(
            name=model("m", 1),
            version=1,
            run=run(1),
            artifact_path="m.bin",
            digest=f"sha256:{'01' * 32}",
        ),
        logged(b"\x02"),
    )
    newest = await world.queries.get_graph_node(
        pb.GetGraphNodeRequest(parent=PROJECT, node=f"{run(1)}/artifacts/m.bin"), world.context
    )
    assert newest.digest == f"sha256:{'02' * 32}"
    assert names((await world.walk(model("m", 1), up=True)).nodes) >= {first, run(1)}
    assert model("m", 1) not in names((await world.walk(newest.name)).nodes)


async def test_columns_are_followed_through_datasets(world: GraphWorld) -> None:
    def derived(step: int, *sources: tuple[str, str, int]) -> Message:
        return pb.ColumnsDerived(
            run=run(step),
            dataset=dataset("d", str(step + 1)),
            sources=[
                pb.ColumnSource(
                    column=column,
                    source=dataset("d", str(step)),
                    source_column=source,
                    transformation=cast("pb.ColumnTransformation", how),
                )
                for column, source, how in sources
            ],
        )

    same, mean = pb.COLUMN_TRANSFORMATION_IDENTITY, pb.COLUMN_TRANSFORMATION_AGGREGATION
    await world.tell(
        *chain(3),
        derived(0, ("id", "id", same), ("age", "birth", mean), ("other", "x", same)),
        derived(1, ("age", "age", same), ("id", "id", same)),
        derived(2, ("score", "age", mean), ("score", "id", pb.COLUMN_TRANSFORMATION_FILTER)),
    )

    async def columns(version: str, column: str, **more: object) -> set[tuple[str, str, str]]:
        found = await world.queries.traverse_columns(
            pb.TraverseColumnsRequest(
                parent=PROJECT, dataset=dataset("d", version), column=column, **more
            ),
            world.context,
        )
        return {
            (one.source[-1] + "." + one.source_column, one.target_column, one.via[-1])
            for one in found.edges
        }

    up, down = pb.LINEAGE_DIRECTION_UPSTREAM, pb.LINEAGE_DIRECTION_DOWNSTREAM
    assert await columns("3", "score", direction=up) == {
        ("2.age", "score", "2"),
        ("2.id", "score", "2"),
        ("1.age", "age", "1"),
        ("1.id", "id", "1"),
        ("0.birth", "age", "0"),
        ("0.id", "id", "0"),
    }
    assert await columns("0", "birth", direction=down, depth=2) == {
        ("0.birth", "age", "0"),
        ("1.age", "age", "1"),
    }
    assert await columns("0", "birth", as_of=pb.Moment(position=10)) == {("0.birth", "age", "0")}
    assert len(await columns("0", "")) == 7


async def test_nobody_sees_beyond_their_project_or_organisation(world: GraphWorld) -> None:
    shared = dataset("d", "1", OTHER)
    secret = dataset("secret", "1", RIVAL)
    await world.tell(
        pb.RunCreated(name=run(1)),
        pb.DatasetUsed(run=run(1), dataset=shared),
        Told(pb.RunCreated(name=run(1, RIVAL)), org="rival"),
        Told(pb.DatasetUsed(run=run(1, RIVAL), dataset=secret), org="rival"),
        # Told by one organisation about another's: nothing of it is believed.
        pb.DatasetUsed(run=run(1), dataset=secret),
        pb.DatasetProduced(run=run(1, RIVAL), dataset=dataset("x", "1")),
    )
    assert names((await world.walk(run(1), up=True)).nodes) == {run(1)}
    assert names((await world.walk(run(1), ACME, up=True)).nodes) == {run(1), shared}
    rival = await world.walk(secret, RIVAL)
    assert names(rival.nodes) == {secret, run(1, RIVAL)}
    absent = dataset("absent", "1", RIVAL)
    for parent in (PROJECT, ACME):
        told = []
        for name in (secret, absent):
            with pytest.raises(InvalidArgument) as error:
                await world.walk(name, parent)
            told.append(str(error.value).replace(name, "X"))
        assert told[0] == told[1]
    told = []
    for name in (shared, dataset("absent", "1", OTHER)):
        for parent in (PROJECT, OTHER[:-1]):
            with pytest.raises((InvalidArgument, NotFound)) as error:
                await world.walk(name, parent)
            told.append(str(error.value).replace(name, "X"))
    assert told[:2] == told[2:]
    listed = await world.queries.list_graph_nodes(
        pb.ListGraphNodesRequest(parent=ACME, page_size=1000), world.context
    )
    assert all(node.name.startswith(f"{ACME}/") for node in listed.nodes)
    assert len(listed.nodes) == 5  # with the dataset x that a run of the rival is said to have made
