r"""One formula for the covariance of every statistic in this package.

Every metric here is, to first order, an average over cases. The share of each case in that average is its
influence. Summed over the cases of a patient, the influences of k systems give the joint covariance

    covariance = c T T' + sum over blocks of (c_b - c) B B'

with one row of T per system and one column per patient, and c = I / (I - 1) for I patients. An AUC has two
blocks, the parts of T that come from positive and from negative cases; their factors use the number of
patients holding such a case. This is exactly DeLong, DeLong & Clarke-Pearson (1988) with one case per patient,
and exactly Obuchowski (1997) with several. The sum is positive semi-definite because every c_b >= c.

Any linear contrast (a difference, a mean over classes or seeds) of the estimates is the same contrast of the
rows, so that differences are taken between influences, before anything is squared: the variance of a
difference between two near-identical systems keeps all its digits. Terms are added one by one in the order of the
rows, never by a matrix product, which may add the rows of two systems in different orders: identical systems give
exactly 0, whatever is averaged first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchbench.statistics.inputs import FloatArray


@dataclass(frozen=True)
class Block:
    """A part of the influences with its own small-sample factor.

    Attributes:
        values: Influence of the part, shape (rows, patients holding the part).
        factor: Its weight in the covariance, c_b - c.
        rows: Which rows of the influence it belongs to; None for all of them.
    """

    values: FloatArray
    factor: float
    rows: slice | None = None


@dataclass(frozen=True)
class Influence:
    """Estimates and the influence of every patient on them.

    Attributes:
        numerator: Estimates times `denominator`, shape (q,). For an AUC both are whole numbers, so that a
            difference between two AUCs is exact.
        total: Influence of each patient on each estimate, shape (q, I).
        factor: Small-sample factor c.
        blocks: Further terms of the covariance.
        denominator: See `numerator`.
        defined: False where the variance cannot be estimated (a class with one patient).
    """

    numerator: FloatArray
    total: FloatArray
    factor: float
    blocks: tuple[Block, ...] = ()
    denominator: float = 1.0
    defined: bool = True

    @property
    def estimate(self) -> FloatArray:
        """The estimates, shape (q,)."""
        return self.numerator / self.denominator

    @property
    def covariance(self) -> FloatArray:
        """Covariance matrix of the estimates, shape (q, q); NaN where it cannot be estimated."""
        q = self.numerator.size
        if not self.defined:
            return np.full((q, q), np.nan)
        covariance = self.factor * (self.total @ self.total.T)
        for block in self.blocks:
            rows = block.rows or slice(None)
            covariance[rows, rows] += block.factor * (block.values @ block.values.T)
        return covariance

    def difference(self, a: int, b: int) -> tuple[float, float]:
        """Estimate a minus estimate b, and its variance."""
        pair = self.contrast(_difference_weights(self.numerator.size, a, b))
        return float(pair.estimate[0]), float(pair.covariance[0, 0])

    def contrast(self, weights: FloatArray | Sequence[Sequence[float]], divisor: float = 1.0) -> Influence:
        """Linear combinations of the estimates.

        Args:
            weights: Shape (r, q).
            divisor: Common divisor of all weights. A mean of C perfect values is exactly 1 as a sum over C, and
                may not be as a sum of C-ths.
        """
        weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))
        blocks = []
        for block in self.blocks:
            part = weights if block.rows is None else weights[:, block.rows]
            if part.any():
                blocks.append(Block(_combine(part, block.values) / divisor, block.factor))
        return Influence(
            _combine(weights, self.numerator[:, np.newaxis])[:, 0],
            _combine(weights, self.total) / divisor,
            self.factor,
            tuple(blocks),
            self.denominator * divisor,
            self.defined,
        )


def stack(parts: Sequence[Influence]) -> Influence:
    """Join influences over the same patients, so that their estimates get a joint covariance."""
    blocks: list[Block] = []
    start = 0
    for part in parts:
        stop = start + part.numerator.size
        blocks += [Block(block.values, block.factor, slice(start, stop)) for block in part.blocks]
        start = stop
    return Influence(
        np.concatenate([part.estimate for part in parts]),
        np.concatenate([part.total for part in parts]),
        parts[0].factor,
        tuple(blocks),
        defined=all(part.defined for part in parts),
    )


def _difference_weights(q: int, a: int, b: int) -> FloatArray:
    weights = np.zeros((1, q))
    weights[0, a] += 1
    weights[0, b] -= 1
    return weights


def _combine(weights: FloatArray, values: FloatArray) -> FloatArray:
    # Only rows with a weight are read: a pair out of twenty systems costs two rows, not twenty.
    combined = np.zeros((len(weights), values.shape[1]))
    for out, row in zip(combined, weights, strict=True):
        for i in np.flatnonzero(row):
            out += row[i] * values[i]
    return combined
