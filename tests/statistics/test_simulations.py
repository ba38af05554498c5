"""Error rates of the tests by seeded simulation, and the speed that is promised."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from benchbench.statistics import compare

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    return load("statistics_simulations")


@pytest.mark.slow
def test_paired_delong_rejects_5_percent_at_64_against_39(simulate):
    assert simulate.paired_type_one(64, 39, runs=5000, seed=11) == pytest.approx(0.05, abs=0.01)


@pytest.mark.slow
def test_clustering_by_patient_repairs_what_counting_eyes_breaks(simulate):
    naive, clustered = simulate.clustered_type_one(244, 0.9, 0.8, runs=3000, seed=12)
    assert clustered == pytest.approx(0.05, abs=0.015)
    assert naive == pytest.approx(0.13, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed_sd", [0.0, 0.02])
def test_orh_rejects_5_percent_where_a_t_test_over_seeds_does_not(simulate, seed_sd):
    one, t_test, orh = simulate.seed_type_one(100, 300, 5, seed_sd, runs=1000, seed=13)
    assert orh == pytest.approx(0.05, abs=0.02)
    assert t_test > 0.1
    assert one > 0.15 or seed_sd == 0


@pytest.mark.slow
def test_holm_keeps_equal_models_from_winning_on_24_tasks(simulate):
    _, wins, any_uncorrected, any_holm = simulate.counted_wins(24, runs=500, seed=14)
    assert any_holm <= 0.06
    assert any_uncorrected == pytest.approx(0.95, abs=0.03)
    assert wins == pytest.approx(3.4, abs=0.5)


@pytest.mark.slow
def test_the_published_rule_calls_most_equal_models_different_and_ours_does_not(simulate):
    rule, ours = simulate.published_rule(64, 39, runs=600, seed=15)
    assert rule > 0.5
    assert ours < 0.08


@pytest.mark.slow
def test_the_permutation_test_holds_where_delong_does_not(simulate):
    delong, permuted = simulate.paired_rejections(5, 98, runs=600, seed=16)
    assert permuted < 0.06
    assert delong > permuted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metric", "counts"), [("macro_auroc", (60, 30, 5, 3, 2)), ("balanced_accuracy", (50, 50, 2))]
)
def test_the_larger_p_value_holds_for_a_mean_with_a_rare_class_where_the_asymptotic_one_does_not(
    metric, counts
):
    rng = np.random.default_rng(18)
    y = np.repeat(np.arange(len(counts)), counts)
    both = []
    for _ in range(400):
        scores = 0.7 * rng.normal(size=(1, y.size, len(counts))) + 0.7 * rng.normal(
            size=(2, y.size, len(counts))
        )
        pair = compare(metric, y, scores + 1.2 * np.eye(len(counts))[y], seed=int(rng.integers(2**31))).pairs[
            0
        ]
        if pair.p_value is not None:
            both.append((pair.p_value, pair.p_to_correct))
    asymptotic, larger = (np.array(both) < 0.05).mean(axis=0)
    assert larger <= 0.07
    assert asymptotic > larger


@pytest.mark.slow
def test_equal_encoders_are_seldom_told_apart_by_their_average_precision():
    rng = np.random.default_rng(19)
    y = np.repeat([1, 0], [40, 260])
    p_values = []
    for _ in range(150):
        scores = 1.4 * y + 0.7 * rng.normal(size=300) + 0.7 * rng.normal(size=(2, 300))
        p_values.append(
            compare("average_precision", y, scores, seed=int(rng.integers(2**31))).pairs[0].p_value
        )
    assert (np.array(p_values) < 0.05).mean() <= 0.09
    assert (np.array(p_values) < 0.001).mean() <= 0.014


def test_joint_covariance_is_20_times_faster_than_the_textbook_pair_by_pair():
    speed = load("statistics_speed")
    y, scores = speed.data(20_000, 20)
    auc, covariance = speed.textbook(y, scores[:, :3])
    ours = speed.delong_covariance(y, scores)
    assert ours[0][:3] == pytest.approx(auc, abs=1e-12)
    assert ours[1][:3, :3] == pytest.approx(covariance, rel=1e-8)
    own = speed.median_time(lambda: speed.delong_covariance(y, scores), 5)
    assert speed.textbook_per_pair(y, scores, 2) > 20 * own


def test_radix_order_sorts_every_kind_of_double():
    from benchbench.statistics.placements import RADIX_FROM, ascending_order

    rng = np.random.default_rng(0)
    n = RADIX_FROM + 100
    rows = {
        "normal": rng.standard_normal(n),
        "last bits": 1.0 + rng.integers(0, 3 * n, n) * np.finfo(float).eps,
        "negative last bits": -1.0 - rng.integers(0, 3 * n, n) * np.finfo(float).eps,
        "subnormal": rng.integers(-n, n, n) * 5e-324,
        "every magnitude": rng.choice([-1.0, 1.0], n) * 10.0 ** rng.uniform(-320, 308, n),
        "zeros of both signs": rng.choice([0.0, -0.0, 1.0, -1.0], n),
        "constant": np.full(n, 0.3),
    }
    for name, row in rows.items():
        order = ascending_order(row)
        assert np.array_equal(np.sort(order), np.arange(n)), name
        assert np.array_equal(row[order], np.sort(row)), name
