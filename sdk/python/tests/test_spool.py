"""What was appended is there after any death of the process, whole and in order."""

import os

import epochal_proto.v1 as pb
import pytest
from epochal import errors
from epochal.spool.folder import RunFolder, run_folders
from epochal.spool.journal import Journal
from epochal.spool.records import HEADER_BYTES, frame, scan
from epochal.spool.segments import SegmentSpool, SpoolFull
from hypothesis import given
from hypothesis import strategies as st

RUN = "orgs/default/projects/main/runs/0190f5c8-0000-7000-8000-000000000001"


@pytest.fixture
def spool(tmp_path):
    spool = SegmentSpool(tmp_path / "s", segment_bytes=200)
    yield spool
    spool.close()


def reopened(spool, tmp_path):
    spool.close()
    return SegmentSpool(tmp_path / "s", segment_bytes=200)


@given(bodies=st.lists(st.binary(max_size=60), max_size=8), cut=st.integers(0, 400))
def test_a_file_cut_anywhere_holds_its_whole_records(bodies, cut):
    data = b"".join(frame(number, 1, body) for number, body in enumerate(bodies, 1))
    cut = min(cut, len(data))
    found = [data[place.offset : place.end] for place in scan(data[:cut])]
    whole, size = [], 0
    for body in bodies:
        size += HEADER_BYTES + len(body)
        if size <= cut:
            whole.append(body)
    assert found == whole


@given(body=st.binary(min_size=1, max_size=60), position=st.integers(0), flip=st.integers(1, 255))
def test_a_changed_byte_is_seen(body, position, flip):
    data = bytearray(frame(7, 1, body))
    data[position % len(data)] ^= flip
    assert list(scan(bytes(data))) == []


def test_batches_are_numbered_from_one_and_come_back(spool, tmp_path):
    assert spool.last_batch == 0
    numbers = [spool.append(1, b"x" * (50 + index)) for index in range(10)]
    assert numbers == list(range(1, 11))
    again = reopened(spool, tmp_path)
    assert [again.read(n) for n in numbers] == [(1, b"x" * (50 + i)) for i in range(10)]
    assert again.append(2, b"next") == 11
    again.close()


def test_persisted_batches_are_freed_and_their_numbers_remembered(spool, tmp_path):
    for _ in range(10):
        spool.append(1, b"x" * 50)
    full = spool.depth_bytes
    spool.free_through(5)
    assert spool.depth_bytes < full
    assert spool.first_batch <= 6
    assert spool.read(6) == (1, b"x" * 50)
    spool.free_through(10)
    assert spool.depth_bytes == 0
    with pytest.raises(KeyError):
        spool.read(10)
    again = reopened(spool, tmp_path)
    assert again.last_batch == 10
    assert again.append(1, b"y") == 11
    again.close()


def test_a_torn_tail_is_cut_off_and_its_number_used_again(spool, tmp_path):
    spool.append(1, b"whole")
    spool.append(1, b"torn")
    path = next((tmp_path / "s").glob("*.spool"))
    os.truncate(path, path.stat().st_size - 2)
    again = reopened(spool, tmp_path)
    assert again.last_batch == 1
    assert again.damaged_bytes > 0
    assert again.append(1, b"new") == 2
    assert again.read(2) == (1, b"new")
    again.close()


def test_batches_after_a_damaged_segment_are_set_aside(spool, tmp_path):
    for _ in range(10):
        spool.append(1, b"x" * 50)
    segments = sorted((tmp_path / "s").glob("*.spool"))
    data = bytearray(segments[1].read_bytes())
    data[HEADER_BYTES] ^= 1
    segments[1].write_bytes(data)
    again = reopened(spool, tmp_path)
    assert again.last_batch == int(segments[1].stem) - 1
    assert len(list((tmp_path / "s").glob("*.damaged"))) == len(segments) - 1
    again.close()


def test_a_full_spool_refuses_and_uses_no_number(tmp_path):
    spool = SegmentSpool(tmp_path / "s", max_bytes=200)
    spool.append(1, b"x" * 100)
    with pytest.raises(SpoolFull, match="limit of 200"):
        spool.append(1, b"x" * 100)
    assert spool.append(1, b"y") == 2
    spool.close()


def test_a_full_disk_refuses_and_leaves_no_half_record(tmp_path):
    import resource

    spool = SegmentSpool(tmp_path / "s")
    spool.append(1, b"x")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(SpoolFull, match="cannot be written"):
            spool.append(1, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert spool.append(1, b"after") == 2
    spool.close()
    again = SegmentSpool(tmp_path / "s")
    assert again.read(2) == (1, b"after")
    assert again.damaged_bytes == 0
    again.close()


def test_operations_come_back_with_the_same_request_ids(tmp_path):
    folder = RunFolder.create(tmp_path, RUN, owned=True)
    journal = folder.journal()
    journal.append(pb.CreateRunRequest(parent="orgs/default/projects/main"))
    journal.append(pb.SetTagsRequest(run=RUN, tags={"a": "b"}))
    written = journal.pending()
    journal.mark_done(1)
    journal.close()
    again = Journal(folder.path, folder.producer)
    assert again.pending() == written[1:]
    assert len({operation.request_id for _, operation in written}) == 2
    assert again.has(pb.CreateRunRequest)
    assert not again.has(pb.FinishRunRequest)
    again.close()
    folder.release()


def test_a_torn_operation_is_as_if_it_was_never_asked(tmp_path):
    folder = RunFolder.create(tmp_path, RUN, owned=True)
    journal = folder.journal()
    for key in ("a", "b"):
        journal.append(pb.SetTagsRequest(run=RUN, tags={key: "1"}))
    journal.close()
    path = folder.path / "journal.spool"
    os.truncate(path, path.stat().st_size - 1)
    again = folder.journal()
    assert [number for number, _ in again.pending()] == [1]
    again.append(pb.SetTagsRequest(run=RUN, tags={"c": "1"}))
    again.close()
    last = folder.journal()
    assert [dict(op.tags) for _, op in last.pending()] == [{"a": "1"}, {"c": "1"}]
    last.close()
    folder.release()


def test_a_folder_has_one_process_at_a_time(tmp_path):
    folder = RunFolder.create(tmp_path, RUN, owned=True)
    twin = RunFolder.open(folder.path)
    assert (twin.run, twin.producer, twin.owned) == (folder.run, folder.producer, True)
    assert not twin.lock()
    folder.release()
    assert twin.lock()
    twin.release()


def test_folders_are_found_removed_and_half_removed_ones_cleared(tmp_path):
    first, second = (RunFolder.create(tmp_path, RUN, owned=True) for _ in range(2))
    assert set(run_folders(tmp_path)) == {first.path, second.path}
    assert list(run_folders(first.path)) == [first.path]
    first.remove()
    (tmp_path / ".half.gone").mkdir()
    assert list(run_folders(tmp_path)) == [second.path]
    assert not (tmp_path / ".half.gone").exists()
    assert list(run_folders(tmp_path / "nowhere")) == []
    second.release()


def test_dropped_points_are_remembered(tmp_path):
    folder = RunFolder.create(tmp_path, RUN, owned=True)
    assert folder.dropped() == (0, "")
    folder.note_dropped(12, "spool full")
    assert RunFolder.open(folder.path).dropped() == (12, "spool full")
    folder.release()


def test_what_is_no_folder_is_named(tmp_path):
    with pytest.raises(errors.InvalidArgument, match="not the folder of a run"):
        RunFolder.open(tmp_path)
