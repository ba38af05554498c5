"""Statistics for comparing systems on the same patients: arrays in, frozen dataclasses out.

Start with `compare` (k systems, one task) and `estimate` (one system). The tests behind them have names of their
own: `delong_test`, `macro_auc`, `quadratic_kappa`, `orh`, `permutation_test`, `holm`, ... Labels are 0 and 1 or
class numbers, higher scores mean the positive class, and a `groups` argument names the patient of each case.
docs/explanation/statistics.md says which test is used when, and what each verdict means.
"""

from benchbench.statistics.agreement import (
    Agreement,
    McNemarTest,
    kappa,
    mcnemar,
    quadratic_kappa,
    unweighted_kappa,
)
from benchbench.statistics.as_published import (
    PublishedRule,
    mirage_wilcoxon,
    retfound_green_rule,
    retfound_seed_t_test,
    seed_interval,
)
from benchbench.statistics.auroc import (
    AllPairs,
    UnpairedComparison,
    delong_covariance,
    delong_test,
    delong_test_all,
    delong_test_unpaired,
)
from benchbench.statistics.calibration import (
    CalibrationError,
    DecisionCurve,
    FrozenThreshold,
    ReliabilityBin,
    brier_score,
    calibration_error,
    choose_threshold,
    decision_curve,
    reliability_curve,
)
from benchbench.statistics.comparison import ExcludedClass, Measured, PairedComparison
from benchbench.statistics.contrasts import ChiSquareTest, ContrastTest, chi_square_test, linear_contrast
from benchbench.statistics.curves import RocCurve, roc_curve
from benchbench.statistics.datasets import (
    FriedmanNemenyi,
    PooledDifference,
    friedman_nemenyi,
    pooled_difference,
)
from benchbench.statistics.families import (
    Correction,
    ExpectedFalseWins,
    RankInterval,
    benjamini_hochberg,
    expected_false_wins,
    holm,
    rank_intervals,
    significant_pairs,
    tie_groups,
)
from benchbench.statistics.inputs import InvalidScores, NotPaired, StatisticsError
from benchbench.statistics.intervals import (
    Interval,
    MarginTest,
    cases_for_power,
    logit_interval,
    non_inferiority,
    power_of_difference,
    rule_of_three_bound,
    smallest_detectable_difference,
    tost,
    wald_interval,
    wilson_interval,
)
from benchbench.statistics.lints import (
    ConfusionSummary,
    Lint,
    ReportedInterval,
    auc_equals_balanced_accuracy,
    lint_binary,
    lint_intervals,
    summarise_confusion,
)
from benchbench.statistics.macro import MacroAUC, macro_auc, multilabel_macro_auc, per_class_tests
from benchbench.statistics.permutation import PermutationTest, permutation_test
from benchbench.statistics.power import auc_difference_power, auc_power
from benchbench.statistics.resampling import BootstrapEstimate, bootstrap, bootstrap_difference
from benchbench.statistics.seed_comparison import SeedComparison, SeedEstimate, compare_seeds, orh
from benchbench.statistics.seeds import NadeauBengio, OrhAnalysis, nadeau_bengio, orh_from_covariance
from benchbench.statistics.systems import METRICS, Comparison, Estimate, compare, estimate, measure
from benchbench.statistics.verdicts import FEW_CASES, SMALL_SAMPLE, Verdict
from benchbench.statistics.weighted import expected_calibration_error, sensitivity_at_specificity

__all__ = [
    "FEW_CASES",
    "METRICS",
    "SMALL_SAMPLE",
    "Agreement",
    "AllPairs",
    "BootstrapEstimate",
    "CalibrationError",
    "ChiSquareTest",
    "Comparison",
    "ConfusionSummary",
    "ContrastTest",
    "Correction",
    "DecisionCurve",
    "Estimate",
    "ExcludedClass",
    "ExpectedFalseWins",
    "FriedmanNemenyi",
    "FrozenThreshold",
    "Interval",
    "InvalidScores",
    "Lint",
    "MacroAUC",
    "MarginTest",
    "McNemarTest",
    "Measured",
    "NadeauBengio",
    "NotPaired",
    "OrhAnalysis",
    "PairedComparison",
    "PermutationTest",
    "PooledDifference",
    "PublishedRule",
    "RankInterval",
    "ReliabilityBin",
    "ReportedInterval",
    "RocCurve",
    "SeedComparison",
    "SeedEstimate",
    "StatisticsError",
    "UnpairedComparison",
    "Verdict",
    "auc_difference_power",
    "auc_equals_balanced_accuracy",
    "auc_power",
    "benjamini_hochberg",
    "bootstrap",
    "bootstrap_difference",
    "brier_score",
    "calibration_error",
    "cases_for_power",
    "chi_square_test",
    "choose_threshold",
    "compare",
    "compare_seeds",
    "decision_curve",
    "delong_covariance",
    "delong_test",
    "delong_test_all",
    "delong_test_unpaired",
    "estimate",
    "expected_calibration_error",
    "expected_false_wins",
    "friedman_nemenyi",
    "holm",
    "kappa",
    "linear_contrast",
    "lint_binary",
    "lint_intervals",
    "logit_interval",
    "macro_auc",
    "mcnemar",
    "measure",
    "mirage_wilcoxon",
    "multilabel_macro_auc",
    "nadeau_bengio",
    "non_inferiority",
    "orh",
    "orh_from_covariance",
    "per_class_tests",
    "permutation_test",
    "pooled_difference",
    "power_of_difference",
    "quadratic_kappa",
    "rank_intervals",
    "reliability_curve",
    "retfound_green_rule",
    "retfound_seed_t_test",
    "roc_curve",
    "rule_of_three_bound",
    "seed_interval",
    "sensitivity_at_specificity",
    "significant_pairs",
    "smallest_detectable_difference",
    "summarise_confusion",
    "tie_groups",
    "tost",
    "unweighted_kappa",
    "wald_interval",
    "wilson_interval",
]
