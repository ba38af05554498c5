"""Worked examples with published answers, recomputed on this machine.

Synthetic examples are shipped beside this module; their answers come from R (pROC, doAUCcluster, vcd). Published
data sets are read from a folder of the caller's, since their licences do not allow shipping them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchbench.statistics.agreement import quadratic_kappa
from benchbench.statistics.auroc import delong_covariance, delong_test, delong_test_all
from benchbench.statistics.families import holm
from benchbench.statistics.seed_comparison import orh
from benchbench.statistics.seeds import OrhAnalysis, nadeau_bengio

SHIPPED = Path(__file__).with_name("worked_examples.json")

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Check:
    """One published number and ours.

    Attributes:
        example: Data and source.
        quantity: What the number is.
        published: As printed.
        computed: Ours, to the same digits; "" without data.
        outcome: "ok", "WRONG" or "not here".
    """

    example: str
    quantity: str
    published: str
    computed: str
    outcome: str


def run_selftest(examples: Path | None = None) -> list[Check]:
    """All checks; published data sets are looked for in `examples`/inputs."""
    checks: list[Check] = []
    for case in json.loads(SHIPPED.read_text(encoding="utf-8")):
        columns = {name: np.array(values) for name, values in case["columns"].items()}
        computed = _SHIPPED[case["kind"]](columns)
        checks += [_check(case["title"], q, published, computed) for q, published in case["answers"].items()]
    for title, (file, function, answers) in _PUBLISHED.items():
        path = examples / "inputs" / file if examples is not None else None
        if path is None or not path.exists():
            checks += [Check(title, q, published, "", "not here") for q, published in answers.items()]
            continue
        computed = function(_columns(path))
        checks += [_check(title, q, published, computed) for q, published in answers.items()]
    return checks


def _check(title: str, quantity: str, published: str, computed: dict[str, float]) -> Check:
    value = computed[quantity]
    shown = f"{value:.{_decimals(published)}f}"
    if "e" in published:
        shown = f"{value:.{_decimals(published.split('e')[0])}e}"
    agrees = float(shown) == float(published)
    return Check(title, quantity, published, shown, "ok" if agrees else "WRONG")


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


def _columns(path: Path) -> Columns:
    with path.open(encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    columns = {}
    for name, *values in zip(*rows, strict=True):
        try:
            columns[name] = np.array([float(v) for v in values])
        except ValueError:
            columns[name] = np.array(values)
    return columns


def _paired(columns: Columns) -> dict[str, float]:
    result = delong_test(columns["y"], columns["s0"], columns["s1"], columns.get("patient"))
    return {
        "AUC 1": _shown(result.auc_a),
        "AUC 2": _shown(result.auc_b),
        "Z": _shown(result.z),
        "p": _shown(result.p_value),
        "SE of difference": _shown(result.se),
    }


def _graded(columns: Columns) -> dict[str, float]:
    result = quadratic_kappa(columns["y"], columns["prediction"])
    return {"quadratic kappa": float(result.estimate[0]), "standard error": float(result.se[0])}


def _corrected(columns: Columns) -> dict[str, float]:
    return {f"Holm p {i + 1}": float(p) for i, p in enumerate(holm(columns["p"]).adjusted)}


def _splits(columns: Columns) -> dict[str, float]:
    result = nadeau_bengio(columns["difference"], 0.25)
    return {"t": _shown(result.t), "p": _shown(result.p_value)}


def _haemorrhage(columns: Columns) -> dict[str, float]:
    y = columns["outcome"] == "Poor"
    result = delong_test(y, columns["wfns"], columns["s100b"])
    return {
        "Z": _shown(result.z),
        "p": _shown(result.p_value),
        "CI low": _shown(result.ci_low),
        "CI high": _shown(result.ci_high),
    }


def _angiography(columns: Columns) -> dict[str, float]:
    scores = np.stack([columns["reader1"], columns["reader2"]], axis=1)
    auc, covariance = delong_covariance(columns["y"], scores, columns["cluster"])
    result = delong_test(columns["y"], scores[:, 1], scores[:, 0], columns["cluster"])
    return {
        "AUC 1": float(auc[0]),
        "AUC 2": float(auc[1]),
        "SE 1": float(np.sqrt(covariance[0, 0])),
        "SE 2": float(np.sqrt(covariance[1, 1])),
        "difference": _shown(result.difference),
        "SE of difference": _shown(result.se),
        "CI low": _shown(result.ci_low),
        "CI high": _shown(result.ci_high),
        "p": _shown(result.p_value),
    }


def _readers(columns: Columns) -> dict[str, float]:
    result = orh_of_long_table(columns)
    first = result.differences[0]
    return {
        "F": _shown(result.f),
        "df2": result.df2,
        "p": _shown(result.p_value),
        "difference": first.difference,
        "SE of difference": first.se,
        "CI low": _shown(first.ci_low),
        "CI high": _shown(first.ci_high),
        "Cov1": result.cov1,
        "Cov2": result.cov2,
        "Cov3": result.cov3,
    }


def orh_of_long_table(columns: Columns) -> OrhAnalysis:
    """ORH of a table with the columns treatment, reader, case, truth, rating; one row per rating."""
    index = {key: np.unique(columns[key], return_inverse=True) for key in ("treatment", "reader", "case")}
    shape = tuple(index[key][0].size for key in ("treatment", "reader", "case"))
    scores = np.full(shape, np.nan)
    scores[tuple(index[key][1] for key in ("treatment", "reader", "case"))] = columns["rating"]
    truth = np.zeros(shape[2])
    truth[index["case"][1]] = columns["truth"]
    return orh(truth, scores)


def _ovarian(columns: Columns) -> dict[str, float]:
    scores = np.stack([-columns["alb"], -(10 - columns["totscore"]), -columns["tp"]], axis=1)
    family = delong_test_all(columns["popind"] == 0, scores)
    assert family.omnibus is not None
    return {
        "AUC albumin": float(family.auc[0]),
        "AUC K-G": float(family.auc[1]),
        "AUC total protein": float(family.auc[2]),
        "chi-square": family.omnibus.statistic,
        "p": _shown(family.omnibus.p_value),
    }


def _shown(value: float | None) -> float:
    return float("nan") if value is None else value


_SHIPPED: dict[str, Callable[[Columns], dict[str, float]]] = {
    "paired": _paired,
    "graded": _graded,
    "holm": _corrected,
    "splits": _splits,
}

_PUBLISHED: dict[str, tuple[str, Callable[[Columns], dict[str, float]], dict[str, str]]] = {
    "aSAH: WFNS - S100B (pROC)": (
        "aSAH.csv",
        _haemorrhage,
        {
            "Z": "2.20898359144091",
            "p": "0.0271757822291882",
            "CI low": "0.0104061769564846",
            "CI high": "0.174214419249478",
        },
    ),
    "MRA, clustered (Obuchowski 1997)": (
        "obuchowski_mra.csv",
        _angiography,
        {
            "AUC 1": "0.9837",
            "AUC 2": "0.9852",
            "SE 1": "0.0108",
            "SE 2": "0.0097",
            "difference": "0.0014",
            "SE of difference": "0.0066",
            "CI low": "-0.0115",
            "CI high": "0.0143",
            "p": "0.8271",
        },
    ),
    "VanDyke, ORH (MRMCaov)": (
        "VanDyke.csv",
        _readers,
        {
            "F": "4.484854",
            "df2": "15.06611",
            "p": "0.05123303",
            "difference": "-0.04380032",
            "SE of difference": "0.0206825",
            "CI low": "-0.0878671960",
            "CI high": "0.0002665519",
            "Cov1": "0.0003420090",
            "Cov2": "0.0003395265",
            "Cov3": "0.0002358497",
        },
    ),
    "ovarian (DeLong 1988, SAS)": (
        "ovarian_delong1988.csv",
        _ovarian,
        {
            "AUC albumin": "0.7366",
            "AUC K-G": "0.7258",
            "AUC total protein": "0.6478",
            "chi-square": "2.5340",
            "p": "0.2817",
        },
    ),
}
