"""What is in place before a process starts: real git, real archives, artifacts of a fake store."""

import asyncio
import io
import subprocess
import tarfile
import threading

import pytest
from agent_fakes import OTHER, PROJECT, RUN, FakeStore, executing, run_item, work_item
from epochal_kernel.errors import PermissionDenied, Unavailable
from epochal_scheduler.agent.initializing.archives import UnsafeArchive, unpack
from epochal_scheduler.agent.initializing.failing import InitFailed
from epochal_scheduler.agent.initializing.fetching import Fetcher, pair
from epochal_scheduler.agent.initializing.git import folder_of
from epochal_testing.waiting import until

UID = OTHER.rpartition("/")[2]
LISTS = "import os; print(os.getcwd()); [print(p) for p in sorted(os.listdir())]"


def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "project.git"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a.py").write_text("print('first')")
    git(folder, "add", "a.py")
    git(folder, "commit", "--quiet", "-m", "first")
    git(folder, "tag", "v1")
    (folder / "a.py").write_text("print('second')")
    git(folder, "commit", "--quiet", "-am", "second")
    return folder


def with_init(code, *steps, **container):
    item = work_item(code, run={"init": list(steps)})
    return item


@pytest.mark.parametrize("revision", [None, "v1", "main", "commit"])
async def test_a_repository_is_checked_out_and_is_where_the_process_begins(
    tmp_path, repository, revision
):
    wanted = git(repository, "rev-parse", "v1") if revision == "commit" else revision
    step = {"git": {"url": f"file://{repository}", **({"revision": wanted} if wanted else {})}}
    exited, lines = await run_item(
        with_init("exec(open('a.py').read()); import os; print(os.getcwd())", step), tmp_path
    )
    assert exited.exit_code == 0, exited.message
    home = tmp_path / "runs" / RUN.rpartition("/")[2]
    said = [text for stream, text in lines if stream == "stdout"]
    assert said == ["first" if revision in ("v1", "commit") else "second", str(home / "project")]
    assert any(text.startswith("git: checked out") for stream, text in lines if stream == "system")
    assert git(home / "project", "rev-list", "--count", "HEAD") == "1"


async def test_a_retry_checks_out_again_and_keeps_what_git_does_not_know(tmp_path, repository):
    step = {"git": {"url": f"file://{repository}"}, "path": "code"}
    home = tmp_path / "runs" / RUN.rpartition("/")[2]
    await run_item(with_init("open('a.py', 'w'); open('mine', 'w')", step), tmp_path)
    _, lines = await run_item(with_init("exec(open('a.py').read())", step), tmp_path)
    assert ("stdout", "second") in lines
    assert (home / "code" / "mine").exists()


@pytest.mark.parametrize(
    ("git_step", "says"),
    [
        ({"url": "file:///nowhere/at/all.git"}, "init step 1 failed: git file:///nowhere"),
        ({"url": "ext::sh -c true"}, "init step 1 failed: git ext::sh"),
    ],
)
async def test_a_repository_that_is_not_there_fails_the_run_by_name(tmp_path, git_step, says):
    exited, lines = await run_item(with_init("print('never')", {"git": git_step}), tmp_path)
    assert (exited.exit_code, exited.infrastructure) == (126, False)
    assert says in exited.message
    assert ("stdout", "never") not in lines


async def test_secrets_in_a_url_are_not_told(tmp_path):
    step = {"git": {"url": "https://me:secret@localhost:1/x.git"}}
    exited, lines = await run_item(with_init("pass", step), tmp_path)
    assert "secret" not in exited.message
    assert exited.infrastructure  # nobody listens there
    assert "secret" not in str([line for line in lines if line[0] == "system"][-1])


async def test_a_stop_ends_a_step_and_what_it_runs(tmp_path):
    with open_port() as port:
        step = {"git": {"url": f"git://127.0.0.1:{port}/never.git"}}
        async with executing(with_init("pass", step), tmp_path) as (held, scheduler, *_):
            await until(lambda: (tmp_path / "runs").exists())
            held.stop("someone asked")
    assert scheduler.exited.stopped
    assert scheduler.told == ["exited"]


def open_port():
    """A port that takes connections and never answers."""
    import contextlib
    import socket

    @contextlib.contextmanager
    def listening():
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    return listening()


async def test_files_of_the_spec_are_written(tmp_path):
    step = {"file": {"content": "#!/bin/sh\necho $(HOME)\n", "filename": "run.sh", "chmod": "+x"}}
    _, lines = await run_item(with_init(LISTS, step), tmp_path)
    home = tmp_path / "runs" / RUN.rpartition("/")[2]
    assert (home / "run.sh").read_text() == "#!/bin/sh\necho $(HOME)\n"
    assert (home / "run.sh").stat().st_mode & 0o111
    assert ("stdout", str(home)) in lines


