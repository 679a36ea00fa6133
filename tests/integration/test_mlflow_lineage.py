"""What an MLflow client logs lies in the same graph as what our own SDK logs."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import epochal_proto.v1 as pb
import httpx
from epochal.client import Client
from epochal_proto.v1.services import GraphService, LineageService
from platform_world import Platform


def test_inputs_logged_models_and_versions_of_mlflow_are_nodes_of_one_graph(
    platform: Platform, admin: Client
) -> None:
    def ask(path: str, **content: object) -> Any:
        answer = httpx.post(
            f"{platform.url}/api/2.0/mlflow/{path}",
            json=content,
            headers={"authorization": f"Bearer {platform.token}"},
            timeout=30,
        )
        assert answer.is_success, (path, answer.text)
        return answer.json()

    name = f"graph-{uuid4().hex[:8]}"
    experiment = ask("experiments/create", name=name)["experiment_id"]
    run = ask("runs/create", experiment_id=experiment, start_time=1)["run"]["info"]["run_id"]
    dataset = {
        "name": "digits",
        "digest": "abc123",
        "source_type": "s3",
        "source": json.dumps({"uri": "s3://bucket/digits.csv"}),
    }
    tags = [{"key": "mlflow.data.context", "value": "training"}]
    ask("runs/log-inputs", run_id=run, datasets=[{"dataset": dataset, "tags": tags}])
    logged = ask("logged-models", experiment_id=experiment, name="tree", source_run_id=run)
    model_id = logged["model"]["info"]["model_id"]
    ask("registered-models/create", name=name)
    ask(
        "model-versions/create",
        name=name,
        source=f"models:/{model_id}",
        run_id=run,
        model_id=model_id,
    )
    ask("registered-models/alias", name=name, alias="champion", version="1")
    nodes = admin.call(
        GraphService.LIST_GRAPH_NODES,
        pb.ListGraphNodesRequest(parent="orgs/default", text=model_id, page_size=10),
    ).nodes
    (tree,) = [node for node in nodes if node.kind == pb.NODE_KIND_LOGGED_MODEL]
    assert tree.display_name == "tree"
    up = admin.call(
        GraphService.TRAVERSE_GRAPH,
        pb.TraverseGraphRequest(
            parent="orgs/default", node=tree.name, direction=pb.LINEAGE_DIRECTION_UPSTREAM
        ),
    )
    found = {node.kind: node for node in up.nodes}
    assert found[pb.NODE_KIND_RUN].name.replace("-", "").endswith(run)
    read = found[pb.NODE_KIND_DATASET]
    assert (read.display_name, read.uri) == ("digits", "s3://bucket/digits.csv")
    impact = admin.call(
        GraphService.ASSESS_IMPACT,
        pb.AssessImpactRequest(parent="orgs/default", node=read.name),
    )
    (version,) = impact.models
    assert (list(version.holds), version.serving) == (["champion"], True)
    # The same dataset, told of by our own call, is the same node.
    ours = admin.call(
        LineageService.USE_DATASET,
        pb.UseDatasetRequest(
            run=found[pb.NODE_KIND_RUN].name,
            dataset="digits",
            details=pb.DatasetDetails(name="digits", digest="abc123"),
        ),
    )
    assert ours.name == read.name
