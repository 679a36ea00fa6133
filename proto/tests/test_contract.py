"""The contract keeps its style and breaks nobody: buf lint, buf breaking, our own rules."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import epochal_proto.v1 as pb
import pytest
from epochal_proto.v1.events import EVENTS
from epochal_proto.v1.services import METHODS
from google.protobuf import descriptor_pb2

ROOT = Path(__file__).parents[1]
BASELINE = ROOT / "baseline.binpb"


def load_codegen() -> ModuleType:
    spec = importlib.util.spec_from_file_location("epochal_codegen", ROOT / "codegen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["epochal_codegen"] = module
    spec.loader.exec_module(module)
    return module


CODEGEN = load_codegen()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled contract, with comments and imports."""
    scratch = tmp_path_factory.mktemp("image")
    compiled = CODEGEN.compile_image(ROOT, scratch)
    path = scratch / "contract.binpb"
    path.write_bytes(compiled.SerializeToString())
    return path


def buf(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("buf")), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def own_files(image: Path) -> list[str]:
    files = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()).file
    return [file.name for file in files if file.package == "epochal.v1"]


def test_buf_finds_nothing_to_mend(image: Path) -> None:
    paths = [f"--path={name}" for name in own_files(image)]
    result = buf("lint", str(image), "--config", "buf.yaml", *paths)
    assert result.returncode == 0, result.stdout + result.stderr


def test_buf_would_notice_a_style_mistake(image: Path, tmp_path: Path) -> None:
    broken = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    (run,) = (file for file in broken.file if file.name == "epochal/v1/run.proto")
    run.message_type[0].field[0].name = "BadName"
    path = tmp_path / "broken.binpb"
    path.write_bytes(broken.SerializeToString())
    assert buf("lint", str(path), "--config", "buf.yaml").returncode != 0


def test_nothing_that_was_released_is_broken(image: Path) -> None:
    result = buf(
        "breaking",
        str(image),
        "--against",
        str(BASELINE),
        "--config",
        "buf.yaml",
        "--against-config",
        "buf.yaml",
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_buf_would_notice_a_break(image: Path, tmp_path: Path) -> None:
    broken = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    (run,) = (file for file in broken.file if file.name == "epochal/v1/run.proto")
    del run.message_type[0].field[0]
    path = tmp_path / "broken.binpb"
    path.write_bytes(broken.SerializeToString())
    result = buf("breaking", str(path), "--against", str(BASELINE), "--config", "buf.yaml")
    assert result.returncode != 0


@pytest.mark.parametrize("missing", ["permission", "owner", "access"])
def test_an_rpc_without_a_declared_policy_is_not_built(image: Path, missing: str) -> None:
    changed = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    (run,) = (file for file in changed.file if file.name == "epochal/v1/run.proto")
    method = run.service[0].method[0]
    policy = pb.MethodPolicy()
    policy.CopyFrom(method.options.Extensions[pb.policy])
    policy.ClearField(missing)  # type: ignore[arg-type]  # one of three literal names
    method.options.ClearExtension(pb.policy)
    method.options.Extensions[pb.policy].CopyFrom(policy)
    with pytest.raises(CODEGEN.ContractError, match=r"RunService\.CreateRun"):
        CODEGEN.inspect(changed)


def test_every_rpc_and_event_is_in_the_generated_tables(image: Path) -> None:
    rpcs, events = CODEGEN.inspect(descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()))
    assert {f"epochal.v1.{rpc.service}.{rpc.name}" for rpc in rpcs} == {
        method.full_name for method in METHODS
    }
    assert {f"epochal.v1.{name}" for name in events} == set(EVENTS)
