"""A later process goes on with a run: what becomes of its points is said, never guessed."""

from __future__ import annotations

import epochal
import epochal_proto.v1 as pb
import pytest


def begin(**metrics):
    with epochal.init() as run:
        for name, values in metrics.items():
            run.log_series(name, values)
    return run


def summarise(platform, run, **last_steps):
    """What the tracker would say of a run's metrics."""
    for name, step in last_steps.items():
        platform.world.runs[run.name].metrics[name].last_step = step


def test_a_run_goes_on_and_calls_without_a_step_count_on(platform):
    before = begin(loss=[1.0, 2.0, 3.0])
    summarise(platform, before, loss=2)
    with epochal.init(run=before.id, resume="continue", tags={"again": "yes"}) as run:
        assert run.name == before.name
        assert run.owned
        run.log_metric("loss", 4.0)
        run.log_metric("new", 1.0)
    points = platform.world.points(run.name)
    assert points["loss"] == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 4.0)]
    assert points["new"] == [(0, 1.0)]
    assert platform.count("ResumeRun") == 1
    assert platform.count("TruncateSeries") == 0
    shown = platform.world.runs[run.name]
    assert shown.status == pb.RUN_STATUS_SUCCEEDED
    assert shown.tags["again"] == "yes"


def test_a_run_is_cut_where_it_is_said_and_counts_from_there(platform):
    before = begin(loss=[1.0, 2.0, 3.0])
    summarise(platform, before, loss=2)
    with epochal.init(run=before.name, resume="truncate", from_step=1) as run:
        run.log_metric("loss", 9.0)
    (cut,) = platform.requests("TruncateSeries")
    assert (cut.run, cut.from_step) == (before.name, 1)
    assert platform.world.points(run.name)["loss"][-1] == (1, 9.0)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "resume='continue'"),
        ({"resume": "somehow"}, "resume='continue'"),
        ({"resume": "truncate"}, "from_step"),
        ({"resume": "continue", "from_step": 3}, "from_step"),
        ({"resume": "continue", "mode": "offline"}, "online"),
    ],
)
def test_how_to_go_on_must_be_said(platform, given, said):
    before = begin(loss=[1.0])
    with pytest.raises(epochal.InvalidArgument, match=said):
        epochal.init(run=before.id, **given)
    assert platform.count("ResumeRun") == 0


def test_a_run_that_is_none_is_said_to_be(platform):
    with pytest.raises(epochal.InvalidArgument, match="UUID"):
        epochal.init(run="brave-otter", resume="continue")
    with pytest.raises(epochal.NotFound):
        epochal.init(run="0193a000-0000-7000-8000-000000000001", resume="continue")


def test_what_an_agent_runs_is_not_gone_on_with(platform):
    made = platform.world.CreateRun(
        pb.CreateRunRequest(parent="orgs/default/projects/main", spec=b"x")
    )
    made.kind = pb.RUN_KIND_JOB
    with pytest.raises(epochal.FailedPrecondition, match="epochal runs resume"):
        epochal.init(run=made.uid, resume="continue")
