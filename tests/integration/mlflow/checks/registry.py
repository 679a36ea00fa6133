"""The model registry through MLflow's client."""

from mlflow import MlflowClient
from refusing import fresh, refused

client = MlflowClient()


def version_of(name, source="s3://bucket/model", **more):
    return client.create_model_version(name, source, **more)


def check_a_model_is_created_read_described_and_renamed():
    name = fresh("Modèle één")
    made = client.create_registered_model(name, tags={"team": "vision"}, description="first")
    assert (made.name, made.description, made.tags) == (name, "first", {"team": "vision"})
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.create_registered_model(name), name)
    assert client.update_registered_model(name, "second").description == "second"
    other = fresh()
    client.rename_registered_model(name, other)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_registered_model(name), "not found")
    found = client.get_registered_model(other)
    assert (found.name, found.description) == (other, "second")
    assert found.last_updated_timestamp >= found.creation_timestamp == made.creation_timestamp


def check_names_that_are_no_names_are_refused():
    for name in ("a/b", "a:b"):
        refused(
            "INVALID_PARAMETER_VALUE",
            lambda name=name: client.create_registered_model(name),
            "cannot contain",
        )
    for name in ("", "  "):
        refused("INVALID_PARAMETER_VALUE", lambda name=name: client.create_registered_model(name))
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_registered_model("n" * 257))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_registered_model(fresh("missing")))
    taken, other = fresh(), fresh()
    client.create_registered_model(taken)
    client.create_registered_model(other)
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.rename_registered_model(other, taken))


def check_a_deleted_model_is_gone_and_its_name_is_free():
    name = fresh()
    client.create_registered_model(name)
    version_of(name)
    version_of(name)
    client.delete_registered_model(name)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_registered_model(name))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_registered_model(name))
    client.create_registered_model(name)
    assert version_of(name).version in (1, "1")


def check_tags_of_models_and_versions():
    name = fresh()
    client.create_registered_model(name)
    version = version_of(name, tags={"a": "1"}).version
    client.set_registered_model_tag(name, "team", "vision")
    client.set_registered_model_tag(name, "empty", "")
    client.set_model_version_tag(name, version, "b", "2")
    assert client.get_registered_model(name).tags == {"team": "vision", "empty": ""}
    assert client.get_model_version(name, version).tags == {"a": "1", "b": "2"}
    client.delete_registered_model_tag(name, "team")
    client.delete_registered_model_tag(name, "never")
    client.delete_model_version_tag(name, version, "a")
    assert client.get_registered_model(name).tags == {"empty": ""}
    assert client.get_model_version(name, version).tags == {"b": "2"}


def check_versions_count_up_and_are_described_and_deleted():
    name = fresh()
    client.create_registered_model(name)
    first = version_of(name, description="one")
    second = version_of(name, "https://models.example.org/two")
    assert [int(one.version) for one in (first, second)] == [1, 2]
    assert (first.status, first.current_stage, first.description) == ("READY", "None", "one")
    assert second.source == "https://models.example.org/two"
    assert client.get_model_version_download_uri(name, 2) == second.source
    assert client.update_model_version(name, 1, "uno").description == "uno"
    client.delete_model_version(name, 1)
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_model_version(name, 1))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.get_model_version(name, 99))
    refused("INVALID_PARAMETER_VALUE", lambda: client.get_model_version(name, "one"))
    assert int(version_of(name).version) == 3
    refused("RESOURCE_DOES_NOT_EXIST", lambda: version_of(fresh("missing")))


def check_sources_that_climb_or_are_elsewhere_are_refused():
    name = fresh()
    client.create_registered_model(name)
    for source in (
        "s3://bucket/a/../../b",
        "/etc/passwd",
        "file:///etc",
        "mlflow-artifacts:/0/" + "0" * 32 + "/artifacts/model",
        "runs:/" + "0" * 32 + "/model",
        "models:/m-" + "0" * 32,
    ):
        refused("INVALID_PARAMETER_VALUE", lambda source=source: version_of(name, source))


