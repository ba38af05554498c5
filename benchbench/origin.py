"""Where a plugin comes from, and what of that is part of an identity."""

from __future__ import annotations

from dataclasses import dataclass

OWN_DISTRIBUTION = "benchbench-retina"


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    distribution: str
    version: str
    entry_point: str
    module: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}, entry point {self.entry_point} = {self.module}"


def named(kind: str, name: str, origin: Origin | None) -> str:
    """A plugin's item as messages name it, for instance ``The encoder 'a' (pkg 1.0, entry point x = y)``."""
    return f"The {kind} {name!r}" + (f" ({origin})" if origin else "")


def plugin_identity(origin: Origin | None) -> dict[str, list[str]]:
    """What an identity says of the plugin behind an encoder, a dataset or a protocol; to be merged into it.

    A third party's plugin is named with its version, because two plugins may use one name and nobody promises that
    an upgrade changes nothing. For benchbench's own, and for what no plugin brought, this is empty: their cards
    have a `version` that is raised when results change (docs/decisions/0004-plugins-in-identities.md).
    """
    if origin is None or origin.distribution == OWN_DISTRIBUTION:
        return {}
    return {"plugin": [origin.distribution, origin.version, origin.entry_point]}
