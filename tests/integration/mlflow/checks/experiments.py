"""Experiments through MLflow's client."""

import mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
from refusing import fresh, refused

client = MlflowClient()


def check_the_default_experiment_is_number_0():
    found = client.get_experiment("0")
    assert (found.experiment_id, found.name, found.lifecycle_stage) == ("0", "Default", "active")
    assert found.artifact_location == "mlflow-artifacts:/0"
    assert client.get_experiment_by_name("Default").experiment_id == "0"
    assert mlflow.set_experiment("Default").experiment_id == "0"


def check_an_experiment_is_created_read_and_found_by_name():
    name = fresh("Ünïcode ⛰ experiment/with:signs")
    made = client.create_experiment(name, tags={"team": "vision", "empty": ""})
    assert made.isdigit()
    assert int(made) > 0
    for found in (client.get_experiment(made), client.get_experiment_by_name(name)):
        assert (found.experiment_id, found.name) == (made, name)
        assert found.tags == {"team": "vision", "empty": ""}
        assert found.creation_time == found.last_update_time or found.last_update_time
        assert found.artifact_location == f"mlflow-artifacts:/{made}"


def check_set_experiment_creates_what_is_not_there_and_finds_what_is():
    name = fresh()
    first = mlflow.set_experiment(name)
    assert mlflow.set_experiment(name).experiment_id == first.experiment_id
    assert client.get_experiment_by_name(fresh("missing")) is None


def check_a_name_is_taken_once():
    name = fresh()
    client.create_experiment(name)
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.create_experiment(name))
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.create_experiment("Default"))
    other = client.create_experiment(fresh())
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.rename_experiment(other, name))


def check_names_up_to_500_characters_are_kept():
    name = fresh("n" * 491)
    assert len(name) == 500
    assert client.get_experiment(client.create_experiment(name)).name == name
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_experiment("n" * 501))
    refused("INVALID_PARAMETER_VALUE", lambda: client.create_experiment(""))


def check_what_is_not_there_does_not_exist():
    for missing in ("999999999", "1"):
        refused("RESOURCE_DOES_NOT_EXIST", lambda missing=missing: client.get_experiment(missing))
    refused("INVALID_PARAMETER_VALUE", lambda: client.get_experiment("no-number"))
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_experiment("999999999"))


def check_an_experiment_is_renamed():
    made, name = client.create_experiment(fresh()), fresh("renamed")
    before = client.get_experiment(made).last_update_time
    client.rename_experiment(made, name)
    found = client.get_experiment(made)
    assert found.name == name
    assert found.last_update_time >= before
    assert client.get_experiment_by_name(name).experiment_id == made


def check_a_deleted_experiment_comes_back():
    name = fresh()
    made = client.create_experiment(name)
    client.delete_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "deleted"
    assert client.get_experiment_by_name(name).lifecycle_stage == "deleted"
    refused("INVALID_PARAMETER_VALUE", lambda: client.set_experiment_tag(made, "a", "b"))
    client.restore_experiment(made)
    assert client.get_experiment(made).lifecycle_stage == "active"
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.restore_experiment(made))


def check_the_name_of_a_deleted_experiment_is_free():
    name = fresh()
    old = client.create_experiment(name)
    client.delete_experiment(old)
    new = client.create_experiment(name)
    assert new != old
    assert client.get_experiment_by_name(name).experiment_id == new
    refused("RESOURCE_ALREADY_EXISTS", lambda: client.restore_experiment(old))
    client.rename_experiment(new, fresh())
    client.restore_experiment(old)
    assert client.get_experiment_by_name(name).experiment_id == old


def check_tags_are_set_and_removed():
    made = client.create_experiment(fresh())
    client.set_experiment_tag(made, "mlflow.note.content", "words")
    client.set_experiment_tag(made, "k", "1")
    client.set_experiment_tag(made, "k", "2")
    assert client.get_experiment(made).tags == {"mlflow.note.content": "words", "k": "2"}
    client.delete_experiment_tag(made, "k")
    assert "k" not in client.get_experiment(made).tags
    refused("RESOURCE_DOES_NOT_EXIST", lambda: client.delete_experiment_tag(made, "k"))
    refused("INVALID_PARAMETER_VALUE", lambda: client.set_experiment_tag(made, "k", "x" * 20_001))


def check_experiments_are_searched_with_filters_orders_and_pages():
    mark = fresh("mark")
    made = [
        client.create_experiment(f"{mark} {n}", tags={"mark": mark, "n": str(n)}) for n in range(5)
    ]
    every = f"tags.mark = '{mark}'"

    def found(text, **more):
        return [one.experiment_id for one in client.search_experiments(filter_string=text, **more)]

    assert found(every) == made[::-1]
    assert found(every, order_by=["name ASC"]) == made
    assert found(every, order_by=["experiment_id DESC"]) == made[::-1]
    assert found(f"{every} AND name LIKE '%3'") == [made[3]]
    assert found(f"{every} AND name ILIKE '{mark.upper()}%'", order_by=["name"]) == made
    assert found(f"{every} AND tags.n != '2'", order_by=["name"]) == [*made[:2], *made[3:]]
    assert found(f"{every} AND attribute.name = '{mark} 1'") == [made[1]]
    assert found(f"{every} AND creation_time > 0 AND last_update_time >= 1", order_by=["name"])
    assert found(f"{every} AND creation_time < 5") == []
    pages, token = [], None
    while True:
        page = client.search_experiments(
            filter_string=every, order_by=["name"], max_results=2, page_token=token
        )
        pages.append([one.experiment_id for one in page])
        token = page.token
        if not token:
            break
    assert pages == [made[:2], made[2:4], made[4:]]
    client.delete_experiment(made[0])
    assert made[0] not in found(every)
    assert found(every, view_type=ViewType.DELETED_ONLY) == [made[0]]
    assert len(found(every, view_type=ViewType.ALL)) == 5


def check_searches_that_make_no_sense_are_refused():
    for text in (
        "nonsense = 'x'",
        "name",
        "name = ",
        "name = 'a' OR name = 'b'",
        "name = 'a' AND",
        "name > 'a'",
        "creation_time = 'x'",
        "metrics.a = 1",
        "name IS NULL",
        "tags.a = 3",
        "((",
    ):
        refused(
            "INVALID_PARAMETER_VALUE",
            lambda text=text: client.search_experiments(filter_string=text),
        )
    for size in (0, 50_001):
        refused(
            "INVALID_PARAMETER_VALUE", lambda size=size: client.search_experiments(max_results=size)
        )
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_experiments(order_by=["nonsense"]))
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_experiments(order_by=["name UP"]))
    refused("INVALID_PARAMETER_VALUE", lambda: client.search_experiments(page_token="nonsense"))
