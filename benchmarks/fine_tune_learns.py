"""Does fine-tuning learn what frozen features do not hold? A small ViT with random weights on simulated images.

    python benchmarks/fine_tune_learns.py oct
    python benchmarks/fine_tune_learns.py fundus

Both AUROCs are on the test part: that of a linear probe on the network's frozen features, and that of the same
network after fine-tuning by the loop of `fine_tune`. Patients stay whole in each part. One core, a few minutes.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from benchbench.api import EncoderInfo, Task
from benchbench.datasets import load_dataset
from benchbench.images import to_input
from benchbench.plugins import registry
from benchbench.probes import fit_probe
from benchbench.splits import SplitSpec
from benchbench.testing.fakes import fake_encoder
from benchbench.training.loop import Job, Labelled, train
from benchbench.training.recipe import Augmentation, Recipe

SETS = {"oct": ("oct2017", "cnv_vs_normal"), "fundus": ("origa", "glaucoma")}


@dataclass(frozen=True)
class Part:
    """Images (n, S, S, 3) uint8 with labels (n,)."""

    images: np.ndarray
    labels: np.ndarray


def conv_stem_vit(size: int) -> torch.nn.Module:
    """A ViT of four blocks whose patches come from four small convolutions; random weights, always the same."""
    from timm.models.vision_transformer import VisionTransformer

    class Stem(torch.nn.Module):
        def __init__(self, embed_dim: int = 96, img_size: int = size, **_: object) -> None:
            super().__init__()
            widths = (3, 24, 48, 72, embed_dim)
            steps: list[torch.nn.Module] = []
            for before, after in itertools.pairwise(widths):
                convolution = torch.nn.Conv2d(before, after, 3, 2, 1, bias=False)
                steps += [convolution, torch.nn.BatchNorm2d(after), torch.nn.GELU()]
            self.steps = torch.nn.Sequential(*steps)
            self.num_patches = (img_size // 16) ** 2
            self.patch_size, self.grid_size = (16, 16), (img_size // 16, img_size // 16)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.steps(x).flatten(2).transpose(1, 2)

        def feat_ratio(self, as_scalar: bool = True) -> int:
            return 16

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return VisionTransformer(
            img_size=size,
            embed_dim=96,
            depth=4,
            num_heads=3,
            num_classes=0,
            global_pool="avg",
            embed_layer=Stem,
        ).eval()


def simulated(name: str, task: str, images: int, size: int, root: Path) -> tuple[Part, Part, Part]:
    """Training, validation and test images of a simulated set, whole patients in each."""
    from PIL import Image

    info = registry().datasets[name]
    assert info.simulate is not None
    (root / name).mkdir(parents=True)
    info.simulate(root / name, images, 0)
    data = load_dataset(info, root, split=SplitSpec("grouped_stratified", ratios=(56, 14, 30)))
    labels = data.labels(task)
    parts = []
    for split in ("train", "val", "test"):
        rows = np.flatnonzero((data.frame["split"] == split).to_numpy() & ~np.isnan(labels))
        opened = [Image.open(data.paths[i]).convert("RGB").resize((size, size)) for i in rows]
        parts.append(Part(np.stack([np.asarray(x) for x in opened]), labels[rows]))
    return parts[0], parts[1], parts[2]


def features(encoder: EncoderInfo, model: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """(n, D) frozen features."""
    with torch.inference_mode():
        chunks = [images[i : i + 128] for i in range(0, len(images), 128)]
        return np.concatenate([model(to_input(c, encoder.preprocess)).numpy() for c in chunks])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--base-lr", type=float, default=8e-3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    name, task = SETS[args.set]
    with tempfile.TemporaryDirectory() as folder:
        learn, judge, test = simulated(name, task, args.images, args.size, Path(folder))
    encoder = fake_encoder(embed_dim=96, size=args.size, load=lambda *_: conv_stem_vit(args.size))
    network = conv_stem_vit(args.size)
    probe = fit_probe(
        features(encoder, network, learn.images),
        learn.labels,
        X_val=features(encoder, network, judge.images),
        y_val=judge.labels,
    )
    frozen = probe.predict_proba(features(encoder, network, test.images))[:, 1]
    recipe = Recipe(
        epochs=args.epochs,
        base_lr=args.base_lr,
        warmup_epochs=2,
        layer_decay=None,
        drop_path=0.0,
        augmentation=Augmentation(horizontal_flip=0.5),
    )
    started = time.perf_counter()
    trained = train(
        Job(
            encoder,
            lambda: conv_stem_vit(args.size),
            Task(task, task, "binary", ("absent", "present"), task),
            "auroc",
            recipe,
            0,
            Labelled(learn.images, learn.labels),
            Labelled(judge.images, judge.labels),
        )
    )
    print(
        f"{name}/{task}: {len(learn.labels)} training, {len(judge.labels)} validation, {len(test.labels)} test"
    )
    print(f"frozen probe  AUROC {roc_auc_score(test.labels, frozen):.3f}")
    print(f"fine-tuned    AUROC {roc_auc_score(test.labels, trained.scores(test.images)[:, 0]):.3f}", end="")
    print(f"  (epoch {trained.best_epoch + 1} of {args.epochs}, {time.perf_counter() - started:.0f} s)")
    print("validation AUROC by epoch:", " ".join(f"{v:.2f}" for v in trained.history))


if __name__ == "__main__":
    main()
