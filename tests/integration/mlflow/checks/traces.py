"""Traces through MLflow's client: spans by OTLP, search, tags, feedback, links to runs."""

import gzip
import json
import os
import time
from contextlib import suppress

# One check waits for what is sent behind its back; the others need not.
os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, SpanType
from refusing import fresh, refused

client = MlflowClient()


def here():
    where = mlflow.set_experiment(fresh()).experiment_id
    return where


@mlflow.trace(name="answer", span_type=SpanType.CHAIN)
def answer(question):
    with mlflow.start_span("retrieve", span_type=SpanType.RETRIEVER) as span:
        span.set_inputs({"query": question})
        span.set_outputs(["doc ü"])
    if question == "fail":
        raise ValueError("no answer")
    return question.upper()


def traced(question="why?"):
    answer(question)
    return flushed()


def flushed():
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def found(where, filter_string=None, **more):
    traces = client.search_traces(experiment_ids=[where], filter_string=filter_string, **more)
    return [one.info.trace_id for one in traces]


def check_a_traced_call_is_read_back_with_its_spans():
    where = here()
    trace = mlflow.get_trace(traced())
    assert trace.info.experiment_id == where
    assert trace.info.state == "OK"
    assert trace.info.tags["mlflow.traceName"] == "answer"
    assert trace.info.tags["mlflow.trace.spansLocation"] == "TRACKING_STORE"
    assert json.loads(trace.info.request_preview) == {"question": "why?"}
    assert trace.info.response_preview.strip('"') == "WHY?"
    root, child = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    assert (root.name, root.span_type, root.inputs) == ("answer", "CHAIN", {"question": "why?"})
    assert root.outputs == "WHY?"
    assert (child.name, child.span_type, child.parent_id) == (
        "retrieve",
        "RETRIEVER",
        root.span_id,
    )
    assert child.outputs == ["doc ü"]
    assert trace.info.execution_duration >= (root.end_time_ns - root.start_time_ns) // 10**6


def check_a_failed_call_says_so():
    where = here()
    with suppress(ValueError):
        answer("fail")
    trace = mlflow.get_trace(flushed())
    assert trace.info.state == "ERROR"
    root = next(span for span in trace.data.spans if span.parent_id is None)
    assert root.events[0].name == "exception"
    assert found(where, "status = 'ERROR'") == [trace.info.trace_id]
    assert found(where, "trace.status = 'OK'") == []


def check_traces_are_searched_by_mlflows_filters():
    where = here()
    first, second = traced("one"), traced("two")
    client.set_trace_tag(first, "team", "vision")
    client.set_trace_tag(second, "team", "speech")
    for filter_string, wanted in (
        ("tags.team = 'vision'", [first]),
        ("tag.team != 'vision'", [second]),
        ("tags.team LIKE 'v%'", [first]),
        ("tags.team ILIKE 'V%' AND status = 'OK'", [first]),
        ("tags.team RLIKE '^s.*h$'", [second]),
        ("tags.missing IS NULL", [second, first]),
        ("name = 'answer'", [second, first]),
        ("attributes.name IN ('other')", []),
        (f"request_id = '{first}'", [first]),
        ("span.name = 'retrieve'", [second, first]),
        ("span.type = 'RETRIEVER' AND tags.team = 'speech'", [second]),
        ("span.name LIKE 'x%'", []),
        ("timestamp_ms > 0 AND execution_time_ms >= 0", [second, first]),
        ("timestamp < 5", []),
        ("metadata.`mlflow.source.type` = 'nothing'", []),
        ("tags.team = 'vision' OR tags.team = 'speech'", [second, first]),
    ):
        assert found(where, filter_string) == wanted, filter_string
    refused("INVALID_PARAMETER_VALUE", lambda: found(where, "nonsense = 'x'"), "Invalid")
    refused("INVALID_PARAMETER_VALUE", lambda: found(where, "status > 'OK'"), "comparator")
    refused("INVALID_PARAMETER_VALUE", lambda: found(where, "status ="))
    refused("INVALID_PARAMETER_VALUE", lambda: found(where, order_by=["nonsense"]), "order_by")