def check_aliases_are_held_by_one_version():
    name = fresh()
    client.create_registered_model(name)
    version_of(name)
    version_of(name)
    client.set_registered_model_alias(name, "Champion_1", 1)
    client.set_registered_model_alias(name, "Champion_1", 2)
    assert int(client.get_model_version_by_alias(name, "Champion_1").version) == 2
    assert client.get_model_version(name, 2).aliases == ["Champion_1"]
    assert client.get_model_version(name, 1).aliases == []
    aliases = client.get_registered_model(name).aliases
    assert {alias: int(version) for alias, version in aliases.items()} == {"Champion_1": 2}
    client.delete_registered_model_alias(name, "Champion_1")
    client.delete_registered_model_alias(name, "Champion_1")
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.get_model_version_by_alias(name, "Champion_1"),
        "not found",
    )
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.set_registered_model_alias(name, "a", 9))
    for alias in ("latest", "v1", "a b"):
        refused(
            "INVALID_PARAMETER_VALUE",
            lambda alias=alias: client.set_registered_model_alias(name, alias, 1),
        )


def check_stages_archive_who_was_there():
    name = fresh()
    client.create_registered_model(name)
    for _ in range(3):
        version_of(name)
    assert client.transition_model_version_stage(name, 1, "Production").current_stage == (
        "Production"
    )
    client.transition_model_version_stage(name, 2, "production", archive_existing_versions=True)
    assert client.get_model_version(name, 1).current_stage == "Archived"
    newest = {one.current_stage: int(one.version) for one in client.get_latest_versions(name)}
    assert newest == {"Archived": 1, "Production": 2, "None": 3}
    (only,) = client.get_latest_versions(name, ["Production"])
    assert int(only.version) == 2
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.transition_model_version_stage(name, 1, "Nowhere"),
        "Invalid Model Version stage",
    )
    refused(
        "INVALID_PARAMETER_VALUE",
        lambda: client.transition_model_version_stage(
            name, 1, "None", archive_existing_versions=True
        ),
        "not an Active stage",
    )


def check_models_are_searched_by_name_and_tag_page_by_page():
    word = fresh("find")
    names = [f"{word}-{number}" for number in range(5)]
    for number, name in enumerate(names):
        client.create_registered_model(name, tags={"odd": str(number % 2)})
    text = f"name LIKE '{word}%'"
    assert [one.name for one in client.search_registered_models(text)] == names
    found = client.search_registered_models(f"{text} AND tags.odd = '1'", order_by=["name DESC"])
    assert [one.name for one in found] == [names[3], names[1]]
    met, token = [], None
    while True:
        page = client.search_registered_models(text, max_results=2, page_token=token)
        met += [one.name for one in page]
        token = page.token
        if not token:
            break
    assert met == names
    for filter_string in ("name > 'a'", "nome = 'a'", "name = 'a' OR name = 'b'"):
        refused(
            "INVALID_PARAMETER_VALUE",
            lambda text=filter_string: client.search_registered_models(text),
        )
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_registered_models(max_results=1001))
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_registered_models(order_by=["colour"]))


def check_versions_are_searched():
    name = fresh()
    client.create_registered_model(name)
    for number in range(3):
        version_of(name, f"s3://bucket/{number}", tags={"n": str(number)})
    everything = client.search_model_versions(f"name = '{name}'")
    assert [int(one.version) for one in everything] == [3, 2, 1]
    (found,) = client.search_model_versions(f"name = '{name}' AND tags.n = '1'")
    assert int(found.version) == 2
    (found,) = client.search_model_versions(f"name = '{name}' AND source_path LIKE '%/2'")
    assert int(found.version) == 3
    met, token = [], None
    while True:
        page = client.search_model_versions(
            f"name = '{name}'", max_results=1, order_by=["version_number ASC"], page_token=token
        )
        met += [int(one.version) for one in page]
        token = page.token
        if not token:
            break
    assert met == [1, 2, 3]


def check_a_version_is_copied():
    name, target = fresh(), fresh()
    client.create_registered_model(name)
    version_of(name)
    copied = client.copy_model_version(f"models:/{name}/1", target)
    assert (copied.name, int(copied.version)) == (target, 1)
    assert copied.source
