"""What MLflow's own client logs lies in our graph, as our own API shows it."""

import os

import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput
from refusing import fresh

client = MlflowClient()


def graph(what, **params):
    answer = requests.get(
        f"{os.environ['MLFLOW_TRACKING_URI']}/v1/{os.environ['CHECKED_ORG']}/graph/{what}",
        params=params,
        headers={"authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"},
        timeout=60,
    )
    assert answer.ok, answer.text
    return answer.json()


def check_data_runs_logged_models_and_versions_are_one_graph():
    name = fresh()
    where = client.create_experiment(name)
    run = client.create_run(where).info.run_id
    digits = Dataset("digits", "abc123", "s3", '{"uri": "s3://bucket/digits.csv"}')
    client.log_inputs(run, [DatasetInput(digits, [InputTag("mlflow.data.context", "train")])])
    tree = client.create_logged_model(where, name="tree", source_run_id=run)
    client.log_outputs(run, [LoggedModelOutput(tree.model_id, 0)])
    client.create_registered_model(name)
    client.create_model_version(name, f"models:/{tree.model_id}", run, model_id=tree.model_id)
    client.set_registered_model_alias(name, "champion", "1")

    (model,) = [
        one
        for one in graph("nodes", text=tree.model_id)["nodes"]
        if one["kind"] == "NODE_KIND_LOGGED_MODEL"
    ]
    up = graph("walk", node=model["name"], direction="LINEAGE_DIRECTION_UPSTREAM")["nodes"]
    found = {one["kind"]: one for one in up}
    assert found["NODE_KIND_RUN"]["name"].replace("-", "").endswith(run)
    read = found["NODE_KIND_DATASET"]
    assert (read["displayName"], read["uri"]) == ("digits", "s3://bucket/digits.csv")
    (version,) = graph("impact", node=read["name"])["models"]
    assert (version["holds"], version["serving"]) == (["champion"], True)


def check_a_deleted_alias_no_longer_serves():
    name = fresh()
    where = client.create_experiment(name)
    run = client.create_run(where).info.run_id
    rows = Dataset("rows", fresh("digest"), "s3", '{"uri": "s3://bucket/rows.csv"}')
    client.log_inputs(run, [DatasetInput(rows, [])])
    client.create_registered_model(name)
    client.create_model_version(name, f"runs:/{run}/model", run)
    client.set_registered_model_alias(name, "champion", "1")
    client.delete_registered_model_alias(name, "champion")
    (read,) = [
        one for one in graph("nodes", text="rows")["nodes"] if one["kind"] == "NODE_KIND_DATASET"
    ]
    (version,) = graph("impact", node=read["name"])["models"]
    assert not version.get("holds")
    assert not version.get("serving")
