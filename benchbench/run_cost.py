"""The cost of a run: what its suite asks to be measured of the encoders, and what the protocols took."""

from __future__ import annotations

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .assemble import cell_records
from .engines import Engine
from .errors import PLUGIN_FAULTS, reason_of
from .passes import embed_request
from .plan import Plan
from .progress import reporting
from .results import read_rows
from .store import Artefact, Store

if TYPE_CHECKING:
    from .cost import CostRow

log = logging.getLogger("benchbench")


def write_run_cost(
    plan: Plan,
    store: Store,
    engine: Engine,
    folder: Path,
    artefacts: Mapping[str, Artefact],
    *,
    device: str,
    fresh: bool,
) -> None:
    """Write cost.csv; what cannot be had is said in the log, and costs neither the run nor the rest.

    Args:
        folder: The run's folder, where rows.csv is.
        artefacts: Of the finished cells, by cell id.
        device: "auto", "cpu" or "cuda", as the run was given it.
        fresh: Measure again what the store remembers.
    """
    from .cost import protocol_rows, write_cost

    def took() -> tuple[CostRow, ...]:
        return protocol_rows(read_rows(folder / "rows.csv"), cell_records(artefacts))

    rows: list[CostRow] = []
    for what, find in (
        ("The cost of the encoders", lambda: _measured_cost(plan, store, engine, device, fresh)),
        ("What the protocols took", took),
    ):
        try:
            rows += find()
        except PLUGIN_FAULTS as error:  # the results are there, and worth their report
            log.warning("%s is missing from the report: %s", what, reason_of(error, "Measuring cost"))
    if rows:
        write_cost(folder / "cost.csv", rows)


def _measured_cost(plan: Plan, store: Store, engine: Engine, device: str, fresh: bool) -> tuple[CostRow, ...]:
    config = plan.suite.suite.cost
    if config.measure == "off":
        return ()
    if plan.demo and plan.cells:  # a demonstration is to be watched to its end, and speeds take minutes
        log.info("a demo measures no speeds: bench speed does")
        return ()
    from .cost import measure_encoders

    measure = functools.partial(
        measure_encoders,
        [embed_request(e) for e in plan.survey.encoders],
        config,
        store=store,
        device=engine.hardware(device)["device"],
        fresh=fresh,
        labels=[e.label for e in plan.survey.encoders],
    )
    if engine.config.name == "dask":
        found: tuple[CostRow, ...] = engine.one(measure)
        return found
    with reporting("measuring cost") as progress:
        return measure(progress=progress)
