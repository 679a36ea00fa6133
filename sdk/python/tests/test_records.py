"""Typed records: on disk when the call returns, many in one request, readable from their place."""

import doctest
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import wave
import zipfile
import zlib

import epochal
import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal import config
from epochal.client import Client
from epochal.errors import InvalidArgument
from epochal.records import images, sounds, spreads, tables, texts
from epochal.spool.folder import run_folders
from epochal.syncing import sync_folder
from hypothesis import given
from hypothesis import strategies as st


def recorded(platform):
    return [one for request in platform.requests("LogRecords") for one in request.records]


def content(platform, run, record):
    """The bytes of a record, from its place in its artifact."""
    whole = platform.world.files[run, record.path]
    return whole[record.offset : record.offset + record.size_bytes]


def unpng(data):
    """The pixels of a PNG without filters, as it says itself."""
    assert data.startswith(images.MAGIC)
    place, found = 8, {}
    while place < len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        body = data[place + 8 : place + 8 + length]
        (crc,) = struct.unpack_from(">I", data, place + 8 + length)
        assert crc == zlib.crc32(kind + body)
        found[kind] = found.get(kind, b"") + body
        place += 12 + length
    width, height, _, colour = struct.unpack_from(">IIBB", found[b"IHDR"])
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(found[b"IDAT"]), np.uint8).reshape(height, -1)
    assert not lines[:, 0].any()
    return lines[:, 1:].reshape(height, width, channels)


@given(st.sampled_from([(3, 5), (3, 5, 1), (5, 4, 3), (6, 5, 4), (3, 6, 7)]), st.integers(0, 9))
def test_an_array_comes_back_from_its_png(shape, seed):
    array = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    expected = array[:, :, None] if array.ndim == 2 else array
    if shape == (3, 6, 7):  # channels first
        expected = array.transpose(1, 2, 0)
    made = images.encode_image(array)
    assert (unpng(made.content) == expected).all()
    size = (made.about.image.height, made.about.image.width)
    assert size == expected.shape[:2]
    assert (unpng(images.encode_image(array / 255.0).content) == expected).all()


@pytest.mark.parametrize(
    "image", [np.zeros((5, 2, 5)), np.zeros(3), np.zeros((0, 4)), "nowhere.png", b"abc", [["a"]]]
)
def test_what_is_no_image_is_refused(image):
    with pytest.raises(InvalidArgument):
        images.encode_image(image)


def test_a_sound_comes_back_from_its_wav():
    samples = np.linspace(-1, 1, 50)
    made = sounds.encode_audio(np.stack([samples, -samples], axis=1), 8000)
    with wave.open(io.BytesIO(made.content)) as read:
        assert (read.getnchannels(), read.getframerate(), read.getsampwidth()) == (2, 8000, 2)
        back = np.frombuffer(read.readframes(50), "<i2").reshape(50, 2)
    assert np.abs(back[:, 0] / 32767 - samples).max() < 1e-4
    assert made.about.audio.duration_s == 50 / 8000


def test_frames_become_an_animated_png_with_every_frame():
    frames = np.random.default_rng(1).integers(0, 256, (3, 4, 5, 3), np.uint8)
    made = sounds.encode_video(frames, rate=10)
    assert (unpng(made.content) == frames[0]).all()
    assert struct.unpack_from(">II", made.content, made.content.index(b"acTL") + 4) == (3, 0)
    place = made.content.index(b"fdAT")
    (length,) = struct.unpack_from(">I", made.content, place - 4)
    data = made.content[place + 8 : place + 4 + length]  # after its sequence number
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(4, 16)
    assert (lines[:, 1:].reshape(4, 5, 3) == frames[1]).all()
    assert made.content.count(b"fcTL") == 3
    with pytest.raises(InvalidArgument, match="one size"):
        sounds.encode_video([frames[0], frames[0][:2]])


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40),
    st.integers(1, 20),
)
def test_a_histogram_counts_every_finite_value_once(values, bins):
    made = spreads.encode_histogram([*values, float("nan"), float("inf")], bins).about.histogram
    arrayed = spreads.encode_histogram(np.array([*values, float("nan")]), bins).about.histogram
    assert sum(made.counts) == sum(arrayed.counts) == len(values)
    assert len(made.edges) == bins + 1
    assert made.edges[0] <= min(values) <= max(values) <= made.edges[-1]


