from __future__ import annotations

import dataclasses
import errno
import itertools
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench import inference, passes
from benchbench.api import EncoderInfo, Preprocess
from benchbench.embedding import (
    EmbedRequest,
    Networks,
    embed,
    embedding_identity,
    open_embeddings,
)
from benchbench.errors import BenchError, CellError, DataError, PluginError, StoreError
from benchbench.images import prepare, to_input
from benchbench.images.pipeline import StageTimes, stored_batches
from benchbench.machine import usable_cores
from benchbench.prepared import ImageSet, prepared_images, prepared_images_many
from benchbench.shards import Parts, ShardedRows
from benchbench.store import Store, content_key, sha256_of

SMALL = Preprocess("small", 16, "squash")


class Tiny(torch.nn.Module):
    """A convolution and a pool, with weights from a seed."""

    def __init__(self, dim: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.conv = torch.nn.Conv2d(3, dim, 4, 4, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.randn(self.conv.weight.shape, generator=generator))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).relu().mean((2, 3))


def tiny(
    name: str, dim: int = 5, seed: int = 0, preprocess: Preprocess = SMALL, **changes: object
) -> EmbedRequest:
    def load(weights: Path | None, device: str) -> torch.nn.Module:
        return Tiny(dim, seed).eval().to(device)

    card = EncoderInfo(name, name, "tiny", dim, preprocess, "mean", load, None, "", "")
    return EmbedRequest(dataclasses.replace(card, **changes), None, f"seed {seed}")  # type: ignore[arg-type]


@pytest.fixture
def images(tmp_path: Path) -> ImageSet:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(23):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")
    paths = tuple(sorted(folder.iterdir()))
    return ImageSet("toy", paths, tuple(sha256_of(p) for p in paths))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "here")


def only(found: dict[str, ShardedRows]) -> ShardedRows:
    assert len(found) == 1
    return next(iter(found.values()))


def expected(request: EmbedRequest, images: ImageSet) -> np.ndarray:
    """The forward pass image by image, without the engine."""
    module = request.encoder.load(None, "cpu")
    recipe = request.encoder.preprocess
    with torch.inference_mode():
        rows = [module(to_input(prepare(p, recipe)[None], recipe))[0].numpy() for p in images.paths]
    return np.stack(rows)


def test_embeddings_equal_a_plain_loop_in_table_order(store: Store, images: ImageSet) -> None:
    a, b = tiny("a"), tiny("b", 7, 1, Preprocess("large", 24))
    found = embed(store, [a, b], images, part_rows=8, batch_size=4)
    for request, rows in zip([a, b], found.values(), strict=True):
        assert rows.shape == (23, request.encoder.embed_dim)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows[:], expected(request, images), rtol=1e-4, atol=1e-6)


def test_every_file_is_decoded_once_for_all_encoders(store: Store, images: ImageSet) -> None:
    times = StageTimes()
    embed(store, [tiny("a"), tiny("b", 3, 1, Preprocess("l", 24))], images, times=times, part_rows=8)
    assert times.files == 23
    _, new = embed(store, [tiny("a"), tiny("c", 3, 2)], images, times=(later := StageTimes()))
    assert later.files == 23
    assert list(later.model_by_encoder) == [new]


def test_what_is_in_the_store_is_not_computed_again(store: Store, images: ImageSet) -> None:
    first = embed(store, [tiny("a")], images)
    times = StageTimes()
    again = embed(store, [tiny("a")], images, times=times)
    assert list(first) == list(again)
    assert times.files == 0
    assert times.model == 0


