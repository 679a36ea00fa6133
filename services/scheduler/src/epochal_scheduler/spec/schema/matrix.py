"""Sweeps: one operation, many values (`matrix`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import (
    TEMPLATED,
    TEMPLATED_MANY,
    JsonObject,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedFloat,
    TemplatedInt,
    TemplatedPositive,
)
from epochal_scheduler.spec.schema.io import Params
from epochal_scheduler.spec.schema.spaces import Spaces
from epochal_scheduler.spec.schema.stopping import EarlyStopping, Optimization

MAX_RUNS = 1_000_000
Runs = Annotated[int, Field(ge=1, le=MAX_RUNS), TEMPLATED]
Eta = Annotated[float, Field(gt=1), TEMPLATED]


class OptimizationMetric(SpecModel):
    """A metric that the runs report, and which way is better (V1OptimizationMetric)."""

    name: Annotated[str, Field(min_length=1)]
    optimization: Optimization = "maximize"


class OptimizationResource(SpecModel):
    """What more of makes a trial better known, such as epochs (V1OptimizationResource)."""

    name: Annotated[str, Field(min_length=1)]
    type: Literal["int", "float"] = "int"


class MatrixTuner(SpecModel):
    """A component that suggests the next values (V1Tuner)."""

    hub_ref: Annotated[str, Field(min_length=1)]
    presets: list[str] | None = None
    queue: str | None = None
    namespace: str | None = None
    params: Params | None = None


class WarmStart(SpecModel):
    """Finished runs whose values and metrics a sweep begins with (ours)."""

    query: Annotated[str, Field(min_length=1)]
    sort: str | None = None
    limit: TemplatedPositive | None = None


class _Sweep(SpecModel):
    """What all sweeps share."""

    concurrency: TemplatedPositive | None = None
    early_stopping: Annotated[list[EarlyStopping], TEMPLATED_MANY] | None = None


class _Searched(_Sweep):
    """What sweeps over spaces share."""

    params: Spaces
    seed: TemplatedInt | None = None


class _Tuned(_Searched):
    """What sweeps share that look at metrics; `metrics` has several of them (ours)."""

    metric: OptimizationMetric | None = None
    metrics: Annotated[list[OptimizationMetric], Field(min_length=1, max_length=10)] | None = None
    warm_start: WarmStart | None = None
    tuner: MatrixTuner | None = None

    @model_validator(mode="after")
    def _has_metric(self) -> Any:  # Any: pydantic returns the model itself
        if (self.metric is None) == (self.metrics is None):
            message = "needs a 'metric', or several 'metrics'; it has {found}"
            found = "neither" if self.metric is None else "both"
            raise PydanticCustomError("missing_metric", message, {"found": found})
        return self

    @property
    def objectives(self) -> list[OptimizationMetric]:
        """All metrics, in order."""
        return self.metrics or ([self.metric] if self.metric is not None else [])


class Grid(_Sweep):
    """Every combination (V1GridSearch)."""

    kind: Literal["grid"]
    params: Spaces
    num_runs: Runs | None = None


class Random(_Searched):
    """Values by chance (V1RandomSearch)."""

    kind: Literal["random"]
    num_runs: Runs


class Mapping(_Sweep):
    """The combinations that are listed (V1Mapping)."""

    kind: Literal["mapping"]
    values: Annotated[list[JsonObject], Field(min_length=1, max_length=MAX_RUNS), TEMPLATED_MANY]


class Hyperband(_Tuned):
    """Many short trials, the best of them longer (V1Hyperband)."""

    kind: Literal["hyperband"]
    max_iterations: TemplatedPositive
    eta: Eta = 3
    resource: OptimizationResource
    resume: TemplatedBool | None = None


class GaussianProcess(SpecModel):
    """The model behind Bayesian search (V1GaussianProcess)."""

    kernel: Literal["rbf", "matern"] = "matern"
    length_scale: TemplatedFloat = 1.0
    nu: TemplatedFloat = 1.5
    num_restarts_optimizer: TemplatedCount = 0


class UtilityFunction(SpecModel):
    """What Bayesian search maximises to choose the next trial (V1UtilityFunction)."""

    acquisition_function: Literal["ucb", "ei", "poi"] = "ucb"
    gaussian_process: GaussianProcess | None = None
    kappa: TemplatedFloat | None = None
    eps: TemplatedFloat | None = None
    num_warmup: TemplatedPositive | None = None
    num_iterations: TemplatedPositive | None = None

    @model_validator(mode="after")
    def _has_its_number(self) -> Any:
        wanted = "kappa" if self.acquisition_function == "ucb" else "eps"
        if getattr(self, wanted) is None:
            message = "acquisition function '{function}' needs '{wanted}'"
            context = {"function": self.acquisition_function, "wanted": wanted}
            raise PydanticCustomError("missing_field", message, context)
        return self


class Bayes(_Tuned):
    """Trials chosen by a model of the metric (V1Bayes)."""

    kind: Literal["bayes"]
    num_initial_runs: Runs
    max_iterations: TemplatedPositive
    utility_function: UtilityFunction | None = None


class Tpe(_Tuned):
    """Tree-structured Parzen estimators, by Optuna (V1TPE)."""

    kind: Literal["tpe"]
    num_runs: Runs | None = None
    max_iterations: TemplatedPositive | None = None


class Iterative(_Sweep):
    """Values that a component of the user suggests, batch by batch (V1Iterative)."""

    kind: Literal["iterative"]
    params: Spaces | None = None
    max_iterations: TemplatedPositive
    seed: TemplatedInt | None = None
    tuner: MatrixTuner | None = None


class Asha(_Tuned):
    """Asynchronous successive halving: bad trials stop as soon as they are seen to be (ours)."""

    kind: Literal["asha"]
    num_runs: Runs
    resource: OptimizationResource | None = None
    min_resource: TemplatedPositive = 1
    max_resource: TemplatedPositive
    eta: Eta = 3

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        low, high = self.min_resource, self.max_resource
        if isinstance(low, int) and isinstance(high, int) and low >= high:
            message = "'maxResource' must be above 'minResource'; they are {high}, {low}"
            raise PydanticCustomError("invalid_value", message, {"high": high, "low": low})
        return self


class CmaEs(_Tuned):
    """Covariance matrix adaptation, for numbers that interact (ours)."""

    kind: Literal["cmaes"]
    num_runs: Runs


class Nsga2(_Tuned):
    """A genetic search for several metrics at once (ours)."""

    kind: Literal["nsga2"]
    num_runs: Runs
    population: TemplatedPositive | None = None


Matrix = Annotated[
    Grid | Random | Mapping | Hyperband | Bayes | Tpe | Iterative | Asha | CmaEs | Nsga2,
    Field(discriminator="kind"),
]
