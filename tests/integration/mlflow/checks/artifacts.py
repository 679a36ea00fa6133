"""Artifacts through MLflow's proxy."""

import hashlib
import os
import tempfile
from pathlib import Path

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from refusing import fresh, requested

client = MlflowClient()
EXPERIMENT = client.create_experiment(fresh("artifacts"))
FOLDER = Path(tempfile.mkdtemp())


def begun():
    """A new run's id."""
    return client.create_run(EXPERIMENT).info.run_id


def listed(run, path=None):
    """What is in a folder: names, whether they are folders, sizes."""
    repository = get_artifact_repository(client.get_run(run).info.artifact_uri)
    return [(one.path, one.is_dir, one.file_size) for one in repository.list_artifacts(path)]


def proxied(verb, path, **more):
    """A call of the proxy itself."""
    return requests.request(
        verb,
        f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow-artifacts/{path}",
        headers={"authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}"},
        timeout=60,
        **more,
    )


def check_files_and_folders_go_up_and_come_down():
    run = begun()
    folder = FOLDER / "tree"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "deep" / "er" / "ü ñ.bin").write_bytes(bytes(range(256)))
    client.log_artifacts(run, str(folder), "tree")
    client.log_artifact(run, str(folder / "a.txt"))
    client.log_text(run, "words", "notes/words.txt")
    client.log_dict(run, {"k": 1}, "d.json")
    assert listed(run) == [
        ("a.txt", False, 1),
        ("d.json", False, 12),
        ("notes", True, None),
        ("tree", True, None),
    ]
    assert listed(run, "tree") == [("tree/a.txt", False, 1), ("tree/deep", True, None)]
    assert listed(run, "tree/deep/er") == [("tree/deep/er/ü ñ.bin", False, 256)]
    assert listed(run, "a.txt") == []
    assert listed(run, "no such folder") == []
    down = Path(client.download_artifacts(run, "tree", str(FOLDER)))
    assert (down / "deep" / "er" / "ü ñ.bin").read_bytes() == bytes(range(256))
    assert mlflow.artifacts.load_text(f"runs:/{run}/notes/words.txt") == "words"
    uri = client.get_run(run).info.artifact_uri
    assert mlflow.artifacts.load_text(f"{uri}/notes/words.txt") == "words"


def check_what_is_sent_again_replaces_what_was_there():
    run = begun()
    client.log_text(run, "one", "t.txt")
    client.log_text(run, "second", "t.txt")
    assert listed(run) == [("t.txt", False, 6)]
    assert mlflow.artifacts.load_text(f"runs:/{run}/t.txt") == "second"


