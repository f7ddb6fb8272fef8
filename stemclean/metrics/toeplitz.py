"""Solve symmetric block Toeplitz systems: least squares on delayed copies of a few signals.

To find the filters of ``num_taps`` taps that map ``num_channels`` signals as closely as possible to a target, one
solves normal equations with a matrix whose block (k, l) depends only on ``k - l``. The generalised Schur algorithm
computes its Cholesky factor in ``O(num_taps² num_channels³)`` operations, a dense solver in
``O(num_taps³ num_channels³)``. For 8 channels and 512 taps this is a hundredth of the work, and no 4096 × 4096 matrix
is built.

Source: T. Kailath and A. H. Sayed, "Displacement structure: theory and applications", SIAM Review 37 (1995). The
hyperbolic steps use singular values and the mixed form, which makes them backward stable
(A. W. Bojanczyk, R. P. Brent, F. R. de Hoog and D. R. Sweet, "On the stability of the Bareiss and related Toeplitz
factorization algorithms", SIAM J. Matrix Anal. Appl. 16, 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["Solution", "independent", "solve"]

Array = NDArray[np.float64]

INDEPENDENT = 1e-14
"""A channel is used if at least this share of its energy is independent of the others: -140 dB, below the resolution of
24 bits and above the rounding error of an exact copy."""

RIDGES = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8)
"""Regularisations to try, as shares of the energy of each channel, until the matrix is positive definite."""

REFINEMENTS = 2

DETERMINED = 1e-11
"""Smallest eigenvalue of a system, with channels scaled to energy 1, for which float64 determines the solution.

