"""Containers are read without running code from them, and unwrapped to plain tensors."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.checkpoints import drop, fit, read, tensors, unwrap
from benchbench.errors import WeightsError


def test_training_containers_with_namespace_and_numpy_scalars_are_read(tmp_path: Path) -> None:
    content = {
        "model": {"a": torch.ones(2)},
        "args": argparse.Namespace(lr=1.0),
        "best": np.float64(0.9),
        "epoch": np.int64(3),
    }
    torch.save(content, tmp_path / "c.pth")
    assert read(tmp_path / "c.pth")["args"].lr == 1.0
    assert torch.equal(tensors(tmp_path / "c.pth")["a"], torch.ones(2))


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("echo pwned > pwned.txt",)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(
    legacy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(
        {"model": {"a": torch.ones(2)}, "evil": Evil()}, "c.pth", _use_new_zipfile_serialization=not legacy
    )
    with pytest.raises(WeightsError, match="would run code") as caught:
        read(tmp_path / "c.pth")
    assert f"asks for {os.system.__module__}.system" in str(caught.value)
    assert "weights_only" not in str(caught.value)  # torch's advice is to read it without protection
    assert not (tmp_path / "pwned.txt").exists()


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "absent"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".npz"])
def test_damaged_files_are_named(damage: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"broken{suffix}"
    if damage == "cut":
        if suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file({"a": torch.ones(5000)}, path)
        elif suffix == ".npz":
            np.savez(path, a=np.ones(5000))
        else:
            torch.save({"a": torch.ones(5000)}, path)
        path.write_bytes(path.read_bytes()[:-4000])
    elif damage != "absent":
        path.write_text("this is no checkpoint" if damage == "text" else "")
    with pytest.raises(WeightsError) as caught:
        tensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"\n  <html>", "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG"),
        (b"version https://git-lfs.github.com/spec/v1", "version https://git-lfs"),
        (b"", "empty"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.bin", "a.safetensors"])
def test_a_file_that_is_no_checkpoint_is_told_by_its_first_bytes(
    content: bytes, told: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="is not a checkpoint: it ") as caught:
        read(tmp_path / name)
    assert told in str(caught.value)
    assert "run code" not in str(caught.value)


def test_safetensors_are_read_under_any_name(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    assert torch.equal(read(tmp_path / "pytorch_model.bin")["a"], torch.ones(2))


def test_a_misfit_names_the_expected_and_the_found_sha256(tmp_path: Path) -> None:
    path = tmp_path / "c.pth"
    torch.save({"bias": torch.zeros(2)}, path)
    with pytest.raises(WeightsError) as caught:
        fit(torch.nn.Linear(3, 2), tensors(path), path, "retfound_green")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert f"expected 431de5dbc1bebbb32f60e2c0bcf8daa4f8bcbf06f7cb1e1dc97ec589713942e1, found {found}" in str(
        caught.value
    )


def test_old_torch_files_without_a_zip_archive_are_read(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {"module.a": torch.ones(2)}}, tmp_path / "c.tar", _use_new_zipfile_serialization=False
    )
    assert list(tensors(tmp_path / "c.tar")) == ["a"]


def test_wrappers_and_prefixes_are_removed_and_nothing_is_lost_to_a_clash(tmp_path: Path) -> None:
    nested = {"state_dict": {"module.backbone.a": torch.zeros(1), "module.head.b": torch.ones(1)}, "epoch": 1}
    torch.save(nested, tmp_path / "a.pth")
    assert sorted(tensors(tmp_path / "a.pth")) == ["a", "head.b"]
    torch.save({"backbone.a": torch.zeros(1), "a": torch.ones(1)}, tmp_path / "b.pth")
    assert sorted(tensors(tmp_path / "b.pth")) == ["a", "backbone.a"]


def test_a_container_without_tensors_lists_what_it_holds(tmp_path: Path) -> None:
    torch.save({"weights_of_mine": {"deep": 1}, "epoch": 3}, tmp_path / "c.pth")
    with pytest.raises(WeightsError, match="epoch, weights_of_mine"):
        tensors(tmp_path / "c.pth")


def test_drop_removes_exact_names_and_everything_below_a_dot() -> None:
    state = {k: torch.zeros(1) for k in ("head.a", "head.b", "headless", "mask", "mask_token")}
    assert sorted(drop(state, ["head.", "mask"])) == ["headless", "mask_token"]


def test_fit_installs_on_a_meta_model_and_converts_to_float32(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = torch.nn.Linear(3, 2)
    weight = torch.randn(3, 2, dtype=torch.float16).T
    fit(model, {"weight": weight, "bias": torch.zeros(2)}, tmp_path / "c.pth", "x")
    assert model.weight.dtype == torch.float32
    assert model.weight.is_contiguous()
    assert torch.equal(model.weight, weight.float())


def test_wrappers_nested_without_end_are_no_traceback() -> None:
    content: dict[str, object] = {"a": 1}
    for _ in range(5000):
        content = {"model": content}
    assert unwrap(content) == {"a": 1}
