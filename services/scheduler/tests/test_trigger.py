"""Triggers: what fires one, once for each event, whoever takes it up and when."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_scheduler.domain.run import RunState
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.working.commands import Target
from epochal_scheduler.working.happenings import Happening
from epochal_scheduler.working.happenings import happening as seen
from epochal_scheduler.working.pipelines.pipeline import Pipeline
from epochal_scheduler.working.pipelines.trigger import TriggerController

PROJECT = "orgs/acme/projects/vision"
ID = UUID("0193a000-0000-7000-8000-000000000001")
NAME = f"{PROJECT}/runs/{ID}"
NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
RUNNING = RunState(status=pb.RUN_STATUS_RUNNING, created=pb.RunCreated(name=NAME))


class Nursery:
    """Notes births; what is born is found again by whoever takes the trigger up."""

    def __init__(self, pipeline):
        self.pipeline, self.born, self.skipped = pipeline, {}, []
        self.known = {}
        self.compiler = SimpleNamespace(references=(), joins=())
        self.commands = self

    async def make(self, birth):
        run_id = self.pipeline.child_id(birth.key)
        assert run_id not in self.born
        self.born[run_id] = birth
        return pb.RUN_STATUS_QUEUED

    async def end_unborn(self, birth, *, skipped="", upstream="", reason=""):
        self.skipped.append(skipped)
        await self.make(birth)

    async def load(self, run_id):
        if run_id in self.known:
            return RunState(created=self.known[run_id])
        return RunState(created=pb.RunCreated(edges=self.born[run_id].edges))

    def rows(self, position):
        """The children as the read model has them, all changed last at a position."""
        return [
            ChildRow(
                run_id, ID, f"{PROJECT}/runs/{run_id}", "", birth.iteration,
                pb.RUN_STATUS_SUCCEEDED, position, birth.schedule_time, "{}", "",
            )
            for run_id, birth in self.born.items()
        ]  # fmt: skip


class Log:
    """What has happened, in the order of the log."""

    def __init__(self):
        self.happenings = []

    async def after(self, position):
        for happening in self.happenings:
            if happening.position > position:
                yield happening

    def add(self, position, at=NOW, **attributes):
        made = Happening(
            ("project_custom_event",), ("events.x",), PROJECT, PROJECT, at, position,
            attributes=attributes,
        )  # fmt: skip
        self.happenings.append(made)
        return made


def plan(events):
    text = f"""
        kind: operation
        events: {events}
        component:
          inputs: [{{name: n, type: int, value: 0}}]
          run: {{kind: job, container: {{command: [x]}}}}
    """
    scope = RunScope("acme", "vision", ID, "users/a", NOW)
    return compile_operation([text.encode()], {}, scope).plan


@pytest.fixture
def trigger():
    """Begins triggers on one log, with the runs that those before made."""
    log, nurseries = Log(), []

    async def begin(events="[{kinds: [project_custom_event]}]", state=RUNNING, position=1_000_000):
        target = Target(ID, "acme", NAME, ID)
        pipeline = Pipeline(target, RUNNING.created, plan(events), 10, NOW)
        nursery = nurseries[0] if nurseries else Nursery(pipeline)
        nurseries[:] = [nursery]
        controller = TriggerController(pipeline, nursery, log.after, None)
        await controller.begin(state, nursery.rows(position))
        await controller.tick(NOW)
        return controller, nursery

    begin.log = log
    return begin


def values(nursery):
    return [birth.values.get("n") for birth in nursery.born.values()]


async def test_events_fill_inputs_of_their_name_and_no_others(trigger):
    controller, nursery = await trigger()
    assert controller.happened(trigger.log.add(11, n=3, other=4))
    await controller.tick(NOW)
    (birth,) = nursery.born.values()
    assert birth.values == {"n": 3}
    assert [(edge.kind, edge.source) for edge in birth.edges] == [("event", "11")]


async def test_an_event_heard_after_a_later_one_still_fires(trigger):
    controller, nursery = await trigger()
    first, second = trigger.log.add(11, n=1), trigger.log.add(12, n=2)
    for happening in (second, first):
        controller.happened(happening)
        await controller.tick(NOW)
    assert values(nursery) == [2, 1]


async def test_what_happened_before_the_trigger_began_does_not_fire(trigger):
    trigger.log.add(9, n=1)
    controller, nursery = await trigger()
    assert not controller.happened(trigger.log.happenings[0])
    assert values(nursery) == []


async def test_an_event_heard_twice_or_of_two_rules_fires_once(trigger):
    rules = "[{kinds: [project_custom_event]}, {kinds: [org_custom_event, project_custom_event]}]"
    controller, nursery = await trigger(rules)
    for _ in range(2):
        controller.happened(trigger.log.add(11, n=1))
        await controller.tick(NOW)
    assert [birth.iteration for birth in nursery.born.values()] == [1]


async def test_who_takes_it_up_fires_what_was_missed_although_a_run_changed_since(trigger):
    controller, nursery = await trigger()
    controller.happened(trigger.log.add(11, n=1))
    await controller.tick(NOW)
    trigger.log.add(12, n=2)
    # The run of event 11 ended at 13: after event 12, which nobody has seen.
    _, nursery = await trigger(position=13)
    assert values(nursery) == [1, 2]
    assert [birth.iteration for birth in nursery.born.values()] == [1, 2]
    await trigger(position=14)
    assert values(nursery) == [1, 2]


async def test_what_happens_in_a_pause_is_let_pass_for_good(trigger):
    paused = RunState(status=pb.RUN_STATUS_RUNNING, created=RUNNING.created, paused=True)
    controller, nursery = await trigger()
    await controller.pipeline_changed(paused)
    controller.happened(trigger.log.add(11, NOW + timedelta(seconds=1), n=1))
    await controller.tick(NOW)
    after = RunState(
        status=pb.RUN_STATUS_RUNNING, created=RUNNING.created, unpaused_s=NOW.timestamp() + 2
    )
    await controller.pipeline_changed(after)
    controller.happened(trigger.log.add(12, NOW + timedelta(seconds=3), n=2))
    await controller.tick(NOW)
    _, nursery = await trigger(state=after)
    assert values(nursery) == [2]


async def test_debounce_makes_one_run_of_many_events_also_over_a_take_over(trigger):
    rule = "[{kinds: [project_custom_event], debounce: 10}]"
    controller, nursery = await trigger(rule)
    for position in (11, 12):
        controller.happened(trigger.log.add(position, NOW, n=position))
    assert await controller.tick(NOW) == NOW + timedelta(seconds=10)
    assert values(nursery) == []
    assert await controller.tick(NOW + timedelta(seconds=10)) is None
    assert values(nursery) == [12]
    later = NOW + timedelta(seconds=20)
    controller.happened(trigger.log.add(13, later, n=13))
    await controller.tick(later)  # it waits, and the process is lost
    controller, nursery = await trigger(rule)
    await controller.tick(later + timedelta(seconds=10))
    assert values(nursery) == [12, 13]


async def test_a_limit_counts_the_runs_made_before_a_take_over(trigger):
    rule = "[{kinds: [project_custom_event], limit: {runs: 2, per: 60}}]"
    controller, nursery = await trigger(rule)
    for position in (11, 12):
        controller.happened(trigger.log.add(position, NOW, n=position))
        await controller.tick(NOW)
    controller, nursery = await trigger(rule)
    for position, seconds in ((13, 30), (14, 61)):
        at = NOW + timedelta(seconds=seconds)
        controller.happened(trigger.log.add(position, at, n=position))
        await controller.tick(at)
    assert nursery.skipped == ["it has fired 2 times in 0:01:00; its limit is 2"]
    assert len(nursery.born) == 4


async def test_a_filter_that_does_not_hold_fires_nothing(trigger):
    controller, nursery = await trigger("[{kinds: [project_custom_event], filter: 'n > 5'}]")
    for position, n in ((11, 5), (12, 6)):
        controller.happened(trigger.log.add(position, n=n))
    await controller.tick(NOW)
    assert values(nursery) == [6]
    assert controller.summary() == "it has fired 1 times, 0 runs are under way; waits for events"


async def test_what_its_own_runs_do_does_not_fire_it(trigger):
    events = "[{kinds: [run_status_succeeded]}]"
    controller, nursery = await trigger(events)

    def ended(position, run_id):
        name = f"{PROJECT}/runs/{run_id}"
        found = seen(pb.RunSucceeded(), name, position, NOW)
        trigger.log.happenings.append(found)
        return found

    stranger = UUID(int=7)
    nursery.known[stranger] = pb.RunCreated()
    assert controller.happened(ended(11, stranger))
    await controller.tick(NOW)
    (child,) = nursery.born
    grandchild, hook = UUID(int=8), UUID(int=9)
    nursery.known |= {
        child: pb.RunCreated(pipeline=NAME),
        grandchild: pb.RunCreated(pipeline=f"{PROJECT}/runs/{child}"),
        hook: pb.RunCreated(origin=f"{PROJECT}/runs/{child}", origin_kind="hook"),
    }
    for position, run_id in enumerate((child, grandchild, hook), start=12):
        controller.happened(ended(position, run_id))
    await controller.tick(NOW)
    assert set(nursery.born) == {child}
