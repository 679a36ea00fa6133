"""Logged models through MLflow's client."""

import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
)
from refusing import fresh, refused, requested

client = MlflowClient()


def experiment():
    return client.create_experiment(fresh())


def check_a_logged_model_is_created_finalized_and_read():
    where = experiment()
    made = client.create_logged_model(
        where, name="tree", params={"depth": "3"}, tags={"a": "1"}, model_type="classifier"
    )
    assert (made.name, made.experiment_id, made.model_type) == ("tree", where, "classifier")
    assert made.status == LoggedModelStatus.PENDING
    assert made.artifact_location == f"mlflow-artifacts:/{where}/models/{made.model_id}/artifacts"
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    found = client.get_logged_model(made.model_id)
    assert found.status == LoggedModelStatus.READY
    assert (found.params, found.tags) == ({"depth": "3"}, {"a": "1"})


def check_tags_and_params_of_a_logged_model():
    made = client.create_logged_model(experiment(), name="tree")
    client.set_logged_model_tags(made.model_id, {"a": "1", "b": ""})
    client.delete_logged_model_tag(made.model_id, "a")
    client.log_model_params(made.model_id, {"depth": "3"})
    found = client.get_logged_model(made.model_id)
    assert (found.tags, found.params) == ({"b": ""}, {"depth": "3"})
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_logged_model_tag(made.model_id, "a"))


def check_a_deleted_logged_model_is_gone():
    made = client.create_logged_model(experiment(), name="tree")
    client.delete_logged_model(made.model_id)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_logged_model(made.model_id))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_logged_model("m-" + "0" * 32))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_logged_model("no-id"))


def check_odd_names_are_refused():
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.create_logged_model(experiment(), name="a/b"),
        "cannot contain",
    )


def check_logged_models_are_searched():
    where = experiment()
    made = [
        client.create_logged_model(where, name=f"tree{number}", params={"n": str(number)})
        for number in range(3)
    ]
    client.finalize_logged_model(made[1].model_id, LoggedModelStatus.READY)

    def names(text=None, order=None):
        found = client.search_logged_models([where], filter_string=text, order_by=order)
        return [one.name for one in found]

    assert names() == ["tree2", "tree1", "tree0"]
    assert names("params.n = '1'") == ["tree1"]
    assert names("attributes.status = 'READY'") == ["tree1"]
    assert names(order=[{"field_name": "name", "ascending": True}]) == ["tree0", "tree1", "tree2"]
    met, token = [], None
    while True:
        page = client.search_logged_models([where], max_results=1, page_token=token)
        met += [one.name for one in page]
        token = page.token
        if not token:
            break
    assert met == ["tree2", "tree1", "tree0"]
    assert list(client.search_logged_models(["999999999"])) == []
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.search_logged_models([where], filter_string="nome = 'a'"),
    )


def check_a_version_is_registered_from_a_logged_model():
    made = client.create_logged_model(experiment(), name="tree")
    name = fresh()
    client.create_registered_model(name)
    version = client.create_model_version(name, f"models:/{made.model_id}", model_id=made.model_id)
    assert version.source in (made.artifact_location, f"models:/{made.model_id}")
    assert name in client.get_logged_model(made.model_id).tags["mlflow.modelVersions"]


def check_a_run_makes_reads_and_measures_logged_models():
    where = experiment()
    run = client.create_run(where).info.run_id
    made = client.create_logged_model(where, name="tree", source_run_id=run)
    read = client.create_logged_model(where, name="older")
    client.log_outputs(run, [LoggedModelOutput(made.model_id, 3)])
    client.log_inputs(run, models=[LoggedModelInput(read.model_id)])
    client.log_metric(
        run, "acc", 0.5, step=1, model_id=made.model_id, dataset_name="d", dataset_digest="x"
    )
    measured = Metric("acc", 0.75, 1000, 2, made.model_id, "d", "x", run)
    client.log_batch(run, metrics=[measured])
    found = client.get_run(run)
    assert [(one.model_id, one.step) for one in found.outputs.model_outputs] == [(made.model_id, 3)]
    assert [one.model_id for one in found.inputs.model_inputs] == [read.model_id]
    other = client.create_run(where).info.run_id
    searched = {one.info.run_id: one for one in client.search_runs([where])}
    assert searched[run].outputs.to_dictionary() == found.outputs.to_dictionary()
    assert searched[run].inputs.to_dictionary() == found.inputs.to_dictionary()
    assert not searched[other].outputs.model_outputs
    assert not searched[other].inputs.model_inputs
    (metric,) = client.get_logged_model(made.model_id).metrics
    assert (metric.key, metric.value, metric.step, metric.run_id) == ("acc", 0.75, 2, run)
    assert (metric.dataset_name, metric.dataset_digest) == ("d", "x")
    (hit,) = client.search_logged_models(
        [where], filter_string="metrics.acc > 0.7", datasets=[{"dataset_name": "d"}]
    )
    assert hit.model_id == made.model_id
    assert found.data.metrics["acc"] == 0.75


def check_files_of_a_logged_model_are_listed_and_read():
    where = experiment()
    run = client.create_run(where).info.run_id
    for source in (run, None):
        made = client.create_logged_model(where, name="tree", source_run_id=source)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "deep").mkdir()
            (Path(folder) / "deep" / "a.txt").write_text("words")
            client.log_model_artifacts(made.model_id, folder)
        path = f"logged-models/{made.model_id}/artifacts"
        root = requested("GET", f"{path}/directories")
        assert root["root_uri"] == made.artifact_location
        assert root["files"] == [{"path": "deep", "is_dir": True}]
        deep = requested("GET", f"{path}/directories", [("artifact_directory_path", "deep")])
        assert deep["files"] == [{"path": "deep/a.txt", "is_dir": False, "file_size": 5}]
        down = mlflow.artifacts.download_artifacts(f"{root['root_uri']}/deep/a.txt")
        assert Path(down).read_text() == "words"


def check_a_version_is_registered_from_a_run():
    where = experiment()
    run = client.create_run(where).info.run_id
    name = fresh()
    client.create_registered_model(name)
    version = client.create_model_version(name, f"runs:/{run}/model", run_id=run)
    assert version.run_id == run
    (found,) = client.search_model_versions(f"run_id = '{run}'")
    assert found.name == name
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.create_model_version(name, f"runs:/{run}/model", run_id="0" * 32),
    )
