"""What the fuzz campaign reads: good files of every kind, what reads them, and how they are changed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save as safetensors_bytes

from benchbench import checkpoints
from benchbench.cli import main as bench
from benchbench.datasets.images import check_image
from benchbench.errors import EXIT_INPUTS_MISSING, EXIT_OK, BenchError
from benchbench.images import decode, image_size
from benchbench.store import MANIFEST, Artefact, Store, content_key

HERE = Path(__file__).resolve().parents[1]
TOKENS = [
    *(
        b"\x00",
        b"\xff",
        b"\x7f\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"\xed\xa0\x80",
        b"\x07",
        b"\r",
        b"\n",
        b"\t",
        b'"',
    ),
    *(
        b"nan",
        b"-inf",
        b".inf",
        b"1e999",
        b"-1",
        b"99999999999999999999",
        b"true",
        b"null",
        b"~",
        b"2001-99-99",
    ),
    *(
        b"[",
        b"{",
        b"]",
        b"}",
        b"&a",
        b"*a",
        b"<<: *a",
        b"!!python/object/apply:os.system [ls]",
        b"- ",
        b": ",
        b"#",
    ),
    *(
        b"../",
        b"/etc/passwd",
        b"..\\",
        b"=cmd|' /C calc'!A0",
        "é漢\u202e".encode(),
        b"[" * 2000,
        b"a" * 140_000,
    ),
]
SUITE = b"""\
title: A suite
question: Is it read?
encoders: [untrained/test_vit, {name: resnet50, precision: bf16}]
datasets: {idrid: {split: official}}
tasks: [{task: idrid/grade, metric: quadratic_kappa}, idrid/referable]
protocols: [{protocol: linear_probe, config: {C_grid: [0.1, 1.0], folds: 3}, seeds: [0]}]
statistics: {comparisons: all, alpha: 0.05, margin: 0.02}
cluster: {scheduler: slurm, gpus: 1, memory: 16GB}
"""
OWN = b"title: own\nencoders: [untrained/test_vit]\ntasks: [clinic/label]\nprotocols: [linear_probe]\n"
CARD = b"title: A clinic\nmodality: cfp\nlicence: none\ntasks:\n  label: {kind: binary, classes: [healthy, glaucoma]}\n"


@dataclass
class Kind:
    """One kind of input: good examples, and what reads it."""

    seeds: list[bytes]
    read: Callable[[bytes], bool]
    """Whether the input was accepted; a plain refusal is False, anything else raises."""
    tried: int = 0
    accepted: int = 0
    slowest_s: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)


def command(*arguments: str) -> bool:
    """A command as a user gives it; True where it goes through or only lacks inputs, False for a plain refusal."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            bench(list(arguments))
        except SystemExit as stop:
            code = stop.code
    if "Traceback" in said.getvalue() or "fault in benchbench" in said.getvalue():
        raise AssertionError(said.getvalue().strip().splitlines()[-2:])
    return code == EXIT_OK or (code == EXIT_INPUTS_MISSING and "cells: " in said.getvalue())


def refused(work: Callable[[], object]) -> bool:
    """True if `work` goes through, False if it refuses in plain words."""
    try:
        work()
    except BenchError:
        return False
    return True


def kinds(folder: Path) -> dict[str, Kind]:
    """Every kind of input, with its files in `folder`."""
    return {
        "suite YAML": _suites(folder),
        "label tables": _in_clinic(folder, "labels.csv", _labels()),
        "dataset cards": _in_clinic(folder, "dataset.yaml", [CARD]),
        "checkpoints": _checkpoints(folder),
        "submissions, folders": _submission_folders(folder),
        "submissions, archives": _submission_archives(folder),
        "image files": _images(folder),
        "store manifests": _manifests(folder),
    }


def _suites(folder: Path) -> Kind:
    path = folder / "suite.yaml"

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        return command("plan", str(path))

    return Kind([SUITE, OWN], read)


def _labels() -> list[bytes]:
    lines = ["image,label,grade,patient,eye,split"]
    lines += [f"{k:02d}.png,{['healthy', 'glaucoma'][k % 2]},{k % 3},p{k // 2},OD," for k in range(24)]
    text = "\n".join(lines) + "\n"
    return [
        text.encode(),
        b"\xef\xbb\xbf" + text.replace(",", ";").replace("\n", "\r\n").encode(),
        text.encode("utf-16"),
    ]


def _in_clinic(folder: Path, name: str, seeds: list[bytes]) -> Kind:
    clinic = folder / f"data for {name}" / "clinic"
    (clinic / "images").mkdir(parents=True)
    for k in range(24):
        Image.fromarray(_pixels(k)).save(clinic / f"images/{k:02d}.png")
    (clinic / "labels.csv").write_bytes(_labels()[0])
    suite = folder / f"own {name}.yaml"
    suite.write_bytes(OWN)

    def read(data: bytes) -> bool:
        (clinic / name).write_bytes(data)
        return command("plan", str(suite), "--data-root", str(clinic.parent))

    return Kind(seeds, read)


