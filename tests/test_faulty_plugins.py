"""What a plugin does wrong is named, costs its own cells only, and never becomes a number or the end of a run."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import types
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from clinic import write_clinic
from PIL import Image
from pydantic import BaseModel, ConfigDict

from benchbench.api import (
    HALF,
    Access,
    CellOutput,
    DatasetInfo,
    EncoderInfo,
    Predictions,
    Preprocess,
    ProtocolInfo,
    Task,
)
from benchbench.errors import BenchError, DataError
from benchbench.origin import Origin
from benchbench.plan import make_plan, resolve_protocols
from benchbench.plugins import Registry, build_registry, discover
from benchbench.run import Options, Outcome, execute
from benchbench.store import Store
from benchbench.suite import parse_suite
from benchbench.survey import Roots, survey
from benchbench.testing.conformance import _run
from benchbench.testing.protocols import check_protocol

ORIGIN = Origin("somebodys", "1.0", "point", "module")


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(torch.nn.Module):
    """Colours of 4 x 4 squares, and what may go wrong behind them."""

    def __init__(self, spoil: Callable[[Any], Any] = lambda z: z, norm: bool = False) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(48) if norm else torch.nn.Identity()
        self.spoil = spoil

    def forward(self, x: torch.Tensor) -> Any:
        return self.spoil(self.norm(torch.nn.functional.adaptive_avg_pool2d(x, 4).flatten(1)))


def encoder(name: str, load: Callable[[Any, str], Any], **more: Any) -> EncoderInfo:
    recipe = Preprocess("eval", 32, resize="squash", mean=HALF, std=HALF)
    return EncoderInfo(
        name, name, "squares", 48, recipe, "none", load, None, "MIT", "", origin=ORIGIN, **more
    )


SOUND = encoder("sound", lambda path, device: Network().eval())


def protocol(name: str, run: Callable[[Any], Any], **more: Any) -> ProtocolInfo:
    return ProtocolInfo(name, name, name, Settings, run, "embeddings", False, origin=ORIGIN, **more)


def squares(context: Any, target: str) -> Predictions:
    """A sound prediction."""
    part = context.open_test(target)
    return Predictions(part.image_ids, 1 / (1 + np.exp(-context.features(part)[:, :1].astype(float))))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """D/clinic with 40 images."""
    rows = (f"{k % 2},{'train' if k < 26 else 'test'}" for k in range(40))
    return write_clinic(tmp_path / "data", "label,split", rows)


def run(
    data: Path,
    *cards: Any,
    protocols: str = "{protocol: linear_probe, preset: retfound_green_paper}",
    tasks: str = "clinic/label",
) -> tuple[Outcome, dict[str, str]]:
    """Execute a suite of the given cards; reasons of failed cells by their names."""
    installed = build_registry(*discover())
    kinds = {EncoderInfo: {}, DatasetInfo: {}, ProtocolInfo: {}}
    for card in cards:
        kinds[type(card)][card.name] = card
    registry = Registry(
        {**installed.encoders, "sound": SOUND, **kinds[EncoderInfo]},
        {**installed.datasets, **kinds[DatasetInfo]},
        {**installed.protocols, **kinds[ProtocolInfo]},
    )
    encoders = ", ".join(dict.fromkeys([*kinds[EncoderInfo], "sound"]))
    text = f"title: t\nencoders: [{encoders}]\ntasks: [{tasks}]\nprotocols: [{protocols}]\n"
    file = parse_suite(text)
    chosen = resolve_protocols(file, registry.protocol, False)
    store = Store()
    plan = make_plan(file, survey(file, registry, Roots(data, None, store)), chosen, lambda key: False)
    outcome = execute(plan, registry, store, Options(data.parent / "out"))
    return outcome, {f.cell: f.reason for f in outcome.failures}


def parse_arguments(*_: Any) -> Any:
    ArgumentParser(prog="mine").parse_args(["--unknown"])


@pytest.mark.parametrize(
    "cards",
    [
        (encoder("leaving", parse_arguments),),
        (protocol("leaving", parse_arguments),),
    ],
    ids=["encoder", "protocol"],
)
def test_exit_in_a_plugin_costs_its_own_cells_only(data: Path, cards: tuple[Any, ...]) -> None:
    protocols = "{protocol: linear_probe, preset: retfound_green_paper}"
    if isinstance(cards[0], ProtocolInfo):
        protocols += ", leaving"
    outcome, failed = run(data, *cards, protocols=protocols)
    assert outcome.computed == 1
    ((cell, reason),) = failed.items()
    assert "leaving" in cell
    assert "called exit(2)" in reason
    assert "parse_args()" in reason


def test_exit_in_a_protocols_cells_is_named(data: Path) -> None:
    from benchbench.errors import PluginError

    with pytest.raises(PluginError, match=r"The protocol 'leaving' .* cannot say its cells: SystemExit"):
        run(data, protocol("leaving", parse_arguments, cells=parse_arguments), protocols="leaving")


def test_exit_in_the_kit_is_a_finding() -> None:
    assert "called exit(2)" in " ".join(
        f.detail for f in check_protocol(protocol("leaving", parse_arguments), _run)
    )


# ------------------------------------------------------------------------------------------ encoders


def dropping(z: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.dropout(z, 0.5, training=True)


FAULTY = {
    "training mode": (lambda path, device: Network(norm=True), "call .eval()"),
    "batch mean": (
        lambda path, device: Network(lambda z: z - z.mean(0, keepdim=True)).eval(),
        "beside other images",
    ),
    "batch norm": (lambda path, device: Network(lambda z: z / z.norm()).eval(), "beside other images"),
    "dropout": (lambda path, device: Network(dropping).eval(), "each time"),
    "constant": (lambda path, device: Network(lambda z: z * 0 + 1).eval(), "all images the same embedding"),
    "tuple": (lambda path, device: Network(lambda z: (z, None)).eval(), "forward returned a tuple"),
    "dict": (lambda path, device: Network(lambda z: {"z": z}).eval(), "forward returned a dict"),
    "numpy": (lambda path, device: Network(lambda z: z.numpy()).eval(), "forward returned a numpy array"),
    "nothing": (lambda path, device: None, "returned NoneType, which is no torch module"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_a_faulty_encoder_gives_no_number_and_the_sound_one_beside_it_does(data: Path, fault: str) -> None:
    load, said = FAULTY[fault]
    outcome, failed = run(data, encoder("faulty", load))
    ((cell, reason),) = failed.items()
    assert cell.startswith("faulty")
    assert said in reason
    assert outcome.computed == 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sound_network_is_looked_at_once_and_passes(precision: str) -> None:
    from benchbench.inference import EmbedRequest, Runner

    calls = []

    class Counting(Network):
        def forward(self, x: torch.Tensor) -> Any:
            calls.append(len(x))
            return super().forward(x)

    card = encoder("a", lambda path, device: Counting(norm=True).eval())
    runner = Runner(EmbedRequest(card, None, "", precision=precision))
    pixels = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), dtype=np.uint8)
    for batch in (pixels, pixels, pixels[:1]):
        runner.examine(batch, runner(batch))
    assert calls == [5, 5, 5, 1]  # one batch more, of the same length


def leaving_a_mess(path: Any, device: str) -> Any:
    network = Network().eval()
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    torch.manual_seed(123)
    np.random.seed(123)
    return network


def test_what_load_changes_in_the_process_is_put_back() -> None:
    from benchbench.encoder_faults import load_module

    torch.manual_seed(0)
    np.random.seed(0)
    before = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads())
    random = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    load_module(encoder("messy", leaving_a_mess), None, "cpu")
    assert (torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()) == before
    assert torch.equal(torch.random.get_rng_state(), random[0])
    assert np.array_equal(np.random.get_state()[1], random[1])


def test_the_kit_says_what_load_changes_in_the_process() -> None:
    from benchbench.testing.encoders import check_encoder

    messy = " ".join(f.detail for f in check_encoder(encoder("messy", leaving_a_mess), None, _run))
    assert "the default dtype (torch.float32 became torch.float64)" in messy
    assert "whether gradients are computed" in messy
    assert torch.get_default_dtype() == torch.float32
    sound = {f.check: f for f in check_encoder(SOUND, None, _run)}
    assert sound["encoder sound: loading changes nothing outside the module"].passed


# ------------------------------------------------------------------------------------------ protocols


def altered(change: Callable[[Predictions], Any]) -> Callable[[Any], Any]:
    return lambda context: CellOutput({t: change(squares(context, t)) for t in context.targets})


def reading_labels(context: Any) -> CellOutput:
    part = context.data.part(context.task_name, "test")
    return CellOutput({context.task_name: Predictions(part.image_ids, part.labels[:, None])})


def of_training_images(context: Any) -> CellOutput:
    part = context.train
    return CellOutput({t: Predictions(part.image_ids, np.full((len(part), 1), 0.5)) for t in context.targets})


BAD_PROTOCOLS = {
    "test labels": (reading_labels, "NoneType"),
    "no object": (lambda context: None, "returned NoneType"),
    "too high": (
        altered(lambda p: dataclasses.replace(p, scores=p.scores * 3)),
        "probabilities, from 0 to 1",
    ),
    "negative": (
        altered(lambda p: dataclasses.replace(p, scores=p.scores - 0.6)),
        "probabilities, from 0 to 1",
    ),
    "flat": (altered(lambda p: dataclasses.replace(p, scores=p.scores[:, 0])), "scores of shape"),
    "wide": (
        altered(lambda p: dataclasses.replace(p, scores=np.hstack([1 - p.scores, p.scores]))),
        "scores of shape",
    ),
    "missing ids": (altered(lambda p: Predictions(p.image_ids[2:], p.scores[2:])), "exactly once"),
    "double ids": (
        altered(lambda p: dataclasses.replace(p, image_ids=(p.image_ids[1], *p.image_ids[1:]))),
        "exactly once",
    ),
    "extra ids": (
        altered(lambda p: Predictions((*p.image_ids, "x"), np.vstack([p.scores, p.scores[:1]]))),
        "exactly once",
    ),
    "training ids": (of_training_images, "exactly once"),
    "object in details": (
        lambda c: CellOutput({t: squares(c, t) for t in c.targets}, {"model": object()}),
        "details hold object under 'model'",
    ),
    "refuses all": (
        lambda c: CellOutput({}, refused=dict.fromkeys(c.targets, "I do not like it")),
        "I do not like it",
    ),
}


@pytest.mark.parametrize("fault", BAD_PROTOCOLS)
def test_a_protocol_that_breaks_its_promise_costs_its_cell_and_is_found_by_the_kit(
    data: Path, fault: str
) -> None:
    bad, said = BAD_PROTOCOLS[fault]
    _, failed = run(data, protocol("bad", bad), protocols="bad")
    ((_, reason),) = failed.items()
    assert said in reason
    found = " ".join(f.detail for f in check_protocol(protocol("bad", bad), _run) if not f.passed)
    assert said in found
    if fault == "test labels":
        assert "Those of test images are None for a protocol" in found


def test_scalars_of_numpy_and_torch_in_the_details_are_numbers(data: Path) -> None:
    def told(context: Any) -> CellOutput:
        details = {"C": np.float32(0.5), "steps": np.int64(3), "rate": torch.tensor(0.25), "solver": "x"}
        return CellOutput({t: squares(context, t) for t in context.targets}, details)

    outcome, failed = run(data, protocol("telling", told), protocols="telling")
    assert failed == {}
    assert outcome.computed == 1
    assert all(
        f.passed for f in check_protocol(protocol("telling", told), _run) if "probabilities" in f.check
    )


def test_targets_that_are_judged_whole_show_a_protocol_no_label(tmp_path: Path) -> None:
    from benchbench.api import CellSpec
    from benchbench.context import Part
    from benchbench.work import StoreAccess

    part = Part("there", "train", ("a",), ("a",), np.zeros(1), np.zeros(1, int))

    class Known(StoreAccess):
        def labelled(self, task: str, split: str) -> Part:
            return part

    access = Known(None, Store(tmp_path), "cpu", frozenset({"there"}))  # type: ignore[arg-type]
    assert CellSpec("here/x", ("there/x",)).targets == ("there/x",)
    assert access.part("here/x", "train").labels is not None
    for name, split in (("there/x", "train"), ("here/x", "test"), ("here/x", "all")):
        assert access.part(name, split).labels is None


# ------------------------------------------------------------------------------------------- datasets


def table(root: Path, options: Any) -> pd.DataFrame:
    rows = range(40)
    return pd.DataFrame(
        {
            "image_id": [f"i{k}" for k in rows],
            "path": [str(root.parent / "clinic" / f"{k}.png") for k in rows],
            "patient_id": [f"p{k}" for k in rows],
            "eye": "",
            "split": ["train" if k < 26 else "test" for k in rows],
            "disease": [float(k % 2) for k in rows],
        }
    )


def dataset(load: Callable[[Path, Any], Any], **more: Any) -> DatasetInfo:
    task = Task("disease", "Disease", "binary", ("no", "yes"), column="disease")
    access = Access("r", "MIT", True, ("s",), "layout")
    return DatasetInfo("odd", "Odd", "cfp", (task,), access, "", load, origin=ORIGIN, **more)


ODD = {
    "numbers as ids": (lambda r, o: table(r, o).assign(image_id=range(40)), {}, "ids must be text"),
    "a list": (
        lambda r, o: table(r, o).to_dict("records"),
        {},
        "`load` returned list, not a pandas DataFrame",
    ),
    "words as labels": (
        lambda r, o: table(r, o).assign(disease=["no", "yes"] * 20),
        {},
        "disease is no column of numbers",
    ),
    "no cluster": (table, {"cluster": "patient"}, "lacks the column(s) patient"),
    "no patient": (
        lambda r, o: table(r, o).assign(patient_id=[None, *["p"] * 39]),
        {"cluster": "patient_id"},
        "patient_id holds None or NaN",
    ),
    "exit": (parse_arguments, {}, "called exit(2)"),
}


@pytest.mark.parametrize("fault", ODD)
def test_a_table_that_breaks_the_contract_is_the_datasets_problem(data: Path, fault: str) -> None:
    load, more, said = ODD[fault]
    (data / "odd").mkdir()
    _, failed = run(data, dataset(load, **more), tasks="clinic/label, odd/disease")
    assert failed == {}  # its cells are missing, those of the other dataset are done
    from benchbench.datasets import load_dataset

    with pytest.raises(DataError) as caught:
        load_dataset(dataset(load, **more), data)
    assert said in str(caught.value)
    assert "odd" in caught.value.what


@pytest.mark.parametrize("fault", ["numbers as ids", "a list"])
def test_the_kit_finds_a_table_that_breaks_the_contract(fault: str, tmp_path: Path) -> None:
    from benchbench.testing.datasets import check_dataset

    def simulate(root: Path, n: int | None, seed: int) -> None:
        (root.parent / "clinic").mkdir()
        for k in range(40):
            Image.new("RGB", (8, 8)).save(root.parent / "clinic" / f"{k}.png")

    found = " ".join(f.detail for f in check_dataset(dataset(ODD[fault][0], simulate=simulate), _run))
    assert {"numbers as ids": "image_id is not text", "a list": "returned list"}[fault] in found


def test_simulated_images_are_marked_also_where_the_simulator_forgets_it(tmp_path: Path) -> None:
    from benchbench.suite import Simulation
    from benchbench.survey import make_simulated

    make_simulated(
        dataset(table, simulate=lambda root, n, seed: None), tmp_path / "made", Simulation(images=20, seed=0)
    )
    assert (tmp_path / "made" / "odd" / "SIMULATED.txt").is_file()


# ----------------------------------------------------------------------------------- edits, names, outside


MINE = """
from benchbench import EncoderInfo, Preprocess, hookimpl
def load(path, device):
    import torch
    class Net(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.adaptive_avg_pool2d(x, 2).flatten(1) + OFFSET
    return Net().eval()
@hookimpl
def benchbench_encoders():
    return [EncoderInfo("mine", "Mine", "a", 12, Preprocess("p", 32), "mean", load, None, "MIT", "")]
"""


def test_a_fresh_run_embeds_again_with_the_code_as_it_is_now(data: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "mine-1.0.dist-info").mkdir(parents=True)
    (site / "mine-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (site / "mine-1.0.dist-info/entry_points.txt").write_text("[benchbench]\nmine = mine\n")
    (tmp_path / "s.yaml").write_text(
        "title: t\nencoders: [mine]\ntasks: [clinic/label]\n"
        "protocols: [{protocol: linear_probe, preset: retfound_green_paper}]\n"
    )
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    found = []
    for offset in ("0", "100"):
        (site / "mine.py").write_text(MINE.replace("OFFSET", offset))
        words = ["-B", "-m", "benchbench", "run", "s.yaml", "--data-root", str(data), "--fresh"]
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path, "BENCHBENCH_STORE": str(tmp_path / "fresh")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        (shard,) = (tmp_path / "fresh" / "embeddings").rglob("shard-00000.npy")
        found.append(np.load(shard))
    np.testing.assert_allclose(found[1], found[0] + 100, atol=1e-4)


def test_fresh_takes_nothing_from_a_run_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.claims import claim
    from benchbench.cli.run import _forget
    from benchbench.run import suite_key
    from benchbench.store import Store

    store = Store(tmp_path)
    cells = [types.SimpleNamespace(id=letter * 32) for letter in "ab"]
    plan: Any = types.SimpleNamespace(cells=cells, suite=types.SimpleNamespace(name="s"))
    monkeypatch.setattr("benchbench.passes.needed_embeddings", lambda cells: {})
    folders = [store.folder("scratch", c.id) for c in cells]
    for folder in folders:
        folder.mkdir(parents=True)
    with claim(store, suite_key(plan)), pytest.raises(BenchError, match="is being run by process"):
        _forget(plan, store)
    with claim(store, cells[0].id):
        _forget(plan, store)
    assert [folder.exists() for folder in folders] == [True, False]


def test_the_kit_names_both_plugins_that_claim_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.errors import PluginError
    from benchbench.testing import conformance

    both = Registry({}, {}, {}, clashes={("encoder", "double"): ("one/double", "two/double")})
    monkeypatch.setattr(conformance, "registry", lambda: both)
    with pytest.raises(PluginError, match="Several plugins bring an encoder") as caught:
        conformance.check("double")
    assert "one/double, two/double" in str(caught.value)


def test_a_new_plugin_of_a_name_that_is_taken_is_told_so(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from benchbench.cli.new import new

    taken = CliRunner().invoke(new, ["encoder", "resnet50", "--out", str(tmp_path)])
    assert taken.exit_code == 0
    assert "has encoder 'resnet50' already" in taken.output
    assert "already" not in CliRunner().invoke(new, ["encoder", "resnet50b", "--out", str(tmp_path)]).output


def outside(spoil: Callable[[Any], Any] = lambda z: z) -> Any:
    from benchbench.encoder import Encoder
    from benchbench.weights import UNTRAINED

    return Encoder(SOUND, UNTRAINED, Network(spoil).eval(), "cpu")


@pytest.mark.parametrize(
    ("spoil", "batch_size", "said"),
    [
        (lambda z: z, 0, "batch_size=0 makes no sense"),
        (lambda z: z, -3, "batch_size=-3 makes no sense"),
        (lambda z: z[:, :7], 16, r"shape (7,); its card declares (48,)"),
        (lambda z: z / 0, 16, "not finite for 2 of 2 images"),
    ],
)
def test_embedding_outside_suites_refuses_what_gives_no_embeddings(
    spoil: Any, batch_size: int, said: str
) -> None:
    pictures = [np.full((40, 40, 3), 7, np.uint8), np.full((40, 40, 3), 90, np.uint8)]
    assert outside().embed(pictures).shape == (2, 48)
    with pytest.raises(BenchError) as caught:
        outside(spoil).embed(pictures, batch_size)
    assert said in str(caught.value)


def test_a_way_to_decode_that_does_not_exist_is_refused() -> None:
    import benchbench

    with pytest.raises(BenchError, match="use one of: reference, exact, fast"):
        benchbench.load_encoder("efficientnet_lite0", decode="bogus")  # type: ignore[arg-type]


def test_a_module_of_unknown_depth_gets_a_hint_and_a_wrapped_timm_network_none() -> None:
    import timm

    from benchbench.testing.encoders import check_encoder

    class Plain(Network):
        def __init__(self) -> None:
            super().__init__(norm=True)

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = timm.create_model("test_vit", img_size=32, num_classes=0, global_pool="avg")
            self.scale = torch.nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) * self.scale

    def groups(build: Callable[[], torch.nn.Module]) -> Any:
        card = encoder("one", lambda path, device: build().eval())
        return next(f for f in check_encoder(card, None, _run) if "layer groups" in f.check)

    plain, wrapped = groups(Plain), groups(Wrapped)
    assert plain.passed
    assert "fine-tune with layer_decay: null" in plain.detail
    assert (wrapped.passed, wrapped.detail) == (True, "")


def test_values_that_are_not_finite_are_not_taken_for_dropout() -> None:
    from benchbench.testing.encoders import check_encoder

    card = encoder("nan", lambda path, device: Network(lambda z: z * float("nan")).eval())
    details = " ".join(f.detail for f in check_encoder(card, None, _run))
    assert "not finite" in details
    assert "is dropout" not in details


def test_a_report_section_that_is_one_text_is_one_line() -> None:
    from benchbench.api import ReportSection
    from benchbench.report import _rendered

    (section,) = _rendered([ReportSection("Mine", lambda a: "just a text")], None)  # type: ignore[arg-type,return-value]
    assert section.lines == ("just a text",)
