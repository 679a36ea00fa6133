"""Event files byte by byte: framing, checksums, what is half written, both forms of summaries."""

import struct

import epochal
import pytest
from epochal.errors import DataLoss, InvalidArgument
from epochal.tensorboard import events, ingesting
from epochal.tensorboard.files import EventFile, masked_crc
from epochal.tensorboard.messages import event_class
from hypothesis import given
from hypothesis import strategies as st

Event = event_class()


def framed(event):
    data = event.SerializeToString()
    head = struct.pack("<Q", len(data))
    return head + struct.pack("<I", masked_crc(head)) + data + struct.pack("<I", masked_crc(data))


def event(step, tag, time=1.5, **value):
    made = Event(wall_time=time, step=step)
    made.summary.value.add(tag=tag, **value)
    return made


def test_the_checksum_is_crc_32c():
    # RFC 3720, B.4: 32 bytes of zeros have 8A9136AA.
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.lists(st.integers(0, 200), max_size=8), st.lists(st.integers(0, 400), max_size=5))
def test_a_file_that_grows_is_read_once_wherever_it_was_cut(tmp_path_factory, steps, cuts):
    path = tmp_path_factory.mktemp("tb") / "events.out.tfevents.1"
    whole = b"".join(framed(event(step, "loss", simple_value=0.5)) for step in steps)
    file, found = EventFile(path), []
    for cut in [*sorted(min(cut, len(whole)) for cut in cuts), len(whole)]:
        path.write_bytes(whole[:cut])
        found += [Event.FromString(data).step for data in file.read()]
    assert found == steps


@pytest.mark.parametrize("place", [0, 8, 13, -1])
def test_a_damaged_record_is_told_and_what_came_before_is_read(tmp_path, place):
    first, second = (bytearray(framed(event(n, "a", simple_value=1))) for n in (1, 2))
    second[place] ^= 1
    path = tmp_path / "events.out.tfevents.1"
    path.write_bytes(first + second)
    read = EventFile(path).read()
    assert Event.FromString(next(read)).step == 1
    with pytest.raises(DataLoss, match="damaged"):
        next(read)


def read(made):
    return list(events.read_event(made.SerializeToString()))


def tensor(plugin, **fields):
    return {
        "tensor": fields,
        "metadata": {"plugin_data": {"plugin_name": plugin}},
    }


def test_scalars_of_both_forms():
    (old,) = read(event(3, "loss", simple_value=0.25))
    assert (old.tag, old.step, old.value, old.time_us) == ("loss", 3, 0.25, 1_500_000)
    content = struct.pack("<f", 0.5)
    for fields in ({"float_val": [0.5]}, {"dtype": 1, "tensor_content": content}):
        (new,) = read(event(3, "loss", **tensor("scalars", **fields)))
        assert new.value == 0.5


def test_histograms_of_both_forms_keep_every_count():
    limits = [-1.0, 0.0, 1.0, 1.7e308]
    histo = {"min": -0.5, "max": 3.0, "bucket_limit": limits, "bucket": [0, 2, 0, 5]}
    (old,) = read(event(1, "w", histo=histo))
    summary = old.made.about.histogram
    assert list(summary.counts) == [2, 0, 5]
    assert (summary.edges[0], summary.edges[-1]) == (-0.5, 3.0)
    rows = [0.0, 1.0, 4.0, 1.0, 2.0, 6.0]
    (new,) = read(event(1, "w", **tensor("histograms", double_val=rows)))
    assert list(new.made.about.histogram.edges) == [0, 1, 2]
    assert list(new.made.about.histogram.counts) == [4, 6]


def test_a_histogram_of_very_many_bins_is_made_coarser_and_loses_nothing():
    made = events._counted(list(range(3002)), [1.0] * 3001)
    assert len(made.about.histogram.counts) <= 1024
    assert sum(made.about.histogram.counts) == 3001
    assert (made.about.histogram.edges[0], made.about.histogram.edges[-1]) == (0, 3001)


def test_sounds_texts_and_unknown_kinds():
    audio = {
        "sample_rate": 8000, "num_channels": 1, "length_frames": 4000,
        "encoded_audio_string": b"RIFF", "content_type": "audio/wav",
    }  # fmt: skip
    (sound,) = read(event(1, "tone", audio=audio))
    assert (sound.made.content, sound.made.about.audio.duration_s) == (b"RIFF", 0.5)
    (text,) = read(event(1, "note", **tensor("text", string_val=[b"hi"])))
    assert text.made.content == b"hi"
    assert read(event(1, "x", **tensor("mesh", string_val=[b"?"]))) == []
    assert read(event(1, "x", image={"encoded_image_string": b"nonsense"})) == []
    with pytest.raises(DataLoss):
        list(events.read_event(b"\xff"))


def test_a_folder_is_logged_with_its_own_steps_and_times_and_followed(platform, tmp_path):
    folder = tmp_path / "tb"
    (folder / "train").mkdir(parents=True)
    path = folder / "train" / "events.out.tfevents.1"
    path.write_bytes(framed(Event(wall_time=1, file_version="brain.Event:2")))
    with epochal.init() as run:
        with pytest.raises(InvalidArgument):
            run.log_tensorboard(tmp_path / "nowhere")
        run.follow_tensorboard(folder)
        with path.open("ab") as file:
            for step in (10, 20):
                file.write(framed(event(step, "loss", simple_value=step)))
            file.write(framed(event(7, "note", **tensor("text", string_val=[b"hi"]))))
    assert platform.world.points(run.name) == {"train/loss": [(10, 10.0), (20, 20.0)]}
    (one,) = platform.requests("LogRecords")[0].records
    assert (one.series, one.step, one.time_us) == ("train/note", 7, 1_500_000)


def test_a_follower_goes_on_while_the_run_does(platform, tmp_path):
    logged = []
    ingester = ingesting.Ingester(tmp_path, lambda *point: logged.append(point), print)
    follower = ingesting.Follower(ingester, print, every_s=0.01)
    follower.start()
    (tmp_path / "events.out.tfevents.1").write_bytes(framed(event(1, "a", simple_value=2)))
    platform.world.wait_until(lambda: logged)
    follower.close()
    assert logged == [("a", [2.0], [1], [1_500_000])]
