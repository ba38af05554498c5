"""Peak memory of loading the full RETFound container (3.95 GB: encoder, decoder and optimiser state).

Writes a container of the official layout and size with random numbers to a temporary folder, loads it in fresh
processes, prints the peak resident memory of benchbench's loader beside the plain way, and removes the file.

    python benchmarks/load_memory.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

LIMIT_GB = 1.6

_MEASURE = """
import resource, sys, time
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
import torch, timm
from benchbench.plugins import registry
base, started = peak(), time.perf_counter()
{body}
seconds = time.perf_counter() - started
print(f"{{base:.2f}} {{peak():.2f}} {{seconds:.1f}}")
"""
_OURS = "module = registry().encoder('retfound_mae_cfp').load(__import__('pathlib').Path(sys.argv[1]), 'cpu')"
_TOUCHED = _OURS + "\ntorch.cat([p.sum()[None] for p in module.parameters()]).sum()"
_PLAIN = """
model = timm.create_model('vit_large_patch16_224', global_pool='avg', num_classes=0)
state = torch.load(sys.argv[1], map_location='cpu', weights_only=False)['model']
model.load_state_dict({k: v for k, v in state.items() if k in model.state_dict()}, strict=False)
"""


def write_container(path: Path) -> None:
    """The layout that RETFound's pre-training saves: model with decoder, and two moments per trained tensor."""
    import timm
    import torch

    with torch.device("meta"):
        encoder = timm.create_model("vit_large_patch16_224", num_classes=0)
        decoder = timm.create_model(
            "vit_large_patch16_224", embed_dim=512, depth=8, num_heads=16, num_classes=0
        )
    shapes = {k: v.shape for k, v in encoder.state_dict().items()}
    skip = ("cls_token", "pos_embed", "patch_embed", "norm")
    shapes |= {f"decoder_{k}": v.shape for k, v in decoder.state_dict().items() if not k.startswith(skip)}
    shapes |= {
        "mask_token": (1, 1, 512),
        "decoder_pos_embed": (1, 197, 512),
        "decoder_embed.weight": (512, 1024),
        "decoder_embed.bias": (512,),
        "decoder_norm.weight": (512,),
        "decoder_norm.bias": (512,),
        "decoder_pred.weight": (768, 512),
        "decoder_pred.bias": (768,),
    }
    model = {k: torch.randn(*s) * 0.02 for k, s in shapes.items()}
    trained = [v for k, v in model.items() if not k.endswith("pos_embed")]
    moments = {
        i: {"step": 1, "exp_avg": torch.zeros_like(v), "exp_avg_sq": torch.zeros_like(v)}
        for i, v in enumerate(trained)
    }
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-4, "params": list(moments)}]}
    arguments = argparse.Namespace(model="mae_vit_large_patch16", batch_size=224)
    torch.save({"model": model, "optimizer": optimizer, "epoch": 799, "scaler": {}, "args": arguments}, path)


def measure(body: str, path: Path) -> tuple[float, float, float]:
    """(GB after imports, peak GB, seconds) of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE.format(body=body), str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    base, peak, seconds = (float(x) for x in done.stdout.split())
    return base, peak, seconds


def main() -> int:
    """Print the table; exit code 1 when the loader needs more than the limit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "RETFound_mae_natureCFP.pth"
        subprocess.run([sys.executable, __file__, "--write", str(path)], check=True)
        print(f"container: {path.stat().st_size:,} bytes")
        rows = {
            "benchbench, loaded": measure(_OURS, path),
            "benchbench, every weight read": measure(_TOUCHED, path),
            "torch.load and load_state_dict": measure(_PLAIN, path),
        }
    for name, (base, peak, seconds) in rows.items():
        print(f"{name:<32} peak {peak:.2f} GB (imports alone {base:.2f} GB), {seconds:.1f} s")
    worst = max(rows["benchbench, loaded"][1], rows["benchbench, every weight read"][1])
    print(
        f"ratio to the plain way: {rows['torch.load and load_state_dict'][1] / worst:.1f}x less; limit {LIMIT_GB} GB"
    )
    return int(rows["benchbench, loaded"][1] > LIMIT_GB)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        write_container(Path(sys.argv[2]))
    else:
        sys.exit(main())
