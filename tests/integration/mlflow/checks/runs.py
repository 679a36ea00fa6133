"""Runs through MLflow's client: what they are, what they log."""

import json
import math
import time
from uuid import UUID

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from refusing import fresh, refused, requested

client = MlflowClient()
EXPERIMENT = client.create_experiment(fresh("runs"))


def begun(**more):
    """A new run's id."""
    return client.create_run(EXPERIMENT, **more).info.run_id


def check_the_fluent_api_makes_logs_and_ends_a_run():
    mlflow.set_experiment(experiment_id=EXPERIMENT)
    with mlflow.start_run(run_name="first", tags={"team": "vision"}, description="words") as run:
        mlflow.log_param("lr", 0.1)
        mlflow.log_params({"layers": 3, "flag": True, "none": None})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metrics({"loss": 0.25, "acc": 0.9}, step=2)
        mlflow.set_tag("k", "v")
        mlflow.set_tags({"a": 1, "b": "ü"})
    found = client.get_run(run.info.run_id)
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert found.info.experiment_id == EXPERIMENT
    assert found.info.artifact_uri == f"mlflow-artifacts:/{EXPERIMENT}/{run.info.run_id}/artifacts"
    assert found.info.end_time >= found.info.start_time > 0
    assert found.data.params == {"lr": "0.1", "layers": "3", "flag": "True", "none": "None"}
    assert found.data.metrics == {"loss": 0.25, "acc": 0.9}
    for key, value in {"team": "vision", "k": "v", "a": "1", "b": "ü"}.items():
        assert found.data.tags[key] == value
    assert found.data.tags["mlflow.runName"] == "first"
    assert found.data.tags["mlflow.note.content"] == "words"
    assert found.data.tags["mlflow.source.type"] == "LOCAL"


def check_an_exception_fails_the_run_and_a_kill_is_told():
    class Oops(Exception):
        pass

    try:
        with mlflow.start_run(experiment_id=EXPERIMENT) as run:
            raise Oops
    except Oops:
        pass
    assert client.get_run(run.info.run_id).info.status == "FAILED"
    killed = begun()
    client.set_terminated(killed, "KILLED", end_time=1_700_000_000_123)
    found = client.get_run(killed).info
    assert (found.status, found.end_time) == ("KILLED", 1_700_000_000_123)


def check_runs_are_nested():
    parent = mlflow.start_run(experiment_id=EXPERIMENT)
    child = mlflow.start_run(experiment_id=EXPERIMENT, nested=True)
    mlflow.end_run()
    mlflow.end_run()
    assert client.get_run(child.info.run_id).data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert client.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id


def check_times_and_names_are_as_the_client_gives_them():
    made = client.create_run(EXPERIMENT, start_time=1_600_000_000_001, run_name="n" * 250)
    assert made.info.start_time == 1_600_000_000_001
    found = client.get_run(made.info.run_id)
    assert found.info.start_time == 1_600_000_000_001
    assert found.info.run_name == "n" * 250
    assert found.info.status == "RUNNING"
    assert found.info.end_time is None
    assert found.info.lifecycle_stage == "active"
    assert client.get_run(begun()).info.run_name, "a name is made up"
    refused("INVALID_PARAMETER_VALUE", lambda: begun(run_name="a", tags={"mlflow.runName": "b"}))


def check_an_id_is_taken_with_and_without_dashes():
    made = begun()
    assert len(made) == 32
    assert client.get_run(str(UUID(made))).info.run_id == made


def check_a_run_is_renamed_and_its_tag_with_it():
    made = begun(run_name="old")
    client.update_run(made, name="new")
    found = client.get_run(made)
    assert (found.info.run_name, found.data.tags["mlflow.runName"]) == ("new", "new")
    client.set_tag(made, "mlflow.runName", "newer")
    found = client.get_run(made)
    assert (found.info.run_name, found.data.tags["mlflow.runName"]) == ("newer", "newer")


