"""Any graph with any outcomes in any order ends as the trigger rules say.

The oracle looks at the whole graph afresh after every observation and knows no counts: it is
slow, written apart from the code it judges, and says for one step at a time what the rules say.
"""

import epochal_proto.v1 as pb
from epochal_scheduler.domain.graphs.decisions import End, FailUpstream, Skip, Start, StopAll
from epochal_scheduler.domain.graphs.explaining import explain
from epochal_scheduler.domain.graphs.graph import Graph
from epochal_scheduler.domain.graphs.steps import Need, Step, Trigger
from epochal_scheduler.domain.statuses import TERMINAL
from hypothesis import given, settings
from hypothesis import strategies as st

OK, BAD, OUT = pb.RUN_STATUS_SUCCEEDED, pb.RUN_STATUS_FAILED, pb.RUN_STATUS_STOPPED
SKIP, UP = pb.RUN_STATUS_SKIPPED, pb.RUN_STATUS_UPSTREAM_FAILED
QUEUED, RUNNING, RETRYING = pb.RUN_STATUS_QUEUED, pb.RUN_STATUS_RUNNING, pb.RUN_STATUS_RETRYING
PATHS = (
    (QUEUED, RUNNING, OK), (QUEUED, RUNNING, BAD), (QUEUED, RUNNING, OUT), (SKIP,), (OUT,),
    (QUEUED, RUNNING, RETRYING, QUEUED, RUNNING, OK), (QUEUED, BAD),
)  # fmt: skip


@st.composite
def graphs(draw):
    steps = []
    for number in range(draw(st.integers(1, 9))):
        chosen = draw(st.lists(st.integers(0, max(number - 1, 0)), max_size=4)) if number else []
        needs = tuple(
            Need(f"s{up}", draw(st.sampled_from([frozenset(), frozenset(), frozenset({RUNNING})])))
            for up in chosen
        )
        steps.append(
            Step(f"s{number}", needs, draw(st.sampled_from(list(Trigger))), draw(st.booleans()))
        )
    return draw(st.permutations(steps))


def rule(step, ended, seen):
    """What the rules say of a step that has not started: 'start', 'skip', 'fail' or ''."""
    ups = [need.step for need in step.needs]
    if step.skip_on_upstream_skip and any(ended.get(up) == SKIP for up in ups):
        return "skip"
    plain = [ended.get(need.step) for need in step.needs if not need.statuses]
    held = {
        Trigger.ALL_SUCCEEDED: all(end in (OK, SKIP) for end in plain),
        Trigger.ALL_FAILED: all(end == BAD for end in plain),
        Trigger.ALL_DONE: all(end is not None for end in plain),
        Trigger.ONE_SUCCEEDED: not plain or OK in plain,
        Trigger.ONE_FAILED: not plain or BAD in plain,
        Trigger.ONE_DONE: not plain or any(end is not None for end in plain),
    }[step.trigger]
    events = all(
        not need.statuses or need.statuses & seen.get(need.step, set()) for need in step.needs
    )
    if held and events:
        return "start"
    return "" if any(up not in ended for up in ups) else "fail"


def play(draw, steps, concurrency, rebuild):
    """Runs a graph as a runtime would, checks each decision, returns the ends of its steps."""
    graph = Graph(steps, concurrency)
    by_name = {step.name: step for step in steps}
    paths = {step.name: draw(st.sampled_from(PATHS)) for step in steps}
    left, started, ended, seen = {}, [], {}, {step.name: set() for step in steps}
    end = []

    def follow(decisions):
        for decision in decisions:
            match decision:
                case Start(name):
                    assert name not in started, "started twice"
                    assert rule(by_name[name], ended, seen) == "start"
                    started.append(name)
                    left[name] = list(paths[name])
                case Skip(name, reason):
                    assert rule(by_name[name], ended, seen) == "skip"
                    assert reason
                    ended[name] = SKIP
                    seen[name].add(SKIP)
                case FailUpstream(name, upstream, reason):
                    assert rule(by_name[name], ended, seen) == "fail"
                    assert upstream in [need.step for need in by_name[name].needs]
                    assert upstream in reason
                    ended[name] = UP
                    seen[name].add(UP)
                case End():
                    end.append(decision)
        assert concurrency is None or len(left) <= concurrency, "more than the places"
        idle = [n for n in by_name if n not in ended and n not in started]
        assert all(rule(by_name[name], ended, seen) not in ("skip", "fail") for name in idle)
        if concurrency is None or len(left) < concurrency:
            assert all(rule(by_name[name], ended, seen) != "start" for name in idle)
        for name in by_name:
            explain(graph, name)

    follow(graph.begin())
    while left:
        name = draw(st.sampled_from(sorted(left)))
        status = left[name].pop(0)
        seen[name].add(status)
        if status in TERMINAL:
            ended[name] = status
            del left[name]
        if rebuild and draw(st.booleans()):
            graph = Graph(steps, concurrency, seen=seen, started=started)
            follow(graph.begin())
        else:
            follow(graph.observe(name, status))
    assert len(end) == 1
    assert end[0].status == (
        BAD if {BAD, UP} & set(ended.values()) else OUT if set(ended.values()) == {OUT} else OK
    )
    return ended


