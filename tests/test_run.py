"""bench run, as a user calls it: whole, killed, resumed, and with something wrong."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchbench.cli.run import prepare
from benchbench.errors import BenchError
from benchbench.plan import Plan
from benchbench.plugins import Registry
from benchbench.run import Options, execute
from benchbench.store import Store
from benchbench.work import Busy, CellJob, Failure, Success

SUITE = """\
title: A small suite
question: Does it run?
encoders: [untrained/test_efficientnet, untrained/test_vit]
tasks: [idrid/referable, idrid/grade]
protocols: [{protocol: linear_probe, preset: retfound_green_paper}]
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated IDRiD in its genuine layout, below a data root."""
    root = tmp_path_factory.mktemp("data")
    done = bench(root, "data", "simulate", "idrid", "--root", str(root), "--images", "160")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def broken_data(data: Path, tmp_path: Path) -> Path:
    """A copy of the data that a test may damage."""
    shutil.copytree(data, tmp_path / "broken")
    return tmp_path / "broken"


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "BENCHBENCH_STORE": str(folder / "store"), "OMP_NUM_THREADS": "1"}


def bench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchbench", *arguments],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def write_suite(folder: Path, text: str = SUITE) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "small.yaml"
    path.write_text(text)
    return path


def run_once(folder: Path, data: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    write_suite(folder)
    return bench(folder, "run", "small.yaml", "--data-root", str(data), *extra)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "reports/small/latest/rows.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = run_once(folder, data)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_writes_its_files_and_a_report(undisturbed: Path) -> None:
    latest = undisturbed / "reports/small/latest"
    names = {p.name for p in latest.iterdir()}
    assert {
        "report.html",
        "rows.csv",
        "predictions.parquet",
        "run.json",
        "timings.csv",
        "suite.yaml",
        "log.txt",
        "splits",
    } <= names
    rows = rows_of(undisturbed)
    assert len(rows) == 4
    assert {r["status"] for r in rows} == {"done"}
    assert all({"SYNTHETIC", "UNTRAINED"} <= set(r["stamps"].split()) for r in rows)
    info = json.loads((latest / "run.json").read_text())
    assert info["status"] == "done"
    assert info["cells"] == {"computed": 4, "cached": 0, "failed": 0, "missing": 0}


def test_a_second_run_computes_nothing_and_has_the_same_rows(undisturbed: Path, data: Path) -> None:
    before = (undisturbed / "reports/small/latest/rows.csv").read_bytes()
    done = run_once(undisturbed, data)
    assert "0 cells computed, 4 from the store" in done.stdout
    assert (undisturbed / "reports/small/latest/rows.csv").read_bytes() == before


def kill_when(folder: Path, data: Path, reached: Callable[[Path], bool]) -> None:
    """Start the suite and kill it with SIGKILL as soon as `reached(store)`."""
    write_suite(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchbench", "run", "small.yaml", "--data-root", str(data)],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not reached(folder / "store"):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    ("stage", "pattern"),
    [("embedding", "scratch/*/*/part-*"), ("probing", "predictions/*/*/manifest.json")],
)
def test_a_run_killed_in_the_middle_carries_on_to_the_same_bytes(
    stage: str, pattern: str, undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    kill_when(tmp_path / "killed", data, lambda store: any(store.glob(pattern)))
    done = run_once(tmp_path / "killed", data)
    assert done.returncode == 0, done.stderr
    for name in ("rows.csv", "predictions.parquet"):
        again = (tmp_path / "killed/reports/small/latest" / name).read_bytes()
        assert again == (undisturbed / "reports/small/latest" / name).read_bytes(), (stage, name)
    checked = bench(tmp_path / "killed", "cache", "verify")
    assert checked.returncode == 0, checked.stdout


def test_a_typing_error_in_the_suite_points_at_its_line(tmp_path: Path) -> None:
    write_suite(tmp_path, SUITE.replace("protocols", "protocol"))
    done = bench(tmp_path, "plan", "small.yaml")
    assert done.returncode == 2
    assert "small.yaml:5" in done.stderr
    assert "did you mean 'protocols'" in done.stderr
    assert "Traceback" not in done.stderr


def test_missing_inputs_stop_the_run_and_name_the_demo(tmp_path: Path) -> None:
    write_suite(tmp_path, SUITE.replace("untrained/test_vit", "retfound_green"))
    done = bench(tmp_path, "run", "small.yaml")
    assert done.returncode == 3
    assert "bench data how-to idrid" in done.stderr
    assert "retfoundgreen_statedict.pth" in done.stderr
    assert "bench run small.yaml --demo" in done.stderr
    assert not (tmp_path / "reports").exists()


def damage_images(root: Path) -> tuple[str, ...]:
    folder = root / "idrid/B. Disease Grading/1. Original Images/a. Training Set"
    names = sorted(p.name for p in folder.iterdir())
    (folder / names[0]).write_bytes((folder / names[0]).read_bytes()[:700])
    (folder / names[3]).write_text("not an image")
    return names[0], names[3]


def training_labels(root: Path) -> Path:
    return next((root / "idrid").rglob("*Training Labels.csv"))


def remove_labels(root: Path) -> tuple[str, ...]:
    training_labels(root).unlink()
    return ("Training Labels.csv",)


def label_outside_the_scheme(root: Path) -> tuple[str, ...]:
    path = training_labels(root)
    lines = path.read_bytes().split(b"\r\n")
    fields = lines[4].split(b",")
    lines[4] = b",".join([fields[0], b"7", *fields[2:]])
    path.write_bytes(b"\r\n".join(lines))
    return (f"{path.name}, line 5 ({fields[0].decode()}): Retinopathy grade: '7' is not a whole number",)


def empty_test_split(root: Path) -> tuple[str, ...]:
    labels = next((root / "idrid").rglob("*Testing Labels.csv"))
    labels.write_bytes(labels.read_bytes().split(b"\r\n")[0] + b"\r\n")
    for image in (root / "idrid/B. Disease Grading/1. Original Images/b. Testing Set").iterdir():
        image.unlink()
    return ("the label file has a header and no row", str(labels))


def one_class_in_the_test_split(root: Path) -> tuple[str, ...]:
    labels = regrade_test(root, lambda grade: b"0")
    (root / "idrid" / "SIMULATED.txt").unlink()  # a simulation that is too small would only cost its tasks
    return (
        "task idrid/referable",
        "task idrid/grade",
        "idrid/referable: the test split has no image of class 'referable DR'",
        str(labels),
    )


def label_and_image(root: Path) -> tuple[str, ...]:
    return (*damage_images(root), *label_outside_the_scheme(root))


def regrade_test(root: Path, change: Callable[[bytes], bytes]) -> Path:
    """Change every grade of the test table; returns the table."""
    labels = next((root / "idrid").rglob("*Testing Labels.csv"))
    head, *lines = labels.read_bytes().split(b"\r\n")
    fields = [line.split(b",") for line in lines if line]
    changed = [b",".join([f[0], change(f[1]), *f[2:]]) for f in fields]
    labels.write_bytes(b"\r\n".join([head, *changed, b""]))
    return labels


@pytest.mark.parametrize(
    "damage",
    [
        damage_images,
        remove_labels,
        label_outside_the_scheme,
        empty_test_split,
        one_class_in_the_test_split,
        label_and_image,
    ],
    ids=lambda f: f.__name__,
)
def test_bad_input_is_named_before_any_compute(
    damage: Callable[[Path], tuple[str, ...]], broken_data: Path, tmp_path: Path
) -> None:
    said = damage(broken_data)
    done = run_once(tmp_path / "run", broken_data)
    assert done.returncode == 3, done.stderr
    assert all(word in done.stderr for word in said), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run/store/embeddings").exists()


def test_a_root_one_folder_too_high_is_explained(data: Path, tmp_path: Path) -> None:
    (tmp_path / "high").mkdir()
    (tmp_path / "high/data").symlink_to(data)
    done = run_once(tmp_path / "run", tmp_path / "high")
    assert done.returncode == 3
    assert f"the data root is too high: use --data-root {tmp_path / 'high' / 'data'}" in done.stderr


def test_a_demo_with_a_broken_file_does_not_advise_another_demo(broken_data: Path, tmp_path: Path) -> None:
    (name, _) = damage_images(broken_data)
    done = run_once(tmp_path / "run", broken_data, "--demo")
    assert done.returncode == 3
    assert name in done.stderr
    assert "bench run small.yaml --demo" not in done.stderr
    assert "leave out --data-root" in done.stderr


def test_a_class_absent_from_the_test_split_still_gives_a_report_that_says_so(
    broken_data: Path, tmp_path: Path
) -> None:
    regrade_test(broken_data, lambda grade: b"0" if grade == b"1" else grade)
    done = run_once(tmp_path / "run", broken_data)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "run/reports/small/latest/report.html").read_text()
    assert "idrid/grade: no test image of mild; these classes cannot be judged" in report
    assert len(rows_of(tmp_path / "run")) == 4


def test_a_failing_cell_is_reported_and_the_rest_goes_on(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_suite(folder)
    plugin = folder / "site"
    (plugin / "failing-1.0.dist-info").mkdir(parents=True)
    (plugin / "failing-1.0.dist-info/METADATA").write_text(
        "Metadata-Version: 2.1\nName: failing\nVersion: 1.0\n"
    )
    (plugin / "failing-1.0.dist-info/entry_points.txt").write_text("[benchbench]\nfailing = failing\n")
    (plugin / "failing.py").write_text(
        "from benchbench import ProtocolInfo, hookimpl\n"
        "from pydantic import BaseModel\n"
        "class Config(BaseModel):\n    pass\n"
        "def run(context):\n"
        "    if context.task_name.endswith('grade'):\n        raise RuntimeError('planted fault')\n"
        "    from benchbench_protocols import benchbench_protocols\n"
        "    inner = next(p for p in benchbench_protocols() if p.name == 'linear_probe')\n"
        "    context.config = inner.config(**inner.presets['retfound_green_paper'])\n"
        "    return inner.run(context)\n"
        "@hookimpl\n"
        "def benchbench_protocols():\n"
        "    return [ProtocolInfo('failing', 'Failing', '', Config, run, 'embeddings', False)]\n".replace(
            "from benchbench_protocols import benchbench_protocols", "import benchbench_protocols as bp"
        ).replace("in benchbench_protocols() if", "in bp.benchbench_protocols() if")
    )
    (folder / "small.yaml").write_text(SUITE.split("protocols:")[0] + "protocols: [failing]\n")
    done = subprocess.run(
        [sys.executable, "-m", "benchbench", "run", "small.yaml", "--data-root", str(data)],
        cwd=folder,
        env={
            **environment(folder),
            "PYTHONPATH": os.pathsep.join([str(plugin), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "The protocol 'failing' (failing 1.0, entry point failing = failing)" in done.stderr
    assert "RuntimeError: planted fault" in done.stderr
    statuses = {(r["task"], r["status"]) for r in rows_of(folder)}
    assert statuses == {("idrid/referable", "done"), ("idrid/grade", "failed")}
    assert "planted fault" in (folder / "reports/small/latest/report.html").read_text()


def test_a_store_that_cannot_be_written_ends_in_one_plain_message(tmp_path: Path) -> None:
    simulated = SUITE.replace("tasks:", "datasets: {idrid: {simulated: {images: 40, seed: 1}}}\ntasks:")
    write_suite(tmp_path / "here", simulated)
    (tmp_path / "here/store").write_text("a file where the store should be")
    done = bench(tmp_path / "here", "run", "small.yaml")
    assert done.returncode == 2
    assert "cannot be" in done.stderr
    assert "store" in done.stderr
    assert "what to do" in done.stderr
    assert "fault in benchbench" not in done.stderr
    assert "Traceback" not in done.stderr


def suite_with_simulated_images() -> str:
    return SUITE.replace("tasks:", "datasets: {idrid: {simulated: {images: 40, seed: 1}}}\ntasks:")


@pytest.fixture
def small(tmp_path: Path) -> tuple[Plan, Registry, Store]:
    """A plan of four cells, in this process."""
    path = write_suite(tmp_path / "here", suite_with_simulated_images())
    made, plugins, places = prepare(str(path), None, None, (), False, simulate=True)
    return made, plugins, places.store


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (OSError(28, "No space left on device"), "failed"),
        (BenchError("x"), "failed"),
    ],
)
def test_whatever_ends_a_run_its_file_says_so(
    small: tuple[Plan, Registry, Store],
    error: BaseException,
    status: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("benchbench.run._compute", broken)
    with pytest.raises(type(error)):
        execute(*small, Options(tmp_path / "out"))
    (path,) = (tmp_path / "out/small").glob("*/run.json")
    info = json.loads(path.read_text())
    assert info["status"] == status
    assert info["finished"]
    assert (info["process"], info["host"]) == (os.getpid(), socket.gethostname())


def test_a_cell_that_is_busy_is_looked_at_again_after_the_others_and_not_counted_as_computed(
    small: tuple[Plan, Registry, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[int, bool]] = []

    def job(self: CellJob) -> object:
        order.append((self.position, self.wait))
        if self.position == 0 and not self.wait:
            return Busy("process 1 on another host")
        return (
            Success(None, computed=False)
            if self.position == 0
            else Failure("cell", "not computed in this test")
        )

    monkeypatch.setattr(CellJob, "__call__", job)
    monkeypatch.setattr("benchbench.run.embed_all", lambda *_: {})
    monkeypatch.setattr("benchbench.run.assemble.build_rows", lambda *_: ())
    monkeypatch.setattr("benchbench.run.assemble.build_timings", lambda *_: "")
    monkeypatch.setattr("benchbench.run.assemble.build_predictions", lambda *_: None)
    monkeypatch.setattr("benchbench.run.assemble.refusals", lambda *_: ())
    monkeypatch.setattr("benchbench.run.write_predictions", lambda *_: None)
    monkeypatch.setattr("benchbench.run.write_run_cost", lambda *_, **__: None)
    monkeypatch.setattr("benchbench.run._render", lambda folder, *_: folder)
    outcome = execute(*small, Options(tmp_path / "out"))
    assert order == [(0, False), (1, False), (2, False), (3, False), (0, True)]
    assert (outcome.computed, outcome.cached, len(outcome.failures)) == (0, 1, 3)


def test_ctrl_c_ends_with_a_word_and_a_second_one_at_once(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, time\n"
        "from benchbench.cli import main, run\n"
        "def slow(*_, **__):\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "    finally:\n"
        "        if sys.argv[1] == '2':\n            os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "run.prepare = slow\n"
        "main(['run', 'quickstart'])\n"
    )
    for times, said in (("1", "Interrupted. Finished work is kept"), ("2", "")):
        done = subprocess.run(
            [sys.executable, "-c", script, times],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        assert done.returncode == 130
        assert said in done.stderr
        assert bool(said) == bool(done.stderr)


def test_a_fully_cached_run_needs_no_right_to_write_the_store(
    undisturbed: Path, data: Path, tmp_path: Path
) -> None:
    """Also as the superuser, whom permission bits do not bind: the store is mounted read-only in effect."""
    script = (
        "import os, sys\n"
        "store = os.environ['BENCHBENCH_STORE']\n"
        "def refuse(event, a):\n"
        "    writes = event == 'open' and (a[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)\n"
        "    if (writes or event in ('os.mkdir', 'os.rename', 'os.remove')) and str(a[0]).startswith(store):\n"
        "        raise PermissionError(13, 'Permission denied', a[0])\n"
        "sys.addaudithook(refuse)\n"
        "from benchbench.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    write_suite(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "small.yaml", "--data-root", str(data)],
        cwd=tmp_path,
        env=environment(undisturbed),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "0 cells computed, 4 from the store" in done.stdout