def check_traces_come_in_order_and_by_pages():
    where = here()
    ids = [traced(str(number)) for number in range(5)]
    assert found(where) == ids[::-1]
    assert found(where, order_by=["timestamp_ms ASC"]) == ids
    seen, token = [], None
    while True:
        page = client.search_traces(
            experiment_ids=[where], max_results=2, page_token=token, order_by=["timestamp ASC"]
        )
        seen += [one.info.trace_id for one in page]
        token = page.token
        if not token:
            break
    assert seen == ids
    spans = client.search_traces(experiment_ids=[where], max_results=1)[0].data.spans
    assert [span.name for span in spans] == ["answer", "retrieve"]
    spare = client.search_traces(experiment_ids=[where], max_results=1, include_spans=False)
    assert spare[0].data.spans == []


def check_tags_of_a_trace():
    here()
    trace_id = traced()
    client.set_trace_tag(trace_id, "a", "1")
    client.set_trace_tag(trace_id, "a", "2")
    client.set_trace_tag(trace_id, "b", "")
    tags = mlflow.get_trace(trace_id).info.tags
    assert (tags["a"], tags["b"]) == ("2", "")
    client.delete_trace_tag(trace_id, "a")
    assert "a" not in mlflow.get_trace(trace_id).info.tags
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_trace_tag(trace_id, "a"))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.set_trace_tag("tr-" + "0" * 32, "a", "b"))


def check_traces_are_deleted_with_their_spans():
    where = here()
    first, second, third = traced("1"), traced("2"), traced("3")
    assert client.delete_traces(where, trace_ids=[second, "tr-" + "0" * 32]) == 1
    assert found(where) == [third, first]
    assert client.delete_traces(where, trace_ids=[second]) == 0
    until = int(time.time() * 1000) + 60_000
    assert client.delete_traces(where, max_timestamp_millis=until, max_traces=1) == 1
    assert found(where) == [third], "the oldest goes first"
    assert client.delete_traces(where, max_timestamp_millis=until) == 1
    assert found(where) == []
    refused("INVALID_PARAMETER_VALUE", lambda: client.delete_traces(where))


def check_feedback_and_expectations():
    where = here()
    trace_id = traced()
    judge = AssessmentSource(source_type="LLM_JUDGE", source_id="gpt")
    good = mlflow.log_feedback(
        trace_id=trace_id,
        name="good",
        value=True,
        source=judge,
        rationale="so",
        metadata={"k": "v"},
    )
    mlflow.log_feedback(trace_id=trace_id, name="score", value=0.75)
    mlflow.log_expectation(trace_id=trace_id, name="facts", value={"a": [1, 2]})
    by_name = {one.name: one for one in mlflow.get_trace(trace_id).info.assessments}
    assert by_name["good"].value is True
    assert by_name["good"].source.source_id == "gpt"
    assert (by_name["good"].rationale, by_name["good"].metadata) == ("so", {"k": "v"})
    assert by_name["facts"].value == {"a": [1, 2]}
    assert mlflow.get_assessment(trace_id, good.assessment_id).name == "good"
    for filter_string, wanted in (
        ("feedback.good = 'true'", [trace_id]),
        ("feedback.good = 'false'", []),
        ("feedback.score > 0.5", [trace_id]),
        ("feedback.score > 0.8", []),
        ("feedback.absent IS NULL", [trace_id]),
        ("expectation.facts IS NOT NULL", [trace_id]),
    ):
        assert found(where, filter_string) == wanted, filter_string


def check_feedback_is_changed_overridden_and_deleted():
    here()
    trace_id = traced()
    said = mlflow.log_feedback(trace_id=trace_id, name="good", value="no", metadata={"a": "1"})
    changed = mlflow.update_assessment(
        trace_id=trace_id,
        assessment_id=said.assessment_id,
        assessment=mlflow.entities.Feedback(
            name="better", value="yes", rationale="sure", metadata={"b": "2"}
        ),
    )
    assert (changed.name, changed.value, changed.rationale) == ("better", "yes", "sure")
    assert changed.metadata == {"a": "1", "b": "2"}
    instead = mlflow.override_feedback(
        trace_id=trace_id, assessment_id=said.assessment_id, value="maybe"
    )
    before = mlflow.get_assessment(trace_id, said.assessment_id)
    assert (before.valid, instead.valid, instead.overrides) == (False, True, said.assessment_id)
    mlflow.delete_assessment(trace_id, instead.assessment_id)
    assert mlflow.get_assessment(trace_id, said.assessment_id).valid
    refused(
        "RESOURCE_DOES_NOT_EXIST", lambda: mlflow.get_assessment(trace_id, instead.assessment_id)
    )


