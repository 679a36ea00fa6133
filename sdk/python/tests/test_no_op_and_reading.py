"""A run that does nothing, and a run that is read back."""

import inspect
import json

import epochal
import numpy as np
import pytest
from epochal import config
from epochal.errors import NotFound
from epochal.silent import SilentRun


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_silent_run_does_nothing_and_needs_nothing(gateway, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("EPOCHAL_NO_OP", "1")
    with epochal.init(no_op=True if how == "argument" else None) as run:
        run.log_metric("loss", 1.0)
        run.log_metrics({"a": 1})
        run.log_series("b", [1.0])
        run.log_params({"x": object()})
        run.log_image("x", "no such file")
        run.set_tag("a", "b")
        run.alert_when("loss", above=1)
        with run.span("ask", kind="llm") as span:
            span.outputs = 1
        assert run.log_artifact("no such file") == "no such file"
        assert run.log_model(object()).version == ""
        assert run.use_dataset("d", "s3://x").name == "d"
        assert run.log_tensorboard("nowhere") == 0
        epochal.log_text("a", "b")
        assert epochal.current_run() is run
    with pytest.raises(epochal.NoActiveRun):
        epochal.current_run()
    assert not config.spool_root().exists()
    assert gateway.calls == []


def test_the_argument_wins_over_the_environment(platform, monkeypatch):
    monkeypatch.setenv("EPOCHAL_NO_OP", "1")
    with epochal.init(no_op=False) as run:
        assert not isinstance(run, SilentRun)


def test_every_call_of_a_run_is_silent():
    for name, call in inspect.getmembers(epochal.Run, inspect.isfunction):
        if not name.startswith("_") and name != "span":
            assert getattr(SilentRun, name) is not call, f"{name} is not silent"


@pytest.fixture
def logged(platform):
    with epochal.init(name="brave-otter", params={"lr": 0.1}, tags={"team": "a"}) as run:
        run.log_series("loss", [0.5, 0.25, 0.125], steps=[1, 2, 4])
        run.log_image("x", np.zeros((2, 2)), 3)
        run.log_model({"w": 1})
    return run


def test_a_run_is_read_back_as_it_was_logged(logged, tmp_path):
    with epochal.get_run(logged.id) as run:
        assert (run.name, run.id, run.display_name) == (logged.name, logged.id, "brave-otter")
        assert (run.status, run.params, run.tags) == ("succeeded", {"lr": 0.1}, {"team": "a"})
        assert [(p.step, p.value) for p in run.series("loss")] == [(1, 0.5), (2, 0.25), (4, 0.125)]
        assert list(run.history(["loss"])) == list(run.series("loss"))
        assert run.history(["loss"]).columns()["metric"] == ["loss"] * 3
        file = run.history(["loss"]).to_csv(tmp_path / "h.csv")
        assert file.read_text().splitlines()[0] == "metric,step,time,value"
        (record,) = run.records(kind="image")
        assert run.read(record).startswith(b"\x89PNG")
        paths = {one.path for one in run.artifacts("model/")}
        assert {
            str(path.relative_to(tmp_path)) for path in run.download("model", tmp_path)
        } == paths
        about = json.loads((tmp_path / "model/model/model.json").read_text())
        assert about["class"] == "builtins.dict"
        with pytest.raises(NotFound):
            run.download("nothing", tmp_path)


def test_a_run_is_found_by_the_name_for_people(logged):
    with epochal.get_run("brave-otter") as run:
        assert run.name == logged.name
    with pytest.raises(NotFound, match="shy-otter"):
        epochal.get_run("shy-otter")
