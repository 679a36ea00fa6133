"""Curves in the terminal and as SVG."""

import math
from xml.etree import ElementTree

from epochal.drawing import Frame, Line, svg, terminal
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-1e6, 1e6)
lines = st.lists(
    st.builds(
        lambda name, points: Line(name, [x for x, _ in points], [y for _, y in points]),
        st.text(st.characters(categories=["L", "P", "N"]), max_size=8),
        st.lists(st.tuples(st.integers(-(2**62), 2**62).map(float), numbers), max_size=20),
    ),
    max_size=4,
)


def test_a_rising_line_goes_from_the_lower_left_to_the_upper_right():
    rows = [Text.from_markup(row).plain for row in terminal([Line("up", [0, 1], [0, 1])], 40, 8)]
    assert rows[0].startswith("1 │")
    assert rows[0].rstrip()[-1] != "│"
    assert rows[7].startswith("0 │")
    assert rows[7][3] != " "
    assert rows[0][3] == " "
    assert rows[-1].strip().endswith("up")


def test_a_point_that_is_no_number_breaks_the_line():
    whole = svg([Line("a", [0, 1, 2], [0, 1, 2])], "t")
    broken = svg([Line("a", [0, 1, 2, 3, 4], [0, 1, math.nan, 1, 2])], "t")
    strokes = 'stroke-width="1.6"'
    assert (whole.count(strokes), broken.count(strokes)) == (1, 2)


def test_without_points_there_is_no_frame():
    assert Frame.around([Line("a", [0.0], [math.inf])]) is None
    assert terminal([], 80, 10) == ["no points"]
    assert "</svg>" in svg([], "nothing")


@given(lines, st.integers(20, 120), st.integers(2, 30))
def test_any_curves_fit_the_space_that_there_is(some, width, height):
    rows = terminal(some, width, height)
    assert all("\n" not in row for row in rows)
    if Frame.around(some) is not None:
        assert len(rows) == height + 2 + len(some)


@given(lines, st.text(st.characters(categories=["L", "P", "N"]), max_size=9))
def test_any_curves_make_a_document(some, title):
    root = ElementTree.fromstring(svg(some, title))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
