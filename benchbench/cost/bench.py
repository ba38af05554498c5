"""Timings of one encoder: the model alone, from files, and a linear probe on its embeddings."""

from __future__ import annotations

import dataclasses
import math
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import EncoderInfo
from ..machine import free_memory, machine_line, versions
from .config import batches_of
from .rows import CostRow, Measured, Unmeasured, row_of
from .setup import Setup, also
from .timing import MIN_FOR_PERCENTILE, NOISY, NOISY_SPREAD, Effort, LoadMeter, Timing, noise_note, time_steps

if TYPE_CHECKING:
    import numpy as np

    from ..inference import EmbedRequest, Runner

LATENCIES = (50, 90, 99)
RUNS = 3
"""The best batch is timed this often, each time from the warm-up on; the runs' differences are a row of their own."""
PROBE_ROWS = (2000, 500)
"""Training and test images of the timed probe."""


def full_name(info: EncoderInfo) -> str:
    """Name with its variant, as in suites."""
    return info.name if info.variant == "default" else f"{info.name}:{info.variant}"


class EncoderBench:
    """Timings of one encoder; the model is loaded when it is first needed."""

    def __init__(self, request: EmbedRequest, setup: Setup) -> None:
        self.request, self.setup = request, setup
        self.name = full_name(request.encoder)
        self._runner: Runner | None = None

    @property
    def runner(self) -> Runner:
        """The encoder with random weights on the device."""
        if self._runner is None:
            from ..inference import Runner

            self._runner = Runner(self.request, self.setup.device, self.setup.threads)
        return self._runner

    def close(self) -> None:
        """Free the model."""
        self._runner = None
        free_memory(self.setup.device)

    def measured(self, value: float, unit: str, batch: int, timing: Timing | None, note: str) -> Measured:
        """A value with everything that the table says of it."""
        spread = timing.spread if timing else math.nan
        return Measured(
            value,
            unit,
            self.setup.device,
            self.request.precision,
            batch,
            self.setup.threads,
            len(timing.steps) if timing else 1,
            spread,
            self.versions,
            note=note,
        )

    @property
    def versions(self) -> str:
        """Machine and versions that these values depend on."""
        extra = f"; openvino {versions()['openvino']}" if self.request.backend == "openvino" else ""
        return self.setup.versions + extra

    def row(self, quantity: str, value: Measured | Unmeasured) -> CostRow:
        """A value of this encoder as a row."""
        return row_of(self.name, quantity, value, self.request.backend)

    def model_rows(self) -> list[CostRow]:
        """Throughput by batch and latency of the model alone, on inputs that lie in memory."""
        from ..inference import cpu_threads

        with cpu_threads(self.setup.threads):
            rows, best = self._sweep()
            return [*rows, *self._best(*best)] if best else rows

    def _sweep(self) -> tuple[list[CostRow], tuple[int, Timing, str] | None]:
        """Rows by batch, and the fastest batch with its timing and note."""
        rows: list[CostRow] = []
        best, best_rate, per_image = None, 0.0, 0.0
        # At batch 1 as many steps as the highest percentile needs, where the time allows it.
        latency = dataclasses.replace(self.setup.effort, steps=MIN_FOR_PERCENTILE[LATENCIES[-1]])
        full = 0
        for batch in sorted({1, *batches_of(self.setup.config, self.setup.device)}):
            if full:
                reason = f"the memory of the device does not hold {full} images at once"
                rows.append(self._unmeasured("throughput", "images/s", batch, reason))
                continue
            limit = self.setup.effort.longest
            if per_image * batch > limit:
                reason = (
                    f"one batch would take about {per_image * batch:.0f} s, above the limit of {limit:.0f} s"
                )
                rows.append(self._unmeasured("throughput", "images/s", batch, reason))
                continue
            timing, note = self.time_model(batch, latency if batch == 1 else self.setup.effort)
            if timing is None:
                rows.append(self._unmeasured("throughput", "images/s", batch, note))
                full = batch
                continue
            per_image = timing.median / batch
            rows.append(self.row("throughput", self.measured(1 / per_image, "images/s", batch, timing, note)))
            if batch == 1:
                rows.extend(self._latency(timing, note))
            if 1 / per_image > best_rate:
                best, best_rate = (batch, timing, note), 1 / per_image
        return rows, best

    def _best(self, batch: int, first: Timing, note: str) -> list[CostRow]:
        """The best batch, timed again from the warm-up on: the median of the runs, and how far they are apart."""
        again = [self.time_model(batch, self.setup.effort) for _ in range(RUNS - 1)]
        runs = [first, *(timing for timing, _ in again if timing is not None)]
        medians = [timing.median for timing in runs]
        apart = (max(medians) - min(medians)) / statistics.median(medians) if len(runs) > 1 else math.nan
        notes = dict.fromkeys(n for n in (note, *(n for _, n in again)) if n)
        if apart > NOISY_SPREAD:
            notes[f"{NOISY}: {len(runs)} runs differ by {apart:.0%}"] = None
        said = "; ".join(notes)
        pooled = Timing(tuple(s for timing in runs for s in timing.steps), first.warm_up_steps)
        rate = batch / statistics.median(medians)
        difference: Measured | Unmeasured = Unmeasured(
            "the batch did not fit into memory a second time", "share"
        )
        if len(runs) > 1:
            difference = dataclasses.replace(
                self.measured(apart, "share", batch, None, said), repeats=len(runs)
            )
        return [
            self.row("throughput_best", self.measured(rate, "images/s", batch, pooled, said)),
            self.row("run_to_run", difference),
        ]

    def _unmeasured(self, quantity: str, unit: str, batch: int, reason: str) -> CostRow:
        row = self.row(quantity, Unmeasured(reason, unit))
        return dataclasses.replace(
            row, batch=batch, device=self.setup.device, precision=self.request.precision
        )

    def time_model(self, batch: int, effort: Effort) -> tuple[Timing | None, str]:
        """Timing of the forward pass from uint8 on the device, and a note; None where memory does not suffice."""
        ring = self.on_device(self.inputs(batch))
        runner = self.runner  # loaded here, so that loading it is no step
        position = 0

        def step() -> None:
            nonlocal position
            position += 1
            runner(ring[position % len(ring)])

        load = LoadMeter()
        halvings = runner.halvings
        timing = time_steps(step, effort, synchronise=self.setup.synchronise)
        if runner.halvings > halvings:
            return None, "the memory of the device does not hold this batch"
        return timing, noise_note(timing.spread, load.foreign_share())

    def inputs(self, batch: int) -> list[np.ndarray]:
        """Different batches in turn, so that no cache holds the input."""
        import numpy as np

        size = self.request.encoder.preprocess.size
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8) for _ in range(4)]

    def on_device(self, batches: list[np.ndarray]) -> list[Any]:
        """The batches where the model is, so that no copy to a GPU is timed with it."""
        if not self.setup.device.startswith("cuda"):
            return list(batches)
        import torch

        return [torch.from_numpy(batch).to(self.setup.device) for batch in batches]

    def _latency(self, timing: Timing, note: str) -> list[CostRow]:
        rows = []
        for percent in LATENCIES:
            seconds = timing.percentile(percent)
            value: Measured | Unmeasured
            if seconds is None:
                needed = MIN_FOR_PERCENTILE[percent]
                more = "" if self.setup.config.measure == "full" else "; a full measurement takes longer"
                reason = f"needs {needed} steps, and {len(timing.steps)} fit into the time{more}"
                value = Unmeasured(reason, "ms")
            else:
                value = self.measured(seconds * 1000, "ms", 1, timing, note)
            rows.append(self.row(f"latency_p{percent}", value))
        return rows

    def file_rows(self) -> list[CostRow]:
        """Speed from JPEG files to embeddings: decoding ahead in threads, and one image after the other."""
        from ..inference import automatic_batch, cpu_threads

        batch = automatic_batch(self.setup.device)
        with cpu_threads(self.setup.threads), tempfile.TemporaryDirectory() as folder:
            paths = _photographs(Path(folder), self.setup.config.photograph)
            assert self.runner  # loaded here, so that loading it is no step
            width, height = self.setup.config.photograph
            kind = f"JPEG {width} x {height}, {paths[0].stat().st_size / 1e6:.2f} MB, read from memory"
            single = self._timed(
                "end_to_end_single", 1, lambda: self._one(paths[0]), 1, f"one by one; {kind}"
            )
            # Long enough that filling the pipeline does not count, short enough for a large network. One image after
            # the other says how long a CPU takes for a batch; of a GPU it says nothing.
            wanted = 8 if self.setup.device.startswith("cuda") else round(3 * single.value / batch)
            count = batch * min(12, max(2, wanted))
            ahead = self._timed(
                "end_to_end",
                batch,
                lambda: self._stream(paths, count, batch),
                count,
                f"decoding ahead; {kind}",
            )
            files = 4 * self.setup.threads
            alone = self._timed(
                "prepare", 0, lambda: self._prepare(paths, files), files, f"decode and resize only; {kind}"
            )
            # The processor's work, whatever the device of the model.
            return [
                ahead,
                single,
                dataclasses.replace(alone, device="cpu", precision="", versions=machine_line()),
            ]

    def _timed(
        self, quantity: str, batch: int, step: Callable[[], object], images: int, what: str
    ) -> CostRow:
        load = LoadMeter()
        effort = dataclasses.replace(self.setup.effort, steps=min(self.setup.effort.steps, 5), warm_up=1.0)
        timing = time_steps(step, effort, synchronise=self.setup.synchronise)
        note = what + also(noise_note(timing.spread, load.foreign_share()))
        return self.row(quantity, self.measured(images / timing.median, "images/s", batch, timing, note))

    def _stream(self, paths: list[Path], count: int, batch: int) -> None:
        from ..images import on_device
        from ..images.pipeline import prepared_batches

        files = [paths[i % len(paths)] for i in range(count)]
        cut = [range(i, min(i + batch, count)) for i in range(0, count, batch)]
        recipe = self.request.encoder.preprocess
        device = self.setup.device
        pin = device.startswith("cuda")
        for _, (pixels,) in prepared_batches(files, [recipe], cut, threads=self.setup.threads, pin=pin):
            self.runner(on_device(pixels, device))

    def _prepare(self, paths: list[Path], count: int) -> None:
        from ..images.pipeline import prepared_batches

        files = [paths[i % len(paths)] for i in range(count)]
        recipe = self.request.encoder.preprocess
        for _ in prepared_batches(files, [recipe], [range(count)], threads=self.setup.threads):
            pass

    def _one(self, path: Path) -> None:
        from ..images import prepare

        self.runner(prepare(path, self.request.encoder.preprocess)[None]).cpu()

    def probe_rows(self) -> list[CostRow]:
        """Time of a linear probe by the published protocol, on synthetic embeddings of this width."""
        train, test = PROBE_ROWS
        step = probe_task(self.request.encoder.embed_dim, train, test)
        load = LoadMeter()
        effort = dataclasses.replace(self.setup.effort, seconds=1.0, steps=5, warm_up=1.0)
        timing = time_steps(step, effort)
        note = f"standardise, fit, predict; {train} + {test} synthetic embeddings, C = 1"
        value = Measured(
            timing.median,
            "s/task",
            "cpu",
            "fp32",
            0,
            1,
            len(timing.steps),
            timing.spread,
            f"{self.setup.versions}; scikit-learn {versions()['scikit-learn']}",
            note=note + also(noise_note(timing.spread, load.foreign_share())),
        )
        return [row_of(self.name, "probe", value)]


def probe_task(dim: int, train: int, test: int) -> Callable[[], None]:
    """The published probe (standardise, L2 logistic regression with C = 1) on correlated synthetic embeddings."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    scale = np.arange(1, dim + 1) ** -0.5  # a power-law spectrum, as embeddings have
    mix = rng.standard_normal((dim, dim)) / math.sqrt(dim)
    x = ((rng.standard_normal((train + test, dim)) * scale) @ mix).astype(np.float32)
    y = (x @ rng.standard_normal(dim) + rng.standard_normal(train + test) * x.std() * 5 > 0).astype(int)

    def step() -> None:
        with threadpool_limits(1):
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=20_000, random_state=42))
            model.fit(x[:train], y[:train]).predict_proba(x[train:])

    return step


def _photographs(folder: Path, size: tuple[int, int]) -> list[Path]:
    from .photograph import photograph_jpeg

    paths = [folder / "0.jpg", folder / "1.jpg"]
    for seed, path in enumerate(paths):
        path.write_bytes(photograph_jpeg(*size, seed))
    return paths
