"""The platform is found where the user said, and a token never goes to another one."""

import json

import pytest
from epochal import config, errors, names
from epochal.config import Connection


def put(path, **fields):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(fields))


@pytest.fixture
def environ(tmp_path):
    return {"EPOCHAL_HOME": str(tmp_path / "home"), "EPOCHAL_CONFIG": str(tmp_path / "mine.json")}


def test_nothing_configured_says_what_to_do(environ):
    with pytest.raises(errors.NotConfigured, match=r"epochal up.*EPOCHAL_URL"):
        config.find(environ)


def test_the_embedded_platform_is_found_by_its_file(environ, tmp_path):
    put(tmp_path / "home/client.json", url="http://h:1/", token="t", project="orgs/a/projects/b")
    found = config.find(environ)
    assert (found.url, found.token, found.project) == ("http://h:1", "t", "orgs/a/projects/b")
    assert found.source.endswith("client.json")


def test_an_explicit_home_wins_over_the_users_file(environ, tmp_path):
    put(tmp_path / "home/client.json", url="http://home")
    put(tmp_path / "mine.json", url="http://mine")
    assert config.find(environ).url == "http://home"


def test_without_a_home_the_users_file_wins(tmp_path):
    put(tmp_path / "mine.json", url="http://mine")
    put(tmp_path / "data/epochal/client.json", url="http://home")
    environ = {
        "EPOCHAL_CONFIG": str(tmp_path / "mine.json"),
        "XDG_DATA_HOME": str(tmp_path / "data"),
    }
    assert config.find(environ).url == "http://mine"


def test_the_environment_wins_and_takes_no_foreign_token(environ, tmp_path):
    put(tmp_path / "home/client.json", url="http://home", token="secret of home")
    found = config.find({**environ, "EPOCHAL_URL": "http://other"})
    assert (found.url, found.token) == ("http://other", "")
    found = config.find({**environ, "EPOCHAL_URL": "http://home/"})
    assert found.token == "secret of home"
    found = config.find({**environ, "EPOCHAL_URL": "http://other", "EPOCHAL_TOKEN": "mine"})
    assert found.token == "mine"


@pytest.mark.parametrize("text", ["{", "[]", '{"url": 3}'])
def test_a_broken_file_is_named(environ, tmp_path, text):
    (tmp_path / "mine.json").write_text(text)
    with pytest.raises(errors.InvalidArgument, match=r"mine\.json"):
        config.find(environ)


def test_what_is_written_is_read_and_private(tmp_path):
    path = tmp_path / "deep/config.json"
    config.write(Connection("http://h", "t", "orgs/a/projects/b"), path)
    assert config.read(path) == Connection("http://h", "t", "orgs/a/projects/b", str(path))
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("", "orgs/o/projects/p"),
        ("vision", "orgs/o/projects/vision"),
        ("acme/vision", "orgs/acme/projects/vision"),
        ("orgs/acme/projects/vision", "orgs/acme/projects/vision"),
    ],
)
def test_short_project_names_become_full(given, full):
    assert names.full_project(given, "orgs/o/projects/p") == full


@pytest.mark.parametrize("given", ["Vision!", "a/b/c", "orgs/a/projects/B"])
def test_names_that_cannot_be_are_refused(given):
    with pytest.raises(errors.InvalidArgument, match="not a project"):
        names.full_project(given, "orgs/o/projects/p")
