"""What is written for spreadsheets cannot run there."""

import csv
import io

import epochal_proto.v1 as pb
import pytest
from epochal.auditing.formats import Format, write


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_of_a_csv_is_a_formula(text):
    file = io.StringIO(newline="")
    assert write([pb.AuditEvent(position=1, actor=text, payload_json="{}")], file, Format.csv) == 1
    (row,) = csv.DictReader(io.StringIO(file.getvalue(), newline=""))
    assert row["actor"] == f"'{text}"
