"""`epochal models` as people use it: policy, register, sign, promote, approve, download, the past.

Signatures are held against OpenSSF's own `model-signing`, in an environment of its own: what we
sign it verifies, what it signs we take.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent

import epochal_proto.v1 as pb
import pytest
from command_line import CommandLine, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from epochal import errors, models
from epochal_proto.v1.services import AuditService, RegistryService
from epochal_testing.waiting import until
from foreign_environments import plain_environment
from google.protobuf import json_format
from platform_world import Platform
from promotion_world import Office, opened

CACHE = Path.home() / ".cache" / "epochal-model-signing"
# model-signing imports OpenSSL without saying that it needs it.
PINS = ("model-signing==1.1.1", "pyopenssl==26.4.0")


@pytest.fixture(scope="module")
def office(platform: Platform) -> Iterator[Office]:
    with opened(platform) as made:
        yield made


@pytest.fixture
def cli(platform: Platform, tmp_path: Path) -> CommandLine:
    return CommandLine(platform, tmp_path)


def make_key(folder: Path, name: str, curve: ec.EllipticCurve | None = None) -> tuple[Path, Path]:
    key = ec.generate_private_key(curve or ec.SECP256R1())
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


def make_model(folder: Path) -> Path:
    model = folder / "net"
    (model / "layers").mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / "layers" / "w.bin").write_bytes(os.urandom(3000))
    return model


def newest(office: Office) -> int:
    request = pb.ListEventsRequest(
        parent="orgs/default", resource=office.project, descending=True, page_size=1
    )
    (event,) = office.admin.call(AuditService.LIST_EVENTS, request).events
    return event.position


def upload(cli: CommandLine, office: Office, model: Path) -> str:
    run = office.run({"acc": 0.9})
    cli("artifacts", "put", run, str(model), "--name", "model/net", "--kind", "model")
    return run


async def register(cli: CommandLine, *args: str) -> pb.ModelVersion:
    """Register what another process has just uploaded, once the registry has heard of it."""

    def made() -> Result | None:
        done = cli("models", "register", *args, "-o", "json", code=None)
        return done if done.code == 0 else None

    found = await until(made, 30.0, what="the files are known")
    assert found is not None
    return json_format.Parse(found.stdout, pb.ModelVersion())


async def test_the_whole_way_on_the_command_line(
    cli: CommandLine, office: Office, tmp_path: Path
) -> None:
    private, public = make_key(tmp_path, "release")
    _, other = make_key(tmp_path, "other")
    run, project = upload(cli, office, make_model(tmp_path)), office.project
    here = ("-p", project)
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "stages:\n  Production:\n    gates:\n      metrics: [metrics.acc >= 0.8]\n"
        "      signed: [release]\n      approvals: [{role: editor}]\n"
        "keys:\n  release: |\n" + indent(public.read_text(), "    ")
    )
    cli("models", "policy", "check", str(policy), *here)
    cli("models", "policy", "set", str(policy), "-m", "from now on", *here)
    assert cli("models", "policy", "show", *here).stdout == policy.read_text()

    first = await register(
        cli, "net", "--run", run, "--path", "model/net/", "--flavor", "torch", *here
    )
    assert (first.file_count, first.flavor) == (2, "torch")
    before = cli("models", "promote", "net/1", "--stage", "Production", "--dry-run", *here)
    assert "none of these keys has signed" in before.stdout
    cli("models", "promote", "net/1", "--stage", "Production", *here, code=1)
    cli("models", "sign", "net/1", "--key", str(private), *here)
    cli("models", "promote", "net/1", "--stage", "Production", "-m", "first", *here, code=3)
    waiting = json.loads(cli("models", "promotions", "net", "--open", *here, "-o", "json").stdout)
    name = waiting[0]["name"]
    refused = cli("models", "approve", name, *here, code=None)
    assert refused.code != 0, "who asked does not approve"
    office.approve("bea", name)
    shown = json.loads(cli("models", "get", "net/1", *here, "-o", "json").stdout)
    assert shown["stage"] == "Production"
    assert cli("models", "promotion", "net/2", *here).stdout.count("open") >= 3

    good, bad = tmp_path / "good", tmp_path / "bad"
    cli("models", "download", "net/1", "--to", str(good), "--verify", str(public), *here)
    assert sorted(path.name for path in good.rglob("*") if path.is_file()) == [
        "config.json",
        "w.bin",
    ]
    failed = cli(
        "models", "download", "net/1", "--to", str(bad), "--verify", str(other), *here, code=None
    )
    assert failed.code != 0
    assert "no key that is trusted has signed" in failed.stderr + failed.stdout
    assert not bad.exists(), "nothing is downloaded"

    cli("models", "write", "net", "limitations", "Not for letters.", *here)
    card = cli("models", "card", "net/1", *here).stdout
    assert "Not for letters." in card
    assert "| signed by release | open |" in card
    cli("models", "tag", "net/1", "license=mit", *here)
    assert "license: mit" in cli("models", "card", "net/1", *here).stdout


def test_the_past_reads_as_it_was(cli: CommandLine, office: Office) -> None:
    here, json_out = ("-p", office.project), ("-o", "json")
    questions = (
        ("models", "ls", *here, *json_out),
        ("models", "get", "past", *here, *json_out),
        ("models", "get", "past/1", *here, *json_out),
        ("models", "versions", "past", *here, *json_out),
    )
    office.register("past", 0.5)
    steps: tuple[tuple[str, ...], ...] = (
        ("models", "alias", "past", "shadow", "1"),
        ("models", "tag", "past/1", "a=b"),
        ("models", "register", "past", "--source", "s3://x"),
        ("models", "alias", "past", "shadow", "2"),
        ("models", "describe", "past", "words"),
        ("models", "delete", "past/2", "--yes"),
    )
    moments: list[tuple[int, list[str]]] = []
    for step in steps:
        cli(*step, *here)
        shown = [cli(*question).stdout for question in questions]
        moments.append((newest(office), shown))
    for position, shown in moments:
        then = [cli(*question, "--as-of", str(position)).stdout for question in questions]
        assert then == shown
    cli("models", "delete", "past", "--yes", *here)
    gone = cli("models", "get", "past", *here, code=None)
    assert gone.code != 0
    assert cli(*questions[1], "--as-of", str(moments[-1][0])).stdout == moments[-1][1][1]


@pytest.fixture(scope="module")
def model_signing() -> Path:
    CACHE.mkdir(parents=True, exist_ok=True)
    return plain_environment(CACHE, "model-signing", PINS)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
async def test_signatures_are_those_of_openssf(
    cli: CommandLine,
    office: Office,
    tmp_path: Path,
    model_signing: Path,
    curve: ec.EllipticCurve,
) -> None:
    private, public = make_key(tmp_path, "release", curve)
    model = make_model(tmp_path)
    run = upload(cli, office, model)
    latest = await register(cli, "oms", "--run", run, "--path", "model/net/", "-p", office.project)
    models.sign(office.admin, latest.name, private)
    (ours,) = office.admin.call(
        RegistryService.LIST_MODEL_VERSION_SIGNATURES,
        pb.ListModelVersionSignaturesRequest(parent=latest.name),
    ).signatures
    written = tmp_path / "ours.sig"
    written.write_text(ours.bundle)
    verified = _tool(
        model_signing,
        *("verify", "key", str(model), "--signature", str(written), "--public_key", str(public)),
    )
    assert verified.returncode == 0, verified.stderr

    theirs, their_key = make_key(tmp_path, "theirs", curve)
    made = tmp_path / "theirs.sig"
    signed = _tool(
        model_signing,
        *("sign", "key", str(model), "--signature", str(made), "--private_key", str(theirs)),
    )
    assert signed.returncode == 0, signed.stderr
    office.admin.call(
        RegistryService.SIGN_MODEL_VERSION,
        pb.SignModelVersionRequest(name=latest.name, bundle=made.read_text()),
    )
    assert models.verify(office.admin, latest.name, [their_key]) == str(their_key)
    assert models.verify(office.admin, latest.name, [public]) == str(public)

    (model / "config.json").write_text('{"changed": true}')
    changed = tmp_path / "changed.sig"
    _tool(
        model_signing,
        *("sign", "key", str(model), "--signature", str(changed), "--private_key", str(theirs)),
    )
    with pytest.raises(errors.InvalidArgument, match="signed with other bytes"):
        office.admin.call(
            RegistryService.SIGN_MODEL_VERSION,
            pb.SignModelVersionRequest(name=latest.name, bundle=changed.read_text()),
        )


def _tool(python: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "model_signing", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