@pytest.mark.parametrize(("batch", "part"), [(1, 8), (3, 6), (23, 23), (64, 128)])
def test_batch_and_part_lengths_do_not_change_the_numbers(
    store: Store, images: ImageSet, batch: int, part: int, tmp_path: Path
) -> None:
    reference = only(embed(store, [tiny("a")], images))[:]
    other = only(embed(Store(tmp_path / "other"), [tiny("a")], images, batch_size=batch, part_rows=part))[:]
    np.testing.assert_allclose(other, reference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"variant": "v"},
        {"version": "2"},
        {"pooling": "max"},
        {"preprocess": dataclasses.replace(SMALL, interpolation="bilinear")},
        {"preprocess": dataclasses.replace(SMALL, mean=(0.1, 0.2, 0.3))},
        {"preprocess": dataclasses.replace(SMALL, decode="fast")},
    ],
)
def test_whatever_can_change_embeddings_changes_their_key(
    images: ImageSet, changes: dict[str, object]
) -> None:
    base = tiny("a")
    changed = dataclasses.replace(base, encoder=dataclasses.replace(base.encoder, **changes))
    assert embedding_identity(base, images) != embedding_identity(changed, images)


def test_precision_backend_weights_and_images_are_part_of_the_key(images: ImageSet) -> None:
    base = tiny("a")
    keys = {content_key(embedding_identity(base, images))}
    for change in ({"precision": "bf16"}, {"backend": "openvino"}, {"weights_sha256": "x"}):
        keys.add(content_key(embedding_identity(dataclasses.replace(base, **change), images)))
    swapped = ImageSet("toy", images.paths, images.sha256[::-1])
    keys.add(content_key(embedding_identity(base, swapped)))
    assert len(keys) == 5


def test_where_a_recipe_is_stated_and_where_files_lie_are_not(images: ImageSet) -> None:
    base = tiny("a")
    told = tiny("a", preprocess=dataclasses.replace(SMALL, source="a paper"))
    moved = ImageSet("toy", tuple(Path("/elsewhere") / p.name for p in images.paths), images.sha256)
    assert embedding_identity(base, images) == embedding_identity(told, moved)


def shard_bytes(rows: ShardedRows) -> list[bytes]:
    return [p.read_bytes() for p in sorted(rows.artefact.folder.glob("shard-*.npy"))]


def test_an_interrupted_pass_goes_on_as_it_began_and_gives_the_same_bytes(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = only(embed(Store(tmp_path / "calm"), [tiny("a")], images, batch_size=4, part_rows=8))
    store, real, calls = Store(tmp_path / "hit"), Parts.write, []

    def write_twice(self: Parts, index: int, rows: np.ndarray) -> None:
        calls.append(index)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, index, rows)

    monkeypatch.setattr(Parts, "write", write_twice)
    with pytest.raises(KeyboardInterrupt):
        embed(store, [tiny("a")], images, batch_size=4, part_rows=8)
    monkeypatch.setattr(Parts, "write", real)
    times = StageTimes()
    after = only(embed(store, [tiny("a")], images, batch_size=6, part_rows=12, times=times))  # asks otherwise
    assert times.files == 23 - 16
    assert shard_bytes(after) == shard_bytes(calm)


