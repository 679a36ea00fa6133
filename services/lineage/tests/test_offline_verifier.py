"""The single-file verifier finds what was done to a bundle, and names the place."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundle_world import (
    ORIGIN,
    SIGNER,
    a_record,
    chained,
    history,
    note,
    write_evidence,
    write_log,
)
from epochal import audit_verifier
from epochal.audit_verifier import (
    Bundle,
    Tree,
    Unreadable,
    Verdict,
    consistency_holds,
    inclusion_holds,
    leaf_hash,
    verify,
)
from epochal_lineage.domain.tlog.notes import Signer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_tree import mth, path, proof

MOST = 2_000
ENTRIES = [index.to_bytes(4, "big") for index in range(MOST)]
KEY = str(SIGNER.verifier)
OTHER = Signer(ORIGIN, b"\x02" * 32)


def checked(folder: Path, kept: tuple[str, ...] = (), key: str = KEY) -> Verdict:
    return verify(Bundle(folder), key, kept)


# ---- the tree ----


def test_tree_of_the_verifier_is_that_of_the_rfc_at_every_size() -> None:
    tree = Tree()
    assert tree.root() == mth([])
    for size in range(1, MOST + 1):
        tree.add(leaf_hash(ENTRIES[size - 1]))
        if size <= 300 or size % 13 == 0 or size & (size - 1) == 0:
            assert tree.root() == mth(ENTRIES[:size])


@settings(max_examples=60)
@given(st.data())
def test_inclusion_holds_for_the_leaf_in_its_place_and_for_no_other(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, MOST))
    index = data.draw(st.integers(0, size - 1))
    root, proved = mth(ENTRIES[:size]), path(index, ENTRIES[:size])
    leaf = leaf_hash(ENTRIES[index])
    assert inclusion_holds(leaf, index, size, proved, root)
    assert not inclusion_holds(leaf_hash(b"other"), index, size, proved, root)
    assert not inclusion_holds(leaf, index, size, [*proved, root], root)
    assert not inclusion_holds(leaf, index, size, proved, bytes(32))
    assert not inclusion_holds(leaf, size, size, proved, root)
    if proved:
        assert not inclusion_holds(leaf, index, size, proved[:-1], root)
        assert not inclusion_holds(leaf, index ^ 1, size, proved, root)


@settings(max_examples=60)
@given(st.data())
def test_consistency_holds_for_a_tree_that_grew_and_for_no_other(data: st.DataObject) -> None:
    after = data.draw(st.integers(1, MOST))
    before = data.draw(st.integers(1, after))
    first, second = mth(ENTRIES[:before]), mth(ENTRIES[:after])
    proved = proof(before, ENTRIES[:after])
    assert consistency_holds(before, after, first, second, proved)
    assert not consistency_holds(before, after, bytes(32), second, proved)
    assert not consistency_holds(before, after, first, bytes(32), proved)
    assert not consistency_holds(before, after, first, second, [*proved, first])
    assert not consistency_holds(0, after, first, second, proved)
    assert not consistency_holds(after + 1, after, first, second, proved)
    if proved:
        assert not consistency_holds(before, after, first, second, proved[:-1])


# ---- bundles that hold ----


@pytest.mark.parametrize("count", [1, 2, 3, 37])
def test_whole_log_holds(tmp_path: Path, count: int) -> None:
    write_log(tmp_path / "b", history(count), signed_at=range(1, count))
    verdict = checked(tmp_path / "b")
    assert (verdict.holds, verdict.problem) == (True, "")
    assert (verdict.events, verdict.checkpoints, verdict.whole) == (count, count, True)


def test_events_of_one_organisation_hold_among_digests_of_others(tmp_path: Path) -> None:
    written = write_log(tmp_path / "b", history(30), org="acme")
    assert checked(tmp_path / "b").events == len(written.rows()) == 20
    assert b"orgs/other" not in (tmp_path / "b/events.jsonl").read_bytes()


def test_zip_is_checked_by_python_and_cryptography_alone(tmp_path: Path) -> None:
    write_log(tmp_path / "b", history(9), signed_at=[4])
    archive = shutil.make_archive(str(tmp_path / "audit"), "zip", tmp_path / "b")
    script = tmp_path / "verify.py"
    shutil.copy(audit_verifier.__file__, script)
    hidden = (
        "import sys, runpy\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        top = name.partition('.')[0]\n"
        "        assert not top.startswith(('epochal', 'google', 'grpc')), name\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", hidden, script, archive, "--key", KEY, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["events"] == 9


# ---- what was done to them ----


@settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(data=st.data())
def test_any_flipped_byte_of_an_event_is_found_at_its_position(
    data: st.DataObject, tmp_path: Path
) -> None:
    written = write_log(tmp_path / "b", history(12), signed_at=[5])
    position = data.draw(st.integers(1, 12))
    rows = written.rows()
    row = rows[position - 1]
    name = data.draw(st.sampled_from(sorted(row.keys() - {"position"})))
    value = row[name]
    if isinstance(value, int):
        row[name] = value + 1
    elif name == "payload":
        raw = bytearray(base64.b64decode(str(value)))
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        row[name] = base64.b64encode(raw).decode()
    elif (name.endswith("_id") and name != "org_id") or name == "chain":
        raw = bytearray.fromhex(str(value)) or bytearray(16)
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        row[name] = raw.hex()
    else:
        row[name] = f"{value}x"
    written.put_rows(rows)
    verdict = checked(tmp_path / "b")
    assert not verdict.holds
    assert verdict.first_bad_position == position


@pytest.mark.parametrize("position", [1, 5, 9])
def test_dropped_row_is_found(tmp_path: Path, position: int) -> None:
    written = write_log(tmp_path / "b", history(9))
    written.change(lambda rows: rows.pop(position - 1))
    verdict = checked(tmp_path / "b")
    assert (verdict.holds, verdict.first_bad_position) == (False, position)
    assert verdict.problem == f"position {position} is missing"


def test_swapped_order_is_found_even_when_renumbered(tmp_path: Path) -> None:
    written = write_log(tmp_path / "b", history(9))

    def swap(rows: list[dict[str, object]]) -> None:
        rows[3], rows[6] = rows[6], rows[3]

    written.change(swap)
    assert checked(tmp_path / "b").first_bad_position == 4

    def renumber(rows: list[dict[str, object]]) -> None:
        for position, row in enumerate(rows, 1):
            row["position"] = position

    written.change(renumber)
    assert checked(tmp_path / "b").first_bad_position == 4


def test_rewritten_tail_is_found_by_the_last_checkpoint_that_fits(tmp_path: Path) -> None:
    """Everything after 6 is made anew: events, digests, chain. Only the signatures cannot be."""
    kept = history(12)
    rewritten = chained([*kept[:6], *(one._replace(actor="users/eve") for one in kept[6:])])
    write_log(tmp_path / "b", rewritten, notes=[note(kept[:3]), note(kept[:6]), note(kept[:9])])
    (tmp_path / "b/checkpoint").write_text(note(kept))
    verdict = checked(tmp_path / "b")
    assert (verdict.holds, verdict.first_bad_position) == (False, 7)
    assert "after position 6 and not later than 9" in verdict.problem


def test_past_that_was_signed_anew_is_found_by_a_checkpoint_that_was_kept(tmp_path: Path) -> None:
    kept = history(12)
    rewritten = chained([*kept[:6], *(one._replace(actor="users/eve") for one in kept[6:])])
    write_log(tmp_path / "b", rewritten)
    assert checked(tmp_path / "b").holds, "the key signed it: without more it is believed"
    verdict = checked(tmp_path / "b", (note(kept[:5]), note(kept[:8])))
    assert (verdict.holds, verdict.first_bad_position) == (False, 6)


def test_tail_that_is_gone_is_found_by_a_checkpoint_that_was_kept(tmp_path: Path) -> None:
    write_log(tmp_path / "b", history(8))
    verdict = checked(tmp_path / "b", (note(history(12)),))
    assert (verdict.holds, verdict.first_bad_position) == (False, 9)


def test_digests_that_were_cut_or_changed_are_found(tmp_path: Path) -> None:
    write_log(tmp_path / "b", history(8), signed_at=[4])
    file = tmp_path / "b/digests.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[:-32])
    assert checked(tmp_path / "b").first_bad_position == 5
    changed = bytearray(whole)
    changed[32 * 2] ^= 1
    file.write_bytes(changed)
    assert checked(tmp_path / "b").first_bad_position == 3


# ---- signatures ----


def test_only_the_key_that_is_trusted_is_believed(tmp_path: Path) -> None:
    write_log(tmp_path / "b", history(3), keys=[OTHER])
    assert "signed neither by" in checked(tmp_path / "b").problem
    believed = checked(tmp_path / "b", key="")
    assert believed.holds
    assert not believed.key_was_given
    assert "give the one you trust" in audit_verifier.told(believed)


def test_false_signature_is_found(tmp_path: Path) -> None:
    write_log(tmp_path / "b", history(3))
    file = tmp_path / "b/checkpoint"
    signed = file.read_text()
    _, _, lines = note(history(4)).rpartition("\n\n")
    file.write_text(f"{signed.rpartition(chr(10) * 2)[0]}\n\n{lines}")
    assert "false signature" in checked(tmp_path / "b").problem


def test_key_is_followed_over_a_handover_and_only_so(tmp_path: Path) -> None:
    records = history(9)
    handed = note(records[:6], [SIGNER, OTHER])
    write_log(tmp_path / "b", records, keys=[SIGNER, OTHER], notes=[note(records[:3]), handed])
    assert checked(tmp_path / "b").holds
    write_log(tmp_path / "c", records, keys=[SIGNER, OTHER], notes=[note(records[:3])])
    assert not checked(tmp_path / "c").holds


# ---- evidence ----


def test_evidence_holds_and_every_change_of_it_is_found(tmp_path: Path) -> None:
    written = write_evidence(tmp_path / "b", history(50), [3, 17, 50])
    verdict = checked(tmp_path / "b")
    assert (verdict.holds, verdict.events, verdict.kind) == (True, 3, "evidence")
    rows = written.rows()
    written.put_rows([rows[0], rows[1] | {"actor": "users/eve"}, rows[2]])
    assert checked(tmp_path / "b").first_bad_position == 17
    written.put_rows(rows[:2])
    assert checked(tmp_path / "b").first_bad_position == 50
    written.put_rows([rows[1], rows[0], rows[2]])
    assert checked(tmp_path / "b").first_bad_position == 3


@pytest.mark.parametrize("file", ["bundle.json", "checkpoint", "events.jsonl", "digests.bin"])
def test_bundle_that_lacks_a_file_cannot_be_read(tmp_path: Path, file: str) -> None:
    write_log(tmp_path / "b", history(3))
    (tmp_path / "b" / file).unlink()
    with pytest.raises(Unreadable, match=file.replace(".", "[.]")):
        checked(tmp_path / "b")


def test_command_line_says_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_log(tmp_path / "b", history(3))
    assert audit_verifier.main([str(tmp_path / "b"), "--key", KEY]) == 0
    assert "HOLDS: 3 events (all)" in capsys.readouterr().out
    written.change(lambda rows: rows.pop(1))
    assert audit_verifier.main([str(tmp_path / "b"), "--key", KEY]) == 1
    assert "BROKEN, first bad position 2" in capsys.readouterr().out
    assert audit_verifier.main([str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_record_of_the_tests_is_what_the_kernel_hashes() -> None:
    """So that a change of the encoding cannot pass here unseen."""
    from epochal.auditing.bundles import event_row
    from epochal_kernel.log.chain import leaf

    record = a_record(5)._replace(chain=bytes(32))
    assert audit_verifier.digest_of(event_row(record.to_envelope())) == leaf(record)