def _pixels(k: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(k).integers(0, 255, (size, size + 8, 3), dtype=np.uint8)


class _RunsCode:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("echo this must never run",)


def _checkpoints(folder: Path) -> Kind:
    state = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3)}
    nested: dict[str, Any] = dict(state)
    for _ in range(200):
        nested = {"model": nested}
    seeds = [safetensors_bytes(state)]
    for content, new in (({"model": state}, True), (state, False), (nested, True)):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=new)
        seeds.append(stream.getvalue())
    stream = io.BytesIO()
    np.savez(stream, **{k: v.numpy() for k, v in state.items()})
    seeds += [stream.getvalue(), pickle.dumps(_RunsCode()), pickle.dumps({"model": _RunsCode()})]

    def read(data: bytes) -> bool:
        accepted = False
        for suffix in (".safetensors", ".npz", ".pth"):
            path = (folder / "checkpoint").with_suffix(suffix)
            path.write_bytes(data)
            accepted |= refused(lambda path=path: checkpoints.tensors(path))
        return accepted

    return Kind(seeds, read)


def _example() -> tuple[Path, Path]:
    board = HERE / "leaderboard/example"
    return board, next(p.parent for p in sorted((board / "submissions").rglob("submission.json")))


def _submission_folders(folder: Path) -> Kind:
    board, original = _example()
    copy = folder / "submission"
    names = sorted(p.relative_to(original).as_posix() for p in original.rglob("*") if p.is_file())

    def read(data: bytes) -> bool:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(original, copy)
        which = names[len(data) % len(names)] if data not in seeds else names[seeds.index(data)]
        (copy / which).write_bytes(data)
        return command("validate", str(copy), "--leaderboard", str(board))

    seeds = [(original / name).read_bytes() for name in names]
    return Kind(seeds, read)


def _submission_archives(folder: Path) -> Kind:
    board, original = _example()
    path = folder / "submission.zip"
    seeds = []
    for extra in ({}, {"../outside.txt": b"x"}, {"/tmp/outside.txt": b"x"}, {"bomb.json": bytes(30_000_000)}):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(p for p in original.rglob("*") if p.is_file()):
                archive.write(file, file.relative_to(original).as_posix())
            for name, content in extra.items():
                archive.writestr(name, content)
        seeds.append(stream.getvalue())

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        return command("validate", str(path), "--leaderboard", str(board))

    return Kind(seeds, read)


def _images(folder: Path) -> Kind:
    path = folder / "image.png"
    seeds = []
    for name, more in (
        ("PNG", {}),
        ("JPEG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        *((n, {}) for n in ("BMP", "WEBP", "GIF", "PPM", "TGA", "ICO", "EPS", "SGI", "PCX")),
    ):
        stream = io.BytesIO()
        with contextlib.suppress(OSError):
            Image.fromarray(_pixels(0)).save(stream, name, **more)
            seeds.append(stream.getvalue())
    for mode in ("L", "1", "P", "RGBA", "CMYK", "F", "I"):
        stream = io.BytesIO()
        Image.fromarray(_pixels(0)).convert("L").convert(mode).save(stream, "TIFF")
        seeds.append(stream.getvalue())

    def read(data: bytes) -> bool:
        path.write_bytes(data)
        check_image(path)
        refused(lambda: image_size(path))
        return refused(lambda: decode(path))

    return Kind(seeds, read)


def _manifests(folder: Path) -> Kind:
    store, identity = Store(folder / "manifests"), {"of": "something"}
    key = content_key(identity)

    def sums(artefact: Artefact) -> object:
        return artefact.identity, {name: file.sha256 for name, file in artefact.files.items()}

    def publish() -> bytes:
        made = store.publish("predictions", key, identity, lambda f: (f / "a.txt").write_text("hello"))
        return (made.folder / MANIFEST).read_bytes()

    def read(data: bytes) -> bool:
        publish()
        (store.folder("predictions", key) / MANIFEST).write_bytes(data)
        found = store.find("predictions", key)
        assert found is None or sums(found) == sums(good), "an artefact with other content is accepted"
        return found is not None

    seeds = [publish()]
    good = store.find("predictions", key)
    assert good is not None
    return Kind([*seeds, json.dumps({"files": {}}).encode()], read)


@st.composite
def changed(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A good file with up to six changes; small positions are likelier, for headers decide most."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        here = draw(st.integers(0, len(data)) if draw(st.booleans()) else st.integers(0, min(len(data), 300)))
        what = draw(st.sampled_from(["byte", "token", "insert", "cut", "drop", "repeat"]))
        if what == "byte" and here < len(data):
            data[here] = draw(st.integers(0, 255))
        elif what == "token":
            token = draw(st.sampled_from(TOKENS))
            data[here : here + len(token)] = token
        elif what == "insert":
            data[here:here] = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)))
        elif what == "cut":
            del data[here:]
        elif what == "drop":
            del data[here : here + draw(st.integers(1, 20))]
        elif what == "repeat":
            data[here:here] = data[here : here + 40] * draw(st.integers(1, 20))
    return bytes(data)