def interrupted_after_two_parts(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> list[Path]:
    """Leaves two finished parts of eight rows; their files."""
    real = Parts.write

    def write(self: Parts, index: int, rows: np.ndarray) -> None:
        if index == 2:
            raise KeyboardInterrupt
        real(self, index, rows)

    monkeypatch.setattr(Parts, "write", write)
    with pytest.raises(KeyboardInterrupt):
        embed(store, [tiny("a")], images, batch_size=4, part_rows=8)
    monkeypatch.setattr(Parts, "write", real)
    return sorted((store.root / "scratch").rglob("part-*.npy"))


@pytest.mark.parametrize("damage", ["flip", "empty", "cut", "no checksum"])
def test_a_damaged_part_is_set_aside_said_and_computed_again(
    damage: str,
    images: ImageSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    calm = only(embed(Store(tmp_path / "calm"), [tiny("a")], images, batch_size=4, part_rows=8))
    store = Store(tmp_path / "hit")
    first, second = interrupted_after_two_parts(store, images, monkeypatch)
    content = bytearray(first.read_bytes())
    if damage == "flip":
        content[-1] ^= 0xFF
        first.write_bytes(content)
    elif damage == "no checksum":
        first.with_suffix(".json").unlink()
    else:
        first.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    times = StageTimes()
    after = only(embed(store, [tiny("a")], images, batch_size=4, part_rows=8, times=times))
    assert times.files == 23 - 8
    assert shard_bytes(after) == shard_bytes(calm)
    assert f"{first} is corrupt" in caplog.text
    assert str(second) not in caplog.text
    assert len(list((store.root / "quarantine").glob("part-*.reason.txt"))) == 1


def test_a_part_damaged_before_it_is_joined_is_not_published(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Parts.publish

    def publish(self: Parts, *arguments: Any) -> ShardedRows:
        part = self.path(1)
        part.write_bytes(part.read_bytes()[:-1] + b"x")
        return real(self, *arguments)

    monkeypatch.setattr(Parts, "publish", publish)
    with pytest.raises(StoreError, match="damaged before it was joined"):
        embed(store, [tiny("a")], images, batch_size=4, part_rows=8)
    monkeypatch.setattr(Parts, "publish", real)
    times = StageTimes()
    rows = only(embed(store, [tiny("a")], images, batch_size=4, part_rows=8, times=times))
    assert times.files == 8
    np.testing.assert_allclose(rows[:], expected(tiny("a"), images), rtol=1e-4, atol=1e-6)


def test_a_shard_damaged_in_the_store_is_not_read(store: Store, images: ImageSet) -> None:
    rows = only(embed(store, [tiny("a")], images))
    shard = rows.artefact.folder / "shard-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    assert "checksum" in rows.fault
    with pytest.raises(StoreError, match="damaged"):
        rows[:]


def test_the_network_uses_all_cores_whatever_torch_was_told_before(store: Store, images: ImageSet) -> None:
    seen: list[int] = []

    class Spy(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return super().forward(x)

    before = torch.get_num_threads()
    torch.set_num_threads(usable_cores() + 1)  # as OMP_NUM_THREADS does before torch is imported
    try:
        embed(store, [tiny("a", load=lambda weights, device: Spy(5, 0).eval())], images)
        assert torch.get_num_threads() == usable_cores() + 1
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {usable_cores()}


KILLED = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {here!r})
    import test_embedding as t
    from benchbench.images import pipeline
    real = pipeline.prepare_many
    pipeline.prepare_many = lambda *a: (time.sleep(0.02), real(*a))[1]
    paths = tuple(sorted(Path({folder!r}).iterdir()))
    images = t.ImageSet("toy", paths, tuple(t.sha256_of(p) for p in paths))
    print("ready", flush=True)
    t.embed(t.Store(Path({store!r})), [t.tiny("a"), t.tiny("b", 7, 1)], images, batch_size=2, part_rows=4, threads=1)
""")


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.15, 0.3, 0.45])
def test_sigkill_at_any_moment_costs_no_finished_part_and_the_bytes_are_the_same(
    images: ImageSet, tmp_path: Path, after: float
) -> None:
    script = KILLED.format(
        here=str(Path(__file__).parent), folder=str(images.paths[0].parent), store=str(tmp_path / "hit")
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
    requests = [tiny("a"), tiny("b", 7, 1)]
    kept = len(list((tmp_path / "hit" / "scratch").rglob("part-*.npy"))) // 2
    times = StageTimes()
    hit = embed(Store(tmp_path / "hit"), requests, images, batch_size=2, part_rows=4, times=times)
    calm = embed(Store(tmp_path / "calm"), requests, images, batch_size=2, part_rows=4)
    assert times.files <= 23 - 4 * kept
    for a, b in zip(hit.values(), calm.values(), strict=True):
        assert shard_bytes(a) == shard_bytes(b)
    assert not list((tmp_path / "hit" / "scratch").rglob("part-*.npy"))


def test_unreadable_images_are_named_together(store: Store, images: ImageSet) -> None:
    images.paths[3].write_bytes(b"")
    images.paths[20].write_bytes(images.paths[0].read_bytes()[:300])
    with pytest.raises(DataError) as caught:
        embed(store, [tiny("a")], images, part_rows=8)
    assert images.paths[3].name in str(caught.value)
    assert images.paths[20].name in str(caught.value)


def test_values_that_are_not_finite_are_refused(store: Store, images: ImageSet) -> None:
    class Bad(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / 0 - torch.inf

    with pytest.raises(CellError, match="not finite"):
        embed(store, [tiny("a", load=lambda w, d: Bad(5, 0).eval())], images)


def test_an_encoder_whose_card_tells_another_width_is_refused(store: Store, images: ImageSet) -> None:
    with pytest.raises(PluginError, match="returned shape"):
        embed(store, [tiny("a", embed_dim=6)], images)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."
        ),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_halves_the_batch_and_is_recorded(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Hungry(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 3:
                raise error
            return super().forward(x)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    rows = only(
        embed(store, [tiny("a", load=lambda w, d: Hungry(5, 0).eval())], images, batch_size=16, part_rows=16)
    )
    np.testing.assert_allclose(rows[:], expected(tiny("a"), images), rtol=1e-4, atol=1e-6)
    assert rows.notes["batch_halvings"] == 3
    assert rows.notes["batch"] == 2


def test_a_batch_that_finds_no_room_on_the_device_is_taken_in_pieces(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batch: torch.Tensor, device: str) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("benchbench.embedding.on_device", full)
    rows = only(embed(store, [tiny("a")], images))
    np.testing.assert_allclose(rows[:], expected(tiny("a"), images), rtol=1e-4, atol=1e-6)


def test_halvings_are_told_of_the_dataset_that_they_fell_in(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hungry(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    request, networks = tiny("a", load=lambda w, d: Hungry(5, 0).eval()), {}
    other = ImageSet("other", images.paths, images.sha256)
    notes = [only(embed(store, [request], some, networks=networks)).notes for some in (images, other)]
    assert [n["batch_halvings"] for n in notes] == [2, 0]
    assert [n["batch"] for n in notes] == [2, 2]


def test_memory_that_does_not_hold_one_image_is_an_error(store: Store, images: ImageSet) -> None:
    class Starved(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(CellError, match="memory"):
        embed(store, [tiny("a", load=lambda w, d: Starved(5, 0).eval())], images, batch_size=2)


def test_other_errors_of_a_network_are_not_taken_for_a_full_memory(store: Store, images: ImageSet) -> None:
    class Broken(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        embed(store, [tiny("a", load=lambda w, d: Broken(5, 0).eval())], images, batch_size=4)


@pytest.mark.parametrize("used", [None, "matmul", "cudnn", "conv"])
def test_tf32_is_off_for_fp32_on_a_gpu_whichever_switches_were_used_before(used: str | None) -> None:
    code = textwrap.dedent(f"""
        import torch
        from benchbench.inference import full_fp32
        products, cudnn, used = torch.backends.cuda.matmul, torch.backends.cudnn, {used!r}
        if used:
            place = {{"matmul": products, "cudnn": cudnn, "conv": getattr(cudnn, "conv", None)}}[used]
            if not hasattr(place, "fp32_precision"):
                raise SystemExit  # older torch has the old switches only
            place.fp32_precision = "tf32"
        def state():
            try:
                return products.allow_tf32, cudnn.allow_tf32
            except RuntimeError:
                return [p.fp32_precision == "tf32" for p in (products, cudnn.conv, cudnn.rnn)]
        before = state()
        with full_fp32("cuda:1"):
            assert not any(state()), state()
        assert state() == before and any(before), (before, state())
        with full_fp32("cpu"):
            assert state() == before
    """)
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("change", [{"precision": "fp16"}, {"precision": "int8"}, {"backend": "tensorrt"}])
def test_precisions_and_backends_that_make_no_sense_here_are_refused(
    store: Store, images: ImageSet, change: dict[str, str]
) -> None:
    with pytest.raises(BenchError):
        embed(store, [dataclasses.replace(tiny("a"), **change)], images)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((1 - (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).max())


def test_bf16_stays_near_fp32_and_is_kept_apart(store: Store, images: ImageSet) -> None:
    full, lower = tiny("a", 32), dataclasses.replace(tiny("a", 32), precision="bf16")
    a, b = embed(store, [full, lower], images).values()
    assert 0 < cosine_distance(a[:], b[:]) < 1e-3


def test_openvino_equals_torch_in_fp32(store: Store, images: ImageSet) -> None:
    pytest.importorskip("openvino")
    full, other = tiny("a", 32), dataclasses.replace(tiny("a", 32), backend="openvino")
    a, b = embed(store, [full, other], images, threads=1).values()
    assert a.artefact.key != b.artefact.key
    assert cosine_distance(a[:], b[:]) < 1e-6


@pytest.mark.slow
def test_compiled_networks_equal_torch_also_for_a_last_batch_that_is_shorter(
    store: Store, images: ImageSet
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    rows = only(
        embed(store, [dataclasses.replace(tiny("a"), backend="compile")], images, batch_size=8, part_rows=8)
    )
    np.testing.assert_allclose(rows[:], expected(tiny("a"), images), rtol=1e-4, atol=1e-6)
    assert len(images) % 8


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the graphs that torch.compile makes, in the order in which they run; made without a C++ compiler."""
    ran: list[int] = []
    made = itertools.count()
    real = torch.nn.Module.compile

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        number = next(made)
        return lambda *inputs: (ran.append(number), graph.forward(*inputs))[1]

    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **settings: real(self, backend=backend, **settings)
    )
    torch._dynamo.reset()
    return ran


def test_networks_of_one_class_are_all_compiled_however_many(graphs: list[int]) -> None:
    pixels = np.zeros((4, 16, 16, 3), np.uint8)
    for width in range(2, 22):
        inference.Runner(dataclasses.replace(tiny("a", width), backend="compile"))(pixels)
    assert len(set(graphs)) == 20


def test_what_computes_a_batch_does_not_depend_on_the_batches_before_it(graphs: list[int]) -> None:
    runner = inference.Runner(dataclasses.replace(tiny("a"), backend="compile"))
    for length in (8, 8, 5, 8, 3, 5):
        runner(np.zeros((length, 16, 16, 3), np.uint8))
    assert graphs == [0, 0, 1, 0, 2, 1]


def test_a_compiler_that_is_missing_is_told(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import BackendCompilerFailed

    def no_compiler(*_: object) -> None:
        raise BackendCompilerFailed(no_compiler, RuntimeError("no working C++ compiler found"), None)  # type: ignore[arg-type]

    monkeypatch.setattr(inference, "module_forward", no_compiler)
    with pytest.raises(CellError, match="use backend: torch"):
        embed(store, [dataclasses.replace(tiny("a"), backend="compile")], images)


def test_progress_counts_images_times_encoders(store: Store, images: ImageSet) -> None:
    seen: list[tuple[int, int]] = []
    embed(store, [tiny("a"), tiny("b", 4)], images, part_rows=8, progress=lambda d, t, n: seen.append((d, t)))
    assert seen[-1] == (46, 46)
    assert [d for d, _ in seen] == sorted(d for d, _ in seen)


def test_prepared_images_are_what_prepare_gives(store: Store, images: ImageSet) -> None:
    other = Preprocess("l", 24)
    source, large = prepared_images_many(store, [SMALL, other], images, times=(times := StageTimes()))
    assert times.files == 23
    picked = np.array([22, 0, 5])
    for rows, recipe in ((source, SMALL), (large, other)):
        assert rows[picked].dtype == np.uint8
        assert np.array_equal(rows[picked], np.stack([prepare(images.paths[i], recipe) for i in picked]))
    assert len(prepared_images(store, SMALL, images)) == 23


def test_decoding_does_not_stop_at_the_end_of_a_part(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded_at_write: list[int] = []
    real = Parts.write

    def write(self: Parts, index: int, rows: np.ndarray) -> None:
        time.sleep(0.1)
        decoded_at_write.append(times.files)
        real(self, index, rows)

    monkeypatch.setattr(Parts, "write", write)
    times = StageTimes()
    embed(store, [tiny("a")], images, batch_size=4, part_rows=8, times=times)
    assert times.files == 23
    assert decoded_at_write[0] >= 8 + 4  # at least one batch of the next part


def test_an_encoder_is_loaded_once_for_several_datasets(store: Store, images: ImageSet) -> None:
    loads: list[str] = []

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        loads.append(device)
        return Tiny(5, 0).eval()

    networks: Networks = {}
    other = ImageSet("other", images.paths[:9], images.sha256[:9])
    half = tiny("a", load=load, preprocess=dataclasses.replace(SMALL, decode="fast"))
    for request in (tiny("a", load=load), half):
        found = [embed(store, [request], some, networks=networks) for some in (images, other)]
        assert np.array_equal(only(found[0])[:9], only(found[1])[:])
    assert (
        len(loads) == len(networks) == 2
    )  # another recipe is another network: nothing else tells them apart


@pytest.mark.parametrize("shards", [1, 3])
def test_prepared_images_are_read_ahead_in_order(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch, shards: int
) -> None:
    if shards > 1:
        monkeypatch.setattr("benchbench.prepared.PART_ROWS", 8)
    rows = prepared_images(store, SMALL, images)
    assert isinstance(rows, ShardedRows)
    cut = [range(5), range(5, 12), range(12, 23)]
    for ahead in (0, 2, 8):
        found = list(stored_batches([rows, rows], cut, threads=3, ahead=ahead))
        assert [positions for positions, _ in found] == cut
        for positions, tensors in found:
            for tensor in tensors:
                assert np.array_equal(tensor.numpy(), rows[np.arange(positions.start, positions.stop)])


def test_threads_that_read_ahead_hash_a_shard_once(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbench import store as storage

    rows = prepared_images(store, SMALL, images)
    assert isinstance(rows, ShardedRows)
    hashed: list[Path] = []

    def slow(path: Path) -> str:
        hashed.append(path)
        time.sleep(0.1)
        return sha256_of(path)

    monkeypatch.setattr(storage, "_sound", set())
    monkeypatch.setattr(storage, "sha256_of", slow)
    again = ShardedRows.open(rows.artefact)
    hashed.clear()
    list(stored_batches([again], [range(i, i + 4) for i in range(0, 20, 4)], threads=5, ahead=8))
    assert [path.name for path in hashed] == ["shard-00000.npy"]


def test_damage_that_shows_while_reading_ahead_is_told(store: Store, images: ImageSet) -> None:
    rows = prepared_images(store, SMALL, images)
    assert isinstance(rows, ShardedRows)
    (rows.artefact.folder / "shard-00000.npy").write_bytes(b"x")
    with pytest.raises(StoreError, match="damaged"):
        list(stored_batches([ShardedRows.open(rows.artefact)], [range(4)], threads=2))


def test_prepared_images_are_used_instead_of_the_files(store: Store, images: ImageSet) -> None:
    prepared_images(store, SMALL, images)
    times = StageTimes()
    rows = only(embed(store, [tiny("a")], images, times=times))
    assert times.files == 0
    np.testing.assert_allclose(rows[:], expected(tiny("a"), images), rtol=1e-4, atol=1e-6)


def planted(store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch, stage: str) -> StageTimes:
    """Stage times of a pass in which one stage sleeps 20 ms per image."""

    def slow(
        function: Callable[..., object], factor: Callable[..., int] = lambda *a: 1
    ) -> Callable[..., object]:
        return lambda *a, **k: (time.sleep(0.02 * factor(*a)), function(*a, **k))[1]

    if stage == "prepare":
        monkeypatch.setattr("benchbench.images.pipeline.prepare_many", slow(prepare_many_of()))
    if stage == "model":
        monkeypatch.setattr(inference, "module_forward", slow(inference.module_forward, lambda m, x: len(x)))
    if stage == "transfer":
        monkeypatch.setattr(inference, "to_input", slow(inference.to_input, lambda x, p, d: len(x)))
    if stage == "write":
        monkeypatch.setattr(Parts, "write", slow(Parts.write, lambda self, index, rows: len(rows)))
    times = StageTimes()
    embed(store, [tiny("a")], images, times=times, batch_size=4, part_rows=8, threads=1)
    return times


def prepare_many_of() -> Callable[..., object]:
    from benchbench.images import prepare_many

    return prepare_many


@pytest.mark.parametrize("stage", ["prepare", "transfer", "model", "write"])
def test_a_sleep_planted_in_a_stage_shows_in_that_stage_and_in_no_other(
    images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    planted_seconds = 23 * 0.02
    times = planted(Store(tmp_path / stage), images, monkeypatch, stage)
    for other in ("prepare", "transfer", "model", "write"):
        if other == stage:
            assert getattr(times, other) >= planted_seconds
        else:
            assert getattr(times, other) < planted_seconds


def test_rows_come_from_the_right_shard_however_they_are_asked_for(store: Store) -> None:
    rows, width, part = 1000, 3, 10
    data = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    key = content_key({"test": 1})
    parts = Parts(store, "embeddings", {"test": 1}, key, rows)
    for i in range(rows // part):
        parts.write(i, data[i * part : (i + 1) * part])
    parts.publish((width,), np.float32, part, 3, {})
    opened = open_embeddings(store, key)
    assert opened is not None
    assert len(opened.shards) == 34
    index = np.random.default_rng(0).permutation(rows)[:200]
    assert np.array_equal(opened[index], data[index])
    assert np.array_equal(opened[5:47:3], data[5:47:3])
    assert np.array_equal(opened[999], data[999])
    assert np.array_equal(opened[-1], data[-1])
    with pytest.raises(IndexError):
        opened[1000]
    assert np.array_equal(opened[np.arange(rows) % 7 == 0], data[::7])
    assert np.array_equal(np.asarray(opened), data)


def test_no_images_give_no_rows(store: Store) -> None:
    rows = only(embed(store, [tiny("a")], ImageSet("none", (), ())))
    assert rows.shape == (0, 5)
    assert rows[:].shape == (0, 5)


def test_embeddings_that_are_not_there_are_none(store: Store) -> None:
    assert open_embeddings(store, "f" * 32) is None


def two_parts(store: Store) -> tuple[Parts, np.ndarray]:
    data = np.arange(14, dtype=np.float32).reshape(7, 2)
    parts = Parts(store, "embeddings", {"test": 2}, content_key({"test": 2}), 7)
    parts.write(0, data[:4])
    parts.write(1, data[4:])
    return parts, data


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_shard_has_the_bytes_that_numpy_saves_and_is_not_written_through_a_mapping(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, data = two_parts(store)
    real = np.lib.format.open_memmap

    def only_read(path: Path, mode: str = "r+", **more: Any) -> np.ndarray:
        assert mode == "r", "a full disk kills a process that writes through a mapping"
        return real(path, mode=mode, **more)

    monkeypatch.setattr(np.lib.format, "open_memmap", only_read)
    rows = parts.publish((2,), np.float32, 4, 2, {})
    np.save(tmp_path / "whole.npy", data)
    assert shard_bytes(rows) == [(tmp_path / "whole.npy").read_bytes()]


def test_a_disk_that_fills_while_parts_are_joined_is_an_error_and_leaves_no_half_artefact(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, _ = two_parts(store)
    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array_header_1_0", no_space)
        with pytest.raises(StoreError, match="cannot be written: No space left"):
            parts.publish((2,), np.float32, 4, 2, {})
    assert [p.name for p in (store.root / "embeddings").rglob("*") if p.is_file()] == []
    assert [parts.has(0), parts.has(1)] == [True, True]
    parts.publish((2,), np.float32, 4, 2, {})


def test_a_shard_that_is_cut_off_while_it_is_written_is_not_published(store: Store) -> None:
    """A limit on the length of files stands for a disk that fills in the middle of a shard."""
    parts, _ = two_parts(store)
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (160, before[1]))  # a header and a part, not two
    try:
        with pytest.raises(StoreError, match="cannot be written"):
            parts.publish((2,), np.float32, 4, 2, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in (store.root / "embeddings").rglob("*") if p.is_file()] == []


def test_a_part_that_cannot_be_written_leaves_no_temporary_file(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, data = two_parts(store)
    before = sorted(parts.folder.iterdir())
    monkeypatch.setattr("benchbench.shards.os.fsync", no_space)
    with pytest.raises(StoreError, match="No space left"):
        parts.write(1, data)
    assert sorted(parts.folder.iterdir()) == before


@pytest.mark.parametrize("name", ["index.json", "notes.json"])
def test_a_damaged_index_or_note_is_not_read(store: Store, images: ImageSet, name: str) -> None:
    rows = only(embed(store, [tiny("a")], images))
    path = rows.artefact.folder / name
    path.write_bytes(path.read_bytes().replace(b"2", b"1"))
    with pytest.raises(StoreError, match="bench cache verify"):
        assert ShardedRows.open(rows.artefact).notes
    assert name == "index.json" or "checksum" in rows.fault


class Planned:
    """As much of an encoder's state as a pass asks for."""

    def __init__(self, name: str) -> None:
        self.request, self.label = tiny(name), name
        self.info = self.request.encoder


@pytest.fixture
def planned(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> dict[str, Planned]:
    encoders = {"a": Planned("a"), "b": Planned("b")}
    monkeypatch.setattr(passes, "needed_embeddings", lambda _: {"toy": encoders})
    monkeypatch.setattr(passes, "image_set", lambda *_: images)
    monkeypatch.setattr(passes, "embed_request", lambda state: state.request)
    return encoders


def embed_planned(store: Store) -> dict[str, str]:
    survey: Any = None
    return passes.embed_all([], survey, store, "cpu", lambda *_: None)


@pytest.mark.usefixtures("planned")
def test_a_full_disk_stops_the_pass_and_is_no_encoder_s_failure(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("benchbench.shards.np.save", no_space)
    with pytest.raises(StoreError, match="No space left"):
        embed_planned(store)
    assert "one encoder at a time" not in caplog.text


def test_a_full_disk_stops_a_worker(
    planned: dict[str, Planned], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey = types.SimpleNamespace(encoders=list(planned.values()))
    plan: Any = types.SimpleNamespace(load=lambda: types.SimpleNamespace(survey=survey))
    job = passes.EmbedJob(plan, "toy", ("a", "b"), frozenset({0}), store.root, "cpu")
    monkeypatch.setattr("benchbench.shards.np.save", no_space)
    with pytest.raises(StoreError, match="No space left"):
        job()


def test_networks_that_did_not_fit_together_are_gone_before_each_is_tried_alone(
    store: Store, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one network at a time finds room on this device."""
    alive: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()

    def load(weights: Path | None, device: str) -> torch.nn.Module:
        if len(alive):
            raise torch.OutOfMemoryError("CUDA out of memory")
        module = Tiny(5, 0).eval()
        alive.add(module)
        return module

    encoders = {name: Planned(name) for name in "abc"}
    for name, state in encoders.items():
        state.request = tiny(name, load=load)
    monkeypatch.setattr(passes, "needed_embeddings", lambda _: {"toy": encoders})
    monkeypatch.setattr(passes, "image_set", lambda *_: images)
    monkeypatch.setattr(passes, "embed_request", lambda state: state.request)
    assert embed_planned(store) == {}
    for state in encoders.values():
        assert open_embeddings(store, content_key(embedding_identity(state.request, images))) is not None


@pytest.mark.usefixtures("planned")
def test_a_part_that_was_damaged_does_not_stop_the_pass(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, hit = Parts.publish, []

    def publish(self: Parts, *arguments: Any) -> ShardedRows:
        if not hit:
            hit.append(self.path(0).write_bytes(b"x"))
        return real(self, *arguments)

    monkeypatch.setattr(Parts, "publish", publish)
    assert embed_planned(store) == {}
    assert hit
