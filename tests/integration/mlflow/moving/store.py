"""Fills an MLflow store with the real client, or compares one with the platform's door.

python store.py fill
python store.py compare SOURCE_URI      ... with the store that MLFLOW_TRACKING_URI names
"""

import json
import sys
import tempfile
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, ViewType


def fill():
    client = MlflowClient()
    vision = client.create_experiment("Vision & Größe", tags={"team": "a"})
    gone = client.create_experiment("gone")
    parent = client.create_run(vision, run_name="parent", start_time=1_700_000_000_000)
    child = client.create_run(
        vision, run_name="child", tags={"mlflow.parentRunId": parent.info.run_id, "k": "v w"},
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


def told(uri):
    """All that is compared, with experiments by name."""
    client = MlflowClient(uri)
    found = {"runs": {}, "experiments": {}}
    for experiment in client.search_experiments(view_type=ViewType.ALL):
        if experiment.name == "Default":
            continue
        found["experiments"][experiment.name] = [experiment.lifecycle_stage, experiment.tags]
        for run in client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL):
            info, data = run.info, run.data
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
                "files": [] if deleted else sorted(files(client, info.run_id)),
            }
    model = client.get_registered_model("trees")
    found["model"] = [model.description, dict(model.tags), aliases(model)]
    found["versions"] = {
        one.version: [one.run_id, one.description, one.current_stage, dict(one.tags)]
        for one in client.search_model_versions("name='trees'")
    }
    return json.loads(json.dumps(found))


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
        assert here["runs"].get(run_id) == run, (run_id, run, here["runs"].get(run_id))
    assert here == there, (here, there)
    client = MlflowClient(mine)
    champion = client.get_model_version_by_alias("trees", "champion")
    with tempfile.TemporaryDirectory() as folder:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=client.get_model_version_download_uri("trees", champion.version),
            dst_path=folder,
        )
        assert (Path(path) / "MLmodel").read_text() == "flavors: {}\n"


if __name__ == "__main__":
    fill() if sys.argv[1] == "fill" else compare(sys.argv[2])
