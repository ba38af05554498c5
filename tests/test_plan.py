"""The plan: what identifies a cell, what a choice of cells needs, and what is refused before any compute."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from clinic import write_clinic

from benchbench.api import HALF, EncoderInfo, Preprocess
from benchbench.embedding import embedding_identity
from benchbench.engines.shared import share
from benchbench.errors import BenchError, SuiteError
from benchbench.origin import OWN_DISTRIBUTION, Origin, editable_source
from benchbench.plan import Plan, make_plan, resolve_protocols
from benchbench.plugins import Registry, build_registry, discover
from benchbench.run import Options, execute
from benchbench.store import Store, content_key
from benchbench.suite import parse_suite
from benchbench.survey import Roots, survey
from benchbench.work import embed_request, image_set

PLUGIN = """
from benchbench import EncoderInfo, Preprocess, hookimpl
def load(path, device):
    raise KeyError("nokey")
@hookimpl
def benchbench_encoders():
    return [EncoderInfo("mine", "Mine", "a", 4, Preprocess("p", 32), "mean", load, None, "MIT", "")]
"""
SUITE = """\
title: Two encoders of one name
encoders: [{encoders}]
tasks: [{tasks}]
protocols: [{{protocol: linear_probe, preset: retfound_green_paper}}]
"""


def distribution(site: Path, name: str, version: str, module: str = PLUGIN, points: str = "") -> None:
    """An installed package as pip leaves it, with one module of its own."""
    folder = site / f"{name}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (folder / "entry_points.txt").write_text(f"[benchbench]\n{points or f'point = {name}'}\n")
    (site / f"{name}.py").write_text(module)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages that Python finds."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """D/clinic with 40 images; `label` has two classes in both parts, `lone` has one in the test part."""
    rows = (f"{k % 2},{k % 2 if k < 30 else 1},{'train' if k < 30 else 'test'}" for k in range(40))
    return write_clinic(tmp_path / "data", "label,lone,split", rows)


def plan_of(
    encoders: str, data: Path | None, tasks: str = "clinic/label", registry: Registry | None = None, **more
) -> Plan:
    file = parse_suite(SUITE.format(encoders=encoders, tasks=tasks))
    registry = registry or build_registry(*discover())
    only, demo = more.pop("only", None), more.pop("demo", False)
    protocols = resolve_protocols(file, registry.protocol, demo)
    seen = survey(file, registry, Roots(data, None, Store()), demo=demo, **more)
    return make_plan(file, seen, protocols, lambda key: False, demo=demo, only=only)


def keys(plan: Plan) -> list[str]:
    """Cell ids, and the keys of the embeddings that the cells work on."""
    images = image_set(plan.survey, "clinic")
    requests = [embed_request(e) for e in plan.survey.encoders]
    return [c.id for c in plan.cells] + [content_key(embedding_identity(r, images)) for r in requests]


def test_clashing_encoders_share_neither_cells_nor_embeddings(site: Path, data: Path) -> None:
    distribution(site, "one", "2.0")
    distribution(site, "two", "2.0")
    found = keys(plan_of("one/mine, two/mine", data))
    assert len(found) == 4
    assert len(set(found)) == 4


def test_two_entry_points_of_one_distribution_may_clash_and_both_are_kept(site: Path, data: Path) -> None:
    distribution(site, "twice", "1.0", points="a = twice\nb = twice_b")
    (site / "twice_b.py").write_text(PLUGIN)
    registry = build_registry(*discover())
    assert registry.clashes["encoder", "mine"] == ("twice/a/mine", "twice/b/mine")
    found = keys(plan_of("twice/a/mine, twice/b/mine", data, registry=registry))
    assert len(set(found)) == 4
    with pytest.raises(BenchError, match="an encoder called 'mine'"):
        registry.encoder("mine")


def registry_with(version: str, distribution: str) -> Registry:
    """The installed plugins and an encoder ``mine`` of a given origin."""
    installed = build_registry(*discover())
    card = EncoderInfo(
        "mine",
        "Mine",
        "a",
        4,
        Preprocess("p", 32, mean=HALF, std=HALF),
        "mean",
        lambda path, device: None,
        None,
        "MIT",
        "",
        origin=Origin(distribution, version, "point", "module"),
    )
    return Registry({**installed.encoders, "mine": card}, installed.datasets, installed.protocols)


def test_an_upgrade_of_a_third_partys_plugin_is_another_cell_and_one_of_benchbench_is_not(data: Path) -> None:
    def of(distribution: str, version: str) -> list[str]:
        return keys(plan_of("mine", data, registry=registry_with(version, distribution)))

    assert set(of("third-party", "1.0")).isdisjoint(of("third-party", "1.1"))
    assert of(OWN_DISTRIBUTION, "0.1.0") == of(OWN_DISTRIBUTION, "0.2.0")


@pytest.mark.parametrize("editable", [True, False])
def test_edited_code_of_an_editable_plugin_is_another_cell_also_for_workers(
    site: Path, data: Path, editable: bool
) -> None:
    distribution(site, "edited", "1.0")
    told = {"url": f"file://{site}", "dir_info": {"editable": editable}}
    (site / "edited-1.0.dist-info" / "direct_url.json").write_text(json.dumps(told))
    plan = plan_of("mine", data)
    first = keys(plan)
    assert keys(plan_of("mine", data)) == first
    (site / "edited.py").write_text(PLUGIN.replace("nokey", "another"))
    sys.modules.pop("edited")
    assert (set(keys(plan_of("mine", data))).isdisjoint(first)) == editable
    assert keys(share(plan, Store()).load()) == first


def test_the_code_of_a_package_is_all_its_modules_and_those_of_benchbench_are_its_versions(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / "whole").mkdir()
    (site / "whole" / "__init__.py").write_text(PLUGIN)
    (site / "whole" / "network.py").write_text("x = 1")
    distribution(site, "spread", "1.0", points="point = whole.plugin")
    (site / "spread-1.0.dist-info" / "direct_url.json").write_text('{"dir_info": {"editable": true}}')
    dist = Distribution.from_name("spread")
    before = editable_source(dist, {"whole.plugin"})
    assert before
    (site / "whole" / "network.py").write_text("x = 2")
    assert editable_source(dist, {"whole.plugin"}) != before
    (site / "whole" / ".#network.py").symlink_to("somebody@host.1234:1")  # an editor's mark of an open file
    assert editable_source(dist, {"whole.plugin"})
    monkeypatch.setattr("benchbench.origin.OWN_DISTRIBUTION", "spread")
    assert editable_source(dist, {"whole.plugin"}) == ""


def test_a_protocol_whose_settings_are_no_pydantic_model_is_named_when_it_is_loaded(site: Path) -> None:
    module = """