def check_a_finished_run_is_taken_up_again():
    with mlflow.start_run(experiment_id=EXPERIMENT) as run:
        mlflow.log_metric("m", 1, step=1)
    with mlflow.start_run(run_id=run.info.run_id):
        assert client.get_run(run.info.run_id).info.status == "RUNNING"
        mlflow.log_metric("m", 2, step=2)
    found = client.get_run(run.info.run_id)
    assert found.info.status == "FINISHED"
    assert [one.value for one in client.get_metric_history(run.info.run_id, "m")] == [1, 2]
    client.update_run(run.info.run_id, status="FAILED")
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def check_a_run_is_deleted_and_restored():
    made = begun()
    client.delete_run(made)
    assert client.get_run(made).info.lifecycle_stage == "deleted"
    for write in (
        lambda: client.log_metric(made, "m", 1),
        lambda: client.log_param(made, "p", 1),
        lambda: client.set_tag(made, "t", "1"),
        lambda: client.log_batch(made, metrics=[Metric("m", 1, 1, 1)]),
        lambda: client.update_run(made, name="x"),
    ):
        refused("INVALID_PARAMETER_VALUE", write, "must be in the 'active' state")
    client.restore_run(made)
    client.log_metric(made, "m", 1)
    assert client.get_run(made).info.lifecycle_stage == "active"


def check_runs_go_with_their_experiment_and_come_back_with_it():
    experiment = client.create_experiment(fresh())
    made = client.create_run(experiment).info.run_id
    client.delete_experiment(experiment)
    assert client.get_run(made).info.lifecycle_stage == "deleted"
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_run(experiment))
    refused("INVALID_PARAMETER_VALUE", lambda: client.log_metric(made, "m", 1))
    client.restore_experiment(experiment)
    client.log_metric(made, "m", 1)


def check_what_is_not_there_does_not_exist():
    for missing in ("0" * 32, "nonsense"):
        for call in (
            lambda missing=missing: client.get_run(missing),
            lambda missing=missing: client.log_metric(missing, "m", 1),
            lambda missing=missing: client.delete_run(missing),
            lambda missing=missing: client.get_metric_history(missing, "m"),
        ):
            refused("RESOURCE_DOES_NOT_EXIST", call)
    refused("INVALID_PARAMETER_VALUE", lambda: client.get_run("no/id"))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.create_run("999999999"))


def check_a_param_keeps_its_value():
    made = begun()
    client.log_param(made, "p", "1")
    client.log_param(made, "p", "1")
    refused("INVALID_PARAMETER_VALUE", lambda: client.log_param(made, "p", "2"))
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.log_batch(made, params=[Param("q", "1"), Param("p", "3")]),
        "Changing param values is not allowed. Param with key='p' was already logged with",
    )
    assert client.get_run(made).data.params == {"p": "1"}
    client.log_param(made, "empty", "")
    assert client.get_run(made).data.params["empty"] == ""


def check_an_empty_tag_is_a_tag():
    made = begun(tags={"of creation": "", "removed": ""})
    client.set_tag(made, "single", "")
    client.log_batch(made, tags=[RunTag("batched", ""), RunTag("full", "x")])
    client.delete_tag(made, "removed")
    tags = client.get_run(made).data.tags
    assert [tags.get(key) for key in ("of creation", "single", "batched")] == ["", "", ""]
    assert tags["full"] == "x"
    assert "removed" not in tags

    def found(text):
        return [run.info.run_id for run in client.search_runs([EXPERIMENT], text)]

    assert found("tags.single = ''") == [made]
    assert found("tags.single IS NOT NULL") == [made]
    assert made in found("tags.removed IS NULL")
    client.set_tag(made, "full", "")
    client.set_tag(made, "single", "y")
    tags = client.get_run(made).data.tags
    assert (tags["full"], tags["single"]) == ("", "y")


def check_numbers_of_every_kind_are_metrics():
    made = begun()
    values = [1.5, -0.0, math.nan, math.inf, -math.inf, 1e308, 5e-324]
    for step, value in enumerate(values):
        client.log_metric(made, "m", value, step=step, timestamp=1_700_000_000_000 + step)
    found = client.get_metric_history(made, "m")
    assert [repr(one.value) for one in found] == [repr(float(value)) for value in values]
    assert [one.step for one in found] == list(range(len(values)))
    assert [one.timestamp for one in found] == [1_700_000_000_000 + n for n in range(len(values))]
    for step in (-5, 2**53 + 1, 2**63 - 1):
        client.log_metric(made, "steps", 1.0, step=step)
    assert [one.step for one in client.get_metric_history(made, "steps")] == [
        -5,
        2**53 + 1,
        2**63 - 1,
    ]
    client.log_metric(made, "nan", math.nan)
    assert math.isnan(client.get_run(made).data.metrics["nan"])
    assert client.get_metric_history(made, "no such metric") == []


