"""Vision transformers by plain torch operations, on the names of the official containers.

Independent of the plugins and of timm: what the loaders are checked against.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

State = dict[str, torch.Tensor]
WIDTH, HEADS, DEPTH = 64, 4, 4
SMALL = {"embed_dim": WIDTH, "num_heads": HEADS, "depth": DEPTH}
"""What makes a recipe's architecture small; everything else of it stays."""


def rand(*shape: int, scale: float = 0.2, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(*shape) * scale + shift


def encoder_state(patch: int, positions: int, *, layer_scale: bool = False) -> State:
    """Random tensors of a small encoder; norms, biases and tokens too, so that any ignored tensor shows."""
    state = {
        "cls_token": rand(1, 1, WIDTH, scale=1),
        "pos_embed": rand(1, positions, WIDTH, scale=0.5),
        "patch_embed.proj.weight": rand(WIDTH, 3, patch, patch, scale=0.05),
        "patch_embed.proj.bias": rand(WIDTH),
        "norm.weight": rand(WIDTH, shift=1),
        "norm.bias": rand(WIDTH),
    }
    for i in range(DEPTH):
        b = f"blocks.{i}."
        state |= {
            b + "norm1.weight": rand(WIDTH, shift=1),
            b + "norm1.bias": rand(WIDTH),
            b + "attn.qkv.weight": rand(3 * WIDTH, WIDTH),
            b + "attn.qkv.bias": rand(3 * WIDTH),
            b + "attn.proj.weight": rand(WIDTH, WIDTH),
            b + "attn.proj.bias": rand(WIDTH),
            b + "norm2.weight": rand(WIDTH, shift=1),
            b + "norm2.bias": rand(WIDTH),
            b + "mlp.fc1.weight": rand(4 * WIDTH, WIDTH),
            b + "mlp.fc1.bias": rand(4 * WIDTH),
            b + "mlp.fc2.weight": rand(WIDTH, 4 * WIDTH),
            b + "mlp.fc2.bias": rand(WIDTH),
        }
        if layer_scale:
            state |= {b + "ls1.gamma": rand(WIDTH, shift=0.5), b + "ls2.gamma": rand(WIDTH, shift=0.5)}
    return state


def decoder_state() -> State:
    """The decoder of a masked autoencoder, which an encoder must leave out."""
    return {
        "mask_token": rand(1, 1, 32),
        "decoder_pos_embed": rand(1, 197, 32),
        "decoder_embed.weight": rand(32, WIDTH),
        "decoder_embed.bias": rand(32),
        "decoder_blocks.0.norm1.weight": rand(32),
        "decoder_blocks.0.attn.qkv.weight": rand(96, 32),
        "decoder_norm.weight": rand(32),
        "decoder_norm.bias": rand(32),
        "decoder_pred.weight": rand(768, 32),
        "decoder_pred.bias": rand(768),
    }


def save_training_container(path: Path, model: State) -> Path:
    """As the masked autoencoders' training code saves: weights, optimiser, scaler and an argparse.Namespace."""
    path.parent.mkdir(parents=True, exist_ok=True)
    optimizer = {"state": {0: {"step": 1, "exp_avg": rand(8)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    content = {"model": model, "optimizer": optimizer, "epoch": 799, "scaler": {"scale": 65536.0}}
    torch.save({**content, "args": argparse.Namespace(batch_size=224, model="mae")}, path)
    return path


def norm(
    x: torch.Tensor, weight: torch.Tensor | None = None, bias: torch.Tensor | None = None
) -> torch.Tensor:
    mean = x.mean(-1, keepdim=True)
    y = (x - mean) / torch.sqrt(((x - mean) ** 2).mean(-1, keepdim=True) + 1e-6)
    return y if weight is None or bias is None else y * weight + bias


def final_norm(state: State, x: torch.Tensor) -> torch.Tensor:
    return norm(x, state["norm.weight"], state["norm.bias"])


def tokens(state: State, images: torch.Tensor, positions: torch.Tensor | None = None) -> list[torch.Tensor]:
    """Tokens after each block: class, registers if any, patches; before the final norm."""
    kernel = state["patch_embed.proj.weight"]
    x = (
        F.conv2d(images, kernel, state["patch_embed.proj.bias"], stride=kernel.shape[-1])
        .flatten(2)
        .transpose(1, 2)
    )
    pos = state["pos_embed"] if positions is None else positions
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + pos
    if "register_tokens" in state:
        x = torch.cat([x[:, :1], state["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], 1)
    layers = []
    for i in range(DEPTH):
        b = f"blocks.{i}."
        h = norm(x, state[b + "norm1.weight"], state[b + "norm1.bias"])
        qkv = F.linear(h, state[b + "attn.qkv.weight"], state[b + "attn.qkv.bias"])
        q, k, v = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in qkv.chunk(3, -1))
        weights = torch.softmax(q @ k.transpose(-2, -1) / (WIDTH // HEADS) ** 0.5, -1)
        h = F.linear(
            (weights @ v).transpose(1, 2).flatten(2),
            state[b + "attn.proj.weight"],
            state[b + "attn.proj.bias"],
        )
        x = x + h * state.get(b + "ls1.gamma", torch.ones(()))
        h = norm(x, state[b + "norm2.weight"], state[b + "norm2.bias"])
        h = F.linear(h, state[b + "mlp.fc1.weight"], state[b + "mlp.fc1.bias"])
        h = F.linear(
            h * 0.5 * (1 + torch.erf(h / 2**0.5)), state[b + "mlp.fc2.weight"], state[b + "mlp.fc2.bias"]
        )
        x = x + h * state.get(b + "ls2.gamma", torch.ones(()))
        layers.append(x)
    return layers


def resized(pos: torch.Tensor, prefix: int, side: int, **how: object) -> torch.Tensor:
    """Position embedding on another grid; `how` is what the official code passes to interpolate."""
    old = int((pos.shape[1] - prefix) ** 0.5)
    grid = pos[:, prefix:].reshape(1, old, old, WIDTH).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, mode="bicubic", align_corners=False, **(how or {"size": (side, side)}))
    return torch.cat([pos[:, :prefix], grid.permute(0, 2, 3, 1).reshape(1, side * side, WIDTH)], 1)