@pytest.mark.parametrize(
    ("step", "says"),
    [
        ({"file": {"content": "", "filename": "../out"}}, "outside of the run's folder"),
        ({"file": {"content": "", "filename": "/etc/x"}}, "outside of the run's folder"),
        ({"file": {"content": "", "chmod": "rwx"}}, "chmod 'rwx' is not a mode"),
        ({"artifacts": {"files": ["model.bin"]}}, "names no run"),
        ({"artifacts": {"files": [f"{UID}/none"]}}, "has no artifact none"),
        ({"paths": [[f"{UID}/outputs/a", "../../x"]]}, "outside of the run's folder"),
        ({"modelRef": "digits:none"}, "has no alias 'none'"),
    ],
)
async def test_a_step_that_cannot_be_fails_the_run_by_name(tmp_path, step, says):
    store = FakeStore({(OTHER, "outputs/a"): b"A"})
    exited, _ = await run_item(with_init("pass", step), tmp_path, store)
    assert exited.message.startswith("init step 1 failed: ")
    assert says in exited.message
    assert not exited.infrastructure


async def test_artifacts_of_other_runs_are_brought(tmp_path):
    store = FakeStore({
        (OTHER, "outputs/a"): b"A",
        (OTHER, "outputs/sub/b"): b"B",
        (OTHER, "outputs-not"): b"C",
        (OTHER, "model/digits/m.bin"): b"M",
    })  # fmt: skip
    steps = [
        {"artifacts": {"dirs": [[f"$(EPOCHAL_ARTIFACTS_PATH)/{UID}/outputs", "in"]]}},
        {"artifacts": {"files": [f"{UID}/outputs/a"]}},
        {"artifactRef": f"runs.{UID}:outputs/sub/b", "path": "ref"},
        {"modelRef": "digits:champion"},
    ]
    exited, _ = await run_item(with_init("pass", *steps), tmp_path, store)
    assert exited.exit_code == 0, exited.message
    home = tmp_path / "runs" / RUN.rpartition("/")[2]
    found = {
        str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()
    }
    assert found == {
        "in/a": "A",
        "in/sub/b": "B",
        f"artifacts/{UID}/outputs/a": "A",
        "ref/b": "B",
        "models/digits/m.bin": "M",
    }
    project = RUN.partition("/runs/")[0]
    assert store.used == [(RUN, f"{project}/models/digits/versions/2")]


async def test_what_a_local_agent_does_not_do_is_said(tmp_path):
    steps = [
        {"dockerfile": {"image": "x"}},
        {"tensorboard": {"port": 1}},
        {"container": {"image": "x"}},
        {"git": {"revision": "x"}, "connection": "repo"},
    ]
    exited, lines = await run_item(with_init("pass", *steps), tmp_path)
    said = [text for stream, text in lines if stream == "system"]
    assert exited.exit_code == 0
    assert [text.partition(" is ")[0] for text in said] == [
        "init 'dockerfile'", "init 'tensorboard'", "init 'container'",
        "init 'git' without a url", "connection 'repo'",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("trouble", "infrastructure"),
    [(Unavailable("away"), True), (PermissionDenied("not yours"), False)],
)
async def test_a_store_that_is_away_is_the_platform_s_fault_and_a_refusal_is_not(
    tmp_path, trouble, infrastructure
):
    item = with_init("pass", {"artifacts": {"files": [f"{UID}/a"]}})
    exited, _ = await run_item(item, tmp_path, FakeStore(trouble=trouble))
    assert exited.infrastructure == infrastructure
    assert exited.message == f"init step 1 failed: {trouble.message}"


