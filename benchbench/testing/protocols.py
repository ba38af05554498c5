"""Conformance of protocols."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..api import CellOutput, ProtocolInfo
from ..context import CellContext
from ..errors import CellError

if TYPE_CHECKING:
    from .conformance import Finding

    Run = Callable[..., list[Finding]]


def check_protocol(info: ProtocolInfo, run: Run) -> list[Finding]:
    """All checks of one protocol; those that need embeddings only are also run on a toy dataset."""
    title = f"protocol {info.name}"
    findings = run(f"{title}: the card is complete", lambda: _card(info))
    findings += run(f"{title}: settings, presets and demo are valid", lambda: _settings(info))
    if info.needs == "embeddings":
        findings += run(f"{title}: a cell gives probabilities for every test image", lambda: _cell(info))
    return findings


def _card(info: ProtocolInfo) -> Iterator[str]:
    for field in ("title", "description"):
        if not str(getattr(info, field)).strip():
            yield f"`{field}` is empty"
    if info.needs not in ("embeddings", "images"):
        yield f"`needs` is {info.needs!r}, not embeddings or images"


def _settings(info: ProtocolInfo) -> Iterator[str]:
    config: Any = info.config
    config()
    for name, values in {**info.presets, "demo": info.demo}.items():
        try:
            config(**values)
        except ValueError as error:
            yield f"{name}: {error}"
    try:
        config(a_setting_that_does_not_exist=1)
    except ValueError:
        pass
    else:
        yield 'unknown settings are accepted: set model_config = ConfigDict(extra="forbid", frozen=True)'


def _cell(info: ProtocolInfo) -> Iterator[str]:
    """Run the protocol's first cell on two toy datasets, twice."""
    import numpy as np

    from ..work import plain, predictions_frame
    from .fakes import FakeData, fake_context, toy_dataset

    datasets = {name: toy_dataset(name, seed=i) for i, name in enumerate(("toy", "other"))}
    tasks = tuple((f"{d.name}/any", d.tasks[1]) for d in datasets.values())
    config: Any = info.config
    config = config(**info.demo)
    cells = info.cells(tasks, config)
    if not cells:
        yield "no cell is asked for on two binary tasks"
        return
    cell, outputs = cells[0], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            context = fake_context(
                datasets,
                cell.task,
                config,
                Path(folder),
                targets=cell.targets,
                axes=dict(cell.axes),
                also_train=cell.also_train,
            )
            outputs.append(_output(info, context))
    data = FakeData(datasets)
    frames = [predictions_frame("kit", cell, config, output, data) for output in outputs]
    plain(outputs[0].details)
    first, again = (list(frame["scores"]) for frame in frames)
    if not info.stochastic and not all(map(np.array_equal, first, again)):
        yield "scores differ between two runs of the same cell, but the card says not stochastic"


def _output(info: ProtocolInfo, context: CellContext) -> CellOutput:
    """What a cell returns; a protocol that falls over the labels it may not see is told so."""
    try:
        output: Any = info.run(context)
    except (TypeError, AttributeError) as error:
        data: Any = context.data
        asked = sorted({split for _, split in data.reads} - {"train", "val"})
        if not asked or "None" not in str(error):
            raise
        raise CellError(
            f"{type(error).__name__}: {error}. Is it about labels? Those of {', '.join(asked)} images are None for a "
            "protocol: it learns from the train and val parts."
        ) from error
    if not isinstance(output, CellOutput):
        raise CellError(f"`run` returned {type(output).__name__}, not a CellOutput")
    return output
