"""Many L2 logistic regressions on the same embeddings, solved together to scikit-learn's optimum.

A *fit* is one logistic regression: one label column, one set of row weights, one C. Folds, missing labels and class
weights are all row weights, so every fit shares one design matrix, and the matrix products of all fits are two large
products per iteration. For fit b with rows i of weight s_i (the weights sum to n), this minimises

    (1/n) sum_i s_i loss(y_i, W x_i + b) + |W|^2 / (2 C n),     x = the fit's own standardised features,

which is scikit-learn's objective divided by C n: softmax over K classes with a free intercept, or one sigmoid for
two classes. Softmax fits are solved in
K - 1 columns: at the optimum the K rows of W sum to zero, so W = Q U for an orthonormal Q (K, K - 1), and |W| = |U|.
The method is L-BFGS (Liu & Nocedal, Math. Program. 45, 1989) in its compact form (Byrd, Nocedal &
Schnabel, Math. Program. 63, 1994), preconditioned by the eigenvectors of the features' correlation matrix.

Precision: the state (coefficients, logits, gradients) has the type of the start that is handed in and is moved by
*increments* whose products are float32. In a float64 state their rounding errors shrink with the steps, which is
what fits that are kept need; a float32 state is half the memory traffic and is enough to rank values of C. Before a
fit with a float64 state is declared finished, its gradient is recomputed from the coefficients in float64.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..processor import is_amd
from .accuracy import Accuracy

# Upper estimate of the mean curvature p (1 - p) of the loss; 1/4 is the bound. Found best between 0.03 and 0.25.
CURVATURE = 0.1
MEMORY = 8
CHECK_EVERY = 2
# A step that promises less than this (nats) is rounding: the fit waits for the others.
IDLE = {torch.float64: 1e-19, torch.float32: 1e-12}
# Of wide embeddings the preconditioner knows this share of the eigenvectors, the leading ones, and treats the others
# alike: their products cost a quarter, and iterations hardly grow because most of the variance is in front.
LEADING = 0.25
WIDE = 256
# Rounding that has added up in the increments is cleared at least this often. Fits in float32 sooner: where float32 is
# too coarse for what is asked, that is how they are found to gain nothing any more, and are given back as they are.
RENEW_EVERY = {torch.float64: 100, torch.float32: 20}


@dataclass(frozen=True)
class Problem:
    """A batch of B fits with K output columns each (K = 1: sigmoid), on n rows of D features.

    `targets` (B, K, n): one-hot labels. `weights` (B, 1, n) summing to 1 over rows; 0 leaves a row out. `ratio`
    (B, 1, D): scale of the design's columns over the fit's own. `penalty` (B, 1, 1): 1 / (C n). All of one type.
    """

    targets: Tensor
    weights: Tensor
    ratio: Tensor
    penalty: Tensor

    def __getitem__(self, rows: Tensor) -> Problem:
        return Problem(*(getattr(self, f.name)[rows] for f in fields(self)))


@dataclass(frozen=True)
class Solution:
    """What B fits came to: `coef` (B, K, D) on the fit's own standardised features and `logits` (B, K, n) of all rows.

    `intercept` (B, K) belongs to the design's columns, not to the fit's: it already holds the fit's own centring.
    `gap` (B,): upper estimate of (objective - optimum) / objective.
    """

    coef: Tensor
    intercept: Tensor
    logits: Tensor
    iterations: Tensor
    converged: Tensor
    gap: Tensor


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product: by torch, but on an AMD processor by numpy, whose BLAS is up to twice as fast there.

    Elsewhere torch's is the faster, up to three times for few rows.
    """
    if a.device.type == "cpu" and is_amd():
        return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))
    return a @ b


def _rows_product(a: Tensor, b: Tensor) -> Tensor:
    """(B, K, m) times (m, p), as one product."""
    return product(a.reshape(-1, a.shape[2]), b).view(a.shape[0], a.shape[1], b.shape[1])


def probabilities(logits: Tensor) -> Tensor:
    """Softmax over the columns, or a sigmoid where there is one."""
    return torch.softmax(logits, 1) if logits.shape[1] > 1 else torch.sigmoid(logits)


