"""The suggester of any sweep."""

from __future__ import annotations

from collections.abc import Sequence

from epochal_scheduler.domain.sweeps.hyperband import HyperbandSuggester
from epochal_scheduler.domain.sweeps.listing import IterativeSuggester, make_listed
from epochal_scheduler.domain.sweeps.plans import SweepKind, SweepPlan
from epochal_scheduler.domain.sweeps.trials import Suggester, Trial


def make_suggester(plan: SweepPlan, history: Sequence[Trial] = ()) -> Suggester:
    """Returns the suggester of a sweep as it stands after its trials so far.

    Resuming and extending a sweep are the same thing: its plan, perhaps with more runs, and its
    trials, those under way too. An iterative sweep is also to be offered its batches again.

    Args:
        plan: of the sweep.
        history: every trial made so far, in any order.

    Raises:
        InvalidArgument: the plan lacks something that its kind needs.
    """
    if plan.kind is SweepKind.HYPERBAND:
        return HyperbandSuggester(plan, history)
    if plan.kind is SweepKind.ITERATIVE:
        return IterativeSuggester(plan, history)
    if plan.kind is SweepKind.BAYES:
        from epochal_scheduler.searching.bayes import BayesSuggester

        return BayesSuggester(plan, history)
    if plan.kind is SweepKind.CMAES:
        from epochal_scheduler.searching.evolution import CmaEsSuggester

        return CmaEsSuggester(plan, history)
    if plan.kind is SweepKind.TPE:
        from epochal_scheduler.searching.tpe import TpeSuggester

        return TpeSuggester(plan, history)
    if plan.kind is SweepKind.NSGA2:
        from epochal_scheduler.searching.genetic import Nsga2Suggester

        return Nsga2Suggester(plan, history)
    return make_listed(plan, history)