def check_large_and_empty_files_are_whole():
    run = begun()
    big, empty = FOLDER / "big.bin", FOLDER / "empty"
    big.write_bytes(os.urandom(1024) * 20_000)
    empty.touch()
    client.log_artifact(run, str(big))
    client.log_artifact(run, str(empty))
    down = Path(client.download_artifacts(run, "big.bin", tempfile.mkdtemp()))
    assert hashlib.sha256(down.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    down = Path(client.download_artifacts(run, "empty", tempfile.mkdtemp()))
    assert down.read_bytes() == b""


def check_uploads_in_parts_are_joined():
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "true"
    os.environ["MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE"] = "1000000"
    os.environ["MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE"] = str(5 * 1024 * 1024)
    try:
        run = begun()
        big = FOLDER / "parts.bin"
        big.write_bytes(os.urandom(13_000_001))
        client.log_artifact(run, str(big), "folder")
    finally:
        for name in list(os.environ):
            if "MULTIPART" in name:
                del os.environ[name]
    down = Path(client.download_artifacts(run, "folder/parts.bin", tempfile.mkdtemp()))
    assert down.read_bytes() == big.read_bytes()
    made = proxied(
        "POST",
        f"mpu/create/{EXPERIMENT}/{run}/artifacts",
        json={"path": "x.bin", "num_parts": 2},
    ).json()
    part = made["credentials"][0]
    etag = requests.put(part["url"], data=b"1", headers=part["headers"], timeout=60).headers["etag"]
    wrong = [{"part_number": 2, "etag": etag, "url": ""}]
    body = {"path": "x.bin", "upload_id": made["upload_id"], "parts": wrong}
    path = f"mpu/complete/{EXPERIMENT}/{run}/artifacts"
    assert proxied("POST", path, json=body).json()["error_code"] == "INVALID_PARAMETER_VALUE"
    body["parts"] = [{"part_number": 1, "etag": "0" * 64, "url": ""}]
    assert proxied("POST", path, json=body).status_code == 400
    abort = f"mpu/abort/{EXPERIMENT}/{run}/artifacts"
    assert proxied("POST", abort, json=body).status_code == 200
    body["parts"] = [{"part_number": 1, "etag": etag, "url": ""}]
    assert proxied("POST", path, json=body).status_code == 400
    assert listed(run) == [("folder", True, None)]


def check_downloads_in_ranges_are_whole():
    run = begun()
    big, name = FOLDER / "ranged.bin", "folder ü/ranged.bin"
    big.write_bytes(os.urandom(3_000_001))
    client.log_artifact(run, str(big), "folder ü")
    (FOLDER / "nothing").touch()
    client.log_artifact(run, str(FOLDER / "nothing"))
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "true"
    os.environ["MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE"] = "1000000"
    try:
        down = Path(client.download_artifacts(run, name, tempfile.mkdtemp()))
        empty = Path(client.download_artifacts(run, "nothing", tempfile.mkdtemp()))
        whole = Path(client.download_artifacts(run, "", tempfile.mkdtemp()))
    finally:
        for one in list(os.environ):
            if "MULTIPART" in one:
                del os.environ[one]
    assert down.read_bytes() == (whole / name).read_bytes() == big.read_bytes()
    assert empty.read_bytes() == b""
    root = f"presigned/{EXPERIMENT}/{run}/artifacts"
    signed = proxied("GET", f"{root}/folder%20%C3%BC/ranged.bin").json()
    assert signed["file_size"] == 3_000_001
    headers = {**signed["headers"], "Range": "bytes=1000000-1999999"}
    part = requests.get(signed["url"], headers=headers, timeout=60)
    assert (part.status_code, part.content) == (206, big.read_bytes()[1_000_000:2_000_000])
    gone = proxied("GET", f"{root}/nowhere.bin")
    assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def check_deleted_artifacts_are_gone():
    run = begun()
    for name in ("keep.txt", "folder/a.txt", "folder/b/c.txt", "folderish.txt"):
        client.log_text(run, name, name)
    root = f"artifacts/{EXPERIMENT}/{run}/artifacts"
    assert proxied("DELETE", f"{root}/folder").json() == {}
    assert [one[0] for one in listed(run)] == ["folderish.txt", "keep.txt"]
    gone = proxied("GET", f"{root}/folder/a.txt")
    assert (gone.status_code, gone.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert proxied("DELETE", f"{root}/folder").status_code == 404


def check_ranges_and_lists_of_the_api_itself():
    run = begun()
    client.log_text(run, "0123456789", "f/t.txt")
    path = f"artifacts/{EXPERIMENT}/{run}/artifacts/f/t.txt"
    assert proxied("GET", path).headers["x-content-type-options"] == "nosniff"
    answer = requested("GET", "artifacts/list", [("run_id", run), ("path", "f")])
    assert answer["files"] == [{"path": "f/t.txt", "is_dir": False, "file_size": 10}]
    assert answer["root_uri"] == client.get_run(run).info.artifact_uri


def check_paths_that_lead_elsewhere_are_refused():
    run = begun()
    other = client.create_experiment(fresh())
    for path in (
        f"{EXPERIMENT}/{run}/artifacts/a/%2E%2E/b",
        f"{EXPERIMENT}/{run}/artifacts//b",
        f"{other}/{run}/artifacts/b",
        f"999999999/{run}/artifacts/b",
        f"{EXPERIMENT}/{'0' * 32}/artifacts/b",
        "nonsense",
    ):
        answer = proxied("PUT", f"artifacts/{path}", data=b"x")
        assert answer.status_code in (400, 404), (path, answer.status_code)
        assert answer.json()["error_code"] in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST")
    client.delete_run(run)
    assert proxied("PUT", f"artifacts/{EXPERIMENT}/{run}/artifacts/x", data=b"x").status_code == 400


def check_artifacts_of_no_run_have_a_place():
    path = f"artifacts/{EXPERIMENT}/traces/tr-1/artifacts/traces.json"
    assert proxied("PUT", path, data=b"{}").status_code == 200
    assert proxied("GET", path).content == b"{}"
    folder = proxied("GET", "artifacts", params={"path": f"{EXPERIMENT}/traces/tr-1/artifacts"})
    assert [one["path"] for one in folder.json()["files"]] == ["traces.json"]
    other = client.create_experiment(fresh())
    assert proxied("GET", f"artifacts/{other}/traces/x/artifacts/y").status_code == 404