def packed(*members):
    """A tar.gz of (name, content) or ready members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            info = tarfile.TarInfo(member[0])
            info.size = len(member[1])
            tar.addfile(info, io.BytesIO(member[1]))
    return buffer.getvalue()


async def test_uploaded_code_is_unpacked_and_runs(tmp_path):
    archive = packed(("train.py", b"import lib.a"), ("lib/a.py", b"print('uploaded')"))
    store = FakeStore({(RUN, "upload/code.tar.gz"): archive, (RUN, "upload/data/x.csv"): b"1,2"})
    item = work_item("exec(open('train.py').read()); print(open('data/x.csv').read())")
    item.upload = RUN
    exited, lines = await run_item(item, tmp_path, store)
    assert exited.exit_code == 0, exited.message
    assert [text for stream, text in lines if stream == "stdout"] == ["uploaded", "1,2"]
    home = tmp_path / "runs" / RUN.rpartition("/")[2]
    assert not (home / ".upload").exists()


async def test_the_working_dir_of_the_spec_wins(tmp_path):
    store = FakeStore({(RUN, "upload/code.tar.gz"): packed(("sub/a", b""))})
    item = work_item(LISTS, container="workingDir: sub")
    item.upload = RUN
    _, lines = await run_item(item, tmp_path, store)
    assert [text for stream, text in lines if stream == "stdout"][1:] == ["a"]


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def special(name, kind):
    info = tarfile.TarInfo(name)
    info.type = kind
    return info


@pytest.mark.parametrize(
    "member",
    [
        ("/etc/x", b""),
        ("../x", b""),
        ("a/../../x", b""),
        link("l", "/etc"),
        link("l", "../.."),
        link("l", "../x", tarfile.LNKTYPE),
        special("d", tarfile.CHRTYPE),
    ],
)
def test_an_archive_writes_nowhere_else(tmp_path, member):
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed(("fine", b"1"), member))
    with pytest.raises(UnsafeArchive):
        unpack(archive, inside, threading.Event())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "inside"]
    assert [path.name for path in inside.iterdir()] == ["fine"]


def test_a_link_within_the_archive_stays(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed(("fine", b"1"), link("l", "fine")))
    assert unpack(archive, tmp_path, threading.Event()) == 2
    assert (tmp_path / "l").read_text() == "1"


def test_unpacking_ends_when_it_is_cancelled(tmp_path):
    archive = tmp_path / "a.tar.gz"
    archive.write_bytes(packed(("fine", b"1")))
    cancelled = threading.Event()
    cancelled.set()
    assert unpack(archive, tmp_path, cancelled) == 0


async def test_a_broken_upload_fails_the_run(tmp_path):
    item = work_item("pass")
    item.upload = RUN
    for data in (b"no archive", packed(("../x", b""))):
        store = FakeStore({(RUN, "upload/code.tar.gz"): data})
        exited, _ = await run_item(item, tmp_path, store)
        assert exited.message.startswith("upload failed: ")
        assert not exited.infrastructure


async def test_a_copy_begins_with_the_outputs_of_its_origin(tmp_path):
    item = work_item("print(open('outputs/a').read())")
    item.origin, item.origin_kind = OTHER, "copy"
    store = FakeStore({(OTHER, "outputs/a"): b"kept"})
    _, lines = await run_item(item, tmp_path, store)
    assert ("stdout", "kept") in lines
    _, lines = await run_item(item, tmp_path / "again", FakeStore())
    assert ("system", f"{OTHER} has no outputs to copy") in lines


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (f"{UID}/outputs/a", "outputs/a"),
        (f"runs.{UID}", ""),
        (f"{UID}:m/x", "m/x"),
        (f"/somewhere/{UID}/outputs", "outputs"),
        (UID.replace("-", "") + "/x", "x"),
    ],
)
def test_sources_are_read(tmp_path, text, path):
    source = Fetcher(FakeStore(), "epr_x", PROJECT, tmp_path).source(text)
    assert (source.run, source.path) == (OTHER, path)


@pytest.mark.parametrize("text", ["", "a/b", f"{UID}/../x"])
def test_sources_that_are_none_are_refused(tmp_path, text):
    with pytest.raises(InitFailed):
        Fetcher(FakeStore(), "epr_x", PROJECT, tmp_path).source(text)


def test_pairs_are_read():
    assert pair("a") == ("a", "")
    assert pair(["a", "b"]) == ("a", "b")
    with pytest.raises(InitFailed):
        pair(["a"])


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/o/repo.git", "repo"),
        ("git@h:o/repo", "repo"),
        ("git@h:repo.git/", "repo"),
        ("file:///..", "repository"),
    ],
)
def test_a_checkout_is_named_as_git_names_it(url, name):
    assert folder_of(url) == name


async def test_many_files_come_a_few_at_a_time(tmp_path):
    class Counting(FakeStore):
        now = most = 0

        async def get(self, token, run, path, target):
            Counting.now += 1
            Counting.most = max(Counting.most, Counting.now)
            await asyncio.sleep(0)
            found = await super().get(token, run, path, target)
            Counting.now -= 1
            return found

    store = Counting({(OTHER, f"outputs/{n}"): b"" for n in range(20)})
    fetcher = Fetcher(store, "epr_x", PROJECT, tmp_path)
    found = await fetcher.fetch(fetcher.source(f"{UID}/outputs"), tmp_path / "in")
    assert len(found) == 20
    assert Counting.most == 4
