"""A Gaussian process and what to try next by it (Rasmussen and Williams, 2006, algorithm 2.1)."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular  # type: ignore[import-untyped]  # no stubs
from scipy.optimize import minimize  # type: ignore[import-untyped]  # no stubs
from scipy.special import gamma, kv, ndtr  # type: ignore[import-untyped]  # no stubs

from epochal_scheduler.domain.sweeps.plans import Utility

_NOISE = 1e-4
_FINEST = math.log(0.05)
_COARSEST = math.log(10.0)


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
        utility: the kernel and where its length scale starts. The length scale is fitted to the
            likelihood, from there and from `num_restarts` further places.
    """

    def __init__(self, points: np.ndarray, losses: np.ndarray, utility: Utility) -> None:
        self._utility = utility
        self._points = points
        self._mean = float(losses.mean())
        self._scale = float(losses.std()) or 1.0
        self._targets = (losses - self._mean) / self._scale
        self._between = _distances(points, points)
        starts = np.linspace(_FINEST, _COARSEST, utility.num_restarts + 2)[1:-1]
        fits = [
            minimize(self._unlikelihood, [start], bounds=[(_FINEST, _COARSEST)], method="L-BFGS-B")
            for start in (math.log(utility.length_scale), *starts)
        ]
        self._length = math.exp(min(fits, key=lambda fit: float(fit.fun)).x[0])
        self._factor = self._factored(self._length)
        self._weights = cho_solve((self._factor, True), self._targets)

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean and standard deviation at points of shape (m, dimensions)."""
        across = kernel(_distances(points, self._points) / self._length, self._utility)
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

    def _unlikelihood(self, log_length: np.ndarray) -> float:
        factor = self._factored(math.exp(float(log_length[0])))
        weights = cho_solve((factor, True), self._targets)
        return float(0.5 * self._targets @ weights + np.log(np.diag(factor)).sum())

    def _factored(self, length: float) -> np.ndarray:
        covariance = kernel(self._between / length, self._utility)
        covariance[np.diag_indices_from(covariance)] = 1.0 + _NOISE
        return np.asarray(cholesky(covariance, lower=True))


def climb(process: Process, best: float, points: np.ndarray, utility: Utility) -> np.ndarray:
    """Returns the point with the greatest gain: the best of `points`, or uphill from those."""
    gains = process.gain(points, best)
    order = np.argsort(-gains, kind="stable")
    found, most = points[order[0]], gains[order[0]]
    bounds = [(0.0, 1.0)] * points.shape[1]
    for start in points[order[: utility.num_iterations]]:
        search = minimize(
            lambda x: -float(process.gain(x[None, :], best)[0]), start, bounds=bounds,
            method="L-BFGS-B", options={"maxiter": 20},
        )  # fmt: skip
        if -search.fun > most:
            found, most = search.x, -search.fun
    return np.asarray(np.clip(found, 0.0, 1.0))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None, :] - 2 * a @ b.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