from benchbench import ProtocolInfo, hookimpl
class Plain:
    pass
@hookimpl
def benchbench_protocols():
    return [ProtocolInfo("plain", "Plain", "d", Plain, print, "embeddings", False)]
"""
    distribution(site, "plainly", "1.0", module)
    (cause,) = [f.cause for f in build_registry(*discover()).failed if f.origin.distribution == "plainly"]
    assert "`config` is not a pydantic model class" in cause


def test_a_choice_of_cells_needs_no_input_of_the_others(data: Path) -> None:
    encoders, tasks = "untrained/test_efficientnet, retfound_green", "clinic/label, idrid/grade"
    whole = plan_of(encoders, data, tasks)
    assert {(kind, name) for kind, name, _ in whole.missing} == {
        ("dataset", "idrid"),
        ("weights", "retfound_green"),
    }
    chosen = {"encoder": "untrained/test_efficientnet", "task": "clinic/label"}
    part = plan_of(encoders, data, tasks, only=chosen)
    assert part.missing == ()
    assert [e.label for e in part.survey.encoders] == [
        "untrained/test_efficientnet"
    ]  # whose cost is measured
    assert list(part.survey.datasets) == ["clinic"]
    assert [c.id for c in part.cells] == [whole.cells[0].id]


def test_a_task_that_the_test_split_cannot_judge_is_named_and_the_others_go_on(data: Path) -> None:
    plan = plan_of("untrained/test_efficientnet", data, "clinic/label, clinic/lone")
    assert [c.status for c in plan.cells] == ["run", "missing"]
    ((kind, name, problem),) = plan.missing
    assert (kind, name) == ("task", "clinic/lone")
    assert "the test split has no image of class '0'" in problem
    assert str(data / "clinic" / "labels.csv") in problem
    assert plan.blocked
    (data / "clinic" / "SIMULATED.txt").touch()
    drawn = plan_of("untrained/test_efficientnet", data, "clinic/label, clinic/lone")
    assert drawn.missing
    assert not drawn.blocked  # nobody can get a better copy of a simulation


def test_planning_draws_no_images_and_says_what_a_run_will_draw() -> None:
    plan = plan_of("untrained/test_efficientnet", None, "idrid/grade", demo=True, simulate=False)
    (cell,) = plan.cells
    assert cell.status == "run"
    assert "about 60 images of IDRiD, disease grading will be simulated first" in cell.reason
    assert not (Store().root / "simulated").exists()


def test_an_unknown_setting_of_a_protocol_points_at_its_line_and_the_nearest_key() -> None:
    text = SUITE.format(encoders="a", tasks="idrid/grade").replace(
        "preset: retfound_green_paper", "config:\n  {fold: 3}"
    )
    with pytest.raises(SuiteError, match="no setting 'fold'; did you mean 'folds'") as error:
        resolve_protocols(parse_suite(text), build_registry(*discover()).protocol, False)
    assert error.value.where == "suite.yaml:5"


def test_a_protocol_that_a_broken_plugin_may_bring_is_hinted_at(site: Path) -> None:
    distribution(site, "ghost", "3.1", module="import a_module_that_nobody_has")
    file = parse_suite(SUITE.format(encoders="a", tasks="idrid/grade").replace("linear_probe", "ghost_probe"))
    with pytest.raises(SuiteError) as error:
        resolve_protocols(file, build_registry(*discover()).protocol, False)
    assert any("ghost 3.1" in line and "a_module_that_nobody_has" in line for line in error.value.details)


@pytest.mark.parametrize(
    ("file", "content"),
    [("METADATA", b"\xff\xfe\x00broken"), ("METADATA", b"Version: 1\n"), ("entry_points.txt", b"\xff\xfe[")],
)
def test_broken_metadata_of_one_distribution_is_listed_with_its_folder(
    site: Path, file: str, content: bytes
) -> None:
    distribution(site, "sound", "1.0")
    distribution(site, "unsound", "1.0")
    (site / "unsound-1.0.dist-info" / file).write_bytes(content)
    registry = build_registry(*discover())
    (failed,) = registry.failed
    assert failed.origin.distribution == "unsound"
    assert str(site / "unsound-1.0.dist-info") in str(failed.origin)
    assert "mine" in registry.encoders


def test_broken_metadata_of_a_package_that_is_no_plugin_is_nobodys_business(site: Path) -> None:
    distribution(site, "elsewhere", "1.0")
    (site / "elsewhere-1.0.dist-info" / "METADATA").write_bytes(b"\xff\xfe")
    (site / "elsewhere-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\na = b:c\n")
    assert build_registry(*discover()).failed == ()


def causes(registry: Registry) -> dict[str, str]:
    return {f.origin.distribution: f.cause for f in registry.failed}


def test_a_plugin_may_raise_anything_while_it_is_imported(site: Path) -> None:
    distribution(site, "base", "1.0", module="raise BaseException('boo')")
    distribution(site, "leaves", "1.0", module="raise SystemExit(3)")
    assert causes(build_registry(*discover())) == {
        "base": "BaseException: boo",
        "leaves": "the module called exit(3) while being imported",
    }


def test_strict_mode_refuses_clashes_too_and_understands_true(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribution(site, "one", "2.0")
    distribution(site, "two", "2.0")
    monkeypatch.setenv("BENCHBENCH_STRICT_PLUGINS", "0")
    assert build_registry(*discover()).clashes
    monkeypatch.setenv("BENCHBENCH_STRICT_PLUGINS", "True")
    with pytest.raises(BenchError, match="one/mine, two/mine"):
        build_registry(*discover())


def test_clashing_families_are_reached_by_full_name_only(site: Path) -> None:
    family = """
