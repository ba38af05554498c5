"""When a fit of the probe counts as finished: loosely where it only ranks values of C, tightly where it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Accuracy:
    """A fit is finished when both distances hold.

    Attributes:
        nats: Estimated distance of the mean loss from its optimum; 1e-11 leaves probabilities within about 1e-5.
        share: The objective is certainly within this share of its optimum.
        single: Whether the state may be float32: half the memory traffic, for fits that are not kept.
    """

    nats: float
    share: float
    single: bool = False

    def reached(self, newton: Any, upper: Any) -> Any:
        """Which fits are finished, by their two distances (B,)."""
        return (newton <= self.nats) & (upper <= self.share)


#: Fits that only rank values of C, most of them far from the choice, where their held-out log-loss can be a few per
#: cent off; what is near the choice is solved again.
SEARCH = Accuracy(1e-5, 1e-1, single=True)
#: Fits on folds at the C that decide the choice; finished in float64 where float32 is too coarse.
CONTENDER = Accuracy(1e-8, 1e-4, single=True)
#: Fits on folds at the chosen C; their held-out probabilities freeze thresholds.
HELD_OUT = Accuracy(1e-10, 1e-6)
#: Fits that are kept.
KEPT = Accuracy(1e-14, 5e-7)