The rounding error of sums over a song is about 1e-14. If the eigenvalue is smaller, the scores that museval computes
for the frames of a song may depend on the order of the sources (``benchmarks/empty_bands.py``: by 8 dB at 1.5e-12, with
a mono source)."""

POWER_STEPS = 4
"""Steps of the inverse iteration that estimates the smallest eigenvalue; two are enough for its order of magnitude."""


@dataclass(frozen=True)
class Solution:
    """The solution of a system, and whether the system determines it.

    Args:
        filters: the filters, ``(num_taps, channel, target)``.
        ridge: regularisation that was added, as a share of the energy of each channel.
        least_eigenvalue: smallest eigenvalue of the system with that ridge and channels scaled to energy 1; an upper
            estimate, accurate to its order of magnitude. Infinite if all channels are silent.
        determined: whether the filters are determined in every band: no ridge beyond the requested one had to be added,
            and the smallest eigenvalue is at least :data:`DETERMINED`.
    """

    filters: Array
    ridge: float
    least_eigenvalue: float
    determined: bool


def solve(correlations: Array, targets: Array, ridge: float = 0.0) -> Solution:
    """Return the filters that solve ``sum_l R(k - l) x(l) = d(k)``, with ``R(-m) = R(m)ᵀ``.

    Channels that are silent, or copies of others, get zeros. If the matrix is still singular, the smallest sufficient
    value of :data:`RIDGES` is added. The output of the filters for all channels together is always unique up to
    rounding; their output for some of the channels, or for a part of the time, may not be, see
    :attr:`Solution.determined`.

    Args:
        correlations: ``R(m)[i, j]``, the inner product of channel i delayed by m samples with channel j.
        targets: ``d(k)[i, t]``, the inner product of channel i delayed by k samples with target t.
        ridge: minimum regularisation, as a share of the energy of each channel; it acts like white noise of that power.

    Shape:
        correlations: ``(num_taps, channel, channel)``; targets: ``(num_taps, channel, target)``.

    Raises:
        numpy.linalg.LinAlgError: no ridge is sufficient, so the values cannot be correlations.
    """
    filters = np.zeros_like(targets)
    used = independent(correlations[0])
    if not used:
        return Solution(filters, ridge, np.inf, determined=True)
    size = np.sqrt(np.diagonal(correlations[0])[used])
    scaled = correlations[:, used][:, :, used] / np.outer(size, size)
    scaled_targets = targets[:, used] / size[:, None]
    for tried in (ridge, *(more for more in RIDGES if more > ridge)):
        try:
            solution, least = _solve(scaled, scaled_targets, tried)
        except np.linalg.LinAlgError:
            continue
        filters[:, used] = solution / size[:, None]
        return Solution(filters, tried, least, determined=tried == ridge and least >= DETERMINED)
    raise np.linalg.LinAlgError("not the correlations of any signals: no ridge makes them positive definite")


def independent(gram: Array) -> list[int]:
    """Return the channels that are neither silent nor linear combinations of others (by a pivoted Cholesky factor).

    >>> independent(np.array([[4.0, 4.0, 0.0], [4.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    [0]

    Shape:
        gram: ``(channel, channel)``, inner products.
    """
    energy = np.diagonal(gram).copy()
    residual = gram / np.sqrt(np.outer(np.where(energy > 0, energy, np.inf), np.where(energy > 0, energy, np.inf)))
    used = []
    for _ in range(len(gram)):
        pivot = int(np.argmax(np.diagonal(residual)))
        if not residual[pivot, pivot] > INDEPENDENT:
            break
        used.append(pivot)
        residual = residual - np.outer(residual[:, pivot], residual[pivot]) / residual[pivot, pivot]
    return sorted(used)


def _solve(blocks: Array, targets: Array, ridge: float) -> tuple[Array, float]:
    """Solve with one ridge; return the filters and the smallest eigenvalue of the matrix with its ridge."""
    with_ridge = blocks.copy()
    with_ridge[0] += ridge * np.eye(blocks.shape[1])
    factor = _Factor(with_ridge)
    filters = factor.solve(targets)
    for _ in range(REFINEMENTS):
        filters = filters + factor.solve(targets - _multiply(with_ridge, filters))
    if not np.isfinite(filters).all():
        raise np.linalg.LinAlgError("not finite")
    return filters, _least_eigenvalue(factor, blocks.shape[:2])


def _least_eigenvalue(factor: _Factor, shape: tuple[int, int]) -> float:
    """Estimate the smallest eigenvalue by inverse iteration from a fixed random start."""
    vector = np.random.default_rng(0).standard_normal((*shape, 1))
    growth = 1.0
    for _ in range(POWER_STEPS):
        vector = factor.solve(vector / np.linalg.norm(vector))
        growth = float(np.linalg.norm(vector))
        if not np.isfinite(growth) or growth == 0:
            return 0.0
    return 1.0 / growth


class _Factor:
    """A factor U of a symmetric block Toeplitz matrix UᵀU, as a list of block rows.

    It is block triangular; the diagonal blocks are full, which saves a rotation per row.

    Shape:
        blocks: ``(num_taps, channel, channel)``, the first block column.
    """

    def __init__(self, blocks: Array) -> None:
        num_taps, width, _ = blocks.shape
        first = np.linalg.cholesky(blocks[0]).T
        # the first block row of the matrix is R(0), R(1)ᵀ, …: (tap, row, column) -> (column, tap * row)
        upper = np.asarray(
            np.linalg.solve(first.T, blocks.transpose(2, 0, 1).reshape(width, num_taps * width)), np.float64
        )
        lower = upper[:, width:]
        self.width = width
        self.rows = [upper]
        for _ in range(1, num_taps):
            upper, lower = _step(upper[:, :-width], lower, width)
            self.rows.append(upper)
            lower = lower[:, width:]
        self.inverses = np.linalg.inv(np.stack([row[:, :width] for row in self.rows]))

    def solve(self, targets: Array) -> Array:
        """Solve by forward and back substitution. Shape: ``(num_taps, channel, target)``, in and out."""
        width = self.width
        values = targets.reshape(-1, targets.shape[2]).copy()  # (tap * channel, target)
        for at, (row, inverse) in enumerate(zip(self.rows, self.inverses, strict=True)):
            block = slice(at * width, (at + 1) * width)
            values[block] = inverse.T @ values[block]
            values[block.stop :] -= row[:, width:].T @ values[block]
        for at in range(len(self.rows) - 1, -1, -1):
            block = slice(at * width, (at + 1) * width)
            values[block] = self.inverses[at] @ (values[block] - self.rows[at][:, width:] @ values[block.stop :])
        return values.reshape(targets.shape)


def _step(upper: Array, lower: Array, width: int) -> tuple[Array, Array]:
    """Zero the leading block of ``lower`` by rotations that preserve ``upperᵀ upper - lowerᵀ lower``.

    Raises:
        numpy.linalg.LinAlgError: the matrix is not positive definite.
    """
    head = upper[:, :width]
    left, sine, right = np.linalg.svd(np.linalg.solve(head.T, lower[:, :width].T).T)
    gap = (1.0 - sine) * (1.0 + sine)
    if not gap.min() > 0:
        raise np.linalg.LinAlgError("not positive definite")
    cosine = np.sqrt(gap)
    new_upper = (right / cosine[:, None]) @ upper
    new_upper -= (left.T * (sine / cosine)[:, None]) @ lower
    new_lower = (left.T * cosine[:, None]) @ lower
    new_lower -= sine[:, None] * new_upper
    return new_upper, new_lower


def _multiply(blocks: Array, filters: Array) -> Array:
    """Multiply the matrix by vectors, by FFT. Shape: ``(num_taps, channel, target)``, in and out."""
    num_taps = len(blocks)
    num_bins = scipy.fft.next_fast_len(2 * num_taps, real=True)
    circle = np.zeros((num_bins, *blocks.shape[1:]))
    circle[:num_taps] = blocks
    circle[num_bins - num_taps + 1 :] = blocks[:0:-1].transpose(0, 2, 1)
    product = scipy.fft.rfft(circle, axis=0) @ scipy.fft.rfft(filters, num_bins, axis=0)
    result: Array = scipy.fft.irfft(product, num_bins, axis=0)[:num_taps]
    return result
