"""Whether a run answers a spec: every cell, on the same images, by the same versions of protocols."""

from __future__ import annotations

from ..errors import BenchError
from ..results import Row, Run
from .freeze import panel_id
from .spec import Spec


def answering_rows(run: Run, encoder: str, spec: Spec) -> dict[tuple[str, int], Row]:
    """The rows by which an encoder of a run answers a spec, by panel and seed.

    Raises:
        BenchError: a cell is missing, or the images or a protocol are not those of the spec.
    """
    rows = {(panel_id(r), r.seed): r for r in run.rows if r.encoder == encoder and r.status == "done"}
    wanted = [(panel.id, seed) for panel in spec.panels for seed in panel.seeds]
    missing = [f"{panel}, seed {seed}" for panel, seed in wanted if (panel, seed) not in rows]
    if missing:
        raise BenchError(
            f"{encoder} has no result for {len(missing)} of the {len(wanted)} cells of {spec.name}.",
            where=str(run.folder),
            details=missing[:10],
            fix="a submission answers the whole spec: run what is missing, then submit again",
        )
    _check_images(run, spec)
    _check_protocols(run, spec)
    return {key: rows[key] for key in wanted}


def _check_images(run: Run, spec: Spec) -> None:
    """Refuse a run on other image files than the spec's: names and labels may be right where pictures are not."""
    found = {d.name: d.image_fingerprint for d in run.info.datasets}
    other = [d.name for d in spec.datasets if found.get(d.name) != d.image_fingerprint]
    if other:
        raise BenchError(
            f"Your images are not those of {spec.name}: the files of {', '.join(other)} differ.",
            where=str(run.folder),
            details=[
                f"{d.name}: image fingerprint {found.get(d.name) or 'none'}, the spec says {d.image_fingerprint}"
                for d in spec.datasets
                if d.name in other
            ],
            fix="run the suite on the files as their authors distribute them, in the release that the spec was frozen "
            "with: resized, re-encoded, prepared or retouched copies are other images",
        )


def _check_protocols(run: Run, spec: Spec) -> None:
    """Refuse a run by another version of a protocol: its numbers answer another question."""
    wanted = {p.protocol: (p.protocol_version, p.protocol_plugin) for p in spec.panels}
    found = {p.name: (p.version, p.plugin) for p in run.info.protocols}
    other = [name for name in wanted if found.get(name) != wanted[name]]
    if other:
        raise BenchError(
            f"Your run used other versions of protocols than {spec.name}: {', '.join(other)}.",
            where=str(run.folder / "run.json"),
            details=[
                f"{name}: {_version(*found.get(name, ('', '')))}, the spec says {_version(*wanted[name])}"
                for name in other
            ],
            fix="install the versions that the spec was frozen with and run the suite again, or answer a newer version "
            "of the spec",
        )


def _version(version: str, plugin: str) -> str:
    return f"version {version or 'not recorded'}{f' of {plugin}' if plugin else ''}"
