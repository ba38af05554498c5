"""A million images: planning, embedding by a fake encoder, and the check that a second run makes.

The images are 4 x 4 pixels and lie in the store as prepared images, so no file is decoded and no network computes:
what remains is what benchbench itself costs. Needs about 4 GB of disk space at the default size.

python benchmarks/scale_million.py [--images 1000000] [--dim 384] [--encoders 20]
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchbench.api import Access, DatasetInfo, EncoderInfo, Preprocess, Task
from benchbench.datasets.model import LoadedDataset
from benchbench.embedding import embed, open_embeddings
from benchbench.inference import EmbedRequest
from benchbench.plan import Plan, make_plan, resolve_protocols
from benchbench.plugins import registry
from benchbench.prepared import ImageSet, prepared_identity
from benchbench.shards import Parts
from benchbench.splits import SplitSpec, split_fingerprint
from benchbench.store import Store, content_key
from benchbench.suite import parse_suite
from benchbench.survey import DatasetState, EncoderState, Survey
from benchbench.weights import UNTRAINED

SIDE = 4
GRADES = ("none", "mild", "moderate", "severe", "proliferative")


def memory() -> float:
    """Peak memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def fake_encoder(name: str, dim: int) -> EncoderInfo:
    """A fixed random projection of the pixels."""

    class Projection(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.register_buffer("matrix", torch.randn(3 * SIDE * SIDE, dim, generator=generator))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1) @ self.matrix

    return EncoderInfo(
        name=name,
        title=name,
        architecture="random projection",
        embed_dim=dim,
        preprocess=Preprocess("tiny", SIDE),
        pooling="none",
        load=lambda path, device: Projection().to(device),
        weights=None,
        licence="none",
        citation="",
    )


def table(n: int) -> pd.DataFrame:
    """The table that a dataset plugin and the loader would give, two images to a patient."""
    rng = np.random.default_rng(0)
    patients = np.arange(n) // 2
    part = rng.choice(["train", "val", "test"], n // 2 + 1, p=[0.56, 0.14, 0.3])[patients]
    grade = rng.choice(5, n, p=[0.5, 0.1, 0.25, 0.1, 0.05]).astype(float)
    ids = [f"image_{i:07d}" for i in range(n)]
    return pd.DataFrame(
        {
            "image_id": ids,
            "path": [f"/nowhere/{i}.jpg" for i in ids],
            "patient_id": [f"p{i}" for i in patients],
            "group": [f"p{i}" for i in patients],
            "split": part,
            "sha256": [hashlib.sha256(i.encode()).hexdigest() for i in ids],
            "grade": grade,
        }
    )


def dataset(frame: pd.DataFrame) -> LoadedDataset:
    tasks = (
        Task("grade", "Grade", "ordinal", GRADES, "grade"),
        Task("referable", "Referable", "binary", ("no", "yes"), "grade", positive=(2, 3, 4)),
        Task("any_dr", "Any", "binary", ("no", "yes"), "grade", positive=(1, 2, 3, 4)),
    )
    access = Access("nowhere", "none", False, (), "")
    info = DatasetInfo(
        "million", "A million images", "cfp", tasks, access, "", lambda *_: frame, cluster="patient_id"
    )
    ids, splits = list(frame["image_id"]), list(frame["split"])
    digest = hashlib.sha256("\n".join(frame["sha256"]).encode()).hexdigest()
    split = split_fingerprint(ids, splits)
    return LoadedDataset(
        info, Path("/nowhere"), frame, {}, SplitSpec.parse("official"), True, split, digest[:32]
    )


def plan_of(data: LoadedDataset, encoders: list[EncoderInfo], store: Store) -> Plan:
    """The plan of a suite over three tasks, from a table that is in memory."""
    names = [f"million/{t.name}" for t in data.info.tasks]
    suite = parse_suite(
        f"title: A million\nencoders: [{', '.join(e.name for e in encoders)}]\n"
        f"tasks: [{', '.join(names)}]\nprotocols: [linear_probe]\n"
    )
    states = tuple(EncoderState(e.name, e, UNTRAINED, "fp32", "torch", "") for e in encoders)
    survey = Survey(
        states,
        {"million": DatasetState("million", data.info, data, "")},
        dict(zip(names, data.info.tasks, strict=True)),
        {},
    )
    protocols = resolve_protocols(suite, registry().protocol, demo=False)
    return make_plan(suite, survey, protocols, lambda key: store.find("predictions", key) is not None)


def prepare(store: Store, images: ImageSet, recipe: Preprocess) -> None:
    """Random prepared images under the key that the engine looks for."""
    identity = prepared_identity(recipe, images)
    parts = Parts(store, "prepared", identity, content_key(identity), len(images))
    rng, size = np.random.default_rng(1), 65_536
    for i, start in enumerate(range(0, len(images), size)):
        rows = min(size, len(images) - start)
        parts.write(i, rng.integers(0, 256, (rows, SIDE, SIDE, 3), dtype=np.uint8))
    parts.publish((SIDE, SIDE, 3), np.uint8, size, 1, {})


def bytes_below(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--encoders", type=int, default=20)
    args = parser.parse_args()
    encoders = [fake_encoder(f"fake_{i:03d}", args.dim) for i in range(args.encoders)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        store = Store(Path(folder))
        data = dataset(table(args.images))
        print(f"{args.images:,} images in a table: peak memory {memory():.0f} MB")

        start = time.perf_counter()
        plan = plan_of(data, encoders, store)
        print(f"planning {len(plan.cells)} cells: {time.perf_counter() - start:.2f} s")

        images = ImageSet("million", data.paths, data.sha256)
        prepare(store, images, encoders[0].preprocess)
        request = EmbedRequest(encoders[0], None, "untrained")
        part = 4096
        reached: list[float] = []

        def watch(done: int, total: int, note: str) -> None:
            if not reached or done >= len(reached) * total / 20:
                reached.append(memory())

        before, start = memory(), time.perf_counter()
        (rows,) = embed(store, [request], images, batch_size=256, part_rows=part, progress=watch).values()
        seconds = time.perf_counter() - start
        stored = bytes_below(rows.artefact.folder)
        net = args.images * args.dim * 4
        print(
            f"embedding: {seconds:.1f} s, {args.images / seconds:,.0f} images/s; {stored / 1e9:.3f} GB kept, "
            f"{stored / net - 1:.3%} above the numbers themselves"
        )
        print(
            f"peak memory: {before:.0f} MB before, {reached[1]:.0f} MB after a twentieth, {reached[-1]:.0f} MB at "
            f"the end of embedding, {memory():.0f} MB after publishing (a shard has "
            f"{65_536 * args.dim * 4 / 1e6:.0f} MB)"
        )

        fresh = dataset(data.frame)  # reading the table and its files is the loader's work, not the check's
        start = time.perf_counter()
        plan_of(fresh, encoders, store)
        again = ImageSet("million", fresh.paths, fresh.sha256)
        (found,) = embed(store, [request], again).values()
        assert open_embeddings(store, found.key) is not None
        print(f"second run, plan and cache check: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