def check_a_point_that_comes_again_is_one():
    made = begun()
    for _ in range(3):
        client.log_metric(made, "m", 2.0, step=1, timestamp=1_700_000_000_000)
        client.log_batch(made, metrics=[Metric("b", 1.0, 5, n) for n in range(3)])
    assert len(client.get_metric_history(made, "m")) == 1
    assert len(client.get_metric_history(made, "b")) == 3
    client.log_metric(made, "m", 2.0, step=1, timestamp=1_700_000_000_001)
    assert len(client.get_metric_history(made, "m")) == 2


def check_the_newest_value_is_that_of_the_greatest_step():
    made = begun()
    client.log_metric(made, "m", 2.0, step=20)
    client.log_metric(made, "m", 1.0, step=10)
    assert client.get_run(made).data.metrics["m"] == 2.0


def check_batches_hold_all_kinds_at_once():
    made, now = begun(), int(time.time() * 1000)
    client.log_batch(
        made,
        metrics=[Metric(f"m{n % 10}", float(n), now, n) for n in range(800)],
        params=[Param(f"p{n}", str(n)) for n in range(100)],
        tags=[RunTag(f"t{n}", str(n)) for n in range(100)],
    )
    found = client.get_run(made)
    assert found.data.metrics == {f"m{n}": float(790 + n) for n in range(10)}
    assert found.data.params == {f"p{n}": str(n) for n in range(100)}
    assert {f"t{n}": str(n) for n in range(100)}.items() <= found.data.tags.items()
    client.log_batch(made, metrics=[Metric("full", float(n), now, n) for n in range(1000)])
    assert len(client.get_metric_history(made, "full")) == 1000
    client.log_batch(made)


def check_limits_are_mlflows():
    made, now = begun(), int(time.time() * 1000)
    log = mlflow.tracking._tracking_service.utils._get_store().log_batch
    for batch in (
        {"metrics": [Metric("m", 1.0, now, n) for n in range(1001)]},
        {"params": [Param(f"p{n}", "1") for n in range(101)]},
        {"tags": [RunTag(f"t{n}", "1") for n in range(101)]},
        {
            "metrics": [Metric("m", 1.0, now, n) for n in range(950)],
            "params": [Param(f"p{n}", "1") for n in range(51)],
        },
        {"params": [Param("same", "1"), Param("same", "2")]},
        {"params": [Param("bad?name", "1")]},
        {"metrics": [Metric("../up", 1.0, now, 1)]},
        {"metrics": [Metric("m", 1.0, -1, 1)]},
    ):
        full = {"metrics": [], "params": [], "tags": [], **batch}
        refused("INVALID_PARAMETER_VALUE", lambda full=full: log(made, **full))
    assert client.get_run(made).data.params == {}
    client.log_param(made, "k" * 250, "v" * 6000)
    client.set_tag(made, "t", "v" * 8000)
    client.log_metric(made, "m" * 250, 1.0)
    store = mlflow.tracking._tracking_service.utils._get_store()
    refused("INVALID_PARAMETER_VALUE", lambda: store.log_param(made, Param("k" * 251, "v")))
    found = client.get_run(made).data
    assert found.params["k" * 250] == "v" * 6000
    assert found.tags["t"] == "v" * 8000


