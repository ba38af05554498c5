"""Kill small runs at random instants, damage their store, run them twice at once, and compare with a run in peace.

Each life starts with an empty store. Its run is killed (SIGKILL) after a random time and started again, until one
gets through; then its rows and predictions must be those of the undisturbed run, byte for byte. Every run is a fork
of this process, which has imported everything and computed nothing.

python benchmarks/fault_campaign.py [--kills 200] [--seed 0] [--minutes 60]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas
import sklearn.linear_model
import timm
import torch

import benchbench.report
import benchbench.run
from benchbench.cli import main as bench
from benchbench.shards import Parts
from benchbench.store import KINDS, Store

IMPORTED_BEFORE_FORKING = (pandas, sklearn.linear_model, timm, torch, benchbench.report, benchbench.run)

SUITE = """\
title: A small suite
question: Does it survive?
encoders: [untrained/test_efficientnet, untrained/test_vit]
datasets: {idrid: {simulated: {images: 150, seed: 3}}}
tasks: [idrid/referable, idrid/any_dr]
protocols: [{protocol: linear_probe, config: {C_grid: [0.001, 0.1], folds: 3}}]
"""


@dataclass
class Tally:
    """What the campaign saw."""

    runs: int = 0
    kills: int = 0
    lives: int = 0
    rows_lost: int = 0
    corrupt_accepted: int = 0
    parts_computed_again: int = 0
    other_cases: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Campaign:
    """One folder, one simulated dataset, many runs."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random, self.tally = folder, random.Random(seed), Tally()
        (folder / "small.yaml").write_text(SUITE)
        self.seconds = 0.0
        self.reference = self.peace()

    # Runs ---------------------------------------------------------------------------------------------------------

    def start(self, name: str, *extra: str, store: Path | None = None, file_limit: int | None = None) -> int:
        """Fork a run of the suite in the folder `name` with `extra` options; returns its process id."""
        self.tally.runs += 1
        place = self.folder / name
        place.mkdir(exist_ok=True)
        child = os.fork()
        if child:
            return child
        try:
            os.environ["BENCHBENCH_STORE"] = str(store or place / "store")
            os.environ["OMP_NUM_THREADS"] = "1"
            os.chdir(place)
            log = os.open("output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            _record_parts(place / "parts.txt")
            if file_limit:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
            bench(["run", str(self.folder / "small.yaml"), *extra])
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
        except BaseException as error:
            with contextlib.suppress(OSError):
                (place / "traceback.txt").write_text(repr(error))
            os._exit(99)
        os._exit(0)

    def finish(self, child: int) -> int:
        """Wait for a run; its exit code, or minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    def results(self, name: str) -> tuple[bytes, bytes]:
        """Rows and predictions of the finished run in the folder `name`."""
        latest = self.folder / name / "reports/small/latest"
        return (latest / "rows.csv").read_bytes(), (latest / "predictions.parquet").read_bytes()

    def peace(self) -> tuple[bytes, bytes]:
        """Two runs that nothing disturbs, the second with the images already drawn: what all others must come to,
        and how long it takes."""
        for name in ("first", "peace"):
            if name == "peace":
                self.give_images(name)
            started = time.monotonic()
            if self.finish(self.start(name)):
                raise SystemExit((self.folder / name / "output.txt").read_text())
            self.seconds = time.monotonic() - started
        return self.results("peace")

    def give_images(self, name: str) -> None:
        """Copy the simulated images into the store of the folder `name`."""
        shutil.copytree(self.folder / "first/store/simulated", self.folder / name / "store/simulated")

    def expect(self, name: str, code: int, wanted: int = 0) -> None:
        """Note a run that ended otherwise than it should, or whose results differ."""
        if code != wanted:
            text = (self.folder / name / "output.txt").read_text()[-800:]
            self.tally.failures.append(f"{name}: exit code {code} instead of {wanted}\n{text}")
        elif wanted == 0 and self.results(name) != self.reference:
            self.tally.failures.append(f"{name}: other rows or predictions than in peace")
            self.tally.rows_lost += 1

    # Kills --------------------------------------------------------------------------------------------------------

    def life(self, kills: int) -> int:
        """Kill one run up to `kills` times, let the last one through; returns how often it was killed."""
        name = f"life-{self.tally.lives:03d}"
        self.tally.lives += 1
        self.give_images(name)
        killed, code = 0, -1
        while killed < kills:
            child, started = self.start(name), time.monotonic()
            time.sleep(self.random.uniform(0, self.seconds))
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            code = self.finish(child)
            if code != -signal.SIGKILL:  # it was done before, or ended in a way that is judged below
                self.seconds = min(self.seconds, time.monotonic() - started) * 0.9  # kill earlier from now on
                break
            killed += 1
            self.check_store(name)
        if code == -signal.SIGKILL:
            code = self.finish(self.start(name))
        self.expect(name, code)
        self.count_parts(name)
        shutil.rmtree(self.folder / name)
        return killed

    def check_store(self, name: str) -> None:
        """What a kill left behind: nothing that counts as complete may be damaged."""
        store = Store(self.folder / name / "store")
        self.tally.corrupt_accepted += len(store.verify())

    def count_parts(self, name: str) -> None:
        """Finished parts must not have been computed twice."""
        written = Counter((self.folder / name / "parts.txt").read_text().splitlines())
        self.tally.parts_computed_again += sum(n - 1 for n in written.values())

    # Other faults -------------------------------------------------------------------------------------------------

    def damage(self) -> None:
        """Flip a byte of one file of every kind of artefact, cut another; the same command mends it."""
        for i, kind in enumerate(KINDS):
            for how in ("flip", "cut", "remove"):
                name = f"damage-{kind}-{how}"
                shutil.copytree(self.folder / "peace/store", self.folder / name / "store", symlinks=True)
                store = Store(self.folder / name / "store")
                files = [
                    a.folder / f for a in store.artefacts((kind,)) for f in a.files if a.files[f].bytes > 8
                ]
                if not files:
                    shutil.rmtree(self.folder / name)
                    continue
                path = self.random.choice(files)
                _damage(path, how, random.Random(i))
                if kind == "embeddings":  # else nobody reads them
                    shutil.rmtree(store.root / "predictions")
                self.expect(name, self.finish(self.start(name)))
                self.tally.corrupt_accepted += len(store.verify())
                self.tally.other_cases[f"{kind}: {how}"] += 1
                shutil.rmtree(self.folder / name)

    def damage_parts(self) -> None:
        """Kill a run that has finished some parts of its embeddings and damage one of them."""
        for i, how in enumerate(("flip", "cut", "empty", "remove")):
            name = f"part-{how}"
            self.give_images(name)
            child = self.start(name)
            scratch = self.folder / name / "store/scratch"
            while len(parts := sorted(scratch.rglob("part-*.npy"))) < 3:
                if os.waitpid(child, os.WNOHANG)[0]:
                    raise SystemExit(f"{name}: the run ended before it had written three parts")
                time.sleep(0.001)
            os.kill(child, signal.SIGKILL)
            self.finish(child)
            if parts := [p for p in parts if p.exists()]:
                _damage(self.random.choice(parts), how, random.Random(i))
                self.tally.other_cases[f"part: {how}"] += 1
            self.expect(name, self.finish(self.start(name)))
            self.check_store(name)
            shutil.rmtree(self.folder / name)

    def workers(self) -> None:
        """Two worker processes; then the run that gave them their work is killed, and starts again."""
        for kill in (False, True):
            name = f"loky-{kill}"
            self.give_images(name)
            child = self.start(name, "--engine", "loky", "--jobs", "2")
            if kill:
                time.sleep(self.random.uniform(0.3, 0.9) * self.seconds)
                os.kill(child, signal.SIGKILL)
                self.finish(child)
                self.check_store(name)
                child = self.start(name, "--engine", "loky", "--jobs", "2")
            self.expect(name, self.finish(child))
            self.tally.other_cases["two workers, run killed" if kill else "two workers"] += 1

    def full_disk(self) -> None:
        """No file may grow beyond a limit: the run stops with a message, and carries on when there is room."""
        for limit in (20_000, 40_000, 60_000):
            name = f"full-{limit}"
            self.give_images(name)
            code = self.finish(self.start(name, file_limit=limit))
            text = (self.folder / name / "output.txt").read_text()
            if code == 0 or _is_a_fault(text):
                self.tally.failures.append(f"{name}: exit code {code} and\n{text[-800:]}")
            self.check_store(name)
            self.expect(name, self.finish(self.start(name)))
            self.tally.other_cases["disk full, then room"] += 1

    def no_store(self) -> None:
        """The store's place is a file, or may not be written: one clear message, no traceback."""
        blocked = self.folder / "blocked"
        blocked.write_text("a file")
        places = {"the store's place is a file": blocked / "store"}
        if os.geteuid() == 0:
            print("permission bits are not tried: they do not bind the superuser", flush=True)
        else:
            places["the store may not be written"] = self.folder / "closed/store"
            (self.folder / "closed").mkdir(mode=0o500)
        for i, (case, store) in enumerate(places.items()):
            code = self.finish(self.start(f"no-store-{i}", store=store))
            text = (self.folder / f"no-store-{i}/output.txt").read_text()
            if code in (0, 99) or _is_a_fault(text):
                self.tally.failures.append(f"{case}: exit code {code} and\n{text[-800:]}")
            self.tally.other_cases[case] += 1

    def together(self) -> None:
        """Two runs of the same suite at once; then two of which one is killed."""
        for kill in (False, True):
            name = f"together-{kill}"
            store = self.folder / name / "store"
            (self.folder / name).mkdir()
            children = [self.start(f"{name}/{i}", store=store) for i in (1, 2)]
            if kill:
                time.sleep(self.random.uniform(0.3, 0.8) * self.seconds)
                os.kill(children[0], signal.SIGKILL)
            codes = [self.finish(child) for child in children]
            for i, code in list(enumerate(codes, 1))[int(kill) :]:
                self.expect(f"{name}/{i}", code)
            self.tally.other_cases["two at once, one killed" if kill else "two at once"] += 1


def _record_parts(path: Path) -> None:
    """Let this process note every part of embeddings that it finishes."""
    write = Parts.write

    def noted(self: Parts, index: int, rows: object) -> None:
        write(self, index, rows)  # type: ignore[arg-type]
        with path.open("a") as stream:
            stream.write(f"{self.key} {index}\n")

    Parts.write = noted  # type: ignore[method-assign]


def _is_a_fault(text: str) -> bool:
    return "Traceback" in text or "fault in benchbench" in text


def _damage(path: Path, how: str, rng: random.Random) -> None:
    if how == "remove":
        path.unlink()
        return
    if how == "empty":
        path.write_bytes(b"")
        return
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[rng.randrange(len(content))] ^= 0xFF
    else:
        del content[len(content) // 2 :]
    path.write_bytes(content)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60, help="no new life begins after this time")
    args = parser.parse_args()
    deadline = time.monotonic() + 60 * args.minutes
    with tempfile.TemporaryDirectory() as folder:
        campaign = Campaign(Path(folder), args.seed)
        tally = campaign.tally
        print(f"one run in peace: {campaign.seconds:.1f} s", flush=True)
        while tally.kills < args.kills and time.monotonic() < deadline:
            tally.kills += campaign.life(min(campaign.random.randint(2, 8), args.kills - tally.kills))
            print(
                f"life {tally.lives}: {tally.kills} kills, {len(tally.failures)} failures so far", flush=True
            )
        for case in (
            campaign.damage,
            campaign.damage_parts,
            campaign.full_disk,
            campaign.no_store,
            campaign.together,
            campaign.workers,
        ):
            case()
            print(f"{case.__name__}: {len(tally.failures)} failures so far", flush=True)
    print(f"runs: {tally.runs}, SIGKILLs: {tally.kills} over {tally.lives} lives")
    print(f"runs whose rows or predictions differ (0 wanted): {tally.rows_lost}")
    print(f"corrupt artefacts accepted (0 wanted): {tally.corrupt_accepted}")
    print(f"finished parts computed again (at most one per kill wanted): {tally.parts_computed_again}")
    print("other cases: " + ", ".join(f"{k} x{n}" for k, n in sorted(tally.other_cases.items())))
    for failure in tally.failures:
        print(f"FAILED {failure}")
    too_often = tally.parts_computed_again > tally.kills
    raise SystemExit(bool(tally.failures or tally.corrupt_accepted or too_often))


if __name__ == "__main__":
    main()