def check_feedback_that_failed_keeps_its_error():
    here()
    trace_id = traced()
    failed = mlflow.log_feedback(
        trace_id=trace_id, name="good", error=ValueError("judge fell over")
    )
    known = mlflow.get_assessment(trace_id, failed.assessment_id)
    assert known.value is None
    assert known.error.error_message == "judge fell over"


def check_a_trace_within_a_run_belongs_to_it():
    where = here()
    outside = traced()
    with mlflow.start_run() as run:
        inside = traced()
    assert mlflow.get_trace(inside).info.trace_metadata["mlflow.sourceRun"] == run.info.run_id
    assert found(where, f"run_id = '{run.info.run_id}'") == [inside]
    client.link_traces_to_run([outside], run.info.run_id)
    assert set(found(where, f"attribute.run_id = '{run.info.run_id}'")) == {inside, outside}
    refused(
        "RESOURCE_DOES_NOT_EXIST",
        lambda: client.link_traces_to_run(["tr-" + "0" * 32], run.info.run_id),
    )


def check_spans_that_a_client_starts_and_ends_itself():
    where = here()
    root = client.start_trace(name="outer", inputs={"a": 1}, tags={"t": "1"}, experiment_id=where)
    child = client.start_span("inner", trace_id=root.trace_id, parent_id=root.span_id)
    client.end_span(root.trace_id, child.span_id, outputs={"b": 2})
    client.end_trace(root.trace_id, outputs={"c": 3})
    mlflow.flush_trace_async_logging()
    trace = client.get_trace(root.trace_id)
    assert {span.name for span in trace.data.spans} == {"outer", "inner"}
    assert trace.info.tags["t"] == "1"


def exported(body, **headers):
    return requests.post(
        f"{os.environ['MLFLOW_TRACKING_URI']}/v1/traces",
        data=body,
        headers={"authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}", **headers},
        timeout=60,
    )


