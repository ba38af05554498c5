"""From labelled embeddings to batches of fits: standardisation, row weights, and warm starts along C."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .accuracy import Accuracy

if TYPE_CHECKING:
    from .solver import Design, Problem, Solution

Floats = NDArray[np.float64]
ClassWeight = Literal["balanced"] | None

# The eigenvectors pay where at least this many fits share them.
ROTATE_FROM = 4
# Numbers in one (fits, columns, rows) array: bounds the memory of a batch at about 1 GB.
BATCH_NUMBERS = 2**23


@dataclass(frozen=True)
class Standardisation:
    """Column means and standard deviations (D,), of training rows only; a constant column keeps scale 1."""

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, X: NDArray, rows: NDArray[np.bool_] | None = None) -> Standardisation:
        """The same numbers as scikit-learn's StandardScaler, in float64."""
        part = np.array(X if rows is None else X[rows], dtype=np.float64)
        mean = part.mean(axis=0)
        part -= mean
        scale = np.sqrt(np.einsum("nd,nd->d", part, part) / len(part))
        # Rounding leaves a constant column of value c a deviation of about n * eps * c.
        noise = len(part) * np.finfo(np.float64).eps
        return cls(mean, np.where(scale <= noise * np.abs(mean), 1.0, scale))

    def __call__(self, X: ArrayLike) -> Floats:
        return (np.asarray(X, dtype=np.float64) - self.mean) / self.scale


@dataclass(frozen=True)
class Job:
    """One label column on one set of training rows, to be fitted for several C.

    `codes` (n,): class index, or -1 where the row has no label. `train` (n,): rows to learn from. `C` (m,) ascending.
    """

    codes: NDArray[np.int64]
    train: NDArray[np.bool_]
    C: Floats
    class_weight: ClassWeight = None
    start: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class JobFit:
    """A `Job` solved: `coef` (m, K, D) and `intercept` (m, K) on features standardised by `standard`.

    K counts the classes `present` among the training rows, or is 1 for two classes. `logits` (m, K, n) cover all rows.
    """

    present: NDArray[np.int64]
    standard: Standardisation
    coef: Floats
    intercept: Floats
    logits: NDArray[np.float64]
    iterations: NDArray[np.int64]
    converged: NDArray[np.bool_]
    gap: Floats

    def with_fit(self, position: int, other: JobFit) -> JobFit:
        """This one with the fit for the C at `position` replaced by the only fit of `other`, the same job."""
        names = ("coef", "intercept", "logits", "iterations", "converged", "gap")
        arrays = {name: getattr(self, name).copy() for name in names}
        for name, array in arrays.items():
            array[position] = getattr(other, name)[0]
        return replace(self, **arrays)

    def probabilities(self, n_classes: int, rows: NDArray[np.bool_]) -> Floats:
        """(m, rows, n_classes); classes absent from the training rows get 0. Without any label: all the same."""
        logits = self.logits[:, :, rows]
        if len(self.present) < 2:
            m, _, n = logits.shape
            share = (
                np.isin(np.arange(n_classes), self.present)
                if len(self.present)
                else np.full(n_classes, 1 / n_classes)
            )
            return np.tile(share.astype(np.float64), (m, n, 1))
        return expand(class_probabilities(logits), self.present, n_classes)


def class_probabilities(logits: Floats) -> Floats:
    """Logits (m, K, n) to probabilities (m, n, classes); one column of logits means two classes."""
    from scipy.special import expit, softmax

    if logits.shape[1] == 1:
        return np.stack([expit(-logits[:, 0]), expit(logits[:, 0])], axis=2)
    return np.ascontiguousarray(np.moveaxis(softmax(logits, axis=1), 1, 2))


def expand(p: Floats, present: NDArray[np.int64], n_classes: int) -> Floats:
    """Put the columns of p (..., present) in their places among all classes."""
    if len(present) == n_classes:
        return p
    full = np.zeros((*p.shape[:-1], n_classes))
    full[..., present] = p
    return full


@dataclass(frozen=True)
class _Space:
    """What jobs share that are solved together: features standardised by `standard`, and their design.

    `basis` (D, r) orthonormal: the design's columns are the features along it; None: the features themselves.
    """

    standard: Standardisation
    design: Design
    basis: Floats | None = None


