"""Searching runs through MLflow's client, and what runs read."""

import json

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from refusing import fresh, refused

client = MlflowClient()
EXPERIMENT = client.create_experiment(fresh("searches"))
NOW = 1_700_000_000_000
RUNS = []
for n in range(10):
    made = client.create_run(EXPERIMENT, start_time=NOW + n, run_name=f"run {n}").info.run_id
    client.log_batch(
        made,
        metrics=[Metric("loss", 1 / (n + 1), NOW, 0), Metric("odd name", float(n), NOW, 0)],
        params=[Param("lr", str(n / 10)), Param("kind", "even" if n % 2 == 0 else "odd")],
        tags=[RunTag("team", "a" if n < 5 else "B")] + ([RunTag("rare", "x")] if n == 3 else []),
    )
    RUNS.append(made)
client.set_terminated(RUNS[0], "FAILED", end_time=NOW + 100)


def found(text="", **more):
    """Places of the runs that a filter finds."""
    return [RUNS.index(run.info.run_id) for run in client.search_runs([EXPERIMENT], text, **more)]


def check_filters_find_what_they_say():
    every = list(range(10))[::-1]
    for text, wanted in {
        "": every,
        "metrics.loss < 0.2": [9, 8, 7, 6, 5],
        "metrics.loss <= 0.2 AND metrics.loss > 0.12": [7, 6, 5, 4],
        'metrics."odd name" = 3': [3],
        "metrics.`odd name` >= 8": [9, 8],
        "params.kind = 'even'": [8, 6, 4, 2, 0],
        "params.kind != 'even' and tags.team = 'a'": [3, 1],
        "tags.team LIKE 'b'": [],
        "tags.team ILIKE 'b'": [9, 8, 7, 6, 5],
        "tags.rare IS NOT NULL": [3],
        "tags.rare IS NULL AND params.lr = '0.3'": [],
        "attributes.status = 'FAILED'": [0],
        "status != 'FAILED' AND attributes.run_name LIKE 'run %'": every[:-1],
        "attributes.run_name IN ('run 1', 'run 2')": [2, 1],
        "run_name = 'run 4'": [4],
        f"attributes.run_id = '{RUNS[6]}'": [6],
        f"attributes.run_id IN ('{RUNS[6]}', '{RUNS[7]}')": [7, 6],
        f"attributes.start_time >= {NOW + 8}": [9, 8],
        f"attributes.end_time = {NOW + 100}": [0],
        "tags.mlflow.runName = 'run 5'": [5],
        "metrics.none > 0": [],
        "metrics.loss < 0.2 OR params.lr = '0.0'": [9, 8, 7, 6, 5, 0],
    }.items():
        assert found(text) == wanted, (text, found(text))


def check_orders_sort_by_anything():
    assert found(order_by=["metrics.loss ASC"]) == list(range(10))[::-1]
    assert found(order_by=["metrics.loss DESC"]) == list(range(10))
    assert found(order_by=["params.kind ASC", "attributes.start_time DESC"]) == [
        8, 6, 4, 2, 0, 9, 7, 5, 3, 1,
    ]  # fmt: skip
    assert found(order_by=["tags.rare DESC", "start_time ASC"])[0] == 3
    assert found(order_by=['metrics."odd name" DESC']) == list(range(10))[::-1]


def check_pages_follow_each_other():
    pages, token = [], None
    while True:
        page = client.search_runs(
            [EXPERIMENT], order_by=["metrics.loss"], max_results=4, page_token=token
        )
        pages.append([RUNS.index(run.info.run_id) for run in page])
        token = page.token
        if not token:
            break
    assert pages == [[9, 8, 7, 6], [5, 4, 3, 2], [1, 0]]
    enough = mlflow.search_runs(
        [EXPERIMENT], order_by=["metrics.loss"], max_results=7, output_format="list"
    )
    assert len(enough) == 7


def check_deleted_runs_are_found_when_asked_for():
    experiment = client.create_experiment(fresh())
    keep, gone = (client.create_run(experiment).info.run_id for _ in range(2))
    client.delete_run(gone)

    def ids(view):
        return {run.info.run_id for run in client.search_runs([experiment], run_view_type=view)}

    assert ids(ViewType.ACTIVE_ONLY) == {keep}
    assert ids(ViewType.DELETED_ONLY) == {gone}
    assert ids(ViewType.ALL) == {keep, gone}
    client.delete_experiment(experiment)
    assert ids(ViewType.ACTIVE_ONLY) == set()
    assert ids(ViewType.DELETED_ONLY) == {keep, gone}


def check_several_experiments_are_searched_at_once():
    other = client.create_experiment(fresh())
    made = client.create_run(other).info.run_id
    runs = client.search_runs([EXPERIMENT, other], max_results=50)
    assert {run.info.experiment_id for run in runs} == {EXPERIMENT, other}
    assert made in {run.info.run_id for run in runs}
    assert client.search_runs(["999999999"]) == [], "as MLflow's server says it"
    assert len(client.search_runs(["999999999", other])) == 1


def check_found_runs_are_whole():
    (run,) = client.search_runs([EXPERIMENT], "params.lr = '0.3'")
    assert run.data.metrics == {"loss": 0.25, "odd name": 3.0}
    assert run.data.params == {"lr": "0.3", "kind": "odd"}
    assert run.data.tags["rare"] == "x"
    assert run.info.start_time == NOW + 3


def check_searches_that_make_no_sense_are_refused():
    for text in (
        "metrics.loss",
        "metrics.loss = 'x'",
        "params.lr = 3",
        "nonsense.a = 'x'",
        "attributes.nonsense = 'x'",
        "status > 'FAILED'",
        "metrics.loss < 1 AND",
    ):
        refused("INVALID_PARAMETER_VALUE", lambda text=text: client.search_runs([EXPERIMENT], text))
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.search_runs([EXPERIMENT], order_by=["nonsense.x"]),
    )
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.search_runs([EXPERIMENT], page_token="nonsense"),
    )
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_runs([EXPERIMENT], max_results=50_001))


def check_datasets_are_inputs_of_runs():
    run = client.create_run(EXPERIMENT).info.run_id
    dataset = Dataset(
        name="digits/train 1",
        digest="abc123",
        source_type="http",
        source=json.dumps({"url": "https://example.org/digits.csv"}),
        schema=json.dumps({"columns": []}),
        profile=json.dumps({"rows": 10}),
    )
    tag = InputTag("mlflow.data.context", "training")
    for _ in range(2):
        client.log_inputs(run, datasets=[DatasetInput(dataset, [tag])])
    (one,) = client.get_run(run).inputs.dataset_inputs
    assert dict(one.dataset) == dict(dataset)
    assert [(tag.key, tag.value) for tag in one.tags] == [("mlflow.data.context", "training")]
    for text in (
        "dataset.name = 'digits/train 1'",
        "datasets.digest = 'abc123'",
        "dataset.context LIKE 'train%'",
    ):
        (hit,) = client.search_runs([EXPERIMENT], text)
        assert hit.info.run_id == run
        assert hit.inputs.dataset_inputs[0].dataset.name == "digits/train 1"
    client.delete_run(run)


def check_what_is_written_is_read_at_once():
    run = client.create_run(EXPERIMENT).info.run_id
    for n in range(20):
        client.set_tag(run, "n", str(n))
        assert client.get_run(run).data.tags["n"] == str(n)
        client.log_param(run, f"p{n}", "x")
        assert [one.info.run_id for one in client.search_runs([EXPERIMENT], f"params.p{n} = 'x'")]
    client.delete_run(run)
