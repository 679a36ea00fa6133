"""An Optuna study over a space of ours: it holds trials and is asked, and nothing else.

The samplers search numbers from 0 to 1, indexes of ordered lists, and choices among indexes; our
spaces turn these into values. A condition (`when`) leaves a parameter out, which Optuna's samplers
take for granted.
"""

from __future__ import annotations

import epochal_proto.v1 as pb
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from epochal_scheduler.domain.sweeps.plans import SweepPlan
from epochal_scheduler.domain.sweeps.spaces import Listed, Params, Space, Value
from epochal_scheduler.domain.sweeps.trials import Trial

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Study:
    """Trials in memory, numbered as they come; `held` is how many there are.

    What a sampler suggests is turned into values and back before the study has it: it then holds
    what it would after a rebuild from those values, to the last bit.
    """

    def __init__(self, plan: SweepPlan) -> None:
        self._space = plan.space
        self._distributions = {param.name: _of(param.space) for param in self._space.params}
        self.study = optuna.create_study(
            directions=["maximize" if o.maximize else "minimize" for o in plan.objectives]
        )
        self.held = 0

    def add(self, trial: Trial) -> int:
        """Takes a trial; returns its number in the study."""
        coordinates = {
            param.name: _coordinate(param.space, trial.params[param.name])
            for param in self._space.params
            if param.name in trial.params
        }
        self.study.add_trial(
            create_trial(
                state=_state(trial),
                values=trial.values if trial.counts else None,
                params=coordinates,
                distributions={name: self._distributions[name] for name in coordinates},
            )
        )
        return self._added()

    def copy(self, trial: FrozenTrial) -> int:
        """Takes a trial of another study over the same space; returns its number in this one."""
        self.study.add_trial(trial)
        return self._added()

    def _added(self) -> int:
        self.held += 1
        return len(self.trials()) - 1

    def ask(self, sampler: BaseSampler) -> tuple[int, Params]:
        """Makes a trial; returns its number in the study and its values."""
        self.study.sampler = sampler
        trial = self.study.ask()
        chosen: dict[str, Value] = {}
        for param in self._space.params:
            if not self._space.is_active(param, chosen):
                continue
            space, name = param.space, param.name
            if not isinstance(space, Listed):
                chosen[name] = space.from_unit(trial.suggest_float(name, 0.0, 1.0))
            elif space.is_ordered:
                chosen[name] = space.at(trial.suggest_int(name, 0, space.size - 1))
            else:
                chosen[name] = space.at(trial.suggest_categorical(name, range(space.size)))
        # Samplers pass over failed trials, so this one leaves no trace.
        self.study.tell(trial, state=TrialState.FAIL)
        return self.add(Trial(trial.number, chosen, pb.RUN_STATUS_CREATED)), chosen

    def end(self, number: int, trial: Trial) -> None:
        """Takes the end of a trial that is under way; a second one changes nothing."""
        values = trial.values if trial.counts else None
        self.study.tell(number, values, _state(trial), skip_if_finished=True)

    def trials(self) -> list[FrozenTrial]:
        """Returns all trials, in order of their numbers."""
        return self.study.get_trials(deepcopy=False)


def _of(space: Space) -> BaseDistribution:
    if not isinstance(space, Listed):
        return FloatDistribution(0.0, 1.0)
    if space.is_ordered:
        return IntDistribution(0, space.size - 1)
    return CategoricalDistribution(range(space.size))


def _coordinate(space: Space, value: Value) -> float | int:
    return space.index(value) if isinstance(space, Listed) else space.to_unit(value)


def _state(trial: Trial) -> TrialState:
    if not trial.is_over:
        return TrialState.RUNNING
    return TrialState.COMPLETE if trial.counts else TrialState.FAIL
