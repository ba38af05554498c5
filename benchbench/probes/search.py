"""The search for C: fits on folds or a validation split, the choice, and the fit that is kept."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks, published
from .accuracy import CONTENDER, HELD_OUT, KEPT, SEARCH, Accuracy
from .fitted import FittedProbe, ProbeGrid, Timings
from .folds import Folds, grouped_folds
from .path import Embeddings, Floats, Job, JobFit, class_probabilities
from .selection import Method, Selection, choose, score
from .threads import thread_limit


def warn_if_unfinished(converged: NDArray[np.bool_], max_iter: int) -> None:
    if not converged.all():
        warnings.warn(
            f"{int((~converged).sum())} of {converged.size} fits were stopped short of the optimum (max_iter = "
            f"{max_iter}); their largest C is likely too weak a penalty for separable classes",
            RuntimeWarning,
            stacklevel=3,
        )


class Search:
    """One call of `fit_probe` or `fit_multilabel_probe`: L label columns (n, L) on the same embeddings."""

    def __init__(
        self,
        X: ArrayLike,
        codes: NDArray[np.int64],
        classes: Sequence[NDArray],
        groups: ArrayLike | None,
        X_val: ArrayLike | None,
        val: NDArray[np.int64] | None,
        grid: ProbeGrid,
        names: list[str] | None,
    ) -> None:
        self.grid = grid
        self.C = checks.strengths(self.grid.C_grid)
        self.X, self.codes, self.classes, self.names = checks.embeddings(X), codes, classes, names
        checks.same_length(len(self.X), groups=None if groups is None else np.asarray(groups))
        self.groups, self.val = groups, val
        self.X_val = None if X_val is None else checks.embeddings(X_val, what="validation embeddings")
        self.method = self._method()
        self.timings = Timings(0, 0, 0)

    def _method(self) -> Method:
        if len(self.C) == 1:
            return "none"
        if (self.X_val is None) != (self.val is None):
            raise checks.ProbeInputError(
                "validation needs both embeddings and labels", fix="give X_val and y_val"
            )
        if self.X_val is not None and self.val is not None:
            checks.same_length(len(self.X_val), y_val=self.val)
            if self.X_val.shape[1] != self.X.shape[1]:
                raise checks.ProbeInputError(
                    f"validation embeddings have {self.X_val.shape[1]} dimensions, training embeddings "
                    f"{self.X.shape[1]}",
                    fix="embed both splits with the same encoder",
                )
        elif self.grid.selection == "validation":
            raise checks.ProbeInputError(
                "selection by validation was asked for, but there is no validation split",
                fix="set selection to cv or auto, or give one value of C",
            )
        return "cv" if self.grid.selection == "cv" or self.X_val is None else "validation"

    def probes(self) -> list[FittedProbe]:
        with thread_limit(self.grid.threads):
            return self._sklearn() if self.grid.solver == "sklearn" else self._benchbench()

    def _folds(self) -> Folds:
        codes = self.codes[:, 0] if self.names is None else self.codes
        classes = self.classes[0].tolist() if self.names is None else self.names
        seed = self.grid.seed if self.grid.shuffle_folds else None
        return grouped_folds(codes, self.groups, self.grid.folds, seed=seed, names=classes)

    def _choose(self, scores: Floats, note: str) -> Selection:
        rule = self.grid.one_standard_error
        return choose(self.method, self.grid.metric, self.C, scores, one_standard_error=rule, note=note)

    # Our solver ---------------------------------------------------------------------------------------------------

    def _benchbench(self) -> list[FittedProbe]:
        clock = [time.perf_counter()]
        labels = range(self.codes.shape[1])
        folds = self._folds() if self.method == "cv" else None
        fits = len(labels) * len(self.C) * (folds.count if folds else 1)
        data = Embeddings(self.X, device=self.grid.device, fits=fits)
        clock.append(time.perf_counter())
        everything = np.ones(len(self.X), dtype=bool)
        if folds is not None:
            parts = [(j, folds.train(f)) for j in labels for f in range(folds.count)]
            searched = self._sharpen(data, folds, parts, self._solve(data, parts, SEARCH))
        else:
            searched = self._solve(data, [(j, everything) for j in labels], KEPT)
        clock.append(time.perf_counter())
        selections, held_out = [], []
        for j in labels:
            if folds is not None:
                mine = searched[j * folds.count : (j + 1) * folds.count]
                selection, predictions = self._by_folds(j, folds, mine)
            else:
                selection, predictions = self._by_validation(j, searched[j]), None
            selections.append(selection)
            held_out.append(predictions)
        clock.append(time.perf_counter())
        if folds is not None:
            kept = self._refit(data, selections, searched, folds.count)
        else:
            kept = [(searched[j], selections[j].chosen) for j in labels]
        fit_seconds = clock[2] - clock[1] + time.perf_counter() - clock[3]
        self.timings = Timings(clock[1] - clock[0], fit_seconds, clock[3] - clock[2])
        warn_if_unfinished(np.array([fit.converged[i] for fit, i in kept]), self.grid.max_iter)
        return [self._probe(j, *kept[j], selections[j], held_out[j]) for j in labels]

    def _solve(
        self, data: Embeddings, parts: list[tuple[int, NDArray[np.bool_]]], accuracy: Accuracy
    ) -> list[JobFit]:
        jobs = [Job(self.codes[:, j], train, self.C, self.grid.class_weight) for j, train in parts]
        return data.solve(jobs, accuracy, self.grid.max_iter)

    def _sharpen(
        self, data: Embeddings, folds: Folds, parts: list[tuple[int, NDArray[np.bool_]]], fits: list[JobFit]
    ) -> list[JobFit]:
        """Solve again, more tightly, the C around each label's choice, and then the chosen one.

        Each is repeated until the choice, read from the fits as they then are, asks for nothing new.
        """
        sharp = list(fits)
        for accuracy, chosen_only in ((CONTENDER, False), (HELD_OUT, True)):
            finished: set[tuple[int, int]] = set()
            while again := sorted(set(self._deciding(folds, sharp, chosen_only)) - finished):
                self._improve(data, parts, sharp, again, accuracy)
                if coarse := [(k, i) for k, i in again if accuracy.single and not sharp[k].converged[i]]:
                    self._improve(data, parts, sharp, coarse, replace(accuracy, single=False))
                finished.update(again)
        return sharp

    def _improve(
        self,
        data: Embeddings,
        parts: list[tuple[int, NDArray[np.bool_]]],
        fits: list[JobFit],
        which: list[tuple[int, int]],
        accuracy: Accuracy,
    ) -> None:
        """Solve some fits on from where they are; each is named by its positions among the fits and in C."""
        jobs = [
            Job(
                self.codes[:, parts[k][0]],
                parts[k][1],
                self.C[[i]],
                self.grid.class_weight,
                (fits[k].coef[i], fits[k].intercept[i]),
            )
            for k, i in which
        ]
        for (k, i), fit in zip(which, data.solve(jobs, accuracy, self.grid.max_iter), strict=True):
            fits[k] = fits[k].with_fit(i, fit)

    def _deciding(self, folds: Folds, fits: list[JobFit], chosen_only: bool) -> Iterator[tuple[int, int]]:
        """Positions (among the fits, in C) of each label's choice and, unless `chosen_only`, what competes with it."""
        for j in range(self.codes.shape[1]):
            mine = range(j * folds.count, (j + 1) * folds.count)
            selection, _ = self._by_folds(j, folds, [fits[k] for k in mine])
            positions = [selection.chosen] if chosen_only else selection.contenders
            yield from ((k, i) for k in mine for i in positions)

    def _by_folds(self, label: int, folds: Folds, fits: list[JobFit]) -> tuple[Selection, Floats]:
        K = len(self.classes[label])
        p = np.zeros((len(self.C), len(self.X), K))
        scores = np.empty((len(self.C), folds.count))
        for f, fit in enumerate(fits):
            rows = ~folds.train(f)
            p[:, rows] = fit.probabilities(K, rows)
            scores[:, f] = score(self.grid.metric, self.codes[rows, label], p[:, rows])
        selection = self._choose(scores, folds.note)
        return selection, p[selection.chosen]

    def _by_validation(self, label: int, fit: JobFit) -> Selection:
        if self.method == "none" or self.X_val is None or self.val is None:
            return self._choose(np.empty((len(self.C), 0)), "")
        z = fit.standard(self.X_val)
        logits = np.moveaxis(z @ np.moveaxis(fit.coef, 1, 2), 1, 2) + fit.intercept[..., None]
        scores = score(self.grid.metric, self.val[:, label], class_probabilities(logits))
        return self._choose(scores[:, None], "")

    def _refit(
        self, data: Embeddings, selections: list[Selection], searched: list[JobFit], folds: int
    ) -> list[tuple[JobFit, int]]:
        """All training rows at the chosen C, from the mean of the folds' solutions."""
        jobs = []
        everything = np.ones(len(self.X), dtype=bool)
        for j, selection in enumerate(selections):
            mine = searched[j * folds : (j + 1) * folds]
            complete = [fit for fit in mine if len(fit.present) == len(self.classes[j])]
            i = selection.chosen
            start = None
            if complete:
                start = (
                    np.mean([fit.coef[i] for fit in complete], axis=0),
                    np.mean([fit.intercept[i] for fit in complete], axis=0),
                )
            jobs.append(Job(self.codes[:, j], everything, self.C[[i]], self.grid.class_weight, start))
        return [(fit, 0) for fit in data.solve(jobs, KEPT, self.grid.max_iter)]

    def _probe(
        self, label: int, fit: JobFit, position: int, selection: Selection, held_out: Floats | None
    ) -> FittedProbe:
        return FittedProbe(
            C=float(self.C[selection.chosen]),
            classes=self.classes[label],
            coef=fit.coef[position],
            intercept=fit.intercept[position],
            mean=fit.standard.mean,
            scale=fit.standard.scale,
            selection=selection,
            iterations=int(fit.iterations[position]),
            converged=bool(fit.converged[position]),
            timings=self.timings,
            out_of_fold=held_out,
        )

    # scikit-learn, as published -----------------------------------------------------------------------------------

    def _sklearn(self) -> list[FittedProbe]:
        folds = self._folds() if self.method == "cv" else None
        return [self._sklearn_label(j, folds) for j in range(self.codes.shape[1])]

    def _sklearn_label(self, label: int, folds: Folds | None) -> FittedProbe:
        codes, K = self.codes[:, label], len(self.classes[label])
        begin = time.perf_counter()
        scores = np.empty((len(self.C), folds.count if folds else 1))
        p = np.zeros((len(self.C), len(self.X), K)) if folds else None
        fit_all = (
            [published.fit(self.X, codes, C, self.grid.class_weight) for C in self.C] if not folds else []
        )
        if folds is not None and p is not None:
            for f in range(folds.count):
                train = folds.train(f)
                for i, C in enumerate(self.C):
                    model = published.fit(self.X[train], codes[train], C, self.grid.class_weight)
                    p[i, ~train] = published.predict(model, self.X[~train], K)
                scores[:, f] = score(self.grid.metric, codes[~train], p[:, ~train])
        elif self.method == "validation" and self.X_val is not None and self.val is not None:
            predicted = np.stack([published.predict(model, self.X_val, K) for model in fit_all])
            scores = score(self.grid.metric, self.val[:, label], predicted)[:, None]
        selection = self._choose(scores, folds.note if folds else "")
        i = selection.chosen
        model = fit_all[i] if fit_all else published.fit(self.X, codes, self.C[i], self.grid.class_weight)
        seconds = Timings(0.0, time.perf_counter() - begin, 0.0)
        self.timings = Timings(0.0, self.timings.fit + seconds.fit, 0.0)
        scaler, regression = model.steps[0][1], model.steps[1][1]
        return FittedProbe(
            C=float(self.C[i]),
            classes=self.classes[label],
            coef=np.asarray(regression.coef_, dtype=np.float64),
            intercept=np.asarray(regression.intercept_, dtype=np.float64),
            mean=np.asarray(scaler.mean_, dtype=np.float64),
            scale=np.asarray(scaler.scale_, dtype=np.float64),
            selection=selection,
            iterations=int(np.max(regression.n_iter_)),
            converged=bool(np.max(regression.n_iter_) < regression.max_iter),
            timings=seconds,
            out_of_fold=None if p is None else p[i],
            pipeline=model,
        )
