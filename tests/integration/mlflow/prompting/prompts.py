"""MLflow's prompts, which are models of its registry: made, found, loaded by alias, linked."""

import mlflow
from mlflow import MlflowClient
from refusing import fresh

client = MlflowClient()


def check_a_prompt_is_registered_in_versions_and_loaded():
    name = fresh("prompt")
    first = client.register_prompt(name, "Hello {{you}}", commit_message="first", tags={"a": "1"})
    second = client.register_prompt(name, "Good day {{you}}", commit_message="second")
    assert (first.version, second.version) == (1, 2)
    assert client.load_prompt(name, 1).template == "Hello {{you}}"
    assert client.load_prompt(f"prompts:/{name}/2").format(you="Ada") == "Good day Ada"
    assert client.get_prompt_version(name, "1").tags["a"] == "1"
    client.set_prompt_alias(name, "live", 1)
    assert client.load_prompt(f"prompts:/{name}@live").version == 1
    assert client.get_prompt_version_by_alias(name, "live").version == 1
    client.delete_prompt_alias(name, "live")
    client.set_prompt_tag(name, "team", "a")
    assert client.get_prompt(name).tags["team"] == "a"
    client.delete_prompt_tag(name, "team")
    client.set_prompt_version_tag(name, "2", "q", "good")
    assert client.get_prompt_version(name, "2").tags["q"] == "good"
    client.delete_prompt_version_tag(name, "2", "q")
    assert name in [one.name for one in client.search_prompts(f"name = '{name}'")]


def check_prompts_are_no_models():
    prompt, model = fresh("prompt"), fresh("model")
    client.register_prompt(prompt, "Hello")
    client.create_registered_model(model)
    assert prompt not in [one.name for one in client.search_registered_models()]
    assert model not in [one.name for one in client.search_prompts()]


def check_a_prompt_that_a_run_uses_is_linked_to_it():
    name = fresh("prompt")
    mlflow.set_experiment(fresh())
    made = client.register_prompt(name, "Hello {{you}}")
    with mlflow.start_run() as run:
        used = mlflow.genai.load_prompt(f"prompts:/{name}/1")
        client.link_prompt_version_to_run(run.info.run_id, made)
        with mlflow.start_span("asked") as span:
            used.format(you="Ada")
            mlflow.genai.load_prompt(f"prompts:/{name}/1")
    mlflow.flush_trace_async_logging()
    assert name in client.get_run(run.info.run_id).data.tags["mlflow.linkedPrompts"]
    # Older clients note the runs in a tag of the version.
    client.set_prompt_version_tag(name, "1", "mlflow.prompt.associatedRunIds", run.info.run_id)
    assert [one.name for one in client.list_logged_prompts(run.info.run_id)] == [name]
    client.link_prompt_versions_to_trace([made], span.trace_id)
    tags = mlflow.get_trace(span.trace_id).info.tags
    assert name in tags["mlflow.linkedPrompts"]
    model = mlflow.initialize_logged_model("asker")
    client.link_prompt_version_to_model(name, "1", model.model_id)
    assert name in str(client.get_logged_model(model.model_id).tags)
