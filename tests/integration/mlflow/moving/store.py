"""Fills an MLflow store with the real client, or compares one with the platform's door.

python store.py fill
python store.py change          ... what registered models say
python store.py compare SOURCE_URI      ... with the store that MLFLOW_TRACKING_URI names
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
    ViewType,
)


def fill():
    client = MlflowClient()
    vision = client.create_experiment("Vision & Größe", tags={"team": "a"})
    gone = client.create_experiment("gone")
    parent = client.create_run(vision, run_name="parent", start_time=1_700_000_000_000)
    child = client.create_run(
        vision, run_name="child",
        tags={"mlflow.parentRunId": parent.info.run_id, "k": "v w", "empty": ""},
        start_time=1_700_000_001_000,
    )  # fmt: skip
    run_id = child.info.run_id
    client.log_param(run_id, "lr", "0.1")
    client.log_param(run_id, "model/kind", "cnn")
    for start in range(0, 2_500, 500):
        points = [
            Metric("loss", 1 / (step + 1), 1_700_000_000_000 + step, step)
            for step in range(start, start + 500)
        ]
        client.log_batch(run_id, metrics=points)
    client.log_metric(run_id, "val/acc", 0.5, timestamp=1_700_000_000_123, step=-3)
    dataset = Dataset("digits", "abc123", "local", '{"uri": "x"}')
    tag = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(dataset, [tag])])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ü file.txt").write_text("content")
        (Path(folder) / "MLmodel").write_text("flavors: {}\n")
        client.log_artifact(run_id, f"{folder}/ü file.txt", "notes/deep")
        client.log_artifact(run_id, f"{folder}/MLmodel", "model")
    logged = models_of(client, vision, run_id)
    client.set_terminated(run_id, "FAILED", 1_700_000_009_000)
    client.set_terminated(parent.info.run_id, "FINISHED", 1_700_000_010_000)
    binned = client.create_run(vision, run_name="binned")
    client.set_terminated(binned.info.run_id, "KILLED")
    client.delete_run(binned.info.run_id)
    client.create_run(gone, run_name="of the deleted")
    client.delete_experiment(gone)
    client.create_registered_model("trees", tags={"a": "b"}, description="about")
    source = client.get_run(run_id).info.artifact_uri + "/model"
    for number in range(3):
        client.create_model_version("trees", source, run_id, description=f"number {number}")
    client.delete_model_version("trees", "2")
    client.set_model_version_tag("trees", "3", "q", "good")
    client.set_registered_model_alias("trees", "champion", "3")
    client.transition_model_version_stage("trees", "1", "Archived")
    client.create_model_version("trees", f"models:/{logged}", run_id, model_id=logged)


def models_of(client, experiment, run_id):
    """Log models: one that the run made, one that it read, one that is deleted."""
    made = client.create_logged_model(
        experiment, "tree", run_id, tags={"a": "b"}, params={"depth": "3"}, model_type="classifier"
    )
    read = client.create_logged_model(experiment, "older")
    deleted = client.create_logged_model(experiment, "deleted", run_id)
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 7)])
    client.log_inputs(run_id, models=[LoggedModelInput(read.model_id)])
    for place in range(2):
        # At step 0: MLflow's own file store reads no other of a metric with a dataset.
        metric = Metric(
            "acc", 0.5 + place / 4, 1_000 + place, 0, made.model_id, "digits", "abc123", run_id
        )
        client.log_batch(run_id, metrics=[metric])
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "deep").mkdir()
        (Path(folder) / "MLmodel").write_text("flavors: {}\n")
        (Path(folder) / "deep" / "ü weights.bin").write_bytes(bytes(range(256)))
        client.log_model_artifacts(made.model_id, folder)
        client.log_model_artifact(read.model_id, f"{folder}/MLmodel")
    client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
    client.delete_logged_model(deleted.model_id)
    return made.model_id


def change():
    """Change what may change of registered models."""
    client = MlflowClient()
    client.update_registered_model("trees", description="told anew")
    client.set_registered_model_tag("trees", "a", "c")
    client.update_model_version("trees", "1", description="changed")
    client.transition_model_version_stage("trees", "1", "Staging")
    client.set_model_version_tag("trees", "3", "q", "bad")
    client.set_registered_model_alias("trees", "champion", "1")
    source = client.get_model_version("trees", "1").source
    client.create_model_version("trees", source, client.get_model_version("trees", "1").run_id)


def told(uri):
    """All that is compared, with experiments by name."""
    client = MlflowClient(uri)
    found = {"runs": {}, "experiments": {}, "logged": {}}
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        if experiment.name == "Default":
            continue
        found["experiments"][experiment.name] = [experiment.lifecycle_stage, experiment.tags]
        for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
            info, data = run.info, run.data
            if "epochal.holder" in data.tags:  # files of models that no run made
                continue
            tags = {key: value for key, value in data.tags.items() if key != "epochal.import"}
            points = [
                [metric, one.value, one.timestamp, one.step]
                for metric in sorted(data.metrics)
                for one in client.get_metric_history(info.run_id, metric)
            ]
            inputs = [
                [one.dataset.name, one.dataset.digest, one.dataset.source_type]
                + [[tag.key, tag.value] for tag in one.tags]
                for one in run.inputs.dataset_inputs
            ]
            deleted = info.lifecycle_stage == "deleted"
            found["runs"][info.run_id] = {
                "of": experiment.name,
                "info": [info.run_name, info.status, info.start_time, info.lifecycle_stage],
                "end": info.end_time,
                "params": data.params,
                "tags": tags,
                "points": sorted(points),
                "inputs": inputs,
                # MLflow's own search does not say it.
                "used": [one.model_id for one in client.get_run(info.run_id).inputs.model_inputs],
                "made": [[one.model_id, one.step] for one in run.outputs.model_outputs],
                "files": [] if deleted else sorted(files(client, info.run_id)),
            }
        if experiment.lifecycle_stage == "active":
            for model in client.search_logged_models([experiment.experiment_id]):
                found["logged"][model.model_id] = logged(uri, model)
    model = client.get_registered_model("trees")
    found["model"] = [model.description, dict(model.tags), aliases(model)]
    found["versions"] = {
        one.version: [one.run_id, one.description or "", one.current_stage, dict(one.tags)]
        for one in client.search_model_versions("name='trees'")
    }
    return json.loads(json.dumps(found))


def logged(uri, model):
    """All that is compared of a logged model."""
    tags = {key: value for key, value in model.tags.items() if key != "mlflow.modelVersions"}
    metrics = [
        [one.key, one.value, one.timestamp, one.step, one.run_id, one.dataset_name]
        for one in model.metrics or []
    ]
    with tempfile.TemporaryDirectory() as folder:
        # As the client finds them: by what the model says of its place.
        root = Path(
            mlflow.artifacts.download_artifacts(
                model.artifact_location, dst_path=folder, tracking_uri=uri
            )
        )
        kept = {
            path.relative_to(root).as_posix(): path.read_bytes().hex()
            for path in sorted(root.rglob("*"))
            if path.is_file()
        }
    return {
        "said": [model.name, model.model_type or "", model.source_run_id or "", str(model.status)],
        "params": model.params,
        "tags": tags,
        # The newest of each is kept here.
        "metrics": max(metrics, default=[]),
        "files": kept,
    }


def aliases(model):
    return {key: str(value) for key, value in model.aliases.items()}


def files(client, run_id, path=None):
    for one in client.list_artifacts(run_id, path):
        if one.is_dir:
            yield from files(client, run_id, one.path)
        else:
            yield [one.path, one.file_size]


def compare(source):
    mine = mlflow.get_tracking_uri()
    there, here = told(source), told(mine)
    for run_id, run in there["runs"].items():
        known = here["runs"].get(run_id, {})
        for field, value in run.items():
            if field == "points":
                assert [one for one in value if one not in known[field]] == [], run_id
                assert [one for one in known[field] if one not in value] == [], run_id
                assert len(known[field]) == len(value), run_id
                continue
            assert known.get(field) == value, (run_id, field, value, known.get(field))
    for model_id, model in there["logged"].items():
        assert here["logged"].get(model_id) == model, (model, here["logged"].get(model_id))
    assert here.pop("runs").keys() == there.pop("runs").keys()
    for kind, value in there.items():
        assert here[kind] == value, (kind, value, here[kind])
    client = MlflowClient(mine)
    champion = client.get_model_version_by_alias("trees", "champion")
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=client.get_model_version_download_uri("trees", champion.version),
            dst_path=folder,
        )
        assert (Path(path) / "MLmodel").read_text() == "flavors: {}\n"


if __name__ == "__main__":
    {"fill": fill, "change": change, "compare": compare}[sys.argv[1]](*sys.argv[2:])