class Embeddings:
    """Embeddings on which any number of jobs is solved.

    With more rows than features, all jobs share one standardised design; each has its own scales on it. With fewer
    rows than features, the optimum lies in the space that the job's training rows span: it is solved there, in the
    coordinates of their principal components, which is exact and several times cheaper.

    Args:
        X: (n, D) finite numbers.
        device: Where the products run, for instance "cpu" or "cuda".
        fits: How many fits are to come; decides whether the eigenvectors of a shared design pay.
    """

    def __init__(self, X: NDArray, *, device: str, fits: int) -> None:
        import torch

        self.X, self.device, self.fits = X, torch.device(device), fits
        self.narrow = len(X) <= X.shape[1]
        self._spaces: dict[bytes, _Space] = {}
        self._standards: dict[bytes, Standardisation] = {}

    def standard(self, train: NDArray[np.bool_]) -> Standardisation:
        """Means and scales of the rows `train`."""
        key = train.tobytes()
        if key not in self._standards:
            self._standards[key] = Standardisation.of(self.X, train)
        return self._standards[key]

    def space(self, train: NDArray[np.bool_]) -> _Space:
        """The space for jobs that learn from the rows `train`."""
        key = train.tobytes() if self.narrow else b""
        if key not in self._spaces:
            self._spaces[key] = self._spanned(train) if self.narrow else self._shared()
        return self._spaces[key]

    def _shared(self) -> _Space:
        import torch

        from .solver import Design, Preconditioner

        standard = Standardisation.of(self.X)
        features = torch.from_numpy(standard(self.X)).to(self.device)
        rotate = self.fits >= ROTATE_FROM
        found = Preconditioner.of(features.float()) if rotate else Preconditioner(None, None)
        return _Space(standard, Design(features, found))

    def _spanned(self, train: NDArray[np.bool_]) -> _Space:
        import torch

        from .solver import Design, Preconditioner

        standard = self.standard(train)
        features = standard(self.X)
        learned = features[train]
        spectrum, left = np.linalg.eigh(learned @ learned.T)
        kept = spectrum > spectrum[-1] * len(learned) * np.finfo(np.float64).eps
        basis = learned.T @ (left[:, kept] / np.sqrt(spectrum[kept]))
        scores = torch.from_numpy(features @ basis).to(self.device)
        variances = torch.from_numpy(spectrum[kept] / len(learned)).to(self.device)
        return _Space(standard, Design(scores, Preconditioner(None, variances)), basis)

    def solve(self, jobs: Sequence[Job], accuracy: Accuracy, max_iter: int) -> list[JobFit]:
        """Solve all jobs; those in the same space and with equally many classes share their products."""
        prepared = [_Prepared(self, job) for job in jobs]
        batches: dict[tuple[int, int], list[_Prepared]] = defaultdict(list)
        for item in prepared:
            if item.learnable:
                batches[id(item.space), item.columns].append(item)
        for items in batches.values():
            _solve_batch(self, items, accuracy, max_iter)
        return [item.result() for item in prepared]