from benchbench import EncoderFamily, EncoderInfo, Preprocess, hookimpl
def resolve(name):
    assert name.startswith("zoo/"), name
    return EncoderInfo(name, __name__, "a", 4, Preprocess("p", 32), "mean", print, None, "MIT", "")
@hookimpl
def benchbench_encoders():
    return [EncoderFamily("zoo/", "Zoo", resolve)]
"""
    distribution(site, "one", "2.0", module=family)
    distribution(site, "two", "2.0", module=family)
    registry = build_registry(*discover())
    with pytest.raises(BenchError, match="one/zoo/, two/zoo/"):
        registry.encoder("zoo/owl")
    owl = registry.encoder("two/zoo/owl")
    assert (owl.name, owl.title) == ("zoo/owl", "two")
    assert owl.origin is not None
    assert owl.origin.distribution == "two"


def test_an_encoder_that_raises_anything_fails_alone_and_is_named(
    site: Path, data: Path, tmp_path: Path
) -> None:
    distribution(site, "one", "2.0")
    registry = build_registry(*discover())
    plan = plan_of("mine, untrained/test_efficientnet", data, registry=registry)
    outcome = execute(plan, registry, Store(), Options(tmp_path / "out"))
    (failure,) = outcome.failures
    assert failure.cell.startswith("mine on clinic/label")
    assert "The encoder 'mine' (one 2.0, entry point point = one) failed: KeyError: 'nokey'" in failure.reason
    assert outcome.report.is_file()
    assert outcome.computed == 1


def test_cells_that_another_run_had_ready_are_not_counted_as_computed(data: Path, tmp_path: Path) -> None:
    registry = build_registry(*discover())
    plan = plan_of("untrained/test_efficientnet", data, registry=registry)
    first = execute(plan, registry, Store(), Options(tmp_path / "out"))
    second = execute(plan, registry, Store(), Options(tmp_path / "out"))  # planned before the first had run
    assert (first.computed, first.cached) == (1, 0)
    assert (second.computed, second.cached) == (0, 1)
