"""The hooks a plugin may implement, one line each."""

from __future__ import annotations

from collections.abc import Sequence

import pluggy

from .api import DatasetInfo, EncoderFamily, EncoderInfo, ProtocolInfo, ReportSection

PROJECT = "benchbench"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def benchbench_encoders() -> Sequence[EncoderInfo | EncoderFamily]:  # type: ignore[empty-body]
    """Return the encoders, and families of encoders, that this plugin brings."""


@hookspec
def benchbench_datasets() -> Sequence[DatasetInfo]:  # type: ignore[empty-body]
    """Return the datasets that this plugin brings."""


@hookspec
def benchbench_protocols() -> Sequence[ProtocolInfo]:  # type: ignore[empty-body]
    """Return the protocols that this plugin brings."""


@hookspec
def benchbench_report_sections() -> Sequence[ReportSection]:  # type: ignore[empty-body]
    """Return sections to add to the end of every report."""