def mean_loss(logits: Tensor, problem: Problem) -> Tensor:
    """Weighted mean negative log-likelihood of each fit (B,)."""
    hit = (logits * problem.targets).sum(1)
    if logits.shape[1] > 1:
        total = torch.logsumexp(logits, 1)
    else:
        total = torch.nn.functional.softplus(logits[:, 0])
    return ((total - hit) * problem.weights[:, 0]).sum(1)


class Preconditioner:
    """Coordinates in which the objective is nearly round: w = T t, T T = (curvature * correlation + penalty)^-1.

    `basis` (D, r) holds the leading eigenvectors and `spectrum` (r,) the eigenvalues of the correlation matrix; the
    other directions share the eigenvalue `rest`. Without a basis the columns themselves are taken for the
    eigenvectors; without a spectrum T is a scalar. T is symmetric.
    """

    def __init__(self, basis: Tensor | None, spectrum: Tensor | None, rest: float = 0.0) -> None:
        self.basis, self.spectrum, self.rest = basis, spectrum, rest
        self.transposed = None if basis is None else basis.T.contiguous()

    @classmethod
    def of(cls, features: Tensor) -> Preconditioner:
        """Leading eigenvectors of the correlation matrix of standardised `features` (n, D)."""
        spectrum, basis = torch.linalg.eigh(product(features.T, features) / len(features))
        spectrum = spectrum.clamp(min=0)
        others = int(len(spectrum) * (1 - LEADING)) if len(spectrum) > WIDE else 0
        rest = float(spectrum[:others].mean()) if others else 0.0
        return cls(basis[:, others:].contiguous(), spectrum[others:], rest)

    def rates(self, penalty: Tensor) -> Tensor:
        """What `apply` needs to know of each fit: (B, 1, D) or (B, 1, 1) scales, or with a basis (B, 1, r + 1).

        The last of the r + 1 numbers is the scale of the directions outside the basis, the others what the
        leading directions have beyond it.
        """
        if self.spectrum is None:
            return torch.rsqrt(CURVATURE + penalty).float()
        scales = torch.rsqrt(CURVATURE * self.spectrum.to(penalty.dtype) + penalty).float()
        if self.basis is None:
            return scales
        outside = torch.rsqrt(CURVATURE * self.rest + penalty).float()
        return torch.cat([scales - outside, outside], 2)

    def apply(self, v: Tensor, rates: Tensor) -> Tensor:
        """T v for v (B, K, D)."""
        if self.basis is None or self.transposed is None:
            return v * rates
        leading = _rows_product(v, self.basis) * rates[..., :-1]
        return v * rates[..., -1:] + _rows_product(leading, self.transposed)


class Design:
    """Features of all rows, in the precisions and layouts that the products want.

    Args:
        features: (n, D) float64.
        preconditioner: The coordinates to solve in.
    """

    def __init__(self, features: Tensor, preconditioner: Preconditioner) -> None:
        self.exact = features
        self.single = features.float()
        self.transposed = self.single.T.contiguous()
        self.preconditioner = preconditioner

    def logits(self, coef: Tensor, intercept: Tensor, problem: Problem) -> Tensor:
        """Logits (B, K, n) of every row, in the type of the coefficients."""
        return _rows_product(coef * problem.ratio, self.of_type(coef.dtype).T) + intercept

    def of_type(self, dtype: torch.dtype) -> Tensor:
        """The features (n, D) in float64 or float32."""
        return self.exact if dtype == torch.float64 else self.single


@dataclass
class _State:
    """Everything that belongs to a fit still being solved; first axis: fits."""

    index: Tensor
    coef: Tensor
    intercept: Tensor
    logits: Tensor
    residual: Tensor
    gradient: Tensor
    gradient0: Tensor
    scaled: Tensor
    pairs: Tensor
    cross: Tensor
    curvature: Tensor
    used: Tensor
    gamma: Tensor
    rates: Tensor
    best: Tensor
    stalls: Tensor

    def keep(self, rows: Tensor) -> None:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[rows])


