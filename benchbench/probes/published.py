"""The probe of RETFound-Green's evaluation notebooks, in scikit-learn's own hands.

Source: justinengelmann/RETFound_Green, Training_and_eval_code/evaluation/Eval_IDRiD.ipynb: a standard scaler and a
logistic regression with an iteration limit of 20,000 and random state 42 on float32 features, everything else at its
default (L2, C = 1, lbfgs, tol = 1e-4).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def fit(X: NDArray, codes: NDArray[np.int64], C: float, class_weight: str | None = None) -> Any:
    """The fitted pipeline; rows without a label (-1) are left out, the embeddings keep their precision."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labelled = codes >= 0
    regression = LogisticRegression(C=float(C), max_iter=20_000, random_state=42, class_weight=class_weight)
    return make_pipeline(StandardScaler(), regression).fit(X[labelled], codes[labelled])


def predict(model: Any, X: NDArray, n_classes: int) -> NDArray[np.float64]:
    """Probabilities (n, n_classes); classes that the model never saw get 0."""
    p = np.zeros((len(X), n_classes))
    p[:, model.classes_] = model.predict_proba(X)
    return p
