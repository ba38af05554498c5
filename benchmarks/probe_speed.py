# ruff: noqa: E402 (the thread limits must be set before numpy is imported)
"""Speed of the linear probe's search beside scikit-learn's GridSearchCV: same rows, folds and C, one thread each.

Prints seconds of CPU time, which a busy machine disturbs less than wall-clock time, their ratios, and how far each
objective lies above the best one found. Ours is the median of five calls: a single one is short enough to be disturbed.
`--quick` runs a smaller problem in about a minute.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchbench.probes import fit_multilabel_probe, fit_probe
from benchbench.probes.folds import grouped_folds


def embeddings(n: int, width: int, classes: int) -> tuple[NDArray, NDArray, NDArray]:
    """Embeddings with a power-law spectrum, imbalanced classes, two images per patient."""
    random = np.random.default_rng(0)
    factors = random.standard_normal((n, width)) * np.arange(1, width + 1) ** -0.5
    prior = np.log(np.array([0.5, 0.1, 0.25, 0.06, 0.09])[:classes])
    logits = 1.5 * factors[:, :50] @ random.standard_normal((min(50, width), classes)) + prior
    labels = (logits + random.gumbel(size=logits.shape)).argmax(axis=1)
    turn = np.linalg.qr(random.standard_normal((width, width)))[0]
    X = 3 * factors @ turn.T + random.standard_normal(width)
    return X.astype(np.float32), labels, np.arange(n) // 2


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and the result."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def repeated(work: Callable[[], Any]) -> tuple[float, Any]:
    """Median CPU seconds of five calls after one that is not counted, and the last result."""
    work()
    done = [timed(work) for _ in range(5)]
    return statistics.median(seconds for seconds, _ in done), done[-1][1]


def grid_search(X: NDArray, y: NDArray, folds: list, C: NDArray, tol: float) -> GridSearchCV:
    """scikit-learn's search with the same folds and score."""
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=tol, max_iter=20_000))
    search = GridSearchCV(model, {"logisticregression__C": C}, cv=folds, scoring="neg_log_loss")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return search.fit(X.astype(np.float64), y)


def splits(codes: NDArray, groups: NDArray) -> list:
    plan = grouped_folds(codes, groups, 5)
    return [(np.flatnonzero(plan.train(f)), np.flatnonzero(~plan.train(f))) for f in range(plan.count)]


def excess(search: GridSearchCV, probe: Any, X: NDArray, y: NDArray) -> float:
    """Our objective over scikit-learn's at our C, less 1, on all rows; scikit-learn at a tolerance of 1e-10."""
    Z = StandardScaler().fit_transform(X.astype(np.float64))
    theirs = LogisticRegression(C=probe.C, tol=1e-10, max_iter=20_000).fit(Z, y)

    def objective(coef: NDArray, intercept: NDArray) -> float:
        logits = Z @ coef.T + intercept
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        top = logits.max(axis=1)
        loss = np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[np.arange(len(y)), y]
        return float(probe.C * loss.sum() + (coef**2).sum() / 2)

    return objective(probe.coef, probe.intercept) / objective(theirs.coef_, theirs.intercept_) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="800 x 256 and six C instead of 3000 x 1024 and twelve"
    )
    parser.add_argument(
        "--skip-tight", action="store_true", help="leave out scikit-learn at a tolerance of 1e-8"
    )
    options = parser.parse_args()
    n, width, count = (800, 256, 6) if options.quick else (3000, 1024, 12)
    X, y, groups = embeddings(n, width, 5)
    C = np.logspace(-4, 2, count)
    tolerances = {"default": 1e-4} if options.skip_tight else {"default": 1e-4, "1e-8": 1e-8}
    with threadpool_limits(1):
        report(X, y, groups, C, tolerances)


def report(X: NDArray, y: NDArray, groups: NDArray, C: NDArray, tolerances: dict[str, float]) -> None:
    print(
        f"{len(X)} x {X.shape[1]}, {len(C)} C x 5 grouped folds + the final fit, one thread, CPU seconds",
        flush=True,
    )
    ours, probe = repeated(lambda: fit_probe(X, y, groups=groups, C_grid=tuple(C), threads=1))
    print(f"5 classes: benchbench {ours:.2f} s (C = {probe.C:.3g})", flush=True)
    folds = splits(y, groups)
    for name, tol in tolerances.items():
        theirs, search = timed(lambda tol=tol: grid_search(X, y, folds, C, tol))
        best = search.best_params_["logisticregression__C"]
        print(
            f"  GridSearchCV tol {name}: {theirs:.2f} s (C = {best:.3g}), {theirs / ours:.1f} x", flush=True
        )
    print(f"  objective at our C over scikit-learn's at tol 1e-10, less 1: {excess(search, probe, X, y):.1e}")

    random = np.random.default_rng(1)
    direction = (X - X.mean(axis=0)) @ random.standard_normal((X.shape[1], 8)) / X.shape[1] ** 0.5
    noise = random.logistic(size=direction.shape) * direction.std()
    labels = (direction + noise > np.linspace(0, 1.5, 8) * direction.std()).astype(int)
    ours, many = repeated(lambda: fit_multilabel_probe(X, labels, groups=groups, C_grid=tuple(C), threads=1))
    print(f"8 binary heads: benchbench {ours:.2f} s", flush=True)
    folds = splits(labels, groups)
    for name, tol in tolerances.items():
        theirs = 0.0
        for label in range(8):
            theirs += timed(lambda tol=tol, label=label: grid_search(X, labels[:, label], folds, C, tol))[0]
        print(
            f"  GridSearchCV tol {name}, one after the other: {theirs:.2f} s, {theirs / ours:.1f} x",
            flush=True,
        )
    worst = max(excess(search, p, X, labels[:, j]) for j, p in enumerate(many.probes) if p is not None)
    print(f"  largest objective over scikit-learn's at tol 1e-10, less 1: {worst:.1e}")


if __name__ == "__main__":
    main()
