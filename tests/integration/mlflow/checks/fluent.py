"""MLflow's fluent functions, as scripts and notebooks use them: what other checks do not call."""

import json

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, LoggedModelOutput
from refusing import fresh, refused

client = MlflowClient()


def check_experiments_by_the_fluent_api():
    name = fresh()
    made = mlflow.create_experiment(name, tags={"a": "1"})
    assert mlflow.get_experiment(made).name == name
    assert mlflow.get_experiment_by_name(name).experiment_id == made
    assert mlflow.get_experiment_by_name(fresh()) is None
    mlflow.set_experiment(name)
    mlflow.set_experiment_tag("b", "2")
    mlflow.set_experiment_tags({"c": "3", "d": "4"})
    found = mlflow.search_experiments(filter_string=f"name = '{name}'")
    assert [one.tags for one in found] == [{"a": "1", "b": "2", "c": "3", "d": "4"}]
    mlflow.delete_experiment(made)
    assert mlflow.get_experiment(made).lifecycle_stage == "deleted"


def check_a_run_by_the_fluent_api():
    where = mlflow.set_experiment(fresh()).experiment_id
    with mlflow.start_run() as run:
        assert mlflow.active_run().info.run_id == run.info.run_id
        mlflow.log_text("words", "notes/a.txt")
        mlflow.log_dict({"k": [1, 2]}, "notes/b.json")
        mlflow.set_tag("gone", "x")
        mlflow.delete_tag("gone")
        uri = mlflow.get_artifact_uri("notes")
    assert uri == f"{run.info.artifact_uri}/notes"
    assert mlflow.active_run() is None
    assert mlflow.last_active_run().info.run_id == run.info.run_id
    assert json.loads(mlflow.artifacts.load_text(f"{uri}/b.json")) == {"k": [1, 2]}
    assert mlflow.artifacts.load_dict(f"{uri}/b.json") == {"k": [1, 2]}
    found = mlflow.get_run(run.info.run_id)
    assert found.info.experiment_id == where
    assert "gone" not in found.data.tags
    with mlflow.start_run(run_id=run.info.run_id):  # taken up again
        mlflow.log_metric("late", 1.0)
    assert mlflow.get_run(run.info.run_id).data.metrics == {"late": 1.0}
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"
    mlflow.delete_run(run.info.run_id)
    assert mlflow.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


def check_runs_within_runs_know_their_parents():
    mlflow.set_experiment(fresh())
    with mlflow.start_run() as outer, mlflow.start_run(nested=True) as inner:
        pass
    assert mlflow.get_parent_run(inner.info.run_id).info.run_id == outer.info.run_id
    assert mlflow.get_parent_run(outer.info.run_id) is None


def check_logging_in_the_background_is_all_there_once_flushed():
    mlflow.set_experiment(fresh())
    with mlflow.start_run() as run:
        for step in range(200):
            mlflow.log_metric("m", step / 2, step=step, synchronous=False)
        mlflow.log_params({f"p{n}": n for n in range(20)}, synchronous=False)
        mlflow.set_tags({"a": "1", "b": "2"}, synchronous=False)
    mlflow.flush_async_logging()
    found = client.get_run(run.info.run_id)
    assert len(client.get_metric_history(run.info.run_id, "m")) == 200
    assert found.data.params == {f"p{n}": str(n) for n in range(20)}
    assert (found.data.tags["a"], found.data.tags["b"]) == ("1", "2")


def check_logged_models_by_the_fluent_api():
    where = mlflow.set_experiment(fresh()).experiment_id
    model = mlflow.initialize_logged_model("tree", params={"a": "1"}, model_type="classifier")
    mlflow.log_model_params({"b": "2"}, model.model_id)
    mlflow.set_logged_model_tags(model.model_id, {"t": "1", "u": "2"})
    mlflow.delete_logged_model_tag(model.model_id, "u")
    mlflow.finalize_logged_model(model.model_id, "READY")
    found = mlflow.get_logged_model(model.model_id)
    assert (found.params, str(found.status)) == ({"a": "1", "b": "2"}, "READY")
    assert found.tags["t"] == "1"
    assert "u" not in found.tags
    listed = mlflow.search_logged_models([where], output_format="list")
    assert [one.model_id for one in listed] == [model.model_id]
    assert mlflow.last_logged_model().model_id == model.model_id
    other = client.create_logged_model(where, name="other")
    mlflow.set_active_model(model_id=model.model_id)
    try:
        assert mlflow.get_active_model_id() == model.model_id
        with mlflow.start_run() as run:
            mlflow.log_metric("acc", 0.5, model_id=model.model_id)
            dataset = DatasetInput(Dataset("digits", "abc", "local", "{}"))
            client.log_inputs(run.info.run_id, [dataset], [LoggedModelInput(model.model_id)])
            mlflow.log_outputs([LoggedModelOutput(other.model_id, 2)])
    finally:
        mlflow.clear_active_model()
    assert [one.key for one in mlflow.get_logged_model(model.model_id).metrics] == ["acc"]
    read = client.get_run(run.info.run_id)
    assert [one.model_id for one in read.inputs.model_inputs] == [model.model_id]
    assert [one.model_id for one in read.outputs.model_outputs] == [other.model_id]


def check_models_are_searched_by_the_fluent_api():
    name = fresh("model")
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/a")
    mlflow.set_model_version_tag(name, "1", "k", "v")
    found = mlflow.search_registered_models(filter_string=f"name = '{name}'")
    assert [one.name for one in found] == [name]
    versions = mlflow.search_model_versions(filter_string=f"name = '{name}'")
    assert [(one.version, one.tags) for one in versions] in ([("1", {"k": "v"})], [(1, {"k": "v"})])
    assert "Production" in client.get_model_version_stages(name, "1")


def check_what_a_trace_says_while_it_runs():
    where = mlflow.set_experiment(fresh()).experiment_id
    with mlflow.start_span("outer"):
        mlflow.update_current_trace(tags={"t": "1"}, metadata={"mlflow.trace.session": "s"})
        assert mlflow.get_current_active_span().name == "outer"
    mlflow.flush_trace_async_logging()
    trace_id = mlflow.get_last_active_trace_id()
    mlflow.set_trace_tag(trace_id, "u", "2")
    trace = mlflow.get_trace(trace_id)
    assert {"t": "1", "u": "2"}.items() <= trace.info.tags.items()
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s"
    mlflow.delete_trace_tag(trace_id, "u")
    found = mlflow.search_traces(experiment_ids=[where], return_type="list")
    assert [(one.info.trace_id, "u" in one.info.tags) for one in found] == [(trace_id, False)]
    span = mlflow.start_span_no_context("free", experiment_id=where)
    span.end()
    mlflow.flush_trace_async_logging()
    assert len(mlflow.search_traces(experiment_ids=[where], return_type="list")) == 2


def check_a_deleted_run_takes_nothing_until_it_is_back():
    made = client.create_run(client.create_experiment(fresh())).info.run_id
    client.delete_run(made)
    refused("INVALID_PARAMETER_VALUE", lambda: client.log_metric(made, "m", 1.0))
    refused("INVALID_PARAMETER_VALUE", lambda: client.set_tag(made, "t", "1"))
    client.restore_run(made)
    client.log_metric(made, "m", 1.0)
    assert client.get_run(made).data.metrics == {"m": 1.0}