def zero_sum_basis(columns: int) -> Tensor:
    """Orthonormal basis (K, K - 1) of the vectors of K numbers that sum to zero; for one column, that column."""
    if columns == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    centring = torch.eye(columns, dtype=torch.float64) - 1 / columns
    return torch.linalg.eigh(centring)[1][:, 1:].contiguous()


class _Solver:
    """Batched L-BFGS on one `Design`; see the module's text."""

    def __init__(self, design: Design, problem: Problem, coef: Tensor, intercept: Tensor) -> None:
        self.design, self.problem = design, problem
        self.mix = zero_sum_basis(coef.shape[1]).to(coef)
        coef, intercept = self.mix.T @ coef, self.mix.T @ intercept
        B, K, D = coef.shape
        size, new = K * (D + 1), partial(torch.zeros, dtype=torch.float64, device=coef.device)
        self.state = s = _State(
            index=torch.arange(B, device=coef.device),
            coef=coef,
            intercept=intercept,
            logits=new(0),
            residual=new(0),
            gradient=new(0),
            gradient0=new(0),
            scaled=new(0),
            pairs=new((B, 2 * MEMORY, size), dtype=torch.float32),
            cross=torch.eye(MEMORY, dtype=torch.float64, device=coef.device).repeat(B, 1, 1),
            curvature=new((B, MEMORY, MEMORY)),
            used=new((B, MEMORY)),
            gamma=new(B) + 1,
            rates=design.preconditioner.rates(problem.penalty),
            best=new(B) + torch.inf,
            stalls=new(B),
        )
        s.logits, s.residual, s.gradient, s.gradient0, s.scaled = self._exact(
            torch.arange(B, device=coef.device)
        )

    # Gradients ----------------------------------------------------------------------------------------------------

    def _exact(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Logits, residuals, gradients, and the gradient in round coordinates, from the coefficients."""
        s, problem = self.state, self.problem[rows]
        logits = self.mix @ self.design.logits(s.coef[rows], s.intercept[rows], problem)
        residual = (probabilities(logits) - problem.targets) * problem.weights
        inner = self.mix.T @ residual
        features = self.design.of_type(residual.dtype)
        gradient = _rows_product(inner, features) * problem.ratio + problem.penalty * s.coef[rows]
        gradient0 = inner.sum(2, keepdim=True)
        return logits, residual, gradient, gradient0, self._round(gradient, gradient0, s.rates[rows])

    def _round(self, gradient: Tensor, gradient0: Tensor, rates: Tensor) -> Tensor:
        """A gradient in the preconditioner's coordinates, the intercept last: float32 (B, K (D + 1))."""
        inner = self.design.preconditioner.apply(gradient.float(), rates)
        return torch.cat([inner, gradient0.float() / CURVATURE**0.5], 2).flatten(1)

    # One iteration ------------------------------------------------------------------------------------------------

    def _direction(self, iteration: int) -> Tensor:
        """Minus the L-BFGS inverse Hessian times the gradient, float32 (B, K (D + 1))."""
        s = self.state
        count = min(iteration, MEMORY)
        if count == 0:
            return -s.scaled
        order = [(iteration - count + j) % MEMORY for j in range(count)]
        both = torch.bmm(s.pairs, s.scaled[:, :, None])[:, :, 0].double()
        steps, changes = both[:, order], both[:, [MEMORY + j for j in order]]
        upper = torch.triu(s.cross[:, order][:, :, order])
        middle = torch.diag_embed(torch.diagonal(upper, dim1=1, dim2=2) * s.used[:, order])
        gamma = s.gamma[:, None, None]
        middle = middle + gamma * s.curvature[:, order][:, :, order]
        inner = torch.linalg.solve_triangular(upper, steps[:, :, None], upper=True)
        right = middle @ inner - gamma * changes[:, :, None]
        outer = torch.linalg.solve_triangular(upper.mT, right, upper=False)
        weights = torch.zeros_like(both)
        weights[:, order] = outer[:, :, 0]
        weights[:, [MEMORY + j for j in order]] = -(gamma * inner)[:, :, 0]
        return -(s.gamma[:, None].float() * s.scaled + torch.bmm(weights.float()[:, None], s.pairs)[:, 0])

    def _step_length(
        self, moved: Tensor, slope: Tensor, linear: Tensor, square: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Step lengths (B, 1, 1) and the residuals there; a secant search on the slope, which is all a convex
        function needs: |slope| falls below 0.9 of its start and does not turn up by more than 0.3 of it."""
        s, problem = self.state, self.problem
        idle = slope > -IDLE[slope.dtype]
        length = torch.where(idle, 0.0, torch.ones_like(slope))
        low, low_slope = torch.zeros_like(slope), slope
        high, high_slope = torch.full_like(slope, torch.inf), torch.zeros_like(slope)
        for _ in range(20):
            residual = (
                probabilities(s.logits + length[:, None, None] * moved) - problem.targets
            ) * problem.weights
            here = (residual * moved).sum((1, 2)) + linear + length * square
            fine = idle | ((here <= -0.3 * slope) & (here >= 0.9 * slope))
            if bool(fine.all()):
                break
            up = here > 0
            high, high_slope = torch.where(up, length, high), torch.where(up, here, high_slope)
            low, low_slope = torch.where(up, low, length), torch.where(up, low_slope, here)
            secant = low + (high - low) * (low_slope / (low_slope - high_slope)).clamp(0.1, 0.9)
            length = torch.where(fine, length, torch.where(high.isinf(), 4 * length, secant))
        return length[:, None, None], residual

    def _advance(self, iteration: int) -> None:
        """Move every fit by one step and remember the pair (step, change of gradient)."""
        s, problem, design = self.state, self.problem, self.design
        B, K, D = s.coef.shape
        dtype = s.coef.dtype
        direction = self._direction(iteration)
        parts = direction.view(B, K, D + 1)
        step = design.preconditioner.apply(parts[..., :D].contiguous(), s.rates)
        step0 = parts[..., D:].to(dtype) / CURVATURE**0.5
        moved = self.mix @ (_rows_product(step * problem.ratio.float(), design.transposed).to(dtype) + step0)
        step = step.to(dtype)
        linear = (problem.penalty * s.coef * step).sum((1, 2))
        square = (problem.penalty * step * step).sum((1, 2))
        # From the logits and not from the gradient: the search compares slopes with this one.
        slope = (s.residual * moved).sum((1, 2)) + linear
        length, residual = self._step_length(moved, slope, linear, square)
        self._forget(slope >= 0)
        step, moved = length * step, length * moved
        change = self.mix.T @ (residual - s.residual)
        s.coef, s.intercept = s.coef + step, s.intercept + length * step0
        s.logits, s.residual = s.logits + moved, residual
        grown = (
            _rows_product(change.float(), design.single).to(dtype) * problem.ratio + problem.penalty * step
        )
        grown0 = change.sum(2, keepdim=True)
        s.gradient, s.gradient0 = s.gradient + grown, s.gradient0 + grown0
        turned = self._round(grown, grown0, s.rates)
        s.scaled = s.scaled + turned
        self._remember(iteration % MEMORY, direction * length[:, :, 0].float(), turned)

    def _remember(self, slot: int, step: Tensor, change: Tensor) -> None:
        s = self.state
        good = (step.double() * change.double()).sum(1) > 0
        s.pairs[:, slot] = step * good[:, None]
        s.pairs[:, MEMORY + slot] = change * good[:, None]
        both = torch.bmm(s.pairs, s.pairs[:, MEMORY + slot, :, None])[:, :, 0].double()
        s.cross[:, :, slot] = both[:, :MEMORY]
        s.cross[:, slot, slot] = torch.where(good, both[:, slot], 1.0)
        s.curvature[:, :, slot] = s.curvature[:, slot] = both[:, MEMORY:]
        s.used[:, slot] = good.double()
        s.gamma = torch.where(good, both[:, slot] / both[:, MEMORY + slot].clamp(min=1e-300), s.gamma)

    def _forget(self, lost: Tensor) -> None:
        """Clear the memory of fits whose direction does not lead down, which only rounding can cause."""
        if bool(lost.any()):
            s = self.state
            s.pairs[lost], s.curvature[lost], s.used[lost] = 0.0, 0.0, 0.0
            s.cross[lost] = torch.eye(MEMORY, dtype=torch.float64, device=lost.device)

    # When to stop -------------------------------------------------------------------------------------------------

    def _gaps(self) -> tuple[Tensor, Tensor]:
        """Two estimates of objective - optimum: by the preconditioner (nats), and an upper, relative one.

        The upper one is strong convexity: |gradient|^2 / (2 penalty) in the coefficients; for the free intercept,
        its own curvature stands in.
        """
        s, problem = self.state, self.problem
        newton = 0.5 * s.gamma.clamp(min=1) * (s.scaled.double() ** 2).sum(1)
        p = probabilities(s.logits)
        curvature = (p * (1 - p) * problem.weights).sum(2, keepdim=True)
        upper = (s.gradient**2 / problem.penalty).sum((1, 2)) / 2
        upper = upper + ((self.mix @ s.gradient0) ** 2 / curvature.clamp(min=1e-12)).sum((1, 2)) / 2
        objective = mean_loss(s.logits, problem) + (problem.penalty * s.coef**2).sum((1, 2)) / 2
        return newton, (upper / objective.clamp(min=torch.finfo(objective.dtype).tiny)).double()

    def run(self, accuracy: Accuracy, max_iter: int) -> Solution:
        s = self.state
        done = Solution(
            coef=self.mix @ torch.zeros_like(s.coef),
            intercept=torch.zeros_like((self.mix @ s.intercept)[..., 0]),
            logits=torch.zeros_like(s.logits),
            iterations=torch.zeros_like(s.index),
            converged=torch.zeros_like(s.index, dtype=torch.bool),
            gap=torch.zeros_like(s.best),
        )
        for iteration in range(max_iter + 1):
            if iteration % CHECK_EVERY == 0 or iteration == max_iter:
                self._finish(iteration, accuracy, iteration >= max_iter, done)
                if len(s.index) == 0:
                    break
            self._advance(iteration)
        return done

    def _finish(self, iteration: int, accuracy: Accuracy, last: bool, done: Solution) -> None:
        """Take out the fits that are at their optimum, confirmed afresh, and those that gain nothing any more."""
        s = self.state
        newton, upper = self._gaps()
        every = RENEW_EVERY[s.coef.dtype]
        renew = last or iteration % every == every - CHECK_EVERY
        claimed = torch.nonzero(accuracy.reached(newton, upper) | renew)[:, 0]
        if len(claimed) == 0:
            return
        if renew or not accuracy.single:
            parts = self._exact(claimed)
            for name, part in zip(
                ("logits", "residual", "gradient", "gradient0", "scaled"), parts, strict=True
            ):
                getattr(s, name)[claimed] = part
            newton, upper = self._gaps()
        reached = accuracy.reached(newton, upper)
        gained = newton[claimed] < 0.5 * s.best[claimed]
        s.stalls[claimed] = torch.where(gained, 0.0, s.stalls[claimed] + 1)
        s.best[claimed] = torch.minimum(s.best[claimed], newton[claimed])
        out = reached | (s.stalls >= 5) | last
        if not bool(out.any()):
            return
        where = s.index[out]
        done.coef[where], done.intercept[where] = (
            self.mix @ s.coef[out],
            (self.mix @ s.intercept[out])[:, :, 0],
        )
        done.logits[where], done.iterations[where] = s.logits[out], iteration
        done.converged[where], done.gap[where] = reached[out], upper[out]
        s.keep(~out)
        self.problem = self.problem[~out]


def solve(
    design: Design,
    problem: Problem,
    *,
    coef: Tensor,
    intercept: Tensor,
    accuracy: Accuracy,
    max_iter: int = 2000,
) -> Solution:
    """Solve every fit of `problem`.

    Args:
        design: Features of all rows.
        problem: Labels, row weights and penalties of the fits.
        coef: Start (B, K, D), float64 or float32 like everything in `problem`.
        intercept: Start (B, K).
        accuracy: When a fit is finished.
        max_iter: Iterations after which a fit is given back as it is, with `converged` False.
    """
    return _Solver(design, problem, coef.clone(), intercept[..., None].clone()).run(accuracy, max_iter)
