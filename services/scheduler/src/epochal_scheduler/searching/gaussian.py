"""A Gaussian process and what to try next by it (Rasmussen and Williams, 2006, algorithm 2.1)."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular  # type: ignore[import-untyped]  # no stubs
from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # no stubs
from scipy.special import gamma, kv, ndtr  # type: ignore[import-untyped]  # no stubs

from epochal_scheduler.domain.sweeps.plans import Utility

_NOISE = 1e-4
_FINEST = math.log(0.05)
_COARSEST = math.log(10.0)
_SEARCH = {"maxiter": 12, "xatol": 0.05}
_ROUNDS, _STEPS, _FIRST_REACH, _SHORTER = 8, 32, 0.1, 0.6


def kernel(distances: np.ndarray, utility: Utility) -> np.ndarray:
    """Returns the covariance at distances given in length scales: `rbf`, or `matern` of any nu."""
    if utility.kernel == "rbf":
        return np.asarray(np.exp(-0.5 * distances**2))
    nu = utility.nu
    scaled = math.sqrt(2 * nu) * distances
    if nu == 0.5:
        return np.asarray(np.exp(-scaled))
    if nu == 1.5:
        return np.asarray((1 + scaled) * np.exp(-scaled))
    if nu == 2.5:
        return np.asarray((1 + scaled + scaled**2 / 3) * np.exp(-scaled))
    scaled = np.maximum(scaled, 1e-10)
    return np.asarray(2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled))


class Process:
    """A process fitted to losses at points of the unit cube; predicts in units of the losses.

    Args:
        points: of shape (n, dimensions), n at least 1.
        losses: of shape (n,), finite.
        utility: the kernel and a guess of its length scale. The length scale is fitted to the
            likelihood, in `num_restarts + 1` intervals; the guess stands if none is better.
        length: a length scale that was fitted before, to be taken as it is.
    """

    def __init__(
        self,
        points: np.ndarray,
        losses: np.ndarray,
        utility: Utility,
        length: float | None = None,
    ) -> None:
        self._utility = utility
        self._points = points
        self._mean = float(losses.mean())
        self._scale = float(losses.std()) or 1.0
        self._targets = (losses - self._mean) / self._scale
        self._between = _distances(points, points)
        self.length = self._fitted() if length is None else length
        self._factor = self._factored(self.length)
        self._weights = cho_solve((self._factor, True), self._targets)

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation at points of shape (m, dimensions)."""
        across = kernel(_distances(points, self._points) / self.length, self._utility)
        solved = solve_triangular(self._factor, across.T, lower=True)
        variance = np.maximum(1.0 - (solved**2).sum(axis=0), 1e-12)
        return across @ self._weights * self._scale + self._mean, np.sqrt(variance) * self._scale

    def gain(self, points: np.ndarray, best: float) -> np.ndarray:
        """Returns what is to be maximised, at points of shape (m, dimensions).

        `ucb` is the confidence bound on the side that is better, `ei` the expected improvement on
        `best`, `poi` the probability of one. `kappa` and `eps` buy exploration; `eps` is in
        standard deviations of the losses.
        """
        mean, deviation = self.predict(points)
        if self._utility.acquisition == "ucb":
            return np.asarray(self._utility.kappa * deviation - mean)
        better = best - mean - self._utility.eps * self._scale
        z = better / deviation
        if self._utility.acquisition == "poi":
            return np.asarray(ndtr(z))
        density = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        return np.asarray(better * ndtr(z) + deviation * density)

    def _fitted(self) -> float:
        start = min(max(math.log(self._utility.length_scale), _FINEST), _COARSEST)
        edges = [*np.linspace(_FINEST, _COARSEST, self._utility.num_restarts + 2)]
        fits = [
            minimize_scalar(self._unlikelihood, bounds=pair, method="bounded", options=_SEARCH)
            for pair in pairwise(edges)
        ]
        found = [(float(fit.fun), float(fit.x)) for fit in fits]
        found.append((self._unlikelihood(start), start))
        return math.exp(min(found)[1])

    def _unlikelihood(self, log_length: float) -> float:
        factor = self._factored(math.exp(log_length))
        weights = cho_solve((factor, True), self._targets)
        return float(0.5 * self._targets @ weights + np.log(np.diag(factor)).sum())

    def _factored(self, length: float) -> np.ndarray:
        covariance = kernel(self._between / length, self._utility)
        covariance[np.diag_indices_from(covariance)] = 1.0 + _NOISE
        return np.asarray(cholesky(covariance, lower=True))


def climb(
    process: Process, best: float, points: np.ndarray, utility: Utility, chance: np.random.Generator
) -> np.ndarray:
    """Returns the point with the greatest gain: the best of `points`, or near the best of those.

    From each of the best `num_iterations` points, some steps are tried at once, and the best one
    taken; steps get shorter. One prediction for all costs a tenth of a search for each.
    """
    heads = _best_of(points, process.gain(points, best), max(utility.num_iterations, 1))
    reach = _FIRST_REACH
    for _ in range(_ROUNDS):
        steps = chance.normal(0.0, reach, (len(heads), _STEPS, points.shape[1]))
        tried = np.clip(heads[:, None, :] + steps, 0.0, 1.0).reshape(-1, points.shape[1])
        tried = np.concatenate([heads, tried])
        heads = _best_of(tried, process.gain(tried, best), len(heads))
        reach *= _SHORTER
    return np.asarray(heads[0])


def _best_of(points: np.ndarray, gains: np.ndarray, n: int) -> np.ndarray:
    return np.asarray(points[np.argsort(-gains, kind="stable")[:n]])


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
