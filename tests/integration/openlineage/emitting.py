"""Runs in an environment with OpenLineage's own client: emits through each of its transports.

python emitting.py URL TOKEN
"""
# mypy: ignore-errors
# The client is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import sys

from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import (
    Dataset,
    DatasetEvent,
    InputDataset,
    Job,
    JobEvent,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)
from openlineage.client.facet_v2 import (
    column_lineage_dataset,
    dataset_version_dataset,
    error_message_run,
    job_type_job,
    nominal_time_run,
    output_statistics_output_dataset,
    parent_run,
    schema_dataset,
    sql_job,
)

PRODUCER = "https://example.org/emitting"
RUN = "0193a000-0000-7000-8000-0000000000a{}"


def main() -> None:
    """Emit the same life of a run through the plain, the compressed and the async transport."""
    url, token = sys.argv[1:]
    for number, settings in enumerate(
        ({"type": "http"}, {"type": "http", "compression": "gzip"}, {"type": "async_http"})
    ):
        transport = {**settings, "url": url, "auth": {"type": "api_key", "apiKey": token}}
        client = OpenLineageClient(config={"transport": transport})
        for event in life(RUN.format(number)):
            client.emit(event)
        assert client.close(30)


def life(run_id: str):
    """A run that begins, tells and fails, then a job and a dataset by themselves."""
    facets = {
        "parent": parent_run.ParentRunFacet(
            run=parent_run.Run(runId=RUN.format(9)), job=parent_run.Job("airflow", "daily")
        ),
        "nominalTime": nominal_time_run.NominalTimeRunFacet("2026-11-28T00:00:00Z"),
    }
    job = Job(
        "emitting",
        "totals",
        facets={
            "sql": sql_job.SQLJobFacet("select sum(amount) from orders"),
            "jobType": job_type_job.JobTypeJobFacet("BATCH", "TEST"),
        },
    )
    columns = column_lineage_dataset.ColumnLineageDatasetFacet(
        fields={
            "total": column_lineage_dataset.Fields(
                inputFields=[
                    column_lineage_dataset.InputField(
                        "warehouse",
                        "orders",
                        "amount",
                        transformations=[
                            column_lineage_dataset.Transformation("DIRECT", "AGGREGATION")
                        ],
                    )
                ]
            )
        }
    )
    fields = [schema_dataset.SchemaDatasetFacetFields("amount", "int")]
    orders = InputDataset(
        "warehouse",
        "orders",
        facets={
            "schema": schema_dataset.SchemaDatasetFacet(fields),
            "version": dataset_version_dataset.DatasetVersionDatasetFacet("7"),
        },
    )
    counted = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=3)
    totals = OutputDataset(
        "warehouse",
        "totals",
        facets={"columnLineage": columns},
        outputFacets={"outputStatistics": counted},
    )
    run = Run(runId=run_id, facets=facets)
    message = error_message_run.ErrorMessageRunFacet("no disk", "python")
    failed = Run(runId=run_id, facets={**facets, "errorMessage": message})
    for second, (state, who, inputs, outputs) in enumerate(
        (
            (RunState.START, run, [], []),
            (RunState.RUNNING, run, [orders], []),
            (RunState.FAIL, failed, [orders], [totals]),
        )
    ):
        yield RunEvent(
            eventTime=f"2026-11-28T12:00:0{second}Z",
            eventType=state,
            run=who,
            job=job,
            producer=PRODUCER,
            inputs=inputs,
            outputs=outputs,
        )
    later = "2026-11-28T12:00:03Z"
    yield JobEvent(eventTime=later, job=job, producer=PRODUCER, inputs=[orders], outputs=[totals])
    dataset = Dataset(namespace="warehouse", name="orders")
    yield DatasetEvent(eventTime=later, dataset=dataset, producer=PRODUCER)


if __name__ == "__main__":
    main()
