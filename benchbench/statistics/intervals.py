"""Confidence intervals, detectable differences, power, and tests against a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from benchbench.statistics.inputs import StatisticsError

ALTERNATIVES = ("two-sided", "greater", "less")
#: Degrees of freedom from which on a t is normal to every digit; the t functions do not take infinity.
_MANY = 1e12


@dataclass(frozen=True)
class Interval:
    """A confidence interval and how it was made."""

    low: float
    high: float
    method: str


def check_confidence(confidence: float) -> float:
    """`confidence` itself, refused outside (0, 1)."""
    if not 0 < confidence < 1:
        raise StatisticsError(
            f"confidence is {confidence}.", fix="pass a share between 0 and 1, such as 0.95"
        )
    return float(confidence)


def critical_value(confidence: float = 0.95, df: float | None = None) -> float:
    """Two-sided quantile of Student's t with `df` degrees of freedom, or of the normal: 1.96 at 95 %."""
    tail = 0.5 + check_confidence(confidence) / 2
    return float(ndtri(tail) if df is None else stdtrit(min(df, _MANY), tail))


def critical_z(confidence: float = 0.95) -> float:
    """Two-sided normal quantile: 1.96 at 95 %."""
    return critical_value(confidence)


def check_alternative(alternative: str) -> str:
    """`alternative` itself, refused where it is none of `ALTERNATIVES`."""
    if alternative not in ALTERNATIVES:
        raise StatisticsError(
            f"alternative is {alternative!r}.", fix="use one of: " + ", ".join(map(repr, ALTERNATIVES))
        )
    return alternative


def normal_p_value(z: float, alternative: str = "two-sided", df: float | None = None) -> float:
    """p-value of a standard normal statistic, or of a t where `df` gives its degrees of freedom."""

    def below(x: float) -> float:
        return float(ndtr(x) if df is None else stdtr(min(df, _MANY), x))

    if check_alternative(alternative) == "greater":
        return below(-z)
    if alternative == "less":
        return below(z)
    return 2 * below(-abs(z))


def wald_interval(
    estimate: float,
    se: float,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = None,
    df: float | None = None,
) -> Interval:
    """Estimate plus and minus z (t, where `df` is given) standard errors, cut at `bounds`."""
    half = critical_value(confidence, df) * se
    low, high = estimate - half, estimate + half
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Interval(low, high, "Wald")


def logit_interval(estimate: float, se: float, confidence: float = 0.95, df: float | None = None) -> Interval:
    """Wald interval on the logit scale: stays inside (0, 1), and covers better near 1 than the plain one.

    Args:
        estimate: A proportion-like value strictly between 0 and 1.
        se: Its standard error on the plain scale.
        confidence: Coverage.
        df: Degrees of freedom, where the standard error asks for a t.
    """
    if not 0 < estimate < 1:
        raise StatisticsError(
            f"no logit interval exists for the value {estimate}.", fix="use rule_of_three_bound at 0 and 1"
        )
    centre = math.log(estimate / (1 - estimate))
    half = critical_value(confidence, df) * se / (estimate * (1 - estimate))
    return Interval(_expit(centre - half), _expit(centre + half), "logit")


def metric_interval(
    metric: str, estimate: float, se: float, confidence: float = 0.95, df: float | None = None
) -> Interval:
    """The interval that suits a metric: logit for AUCs and shares, Wald cut at -1 and 1 for kappas."""
    if metric.endswith("kappa"):
        return wald_interval(estimate, se, confidence, (-1.0, 1.0), df)
    return logit_interval(estimate, se, confidence, df)


