from pathlib import Path

import pytest
from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home, Secrets, Servers, keep_ports
from epochal_embedded.programs import PROGRAMS, Wiring, port_names, programs


@pytest.fixture
def wiring(tmp_path: Path) -> Wiring:
    return Wiring(
        home=Home(tmp_path),
        secrets=Secrets("owner", "signing", "sealing"),
        ports={name: 20_000 + i for i, name in enumerate(port_names(PROGRAMS))},
        database_url="postgresql://db",
        nats_url="nats://bus",
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gateway", {"owner", "signing", "postgresql://db"}),
        ("scheduler", {"signing", "postgresql://db"}),
        ("tracker", {"postgresql://db"}),
        ("lineage", {"sealing", "postgresql://db"}),
        ("notifier", {"sealing", "postgresql://db"}),
        ("agent", set()),
    ],
)
def test_program_is_told_only_the_secrets_it_needs(
    wiring: Wiring, name: str, expected: set[str]
) -> None:
    program = next(each for each in PROGRAMS if each.name == name)
    caller = {"EPOCHAL_DATABASE_URL": "postgresql://db", "EPOCHAL_TOKEN": "a client's"}
    values = set(wiring.environment(program, caller).values())
    assert values & {"owner", "signing", "sealing", "postgresql://db", "a client's"} == expected


def test_caller_may_choose_what_is_not_ours(wiring: Wiring) -> None:
    caller = {"EPOCHAL_LOG_LEVEL": "debug", "EPOCHAL_OBJECT_STORE_URL": "s3://bucket"}
    environment = wiring.environment(PROGRAMS[0], caller)
    assert environment["EPOCHAL_LOG_LEVEL"] == "debug"
    assert environment["EPOCHAL_OBJECT_STORE_URL"] == "s3://bucket"
    assert environment["EPOCHAL_URL"] == wiring.url


def test_secrets_are_made_once_and_a_damaged_file_is_not_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert Secrets.keep(home) == Secrets.keep(home)
    assert len(Secrets.keep(home).owner_token) == len("epo_") + 43
    (tmp_path / "secrets.json").write_text("{")
    with pytest.raises(EmbeddedError, match="Restore it"):
        Secrets.keep(home)


def test_ports_are_kept_and_damage_is_named(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = keep_ports(home, ["gateway", "nats"], Servers())
    assert keep_ports(home, ["gateway", "nats"], Servers()) == first
    assert len(set(first.values())) == 2
    (tmp_path / "platform.json").write_text('{"ports": []}')
    with pytest.raises(EmbeddedError, match="damaged"):
        keep_ports(home, ["gateway"], Servers())


def test_replaced_list_of_programs_must_be_one(tmp_path: Path) -> None:
    file = tmp_path / "programs.json"
    file.write_text('[{"name": "one", "modul": "typo"}]')
    with pytest.raises(EmbeddedError, match="EPOCHAL_PROGRAMS"):
        programs({"EPOCHAL_PROGRAMS": str(file)})
    assert programs({}) == PROGRAMS
