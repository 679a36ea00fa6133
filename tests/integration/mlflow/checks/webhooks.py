"""Webhooks of the registry through MLflow's client, with a receiver that checks signatures."""

import base64
import hashlib
import hmac
import json
import os
import queue
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import requests
from mlflow import MlflowClient
from refusing import fresh, refused, requested

client = MlflowClient()
SECRET = "a-secret-of-the-test"
EVENTS = [
    "registered_model.created",
    "model_version.created",
    "model_version_tag.set",
    "model_version_tag.deleted",
    "model_version_alias.created",
    "model_version_alias.deleted",
]


@contextmanager
def receiver(status=200):
    got = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            got.put((dict(self.headers.items()), body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()


def told(got):
    headers, body = got.get(timeout=30)
    names = {name.lower(): value for name, value in headers.items()}
    signed = f"{names['x-mlflow-delivery-id']}.{names['x-mlflow-timestamp']}.".encode() + body
    mac = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert names["x-mlflow-signature"] == f"v1,{mac}"
    content = json.loads(body)
    assert content["timestamp"]
    return f"{content['entity']}.{content['action']}", content["data"]


def check_what_happens_to_models_is_told_and_signed():
    with receiver() as (url, got):
        made = client.create_webhook(fresh("hook"), url, EVENTS, secret=SECRET)
        name = fresh("model")
        client.create_registered_model(name, tags={"t": "1"}, description="trees")
        version = client.create_model_version(name, "s3://bucket/model", tags={"a": "b"})
        client.set_model_version_tag(name, version.version, "k", "v")
        client.delete_model_version_tag(name, version.version, "k")
        client.set_registered_model_alias(name, "champion", version.version)
        client.delete_registered_model_alias(name, "champion")
        found = dict(told(got) for _ in EVENTS)
        assert found["registered_model.created"] == {
            "name": name,
            "tags": {"t": "1"},
            "description": "trees",
        }
        created = found["model_version.created"]
        assert (created["name"], created["version"]) == (name, "1")
        assert (created["source"], created["run_id"]) == ("s3://bucket/model", None)
        assert created["tags"] == {"a": "b"}
        one = {"name": name, "version": "1", "key": "k"}
        assert found["model_version_tag.set"] == {**one, "value": "v"}
        assert found["model_version_tag.deleted"] == one
        alias = {"name": name, "alias": "champion"}
        assert found["model_version_alias.created"] == {**alias, "version": "1"}
        assert found["model_version_alias.deleted"] == alias
        client.delete_webhook(made.webhook_id)


def platforms(path, body):
    """Call the platform's own API."""
    answer = requests.post(
        f"{os.environ['MLFLOW_TRACKING_URI']}/v1/{os.environ['CHECKED_ORG']}/{path}",
        json=body,
        headers={"authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def check_models_of_every_project_are_told_of():
    with receiver() as (url, got):
        made = client.create_webhook(fresh("hook"), url, EVENTS, secret=SECRET)
        project, model = fresh("later"), fresh("model")
        platforms("projects", {"projectId": project})
        platforms(f"projects/{project}/models", {"modelId": model, "displayName": model})
        event, data = told(got)
        assert (event, data["name"]) == ("registered_model.created", model)
        client.delete_webhook(made.webhook_id)


def check_webhooks_are_listed_in_pages():
    names = [fresh("page") for _ in range(3)]
    for name in names:
        client.create_webhook(name, "https://example.org/hook", EVENTS)
    met, token = [], None
    while True:
        page = client.list_webhooks(max_results=1, page_token=token)
        assert len(page) <= 1
        met += [one.name for one in page]
        token = page.token
        if not token:
            break
    assert set(names) <= set(met)
    assert len(set(met)) == len(met)
    refused("INVALID_PARAMETER_VALUE", lambda: client.list_webhooks(page_token="nowhere"))


def check_webhooks_are_listed_changed_and_deleted():
    url = "https://example.org/hook"
    name = fresh("hook")
    made = client.create_webhook(name, url, ["model_version.created"], description="why")
    assert (made.name, made.url, made.description) == (name, url, "why")
    assert made.status == "ACTIVE"
    assert made.webhook_id in [one.webhook_id for one in client.list_webhooks()]
    changed = client.update_webhook(
        made.webhook_id, description="other", events=["prompt.created"], status="DISABLED"
    )
    assert (changed.name, changed.description, changed.status) == (name, "other", "DISABLED")
    found = client.get_webhook(made.webhook_id)
    assert [str(event) for event in found.events] == ["prompt.created"]
    assert found.last_updated_timestamp >= found.creation_timestamp
    client.delete_webhook(made.webhook_id)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_webhook(made.webhook_id))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_webhook("none"))
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_webhook("bad name", url, EVENTS))
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_webhook(name, "ftp://x", EVENTS))


def check_a_webhook_is_tried():
    with receiver() as (url, got):
        made = client.create_webhook(fresh("hook"), url, EVENTS, secret=SECRET)
        result = client.test_webhook(made.webhook_id)
        assert (result.success, result.response_status) == (True, 200)
        event, data = told(got)
        assert event in EVENTS
        assert data["name"] == "example"
        assert client.test_webhook(made.webhook_id, "model_version_alias.created").success
        assert told(got)[0] == "model_version_alias.created"
        client.delete_webhook(made.webhook_id)
    with receiver(status=500) as (url, _):
        made = client.create_webhook(fresh("hook"), url, EVENTS)
        result = client.test_webhook(made.webhook_id)
        assert (result.success, result.response_status) == (False, 500)
        client.delete_webhook(made.webhook_id)


def check_prompts_are_told_as_prompts():
    with receiver() as (url, got):
        events = ["prompt.created", "prompt_version.created", "registered_model.created"]
        made = client.create_webhook(fresh("hook"), url, events, secret=SECRET)
        name = fresh("prompt")
        # As the client would; its slim form has not all that its own functions need.
        prompt = {"key": "mlflow.prompt.is_prompt", "value": "true"}
        text = {"key": "mlflow.prompt.text", "value": "Hello {{you}}"}
        requested("POST", "registered-models/create", json={"name": name, "tags": [prompt]})
        version = {"name": name, "source": "prompt-template", "tags": [prompt, text]}
        requested("POST", "model-versions/create", json=version)
        found = dict(told(got) for _ in range(2))
        assert found["prompt.created"]["name"] == name
        assert found["prompt_version.created"]["template"] == "Hello {{you}}"
        assert got.empty()
        client.delete_webhook(made.webhook_id)
