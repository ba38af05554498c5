"""Speed and memory of the joint DeLong covariance, beside a textbook implementation and scikit-learn, in one run.

    python benchmarks/statistics_speed.py [--n 100000] [--k 20] [--memory]

The peer is the fast DeLong algorithm as it is usually written down (Sun & Xu 2014): midranks by a loop over ties, once
per model and class, and one such computation for every pair of models. `--memory` measures n = 1,000,000, k = 20.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np

from benchbench.statistics import delong_covariance


def midranks(values: np.ndarray) -> np.ndarray:
    """Average ranks, found by walking through the sorted values."""
    order = np.argsort(values)
    ordered = values[order]
    ranks = np.zeros(values.size)
    start = 0
    while start < values.size:
        stop = start
        while stop < values.size and ordered[stop] == ordered[start]:
            stop += 1
        ranks[start:stop] = (start + stop - 1) / 2 + 1
        start = stop
    result = np.empty(values.size)
    result[order] = ranks
    return result


def textbook(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUCs and covariance of a set of models from midranks among all, among positives and among negatives."""
    positives, negatives = scores[y == 1].T, scores[y == 0].T
    m, n = positives.shape[1], negatives.shape[1]
    everyone = np.concatenate([positives, negatives], axis=1)
    all_ranks = np.array([midranks(row) for row in everyone])
    v10 = (all_ranks[:, :m] - [midranks(row) for row in positives]) / n
    v01 = 1 - (all_ranks[:, m:] - [midranks(row) for row in negatives]) / m
    return v10.mean(axis=1), np.cov(v10) / m + np.cov(v01) / n


def textbook_per_pair(y: np.ndarray, scores: np.ndarray, pairs: int) -> float:
    """Seconds for all pairs, from the median of the first `pairs` pairs."""
    timed = []
    for a, b in list(combinations(range(scores.shape[1]), 2))[:pairs]:
        started = time.perf_counter()
        textbook(y, scores[:, [a, b]])
        timed.append(time.perf_counter() - started)
    return statistics.median(timed) * scores.shape[1] * (scores.shape[1] - 1) / 2


def median_time(function: Callable[[], object], repeats: int) -> float:
    timed = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        timed.append(time.perf_counter() - started)
    return statistics.median(timed)


def data(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.2).astype(int)
    scores = rng.standard_normal((n, k))
    scores += y[:, None]
    return y, scores


def speed(n: int, k: int) -> None:
    from sklearn.metrics import roc_auc_score

    y, scores = data(n, k)
    expected = textbook(y, scores)
    ours = delong_covariance(y, scores)
    np.testing.assert_allclose(ours[0], expected[0], atol=1e-12)
    np.testing.assert_allclose(ours[1], expected[1], rtol=1e-8)
    own = median_time(lambda: delong_covariance(y, scores), 7)
    sklearn = median_time(lambda: [roc_auc_score(y, column) for column in scores.T], 3)
    joint = median_time(lambda: textbook(y, scores), 1)
    pairs = textbook_per_pair(y, scores, 3)
    print(f"n = {n:,}, k = {k}: AUCs and full covariance, median seconds, one thread as set by the caller")
    print(f"  benchbench                      {own:9.4f}")
    print(f"  scikit-learn, AUCs only         {sklearn:9.4f}  {sklearn / own:7.1f} x")
    print(f"  textbook, all models at once    {joint:9.4f}  {joint / own:7.1f} x")
    print(f"  textbook, {k * (k - 1) // 2:3} pairs             {pairs:9.4f}  {pairs / own:7.1f} x")


def memory_here(n: int, k: int) -> None:
    """Peak memory above the inputs, printed as JSON; run in a process of its own."""
    delong_covariance(*data(1000, k))
    y, scores = data(n, k)
    with open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")
    before = resident()
    delong_covariance(y, scores)
    print(
        json.dumps(
            {"above_inputs_mb": (peak() - before) / 1e6, "inputs_mb": (scores.nbytes + y.nbytes) / 1e6}
        )
    )


def resident() -> float:
    return _status("VmRSS")


def peak() -> float:
    try:
        return _status("VmHWM")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def _status(key: str) -> float:
    with open("/proc/self/status") as handle:
        return next(float(line.split()[1]) * 1024 for line in handle if line.startswith(key))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--memory", action="store_true", help="peak memory at n = 1,000,000, k = 20")
    parser.add_argument("--memory-here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_here:
        memory_here(1_000_000, 20)
    elif options.memory:
        subprocess.run([sys.executable, __file__, "--memory-here"], check=True)
    else:
        speed(options.n, options.k)


if __name__ == "__main__":
    main()