def test_a_table_says_what_it_became():
    pandas = pytest.importorskip("pandas", reason="frames are an extra; see test_libraries")
    polars = pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{"a": 1, "b": "x"}, {"a": 2}]
    for table in (
        rows,
        {"a": [1, 2], "b": ["x", None]},
        pandas.DataFrame(rows),
        polars.DataFrame(rows),
        pyarrow.Table.from_pylist(rows),
    ):
        made = tables.encode_table(table)
        assert (made.about.table.format, made.about.table.rows) == ("parquet", 2)
        assert list(made.about.table.columns) == ["a", "b"]
        read = parquet.read_table(io.BytesIO(made.content)).to_pydict()
        assert read["a"] == [1, 2]


def test_a_table_of_several_types_in_a_column_is_csv():
    mixed = tables.encode_table([{"a": 1}, {"a": "x"}])
    assert (mixed.about.table.format, mixed.content) == ("csv", b"a\n1\nx\n")
    with pytest.raises(InvalidArgument):
        tables.encode_table({"a": [1], "b": []})


def test_curves_know_their_area_and_matrices_their_shape():
    assert spreads.area_under([0, 0, 1], [0, 1, 1]) == 1.0
    assert spreads.area_under([1, 0.5, 0], [0, 0.5, 1]) == 0.5
    long = spreads.encode_curve("custom", range(30_000), range(30_000), None)
    points = json.loads(long.content)
    assert (points["x"][0], points["x"][-1], len(points["x"])) == (0, 29_999, 10_000)
    assert not long.about.curve.HasField("area")
    with pytest.raises(InvalidArgument):
        spreads.encode_confusion(["a", "b"], [[1, 2]])


def test_text_that_is_no_utf8_is_kept_readable():
    assert texts.encode_text("text", "a\ud800").content == b"a\\ud800"


def test_ten_thousand_images_take_a_handful_of_requests(platform):
    with epochal.init() as run:
        for step in range(10_000):
            run.log_image("val/samples", np.full((2, 2), step % 256, np.uint8), step)
    records = recorded(platform)
    assert [one.step for one in records] == list(range(10_000))
    assert len({one.id for one in records}) == 10_000
    packs = platform.count("PUT")
    assert packs <= 40
    assert platform.count("LogRecords") <= 60
    for one in records[::997]:
        assert unpng(content(platform, run.name, one))[0, 0, 0] == one.step % 256
    whole = platform.world.files[run.name, records[0].path]
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert archive.read(archive.namelist()[0]) == content(platform, run.name, records[0])


def test_what_is_large_is_an_artifact_of_its_own_and_twice_the_same_is_two_records(platform):
    noise = np.random.default_rng(1).integers(0, 256, (900, 900, 3), np.uint8)
    with epochal.init() as run:
        run.log_image("big", noise)
        run.log_image("big", noise)
        run.log_text("small", "x")
    big, again, small = sorted(recorded(platform), key=lambda one: (one.series, one.step))
    assert (big.sha256, big.offset) == (again.sha256, 0)
    assert big.path != again.path
    assert (unpng(content(platform, run.name, again)) == noise).all()
    assert content(platform, run.name, small) == b"x"


def test_steps_that_are_not_said_are_counted_by_kind_and_name(platform):
    with epochal.init() as run:
        for _ in range(2):
            run.log_text("a", "x")
            run.log_html("a", "x")
        run.log_text("a", "x", step=10)
        run.log_text("a", "x")
    steps = [one.step for one in recorded(platform) if one.kind == "text"]
    assert steps == [0, 1, 10, 11]
    assert [one.step for one in recorded(platform) if one.kind == "html"] == [0, 1]


def test_offline_records_come_with_a_later_sync(platform):
    with epochal.init(mode="offline") as run:
        run.log_image("x", np.zeros((2, 2)), 5)
        run.log_metric("loss", 1.0)
    assert not platform.count("LogRecords")
    with Client(config.find()) as client:
        sync_folder(run.folder, client)
    (one,) = recorded(platform)
    assert (one.kind, one.series, one.step) == ("image", "x", 5)
    assert unpng(content(platform, run.name, one)).shape == (2, 2, 1)