@settings(max_examples=300, deadline=None)
@given(st.data(), graphs(), st.none() | st.integers(1, 3), st.booleans())
def test_any_graph_ends_as_the_rules_say(data, steps, concurrency, rebuild):
    ended = play(data.draw, steps, concurrency, rebuild)
    assert set(ended) == {step.name for step in steps}


@settings(max_examples=200, deadline=None)
@given(st.data(), graphs(), st.none() | st.integers(1, 3))
def test_a_rebuilt_graph_decides_as_the_lost_one(data, steps, concurrency):
    live = Graph(steps, concurrency)
    started, seen, left = [], {step.name: set() for step in steps}, {}

    def note(decisions):
        for decision in decisions:
            if isinstance(decision, Start):
                started.append(decision.step)
                left[decision.step] = list(data.draw(st.sampled_from(PATHS)))
            if isinstance(decision, Skip):
                seen[decision.step].add(SKIP)
            if isinstance(decision, FailUpstream):
                seen[decision.step].add(UP)

    note(live.begin())
    while left:
        twin = Graph(steps, concurrency, seen=seen, started=started)
        assert twin.begin() == (), "all that was decided is recorded"
        name = data.draw(st.sampled_from(sorted(left)))
        status = left[name].pop(0)
        decisions = live.observe(name, status)
        assert [type(d) for d in twin.observe(name, status)] == [type(d) for d in decisions]
        assert twin.statuses.keys() == live.statuses.keys()
        assert set(twin.under_way) == set(live.under_way)
        seen[name].add(status)
        if status in TERMINAL:
            del left[name]
        note(decisions)


@settings(max_examples=150, deadline=None)
@given(st.data(), graphs())
def test_without_early_skips_the_end_does_not_depend_on_the_order(data, steps):
    steps = [Step(s.name, s.needs, s.trigger) for s in steps]
    paths = {step.name: data.draw(st.sampled_from(PATHS)) for step in steps}
    results = []
    for _ in range(2):
        graph, left = Graph(steps), {}
        decisions = graph.begin()
        while True:
            left |= {d.step: list(paths[d.step]) for d in decisions if isinstance(d, Start)}
            if not left:
                break
            name = data.draw(st.sampled_from(sorted(left)))
            decisions = graph.observe(name, left[name].pop(0))
            if not left[name]:
                del left[name]
        results.append({name: graph.statuses[name] for name in sorted(graph.statuses)})
    assert results[0] == results[1]


@settings(max_examples=150, deadline=None)
@given(st.data(), graphs(), st.integers(0, 12))
def test_a_stop_at_any_moment_starts_nothing_more_and_ends(data, steps, when):
    graph, left, started = Graph(steps), {}, set()
    decisions, moment, stopped = graph.begin(), 0, False
    while True:
        assert not (stopped and any(isinstance(d, Start) for d in decisions))
        for decision in decisions:
            if isinstance(decision, Start):
                started.add(decision.step)
                left[decision.step] = [QUEUED, RUNNING, OK]
            if isinstance(decision, StopAll):
                open_steps = {s.name for s in steps if graph.statuses.get(s.name) not in TERMINAL}
                left = {name: [OUT] for name in open_steps}
        if any(isinstance(d, End) for d in decisions):
            break
        if moment == when and not stopped:
            decisions, stopped = graph.stop("enough"), True
            continue
        moment += 1
        name = data.draw(st.sampled_from(sorted(left)))
        decisions = graph.observe(name, left[name].pop(0))
        if not left[name]:
            del left[name]
    assert decisions[-1].status == (OUT if stopped else decisions[-1].status)


def test_a_thousand_steps_cost_as_much_as_they_have_edges():
    fan = [Step("first")] + [Step(f"m{n}", (Need("first"),)) for n in range(998)]
    fan.append(Step("last", tuple(Need(f"m{n}") for n in range(998))))
    graph = Graph(fan, concurrency=10)
    starts = [d.step for d in graph.begin() if isinstance(d, Start)]
    order = 0
    while order < len(starts):
        starts += [d.step for d in graph.observe(starts[order], OK) if isinstance(d, Start)]
        order += 1
    assert starts == ["first", *(f"m{n}" for n in range(998)), "last"]
