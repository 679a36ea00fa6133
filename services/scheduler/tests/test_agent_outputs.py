"""What a run leaves is held against what it declared, and its files outlive the machine."""

import json

import pytest
from agent_fakes import RUN, FakeStore, run_item, work_item
from epochal_kernel.errors import InvalidArgument, Unavailable
from epochal_scheduler.agent.outputs import BadOutputs, checked_outputs, read_outputs
from epochal_scheduler.spec.compiled import ResolvedIO
from epochal_scheduler.values import from_value
from hypothesis import given
from hypothesis import strategies as st

WRITES = "import os; open(os.environ['EPOCHAL_OUTPUTS_FILE'], 'a').write({!r})"


def output(name, kind="float", **more):
    return {"name": name, "type": kind, "isInput": False, **more}


def plain(exited):
    return {name: from_value(value) for name, value in exited.outputs.items()}


async def test_outputs_are_told_with_their_types(tmp_path):
    code = WRITES.format('acc=0.5\nepochs=3\n{"best": "a", "tags": [1]}\nepochs=4\n')
    item = work_item(code, io=[output("acc"), output("epochs", "int"), output("best", "str")])
    exited, _ = await run_item(item, tmp_path)
    assert exited.exit_code == 0
    assert plain(exited) == {"acc": 0.5, "epochs": 4, "best": "a", "tags": [1]}


@pytest.mark.parametrize(
    ("written", "io", "says"),
    [
        ("", output("acc"), "output 'acc' is declared (float) and was not written"),
        ("acc=high", output("acc"), "output 'acc' must be a number"),
        (
            "acc=1.5",
            output("acc", validation={"le": 1}),
            "output 'acc' = 1.5 breaks its rule: 1.5 must be at most 1",
        ),
        ("nonsense", output("acc"), "line 1 is neither JSON nor name=value: nonsense"),
        ('{"x": "\\u0000"}', output("acc", isOptional=True), "outputs:"),
        ('{"x": "\\ud800"}', output("acc", isOptional=True), "outputs:"),
    ],
)
async def test_what_is_missing_or_wrong_fails_the_run(tmp_path, written, io, says):
    exited, lines = await run_item(work_item(WRITES.format(written), io=[io]), tmp_path)
    assert exited.exit_code == 65
    assert says in exited.message
    assert not exited.infrastructure
    assert exited.outputs == {}
    assert ("system", exited.message) in lines


async def test_an_optional_output_may_be_missing_and_a_default_counts(tmp_path):
    item = work_item("pass", io=[output("a", isOptional=True), output("b", "str", value="x")])
    exited, _ = await run_item(item, tmp_path)
    assert (exited.exit_code, plain(exited)) == (0, {"b": "x"})


async def test_a_run_that_fails_tells_what_it_wrote_and_keeps_its_own_reason(tmp_path):
    item = work_item(WRITES.format("acc=1") + "; raise SystemExit('broke')", io=[output("b")])
    exited, _ = await run_item(item, tmp_path)
    assert (exited.exit_code, exited.message, plain(exited)) == (1, "broke", {"acc": 1})


async def test_outputs_of_an_attempt_before_do_not_count(tmp_path):
    item = work_item("pass", io=[output("acc")])
    item.attempt = 2
    left = tmp_path / "runs" / RUN.rpartition("/")[2] / ".outputs-2"
    left.parent.mkdir(parents=True)
    left.write_text("acc=1")
    exited, _ = await run_item(item, tmp_path)
    assert exited.exit_code == 65


def test_too_much_is_refused(tmp_path):
    file = tmp_path / "outputs"
    file.write_text(json.dumps({"a": "x" * 1024 * 1024}))
    with pytest.raises(BadOutputs, match="write files instead"):
        read_outputs(file)
    file.write_text("\n".join(f"a{n}=1" for n in range(1001)))
    with pytest.raises(BadOutputs, match="1001 values"):
        read_outputs(file)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=4))
def test_whatever_is_written_is_an_output_or_refused_in_words(tmp_path_factory, written):
    file = tmp_path_factory.mktemp("out") / "outputs"
    file.write_text(json.dumps(written))
    assert read_outputs(file) == written
    declared = [
        ResolvedIO(name="a", type="float", is_input=False),
        ResolvedIO(name="b", type="List[int]", is_input=False, is_optional=True),
    ]
    try:
        found = checked_outputs(declared, written)
    except BadOutputs:
        return
    assert found.keys() <= written.keys() | {"a", "b"}


FILES = """
import os, pathlib
out = pathlib.Path(os.environ["EPOCHAL_RUN_OUTPUTS_PATH"])
(out / "model").mkdir()
(out / "model" / "a.bin").write_bytes(b"weights")
(out / "b.txt").write_text("same")
(out / "link").symlink_to("/etc/hostname")
"""


async def test_files_under_outputs_are_uploaded_and_what_is_there_is_not_sent_again(tmp_path):
    store = FakeStore({(RUN, "outputs/b.txt"): b"same"})
    exited, lines = await run_item(work_item(FILES), tmp_path, store)
    assert exited.exit_code == 0
    assert store.sent == ["outputs/model/a.bin"]
    assert ("system", "outputs/link is no file: not uploaded") in lines


async def test_nothing_is_uploaded_when_the_spec_says_so(tmp_path):
    store = FakeStore()
    item = work_item(FILES, plugins={"collectArtifacts": False})
    exited, _ = await run_item(item, tmp_path, store)
    assert (exited.exit_code, store.sent) == (0, [])


async def test_outputs_that_cannot_be_uploaded_are_the_platform_s_fault(tmp_path):
    store = FakeStore(trouble=Unavailable("the gateway does not answer"))
    exited, _ = await run_item(work_item(FILES), tmp_path, store)
    assert exited.infrastructure
    assert exited.message == "outputs could not be uploaded: the gateway does not answer"


async def test_a_refused_file_is_the_run_s_own_fault(tmp_path):
    store = FakeStore(trouble=InvalidArgument("no artifact has such a name"))
    exited, _ = await run_item(work_item(FILES), tmp_path, store)
    assert (exited.exit_code, exited.infrastructure) == (65, False)
    assert exited.message == "outputs could not be uploaded: no artifact has such a name"


STRANGE = """
import os
os.chdir(os.environ["EPOCHAL_RUN_OUTPUTS_PATH"])
open(b"\\xff.bin", "w").close()
os.symlink(b"\\xfe", b"link-\\xfe")
"""


async def test_names_that_are_no_text_harm_nothing(tmp_path):
    store = FakeStore()
    exited, lines = await run_item(work_item(STRANGE), tmp_path, store)
    assert (exited.exit_code, store.sent) == (0, [])
    assert len([text for stream, text in lines if stream == "system"]) == 2