class _Prepared:
    """A job with its standardisation, weights and one-hot labels; collects its solutions along C."""

    def __init__(self, data: Embeddings, job: Job) -> None:
        used = job.train & (job.codes >= 0)
        self.job, self.solved = job, dict[int, tuple]()
        self.present, counts = np.unique(job.codes[used], return_counts=True)
        self.space = data.space(job.train)
        shared = bool(job.train.all()) or self.space.basis is not None
        self.standard = self.space.standard if shared else data.standard(job.train)
        self.columns = 1 if len(self.present) == 2 else len(self.present)
        self.learnable = len(self.present) >= 2
        if not self.learnable:
            return
        local = np.searchsorted(self.present, np.where(used, job.codes, self.present[0]))
        kinds = np.array([[1]]) if self.columns == 1 else np.arange(self.columns)[:, None]
        self.targets: Floats = (local == kinds).astype(np.float64)
        weights = used.astype(np.float64)
        if job.class_weight == "balanced":
            weights *= (used.sum() / (len(self.present) * counts))[local]
        self.total = weights.sum()
        self.weights: Floats = weights / self.total
        scale = self.space.standard.scale
        self.ratio: Floats = scale / self.standard.scale
        self.centre: Floats = (self.standard.mean - self.space.standard.mean) / scale
        if self.space.basis is not None:
            self.ratio, self.centre = np.ones(self.space.basis.shape[1]), np.zeros(self.space.basis.shape[1])

    def begin(self, position: int) -> tuple[Floats, Floats]:
        """Start (K, D), (K,) for the C at `position`: a cubic in log C through the nearest solved ones."""
        if not self.solved:
            return self._cold()
        near = sorted(self.solved, key=lambda i: abs(i - position))[:4]
        x, at = np.log(self.job.C[near]), np.log(self.job.C[position])
        shares = [
            np.prod([(at - x[k]) / (x[j] - x[k]) for k in range(len(x)) if k != j]) for j in range(len(x))
        ]
        coef, intercept = (
            sum(share * self.solved[i][part] for share, i in zip(shares, near, strict=True))
            for part in (0, 1)
        )
        return coef, intercept

    def _cold(self) -> tuple[Floats, Floats]:
        if self.job.start is not None:
            coef, intercept = self.job.start
            coef = coef if self.space.basis is None else coef @ self.space.basis
            return coef, intercept - self._shift(coef)
        share = (self.targets * self.weights).sum(axis=1)
        intercept = np.log(share / (1 - share)) if self.columns == 1 else np.log(share) - np.log(share).mean()
        return np.zeros((self.columns, len(self.ratio))), intercept

    def _shift(self, coef: Floats) -> Floats:
        """Intercept on the job's own features minus the intercept on the design's."""
        return (coef * self.ratio) @ self.centre

    def result(self) -> JobFit:
        if not self.learnable:
            return self._constant()
        parts = [
            np.stack(part) for part in zip(*(self.solved[i] for i in range(len(self.job.C))), strict=True)
        ]
        coef, intercept, logits, iterations, converged, gap = parts
        basis = self.space.basis
        return JobFit(
            self.present,
            self.standard,
            coef if basis is None else coef @ basis.T,
            intercept + self._shift(coef),
            logits,
            iterations,
            converged,
            gap,
        )

    def _constant(self) -> JobFit:
        """Training rows of fewer than two classes: nothing to learn."""
        m, n, D = len(self.job.C), len(self.job.train), len(self.standard.mean)
        flat = np.zeros((m, 1))
        return JobFit(
            present=self.present,
            standard=self.standard,
            coef=np.zeros((m, 1, D)),
            intercept=flat,
            logits=np.zeros((m, 1, n)),
            iterations=np.zeros(m, dtype=np.int64),
            converged=np.ones(m, dtype=bool),
            gap=np.zeros(m),
        )


def levels(count: int) -> list[list[int]]:
    """Order in which `count` ascending values of C are solved.

    The smaller half of every other C together, from a cold start; the larger ones, the hard ones, one after the
    other, extrapolated along log C; at last those in between, interpolated.
    """
    if count < 4:
        return [list(range(count))]
    first = list(range(1 - count % 2, count, 2))
    cold = len(first) // 2
    return [first[:cold], *([i] for i in first[cold:]), [i for i in range(count) if i not in first]]


def _solve_batch(data: Embeddings, items: list[_Prepared], accuracy: Accuracy, max_iter: int) -> None:
    longest = max(len(item.job.C) for item in items)
    for level in levels(longest):
        fits = [(item, i) for i in level for item in items if i < len(item.job.C)]
        size = max(1, BATCH_NUMBERS // (items[0].columns * max(len(data.X), 10 * data.X.shape[1])))
        for first in range(0, len(fits), size):
            chunk = fits[first : first + size]
            for (item, i), found in zip(chunk, _solve_chunk(data, chunk, accuracy, max_iter), strict=True):
                item.solved[i] = found


def _solve_chunk(
    data: Embeddings, chunk: list[tuple[_Prepared, int]], accuracy: Accuracy, max_iter: int
) -> list[tuple]:
    import torch

    from .solver import Problem, solve

    state = torch.float32 if accuracy.single else torch.float64

    def stack(arrays: list) -> torch.Tensor:
        return torch.from_numpy(np.stack(arrays)).to(data.device, state)

    problem: Problem = Problem(
        targets=stack([item.targets for item, _ in chunk]),
        weights=stack([item.weights[None] for item, _ in chunk]),
        ratio=stack([item.ratio[None] for item, _ in chunk]),
        penalty=stack([np.full((1, 1), 1 / (item.job.C[i] * item.total)) for item, i in chunk]),
    )
    starts = [item.begin(i) for item, i in chunk]
    found: Solution = solve(
        chunk[0][0].space.design,
        problem,
        coef=stack([coef for coef, _ in starts]),
        intercept=stack([intercept for _, intercept in starts]),
        accuracy=accuracy,
        max_iter=max_iter,
    )
    real = (found.coef, found.intercept, found.logits, found.gap)
    coef, intercept, logits, gap = (column.cpu().double().numpy() for column in real)
    return list(
        zip(
            coef,
            intercept,
            logits,
            found.iterations.cpu().numpy(),
            found.converged.cpu().numpy(),
            gap,
            strict=True,
        )
    )
