# ruff: noqa: E501 - a row of a table is easier to read on one line
"""What `{{ }}` can do, and what it cannot."""

import pytest
from epochal_scheduler.spec.templates import Template, TemplateIssue

CONTEXT = {
    "a": "x/y", "n": 3, "items": ["a", 1, None], "d": {"values": 1, "b": {"c": 2}}, "big": "z" * 200_000,
    "none": None, "yes": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("{{ n }}", 3), ("{{ n + 1 }}", 4), ("{{ n ** 2 }}", 9), ("{{ n % 2 }}", 1), ("n={{ n }}", "n=3"),
        ("{{ a }}-{{ n }}", "x/y-3"), ("{{ a | upper }}", "X/Y"), ("{{ a.split('/')[1] }}", "y"),
        ("{{ a | replace('/', '-') }}", "x-y"), ("{{ items | join(',') }}", "a,1,"), ("{{ d.b.c }}", 2),
        ("{{ d.values }}", 1), ("{{ d['b'] | tojson }}", '{"c":2}'), ("{{ items }}", ["a", 1, None]),
        ("<{{ items }}>", '<["a",1,null]>'), ("{{ 'p' if n > 2 else 'q' }}", "p"), ("{{ yes }}", True),
        ("<{{ yes }}{{ none }}>", "<True>"), ("{{ none }}", None), ("{{ missing | default('z') }}", "z"),
        ("{# note #}{{ n }}", 3), ("plain", "plain"), ("{{ [1, 2] | sum }}", 3), ("{{ a ~ n }}", "x/y3"),
    ],
)  # fmt: skip
def test_expressions_give_values(source, value):
    assert Template(source).render(CONTEXT) == value


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("{{ big ~ big }}", "too_large"), ("{{ big }}{{ big }}", "too_large"),
        ("{{ big + big }}", "template_error"), ("{{ big | replace('z', 'zzzz') }}", "template_error"),
        ("{{ a | replace('', 'x') }}", "template_error"), ("{{ [a] * 9 }}", "template_error"),
        ("{{ '%999999d' % 1 }}", "template_error"), ("{{ a.format(1) }}", "template_error"),
        ("{{ a.upper }}", "template_error"), ("{{ missing }}", "unknown_name"),
        ("{{ d.nope }}", "unknown_name"), ("{{ a.__class__.__mro__ }}", "template_error"),
        ("{{ (9 ** 60) ** 60 }}", "template_error"), ("{{ range(9) }}", "unknown_name"),
        ("{{ [big, big] | join }}", "template_error"), ("{% if n %}{% endif %}", "template_syntax"),
        ("{{ " + "+".join(["n"] * 500) + " }}", "too_large"), ("{{ items | nope }}", "template_error"),
        ("{{ " + "9" * 200 + " ** 64 }}", "template_error"), ("{{ items | join(big) }}", "template_error"), ("{{ '{:99999}'.format(1) }}", "template_error"),
    ],
)  # fmt: skip
def test_what_could_run_long_or_grow_large_is_refused(source, rule):
    with pytest.raises(TemplateIssue) as caught:
        Template(source).render(CONTEXT)
    assert caught.value.rule == rule
