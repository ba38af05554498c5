"""Suites: YAML files that say what is compared with what, and how.

Unknown keys are errors that name the file, the line and the nearest known key. `json_schema` gives the schema
for editors (``bench schema``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .cost.config import CostConfig
from .engines.cluster import ClusterConfig
from .errors import SuiteError, did_you_mean
from .yamlfile import Location, YamlFile, parse_yaml, read_yaml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _short(key: str) -> BeforeValidator:
    """Let a plain string stand for the mapping {key: string}."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class EncoderUse(_Strict):
    """One encoder of a suite; a plain string is its name."""

    name: str = Field(
        description="Encoder name, optionally with a variant: retfound_green or retfound_green:all_tokens."
    )
    weights: str | None = Field(
        None,
        description="Checkpoint file to use instead of the official one, from the suite's folder, the weights root or "
        "the current folder.",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field("fp32", description="Precision of the forward pass.")
    crop: Literal["none", "fundus_circle", "automorph_m0"] | None = Field(
        None, description="Remove the black frame first, whatever the encoder's own preprocessing says."
    )
    decode: Literal["exact", "fast", "reference"] | None = Field(
        None,
        description="fast: scaled JPEG decoding; reference: the official code's pixels, slower. Part of the identity.",
    )
    backend: Literal["torch", "compile", "openvino"] = Field(
        "torch", description="What runs the forward pass: torch, torch.compile, or (CPU only) OpenVINO."
    )

    @property
    def label(self) -> str:
        """Name in tables, unique within the suite: the encoder's name plus whatever differs from its default use."""
        extras = [
            self.precision if self.precision != "fp32" else "",
            self.crop or "",
            self.decode if self.decode not in (None, "exact") else "",
            self.backend if self.backend != "torch" else "",
            Path(self.weights).name if self.weights else "",
        ]
        return " ".join([self.name, *(f"+{e}" for e in extras if e)])


class Simulation(_Strict):
    """Simulated images instead of real ones; every result is stamped SYNTHETIC."""

    images: int = Field(300, ge=20, le=1_000_000, description="Approximate number of images.")
    seed: int = Field(0, description="Seed of the generator.")


def _seeds_differ(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or len(set(value)) != len(value):
        raise ValueError("seeds must be a non-empty list of different numbers")
    return value


Seeds = Annotated[tuple[int, ...], AfterValidator(_seeds_differ)]


class DatasetUse(_Strict):
    """How a dataset is used: its split, its options, and whether it is simulated."""

    split: str | dict[str, Any] | None = Field(
        None,
        description="official, retfound, or {kind: grouped_stratified, seed: 0, ratios: [56, 14, 30]}, or "
        "{kind: kfold, folds: 5, fold: 0, seed: 0}; each with duplicates: group, keep or drop_conflicts. "
        "Default: the dataset's own.",
    )
    options: dict[str, str] = Field({}, description="Options of the dataset, see bench show dataset NAME.")
    simulated: Simulation | None = Field(None, description="Use simulated images, never real ones.")


class TaskUse(_Strict):
    """One task of a suite; a plain string is its name."""

    task: str = Field(description="Full name: dataset/task.")
    metric: str | None = Field(None, description="Primary metric; default by the kind of the task.")


class ProtocolUse(_Strict):
    """One protocol of a suite; a plain string is its name."""

    protocol: str = Field(description="Protocol plugin.")
    preset: str | None = Field(None, description="Named settings of the protocol.")
    name: str | None = Field(None, description="Name in the report; default: protocol, plus preset.")
    config: dict[str, Any] = Field({}, description="Settings that differ from the preset.")
    seeds: Seeds | None = Field(None, description="Seeds, if the suite's do not fit.")
    tasks: tuple[str, ...] | None = Field(None, description="Only these of the suite's tasks.")
    encoders: tuple[str, ...] | None = Field(None, description="Only these of the suite's encoders.")

    @property
    def label(self) -> str:
        """Display name, unique within the suite."""
        return self.name or (f"{self.protocol} ({self.preset})" if self.preset else self.protocol)


class Reference(_Strict):
    """Compare every encoder with one."""

    reference: str


class Statistics(_Strict):
    """What is tested, fixed before the run."""

    comparisons: Literal["all"] | Reference = Field(
        "all", description="all: every pair of encoders; {reference: NAME}: every encoder against one."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5, description="Two-sided level.")
    correction: Literal["holm"] = Field("holm", description="Correction over the family of the suite.")
    margin: float | None = Field(
        None, gt=0, lt=0.5, description="Margin for non-inferiority and equivalence, in units of the metric."
    )


class Suite(_Strict):
    """A benchmark: encoders x tasks x protocols x seeds, and the statistics."""

    title: str = Field(description="One line.")
    question: str = Field("", description="The question the suite answers, in plain words.")
    encoders: tuple[Annotated[EncoderUse, _short("name")], ...] = Field(min_length=1)
    datasets: dict[str, DatasetUse] = Field({}, description="How datasets are used, where not by default.")
    tasks: tuple[Annotated[TaskUse, _short("task")], ...] = ()
    protocols: tuple[Annotated[ProtocolUse, _short("protocol")], ...] = ()
    seeds: Seeds | None = Field(None, description="Seeds of stochastic protocols; default: 0 to 4.")
    statistics: Statistics = Statistics()
    audit: Literal["report", "strict"] = Field("report", description="strict: a leak stops the run.")
    cost: CostConfig = CostConfig()
    cluster: ClusterConfig | None = Field(None, description="What --engine dask asks a batch scheduler for.")


@dataclass(frozen=True)
class SuiteFile:
    """A suite and the file it was read from."""

    name: str
    path: Path
    suite: Suite
    source: YamlFile

    def error(self, what: str, location: Location, fix: str = "", details: Iterable[str] = ()) -> SuiteError:
        """A `SuiteError` that points at `location` in the file."""
        return SuiteError(what, where=self.source.where(location), fix=fix, details=details)


def load_suite(path: str | Path) -> SuiteFile:
    """Read a suite file, or a shipped suite by its bare name."""
    source = read_yaml(find_suite(path))
    return build_suite(source)


def parse_suite(text: str, name: str = "suite") -> SuiteFile:
    """A suite from text; for tests and for tools."""
    return build_suite(parse_yaml(text, Path(f"{name}.yaml")))


def build_suite(source: YamlFile) -> SuiteFile:
    """Check the content of a YAML file against the schema; all faults are reported together."""
    if not isinstance(source.value, dict):
        raise SuiteError(
            "A suite is a mapping with the keys title, encoders, tasks, ...", where=str(source.path)
        )
    try:
        suite = Suite.model_validate(source.value)
    except ValidationError as error:
        faults = [_fault(source, e) for e in error.errors()]
        first_where, first_text = faults[0]
        rest = [f"{text} ({where})" for where, text in faults[1:]]
        raise SuiteError(
            first_text, where=first_where, details=rest, fix="see docs/reference/suite.md, or bench schema"
        ) from error
    suite_file = SuiteFile(source.path.stem, source.path, suite, source)
    _check(suite_file)
    return suite_file


def with_encoders(file: SuiteFile, names: Sequence[str]) -> SuiteFile:
    """The suite with other encoders, compared all with all; its title says so wherever a result is shown."""
    import yaml

    content = dict(file.source.value)
    content["title"] = f"{content['title']} (with other encoders: {', '.join(names)})"
    content["encoders"] = list(names)
    content["protocols"] = [
        {k: v for k, v in p.items() if k != "encoders"} if isinstance(p, dict) else p
        for p in content.get("protocols", [])
    ]
    statistics = dict(content.get("statistics", {}))
    statistics.pop("comparisons", None)
    content["statistics"] = statistics
    if "cost" in content:
        content["cost"] = {k: v for k, v in content["cost"].items() if k != "subject"}
    return build_suite(parse_yaml(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), file.path))


def _fault(source: YamlFile, error: Mapping[str, Any]) -> tuple[str, str]:
    location: Location = tuple(
        p for p in error["loc"] if not (isinstance(p, str) and (p.startswith("literal[") or p in _MODELS))
    )
    name = ".".join(str(p) for p in location)
    where = source.where(location)
    if error["type"] == "extra_forbidden":
        known = _keys_at(location[:-1])
        hint = did_you_mean(str(location[-1]), known)
        return where, f"Unknown key {location[-1]!r}; {hint or 'known keys: ' + ', '.join(known)}"
    if error["type"] == "missing":
        return where, f"The key {name!r} is missing."
    if error["type"] == "tuple_type":
        return where, f"{name} must be a list: write {name}: [{error['input']}]"
    message = str(error["msg"]).removeprefix("Value error, ")
    return where, f"{name}: {message}"


_MODELS = {"Reference", "str", "dict[str,any]", "tuple[int, ...]"}


def _keys_at(location: Location) -> list[str]:
    """Known keys of the mapping at `location`."""
    nested: dict[str, type[BaseModel]] = {
        "encoders": EncoderUse,
        "datasets": DatasetUse,
        "tasks": TaskUse,
        "protocols": ProtocolUse,
        "statistics": Statistics,
        "cost": CostConfig,
        "cluster": ClusterConfig,
    }
    if not location:
        model: type[BaseModel] = Suite
    elif location[-1] == "simulated":
        model = Simulation
    elif location[-1] == "comparisons":
        model = Reference
    else:
        model = nested.get(str(location[0]), Suite)
    return list(model.model_fields)


def _check(file: SuiteFile) -> None:
    """Rules that hold between keys."""
    suite = file.suite
    if suite.tasks and not suite.protocols:
        raise file.error(
            "The suite has tasks but no protocols.", ("tasks",), "add for instance: protocols: [linear_probe]"
        )
    if not suite.tasks and suite.cost.measure == "off":
        raise file.error(
            "The suite has no tasks and measures no cost: there is nothing to do.",
            (),
            "add tasks and protocols, or cost: {measure: quick}",
        )
    known = [e.label for e in suite.encoders]
    for key, names, fix in (
        (
            "encoders",
            known,
            "remove one, or let them differ in precision, crop or the file name of their weights",
        ),
        ("tasks", [t.task for t in suite.tasks], "remove one"),
        ("protocols", [p.label for p in suite.protocols], "remove one, or give each a `name`"),
    ):
        for i, name in enumerate(names):
            if name in names[:i]:
                raise file.error(f"{name!r} is listed twice.", (key, i), fix)
    comparisons = suite.statistics.comparisons
    if isinstance(comparisons, Reference) and comparisons.reference not in known:
        raise file.error(
            f"The reference {comparisons.reference!r} is not among the encoders.",
            ("statistics", "comparisons", "reference"),
            did_you_mean(comparisons.reference, known) or f"use one of: {', '.join(known)}",
        )
    for i, use in enumerate(suite.protocols):
        for key, listed, all_names in (
            ("tasks", use.tasks, [t.task for t in suite.tasks]),
            ("encoders", use.encoders, known),
        ):
            for name in listed or ():
                if name not in all_names:
                    raise file.error(
                        f"{name!r} is not among the suite's {key}.",
                        ("protocols", i, key),
                        did_you_mean(name, all_names) or f"use one of: {', '.join(all_names)}",
                    )


def suite_folders() -> tuple[Path, ...]:
    """Where shipped suites are looked for: ./suites, then inside the package, then beside it."""
    package = Path(str(files("benchbench")))
    return (Path("suites"), package / "_suites", package.parent / "suites")


def find_suite(path: str | Path) -> Path:
    """A suite's file: the path itself, or a shipped suite by file or bare name."""
    given = Path(path)
    if given.is_file():
        return given
    for folder in suite_folders():
        for candidate in (folder / given.name, folder / f"{given.name}.yaml"):
            if candidate.is_file():
                return candidate
    names = [p.stem for p in shipped_suites()]
    raise SuiteError(
        f"There is no suite {str(path)!r}; {did_you_mean(given.stem, names) or 'no shipped suite has that name'}",
        fix="list the shipped suites with: bench list suites",
    )


def shipped_suites() -> tuple[Path, ...]:
    """The suites that come with benchbench, by file name."""
    for folder in suite_folders():
        found = sorted(folder.glob("*.yaml"))
        if found:
            return tuple(found)
    return ()


def json_schema() -> str:
    """JSON schema of a suite file, for editors; plain strings stand for mappings where the suite allows it."""
    schema = Suite.model_json_schema()
    for key in ("encoders", "tasks", "protocols"):
        items = schema["properties"][key]["items"]
        schema["properties"][key]["items"] = {"anyOf": [{"type": "string"}, items]}
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