def otlp(trace_id):
    span = {
        "traceId": trace_id,
        "spanId": "00000000000000aa",
        "name": "from afar",
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000001500000000",
        "status": {"code": 1},
        "attributes": [
            {"key": "session.id", "value": {"stringValue": "s-1"}},
            {"key": "mlflow.spanType", "value": {"stringValue": "LLM"}},
        ],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()


def check_traces_are_sorted_by_what_mlflow_sorts_by():
    where = here()
    first = traced()
    with mlflow.start_run() as run:
        second = traced()
    assert run.info.run_id
    for order, wanted in (
        (["run_id ASC"], [second, first]),  # what has no run comes last
        (["experiment_id ASC", "timestamp_ms ASC"], [first, second]),
        (["timestamp DESC"], [second, first]),
        (["trace_id DESC"], sorted([first, second], reverse=True)),
    ):
        assert found(where, order_by=order) == wanted, order


def check_what_spans_hold_is_searched():
    where = here()
    why, how = traced("why ü?"), traced("how?")
    with suppress(ValueError):
        answer("fail")
    failed = flushed()
    for filter_string, wanted in (
        ("span.content LIKE '%why ü?%'", [why]),
        ("trace.text ILIKE '%WHY Ü?%'", [why]),
        ("span.content LIKE '%no such words%'", []),
        ("trace.text LIKE '%no answer%'", [failed]),
        ("span.attributes.mlflow.spanType = 'RETRIEVER'", [failed, how, why]),
        ("span.attributes.mlflow.spanOutputs ILIKE '%doc ü%'", [failed, how, why]),
        ("span.attributes.mlflow.spanInputs LIKE '%how%' AND span.name = 'answer'", [how]),
        ("span.attributes.mlflow.spanInputs RLIKE 'why.*[?]'", [why]),
        ("span.attributes.mlflow.spanType IN ('CHAIN', 'LLM')", [failed, how, why]),
        ("span.attributes.absent = 'x'", []),
        # Conditions of spans hold of one span.
        ("span.name = 'retrieve' AND span.status = 'ERROR'", []),
        ("span.name = 'answer' AND span.status = 'ERROR'", [failed]),
        ("span.name = 'retrieve' OR span.status = 'ERROR'", [failed, how, why]),
    ):
        assert found(where, filter_string) == wanted, filter_string
    for wrong in ("span.content = 'x'", "span.attributes. = 'x'", "span.nothing = 'x'"):
        refused("INVALID_PARAMETER_VALUE", lambda wrong=wrong: found(where, wrong))


def exporting(where, *spans, resource=()):
    """Send spans of one trace as any exporter does: ids, parents and attributes."""
    trace_id = os.urandom(16).hex()

    def send(*some):
        body = {
            "resource": {"attributes": attributes(dict(resource))},
            "scopeSpans": [{"spans": [made(trace_id, *one) for one in some]}],
        }
        answer = exported(
            json.dumps({"resourceSpans": [body]}).encode(),
            **{"content-type": "application/json", "x-mlflow-experiment-id": where},
        )
        assert answer.status_code == 200, answer.text
        return client.get_trace(f"tr-{trace_id}").info

    return send, send(*spans)


def made(trace_id, span_id, parent_id, values):
    span = {
        "traceId": trace_id,
        "spanId": f"{span_id:016x}",
        "name": f"span {span_id}",
        "startTimeUnixNano": str(1_700_000_000_000_000_000 + span_id),
        "endTimeUnixNano": "1700000001500000000",
        "attributes": attributes(values),
    }
    return {**span, "parentSpanId": f"{parent_id:016x}"} if parent_id else span


def attributes(values):
    kinds = {int: "intValue", str: "stringValue", float: "doubleValue"}
    return [{"key": key, "value": {kinds[type(one)]: one}} for key, one in values.items()]


def check_tokens_and_costs_are_summed_over_spans_of_any_exporter():
    where = here()
    genai = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5}
    told = {
        "mlflow.chat.tokenUsage": json.dumps(
            {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        ),
        "mlflow.llm.cost": json.dumps({"input_cost": 0.5, "output_cost": 1, "total_cost": 1.5}),
    }
    send, first = exporting(where, (1, 0, {}), (2, 1, genai), (3, 2, genai))
    usage = json.loads(first.trace_metadata["mlflow.trace.tokenUsage"])
    assert usage == {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}, "not twice"
    late = send((4, 1, told))
    assert json.loads(late.trace_metadata["mlflow.trace.tokenUsage"])["total_tokens"] == 18
    cost = json.loads(late.trace_metadata["mlflow.trace.cost"])
    assert cost == {"input_cost": 0.5, "output_cost": 1, "total_cost": 1.5}
    assert send((4, 1, told)).trace_metadata == late.trace_metadata, "again is once"
    _, silent = exporting(where, (1, 0, {}))
    assert "mlflow.trace.tokenUsage" not in silent.trace_metadata


def check_what_made_spans_is_kept_as_tags():
    where = here()
    resource = {"service.name": "shop", "telemetry.sdk.name": "x", "mlflow.y": "z", "cores": 4}
    _, info = exporting(where, (1, 0, {"mlflow.traceTag.service.name": "own"}), resource=resource)
    assert info.tags["service.name"] == "own", "what the application says itself comes first"
    assert info.tags["cores"] == "4"
    assert not {"telemetry.sdk.name", "mlflow.y"} & info.tags.keys()
    assert found(where, "tags.`cores` = '4'") == [info.trace_id]


def check_spans_of_any_exporter_make_a_trace():
    where = here()
    trace_id = os.urandom(16).hex()
    body, plain = otlp(trace_id), {"content-type": "application/json"}
    in_experiment = {**plain, "x-mlflow-experiment-id": where}
    packed = exported(gzip.compress(body), **in_experiment, **{"content-encoding": "gzip"})
    assert packed.status_code == 200, packed.text
    assert exported(body, **in_experiment).status_code == 200, "again is once"
    trace = client.get_trace(f"tr-{trace_id}")
    assert (trace.info.state, trace.info.execution_duration) == ("OK", 1500)
    assert trace.info.request_time == 1_700_000_000_000
    assert trace.info.trace_metadata["mlflow.trace.session"] == "s-1"
    assert [(span.name, span.span_type) for span in trace.data.spans] == [("from afar", "LLM")]
    assert exported(body, **plain).status_code == 400
    assert exported(b"{", **in_experiment).status_code == 400
    assert exported(body, **in_experiment, **{"content-encoding": "gzip"}).status_code == 400
    assert exported(b"x", **{**in_experiment, "content-type": "text/plain"}).status_code == 400