def check_long_values_are_cut_as_mlflows_server_cuts_them():
    made = begun(tags={"created": "t" * 9_000})
    client.log_param(made, "one", "p" * 7_000)
    for _ in range(2):  # what is cut is the same again
        client.log_batch(
            made, params=[Param("batched", "p" * 7_000)], tags=[RunTag("batched", "t" * 9_000)]
        )
    client.set_tag(made, "one", "t" * 9_000)
    found = client.get_run(made).data
    assert [found.params[name] for name in ("one", "batched")] == ["p" * 6_000] * 2
    assert [found.tags[name] for name in ("created", "one", "batched")] == ["t" * 8_000] * 3
    # Far too long is too long a request.
    refused("BAD_REQUEST", lambda: client.log_param(made, "huge", "p" * 10_000_000), "larger than")


def check_tags_are_changed_and_removed():
    made = begun(tags={"a": "1"})
    client.set_tag(made, "a", "2")
    client.set_tag(made, "b", "3")
    client.delete_tag(made, "a")
    found = client.get_run(made).data.tags
    assert "a" not in found
    assert found["b"] == "3"
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_tag(made, "a"))


def check_a_point_that_is_logged_twice_is_there_once():
    made, now = begun(), 1_700_000_000_000
    for _ in range(2):
        client.log_batch(made, metrics=[Metric("m", math.nan, now, 0), Metric("m", 1.0, now, 1)])
    client.log_metric(made, "m", 2.0, now, 1)
    client.log_metric(made, "m", 1.0, now + 1, 1)
    history = client.get_metric_history(made, "m")
    assert [one.step for one in history] == [0, 1, 1, 1]
    assert sorted(one.value for one in history[1:]) == [1.0, 1.0, 2.0]


def check_histories_come_in_pages_and_for_many_runs():
    made, other, now = begun(), begun(), 1_700_000_000_000
    for start in range(0, 3000, 1000):
        client.log_batch(
            made, metrics=[Metric("m", n / 2, now + n, n) for n in range(start, start + 1000)]
        )
    client.log_batch(other, metrics=[Metric("m", float(n), now, n) for n in range(10)])
    store = mlflow.tracking._tracking_service.utils._get_store()
    pages, token = [], None
    while True:
        page = store.get_metric_history(made, "m", max_results=1200, page_token=token)
        pages.append(list(page))
        token = page.token
        if not token:
            break
    assert [len(page) for page in pages] == [1200, 1200, 600]
    points = [one for page in pages for one in page]
    assert [(one.step, one.value, one.timestamp) for one in points] == [
        (n, n / 2, now + n) for n in range(3000)
    ]
    answer = requested(
        "GET",
        "metrics/get-history-bulk-interval",
        [("run_ids", made), ("run_ids", other), ("metric_key", "m"), ("max_results", "100")],
    )
    steps = [one["step"] for one in answer["metrics"] if one["run_id"] == made]
    assert len(steps) <= 102
    assert (steps[0], steps[-1]) == (0, 2999)
    assert sum(one["run_id"] == other for one in answer["metrics"]) >= 2
    answer = requested(
        "GET",
        "metrics/get-history-bulk",
        [("run_id", made), ("run_id", other), ("metric_key", "m"), ("max_results", "50")],
    )
    assert len(answer["metrics"]) == 50


def check_what_older_clients_log_of_models_is_a_tag():
    run_id = client.create_run(client.create_experiment(fresh())).info.run_id
    for path in ("first", "second"):
        model = json.dumps({"artifact_path": path, "run_id": run_id})
        requested("POST", "runs/log-model", json={"run_id": run_id, "model_json": model})
    history = json.loads(client.get_run(run_id).data.tags["mlflow.log-model.history"])
    assert [one["artifact_path"] for one in history] == ["first", "second"]


def check_urls_signed_beforehand_are_refused_as_mlflows_server_does():
    run_id = client.create_run(client.create_experiment(fresh())).info.run_id

    def told(what, **body):
        try:
            requested("POST", f"artifacts/presigned-{what}-url", json=body)
        except requests.HTTPError as error:
            return error.response.status_code, error.response.json()["error_code"]
        raise AssertionError("not refused")

    for what in ("upload", "download"):
        assert told(what, run_id=run_id, path="a") == (400, "INVALID_PARAMETER_VALUE")
        assert told(what, run_id="0" * 32, path="a") == (404, "RESOURCE_DOES_NOT_EXIST")
        assert told(what, run_id=run_id) == (400, "INVALID_PARAMETER_VALUE")
