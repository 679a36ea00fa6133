"""Spaces as specs have them, as spaces of the domain."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_scheduler.domain.sweeps import distributions
from epochal_scheduler.domain.sweeps import spaces as domain
from epochal_scheduler.domain.sweeps.searchspaces import Param
from epochal_scheduler.spec.schema import spaces as given
from epochal_scheduler.spec.schema.spaces import Spaces


def read_params(params: Spaces | None) -> tuple[Param, ...]:
    """Returns the parameters of a sweep in the order of the file."""
    return tuple(Param(name, _space(space), _when(space)) for name, space in (params or {}).items())


def _when(space: given.Space) -> dict[str, Sequence[domain.Value]] | None:
    if space.when is None:
        return None
    return {
        name: tuple(values) if isinstance(values, list) else (values,)
        for name, values in space.when.items()
    }


def _space(space: given.Space) -> domain.Space:
    match space:
        case given.Choice(value=values):
            return domain.Choice(tuple(values))
        case given.WeightedChoice(value=pairs):
            return domain.PChoice(
                tuple(value for value, _ in pairs), tuple(weight for _, weight in pairs)
            )
        case given.RangeSpace(value=v):
            return domain.Range(v.start, v.stop, v.step)
        case given.DateRangeSpace(value=days):
            return domain.DateRange(days.start, days.stop, days.step)
        case given.DateTimeRangeSpace(value=times):
            return domain.DateTimeRange(times.start, times.stop, times.step)
        case given.LinSpace(value=points):
            return domain.LinSpace(points.start, points.stop, points.num)
        case given.LogSpace(value=powers):
            return domain.LogSpace(powers.start, powers.stop, powers.num, powers.base)
        case given.GeomSpace(value=ratios):
            return domain.GeomSpace(ratios.start, ratios.stop, ratios.num)
        case _:
            return _distribution(space)


def _distribution(space: given.Space) -> domain.Space:
    match space:
        case given.Uniform(value=v):
            return distributions.Uniform(v.low, v.high)
        case given.QUniform(value=v):
            return distributions.Uniform(v.low, v.high, v.q)
        case given.LogUniform(value=v):
            return distributions.Uniform(v.low, v.high, log=True)
        case given.QLogUniform(value=v):
            return distributions.Uniform(v.low, v.high, v.q, log=True)
        case given.Normal(value=v):
            return distributions.Normal(v.loc, v.scale)
        case given.QNormal(value=v):
            return distributions.Normal(v.loc, v.scale, v.q)
        case given.LogNormal(value=v):
            return distributions.Normal(v.loc, v.scale, log=True)
        case given.QLogNormal(value=v):
            return distributions.Normal(v.loc, v.scale, v.q, log=True)
        case _:
            raise AssertionError(f"no such space: {space.kind}")