def rule_of_three_bound(n: int, confidence: float = 0.95) -> float:
    """Lower bound of a proportion seen as n out of n, one-sided: about 1 - 3 / n at 95 %."""
    if n < 1:
        raise StatisticsError(
            "no bound exists without cases.", fix="check the class counts of the test split"
        )
    return (1 - check_confidence(confidence)) ** (1 / n)


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a proportion."""
    if not 0 <= successes <= n or n == 0:
        raise StatisticsError(f"{successes} out of {n} is not a proportion.", fix="check the counts")
    z2 = critical_z(confidence) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return Interval(max(0.0, centre - half), min(1.0, centre + half), "Wilson")


def smallest_detectable_difference(
    se: float, power: float = 0.8, alpha: float = 0.05, df: float | None = None
) -> float:
    """True difference that one uncorrected two-sided test detects with the given power.

    It is 2.80 standard errors by default, and more where `df` says that the statistic is a t: 3.35 at 6 degrees.
    """
    if not 0 < power < 1:
        raise StatisticsError(f"power is {power}.", fix="pass a share between 0 and 1, such as 0.8")
    reached = ndtri(power) if df is None else stdtrit(min(df, _MANY), power)
    return float((critical_value(1 - alpha, df) + reached) * se)


def power_of_difference(difference: float, se: float, alpha: float = 0.05) -> float:
    """Chance that a two-sided normal test finds a true `difference` measured with standard error `se`."""
    if se <= 0:
        raise StatisticsError(
            f"the standard error is {se}.", fix="pass the positive standard error of the difference"
        )
    z = ndtri(1 - alpha / 2)
    shift = difference / se
    return float(ndtr(shift - z) + ndtr(-shift - z))


def cases_for_power(difference: float, se: float, n: int, power: float = 0.8, alpha: float = 0.05) -> int:
    """Test cases needed to detect `difference`, where `n` cases of the same mix gave standard error `se`."""
    if difference == 0:
        raise StatisticsError(
            "no number of cases detects a difference of 0.", fix="pass the difference that matters"
        )
    if not (se > 0 and n > 0):
        raise StatisticsError(
            f"{n} cases with standard error {se} say nothing about other numbers of cases.",
            fix="pass the positive number of cases and the positive standard error that they gave",
        )
    return math.ceil(n * (smallest_detectable_difference(se, power, alpha) / abs(difference)) ** 2)


@dataclass(frozen=True)
class MarginTest:
    """Comparison of a difference against a margin declared in advance.

    Attributes:
        verdict: "superior" (interval above 0), "inferior" (interval below minus the margin), "non-inferior"
            (interval above minus the margin), or "inconclusive".
        equivalent: Whether both one-sided tests against the margin reject (TOST).
        margin: The margin, in units of the metric.
        p_non_inferior: One-sided p against "worse by the margin or more".
        p_equivalent: The larger of the two one-sided p-values.
        ci_low, ci_high: The two-sided 1 - alpha interval that the verdict reads. Equivalence, as usual, takes two
            one-sided tests at alpha, that is the 1 - 2 alpha interval, and so may hold where the verdict is still
            "inconclusive".
    """

    verdict: str
    equivalent: bool
    margin: float
    difference: float
    se: float
    p_non_inferior: float
    p_equivalent: float
    ci_low: float
    ci_high: float


def non_inferiority(
    difference: float, se: float, margin: float, alpha: float = 0.05, df: float | None = None
) -> MarginTest:
    """Non-inferiority and equivalence of the first system against the second, by two one-sided tests.

    Args:
        difference: First minus second, higher is better.
        se: Standard error of the difference.
        margin: Largest loss that does not matter, positive, fixed before the results are seen.
        alpha: Level of the two-sided interval for the verdict (each side alpha / 2) and of each one-sided
            test of TOST.
        df: Degrees of freedom where the difference is judged by a t; None for a normal test.
    """
    if not (margin > 0 and math.isfinite(margin)):
        raise StatisticsError(
            f"the margin is {margin}.", fix="declare a positive margin in the suite, such as 0.02"
        )
    if not se > 0:
        raise StatisticsError(
            f"the standard error is {se}.",
            fix="a difference without a variance cannot be tested; see its verdict",
        )
    interval = wald_interval(difference, se, 1 - alpha, df=df)
    p_lower = normal_p_value((difference + margin) / se, "greater", df)
    p_upper = normal_p_value((difference - margin) / se, "less", df)
    p_equivalent = max(p_lower, p_upper)
    if interval.low > 0:
        verdict = "superior"
    elif interval.high < -margin:
        verdict = "inferior"
    elif interval.low > -margin:
        verdict = "non-inferior"
    else:
        verdict = "inconclusive"
    return MarginTest(
        verdict,
        p_equivalent < alpha,
        margin,
        difference,
        se,
        p_lower,
        p_equivalent,
        interval.low,
        interval.high,
    )


def tost(
    difference: float, se: float, margin: float, alpha: float = 0.05, df: float | None = None
) -> MarginTest:
    """Equivalence within plus and minus `margin`; the same record as `non_inferiority`."""
    return non_inferiority(difference, se, margin, alpha, df)


def _expit(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))