KILLED = """
import os, signal, sys
import numpy as np, epochal
from epochal.records import gathering
gathering.FLUSH_S = 1e6
run = epochal.init(mode="offline")
for step in range(700):
    run.log_image("x", np.full((2, 2), step % 256, np.uint8), step)
run.log_image("big", np.random.default_rng(1).integers(0, 256, (900, 900, 3), np.uint8))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_records_survive_the_kill_of_the_process_that_logged_them(platform):
    died = subprocess.run([sys.executable, "-c", KILLED], env=os.environ, timeout=60)
    assert died.returncode == -signal.SIGKILL
    (folder,) = run_folders(config.spool_root())
    with Client(config.find()) as client:
        sync_folder(folder, client)
    records = recorded(platform)
    assert sorted(one.step for one in records if one.series == "x") == list(range(700))
    assert sum(one.series == "big" for one in records) == 1
    run = platform.requests("LogRecords")[0].run
    for one in records:
        assert len(content(platform, run, one)) == one.size_bytes


def test_a_pack_that_is_made_again_after_a_crash_is_the_same_records(platform, tmp_path):
    from epochal.records.gathering import Gatherer, packed
    from epochal.spool.drafts import draft_files
    from epochal.spool.folder import RunFolder

    folder = RunFolder.create(tmp_path / "spool", "orgs/a/projects/b/runs/c", owned=True)
    asked = []
    gatherer = Gatherer(folder, asked.append, print, max_bytes=10**9, on_drop=lambda *_: None)
    for step in range(3):
        gatherer.add(texts.encode_text("text", f"n{step}"), "x", step)
    gatherer._rotate()
    (file,) = draft_files(folder.path / "records")
    first, second = list(packed(folder, file)), list(packed(folder, file))
    assert first == second
    assert isinstance(first[0], pb.CommitArtifactRequest)
    assert isinstance(first[1], pb.LogRecordsRequest)


def test_what_does_not_fit_on_disk_is_dropped_and_said(platform, monkeypatch, tmp_path):
    from epochal.records import gathering
    from epochal.spool.folder import RunFolder

    folder = RunFolder.create(tmp_path / "spool", "orgs/a/projects/b/runs/c", owned=True)
    dropped = []
    gatherer = gathering.Gatherer(
        folder, lambda _: None, print, max_bytes=10, on_drop=lambda n, why: dropped.append((n, why))
    )
    gatherer.add(texts.encode_text("text", "a" * 100), "x", 0)
    gatherer.flush()  # what is packed waits in files/, for the platform takes nothing here
    gatherer.add(texts.encode_text("text", "b"), "x", 1)
    ((count, why),) = dropped
    assert count == 1
    assert "10 bytes" in why


def test_lost_replies_and_a_platform_that_was_away_cost_no_record_and_double_none(platform):
    with epochal.init() as run:
        platform.lose_reply("LogRecords", times=2)
        run.log_text("a", "before")
        run._gatherer.flush()
        platform.stop()
        for step in range(3):
            run.log_text("b", f"away {step}")
        run._gatherer.flush()  # kept in the journal: nothing answers
        platform.start(platform.http_port)
        run.log_text("c", "after")
    known = platform.world.records[run.name].values()
    found = sorted((one.series, one.step, content(platform, run.name, one)) for one in known)
    assert found == [
        ("a", 0, b"before"),
        ("b", 0, b"away 0"),
        ("b", 1, b"away 1"),
        ("b", 2, b"away 2"),
        ("c", 0, b"after"),
    ]
    assert len({one.request_id for one in platform.requests("LogRecords")}) == 3


GREY, BOX = np.zeros((2, 2)), (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("name", lambda run: run.log_text("", "x")),
        ("name", lambda run: run.log_text("a\0", "x")),
        ("name", lambda run: run.log_text("a\ud800", "x")),
        ("step", lambda run: run.log_text("a", "x", step=2**63)),
        ("caption", lambda run: run.log_image("a", np.zeros((2, 2)), caption="x" * 2001)),
        (
            "boxes",
            lambda run: run.log_image_with_boxes("a", GREY, [BOX] * 201),
        ),
        (
            "labels",
            lambda run: run.log_image_with_boxes(
                "a", np.zeros((2, 2)), [(0, 0, 1, 1)], ["x" * 251]
            ),
        ),
        ("trace_id", lambda run: run.log_span(epochal.Span("a", trace_id="x"))),
        ("span_id", lambda run: run.log_span(epochal.Span("a", span_id="x"))),
        ("parent_span_id", lambda run: run.log_span(epochal.Span("a", parent_span_id="x"))),
        ("kind", lambda run: run.log_record("a", texts.encode_json("No Word", 1))),
    ],
)
def test_a_record_that_the_platform_would_refuse_is_refused_alone(platform, field, call):
    with epochal.init() as run:
        run.log_text("good", "x")
        with pytest.raises(InvalidArgument) as refused:
            call(run)
    assert [one.field for one in refused.value.violations] == [field]
    assert [one.series for one in recorded(platform)] == ["good"]


def test_in_strict_mode_a_dropped_record_raises(platform, monkeypatch):
    monkeypatch.setenv("EPOCHAL_SPOOL_MAX_MB", "0")
    run = epochal.init(mode="offline", strict=True)
    run.log_text("a", "x")
    run._gatherer.flush()
    with pytest.raises(epochal.DataIncomplete):
        run.log_text("a", "y")
    with pytest.raises(epochal.DataIncomplete):
        run.finish()


def test_spans_inside_one_another_are_one_trace(platform):
    with epochal.init() as run:
        with run.span("answer", kind="agent", inputs={"q": "2+2"}) as outer:
            with run.span("ask", kind="llm") as inner:
                inner.outputs = "4"
            with pytest.raises(ZeroDivisionError), run.span("fail", kind="tool"):
                1 / 0  # noqa: B018 - fails on purpose
        with run.span("other") as other:
            pass
    spans = {one.series: one.span for one in recorded(platform)}
    assert spans["ask"].parent_span_id == spans["fail"].parent_span_id == outer.span_id
    assert spans["ask"].trace_id == outer.trace_id != other.trace_id
    assert (spans["fail"].status, spans["answer"].status) == ("error", "ok")
    assert spans["answer"].end_ns >= spans["ask"].end_ns >= spans["ask"].start_ns


def test_name_note_tags_and_references_are_told(platform, tmp_path):
    (tmp_path / "f").write_text("abc")
    with epochal.init() as run:
        run.set_name("best")
        run.set_readme("# hi")
        run.log_tags("a, b")
        run.log_meta(cluster="blue")
        run.log_file_ref(tmp_path / "f")
        run.log_data_ref("digits", "s3://x/y")
        run.log_progress(0.5)
        with pytest.raises(InvalidArgument):
            run.log_progress(2)
    assert platform.requests("RenameRun")[0].display_name == "best"
    assert platform.requests("AnnotateRun")[0].note == "# hi"
    assert platform.world.runs[run.name].tags == {"a": "true", "b": "true", "meta.cluster": "blue"}
    (one,) = recorded(platform)
    about = json.loads(content(platform, run.name, one))
    assert about["digest"].startswith("sha256:ba7816bf")
    assert platform.requests("UseDataset")[0].uri == "s3://x/y"


OPTIONAL = {"pandas", "polars", "matplotlib"}


def calls_with_examples():
    finder = doctest.DocTestFinder(recurse=False)
    documented = {}
    for owner in reversed(epochal.Run.__mro__):  # what overrides may leave the example to it
        for name, method in vars(owner).items():
            if not name.startswith("_") and ">>>" in (getattr(method, "__doc__", "") or ""):
                documented[name] = finder.find(method, name)[0]
    return [pytest.param(test, id=name) for name, test in sorted(documented.items())]


@pytest.mark.parametrize("test", calls_with_examples())
def test_the_example_of_a_call_runs(test, monkeypatch, tmp_path):
    for example in test.examples:
        for name in OPTIONAL.intersection(re.findall(r"\w+", example.source)):
            pytest.importorskip(name, reason="an extra; see test_libraries")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    run = epochal.init(mode="offline")
    test.globs.update({"run": run, "epochal": epochal, "__file__": str(tmp_path / "file")})
    said = io.StringIO()
    result = doctest.DocTestRunner().run(test, out=said.write, clear_globs=False)
    run.finish()
    assert (result.failed, said.getvalue()) == (0, "")
