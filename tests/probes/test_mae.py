"""MAE's linear probe: schedule and optimiser against the original's formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchbench.errors import SuiteError
from benchbench.probes import PRESETS, mae_linear_probe, preset
from benchbench.probes.mae import learning_rate
from benchbench.probes.presets import MaeSettings

from .data import embeddings


def test_the_schedule_warms_up_for_ten_epochs_and_ends_at_zero():
    settings = MaeSettings()
    peak = 0.1 * 512 / 256
    assert learning_rate(0, 10, 512, settings) == 0
    assert learning_rate(50, 10, 512, settings) == pytest.approx(peak / 2)
    assert learning_rate(100, 10, 512, settings) == pytest.approx(peak)
    assert learning_rate(500, 10, 512, settings) == pytest.approx(peak * 0.5)
    assert learning_rate(899, 10, 512, settings) == pytest.approx(
        peak * 0.5 * (1 + math.cos(math.pi * 79.9 / 80))
    )


def test_one_step_is_the_layer_wise_rate_of_lars():
    X, y, _ = embeddings(64, 6, 3)
    settings = MaeSettings(epochs=1, warmup_epochs=0, batch_size=64)
    probe = mae_linear_probe(X, y, settings=settings, seed=3)
    import torch

    random = torch.Generator().manual_seed(3)
    weight = torch.nn.init.trunc_normal_(torch.empty(3, 6), std=0.01, generator=random).double().numpy()
    Z = (X - X.mean(axis=0)) / np.sqrt(X.var(axis=0) + 1e-6)
    p = np.exp(Z @ weight.T)
    residual = (p / p.sum(axis=1, keepdims=True) - np.eye(3)[y]) / 64
    gradient, bias = residual.T @ Z, residual.sum(axis=0)
    rate = 0.1 * 64 / 256
    expected = weight - rate * 0.001 * np.linalg.norm(weight) / np.linalg.norm(gradient) * gradient
    assert np.allclose(probe.weight, expected, atol=1e-7)
    assert np.allclose(probe.bias, -rate * bias, atol=1e-6)


def test_it_learns_and_the_seed_governs_it():
    X, y, _ = embeddings(400, 12, 2, signal=3)
    settings = MaeSettings(epochs=20, warmup_epochs=2, batch_size=32, blr=50.0)
    a, b, c = (mae_linear_probe(X, y, settings=settings, seed=s, threads=1) for s in (0, 0, 1))
    assert np.array_equal(a.weight, b.weight)
    assert not np.array_equal(a.weight, c.weight)
    assert a.losses[-1] < 0.9 * a.losses[0]
    assert ((a.predict_proba(X)[:, 1] > 0.5) == y).mean() > max(y.mean(), 1 - y.mean()) + 0.1


def test_presets_carry_the_published_numbers_and_their_source():
    paper = preset("retfound_green_paper")
    assert paper.grid.C_grid == (1.0,)
    assert paper.grid.solver == "sklearn"
    assert paper.bootstrap_median == 100
    assert all(p.source and (p.grid is None) != (p.mae is None) for p in PRESETS.values())
    with pytest.raises(SuiteError, match="no probe preset"):
        preset("retfound_lq")
