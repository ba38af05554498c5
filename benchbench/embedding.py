"""Embeddings of whole datasets: each file decoded once for all encoders, kept in the store, resumable.

The images are cut into parts. A part of an encoder is in the scratch folder when it is complete, so a kill at
any instant loses two parts at most: the one that is computed, and the one that is written meanwhile. Batches
begin at the start of a part and have a fixed length: what is computed after an interruption has the same bytes as
without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Container, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from .api import Preprocess
from .claims import claims_shown
from .images import on_device
from .images.pipeline import StageTimes, prepared_batches, stored_batches
from .inference import EmbedRequest, Runner, automatic_batch, check_finite, cpu_threads, out_of_memory
from .machine import machine_line, usable_cores
from .origin import plugin_identity
from .prepared import ImageSet, Progress, distinct, open_prepared, pixels_name
from .shards import Parts, ShardedRows
from .store import Store, content_key

if TYPE_CHECKING:
    import torch

    from .images.pipeline import Batch

SCHEMA = 1
"""Raise it when the same identity would give other numbers."""
SHARD_ROWS = 65_536
"""Rows of a published shard: a million embeddings are 16 files."""
Embeddings = ShardedRows
"""(n, D) float32 embeddings in table order; `embeddings[rows]` reads those rows."""
Networks = dict[str, Runner]
"""Loaded encoders of one device, by what decides their numbers."""
READ_AHEAD_BYTES = 2 << 30
"""Prepared images that are read ahead for a GPU, which takes them faster than one thread checks and copies them."""


def embedding_identity(request: EmbedRequest, images: ImageSet) -> dict[str, Any]:
    """Everything that can change the embeddings; `content_key` of it is their key in the store."""
    return {"dataset": images.dataset, "images": images.fingerprint, **_network_identity(request)}


def _network_identity(request: EmbedRequest) -> dict[str, Any]:
    """What of it is the same for all images."""
    encoder = request.encoder
    return {
        "schema": SCHEMA,
        "encoder": encoder.name,
        "variant": encoder.variant,
        "version": encoder.version,
        "embed_dim": encoder.embed_dim,
        "weights_sha256": request.weights_sha256,
        "preprocess": _recipe(encoder.preprocess),
        "pooling": encoder.pooling,
        "precision": request.precision,
        "backend": request.backend,
        **plugin_identity(encoder.origin),
    }


def open_embeddings(store: Store, key: str) -> Embeddings | None:
    """The embeddings under `key`, memory-mapped, or None where there are none."""
    artefact = store.find("embeddings", key)
    return ShardedRows.open(artefact) if artefact else None


def embed(
    store: Store,
    requests: Sequence[EmbedRequest],
    images: ImageSet,
    *,
    device: str = "cpu",
    batch_size: int | None = None,
    threads: int | None = None,
    part_rows: int | None = None,
    progress: Progress | None = None,
    times: StageTimes | None = None,
    networks: Networks | None = None,
) -> dict[str, Embeddings]:
    """Embeddings of all images by all encoders, from the store where they are there, else computed.

    Args:
        store: Where finished and unfinished work lies.
        requests: Encoders; each file is decoded once for all that still need it.
        images: The images of one dataset.
        device: "cpu" or "cuda".
        batch_size: Images per forward pass; None: 8 on a CPU, 256 on a GPU, halved where memory runs out.
        threads: CPU threads for decoding and for the network; None: all cores.
        part_rows: Images between two saves; None: 128 on a CPU, 4096 on a GPU.
        progress: Called as progress(done, total, note); units are images times encoders.
        times: Filled with where the time went.
        networks: Encoders that earlier calls for this device have loaded; those of this one are added.

    Returns:
        Embeddings by key, in the order of the requests.

    Raises:
        DataError: naming every unreadable file.
        WeightsError, PluginError, CellError: a checkpoint or encoder that does not do what its card says.
    """
    wanted = {content_key(embedding_identity(r, images)): r for r in requests}
    times = times if times is not None else StageTimes()
    found = {key: open_embeddings(store, key) for key in wanted}
    missing = {key: wanted[key] for key in wanted if found[key] is None}
    if missing:
        with claims_shown(store, missing, progress):
            found.update(
                {key: open_embeddings(store, key) for key in missing}
            )  # another process may have done it
            missing = {key: wanted[key] for key in missing if found[key] is None}
            job = _Job(
                store, missing, images, device, batch_size, threads, part_rows, progress, times, networks
            )
            with cpu_threads(job.threads):
                found.update(job.run())
    return {key: rows for key in wanted if (rows := found[key]) is not None}


def parts_to_do(
    store: Store, requests: Sequence[EmbedRequest], images: ImageSet, *, device: str = "cpu"
) -> tuple[int, ...]:
    """Numbers of the parts that some encoder still needs, for dividing them among workers.

    Fixes how the work is cut, so that all workers cut it alike.
    """
    wanted = {content_key(embedding_identity(r, images)): r for r in requests}
    missing = {key: r for key, r in wanted.items() if open_embeddings(store, key) is None}
    job = _Job(store, missing, images, device, None, None, None, None, StageTimes())
    needed: set[int] = set()
    for key, request in missing.items():
        parts = Parts(store, "embeddings", embedding_identity(request, images), key, len(images))
        count = -(-len(images) // parts.layout(job.layout)["part"])
        needed.update(i for i in range(count) if not parts.has(i))
    return tuple(sorted(needed))


def embed_share(
    store: Store,
    requests: Sequence[EmbedRequest],
    images: ImageSet,
    parts: Container[int],
    *,
    device: str = "cpu",
    threads: int | None = None,
) -> None:
    """Embed some parts only and publish nothing; a later `embed` finds them and publishes the whole."""
    wanted = {content_key(embedding_identity(r, images)): r for r in requests}
    missing = {key: r for key, r in wanted.items() if open_embeddings(store, key) is None}
    job = _Job(store, missing, images, device, None, threads, None, None, StageTimes())
    with cpu_threads(job.threads):
        job.run(parts)


class _Job:
    """One pass over the images for the encoders that still need some of them."""

    def __init__(
        self,
        store: Store,
        requests: Mapping[str, EmbedRequest],
        images: ImageSet,
        device: str,
        batch_size: int | None,
        threads: int | None,
        part_rows: int | None,
        progress: Progress | None,
        times: StageTimes,
        networks: Networks | None = None,
    ) -> None:
        self.store, self.requests, self.images, self.device = store, requests, images, device
        self.threads, self.times = threads or usable_cores(), times
        self.report = progress or (lambda done, total, note: None)
        batch = batch_size or automatic_batch(device)
        rows = part_rows or (4096 if device.startswith("cuda") else 128)
        self.layout = {"batch": batch, "part": -(-rows // batch) * batch}
        self.networks: Networks = {} if networks is None else networks
        self.gpu_spans: dict[str, list[tuple[Any, Any]]] = {}
        self.halvings: dict[str, int] = {}
        """Of each network when this pass began to use it."""
        self.embedded: dict[str, int] = {}
        """Images embedded by this pass; the rest was there from an earlier one, or came from other processes."""
        self.started = time.perf_counter()

    def run(self, share: Container[int] | None = None) -> dict[str, ShardedRows]:
        """Compute what is missing and publish it; with `share`, only these parts, and publish nothing."""
        groups: dict[tuple[int, int], list[str]] = {}
        parts: dict[str, Parts] = {}
        for key, request in self.requests.items():
            identity = embedding_identity(request, self.images)
            parts[key] = Parts(self.store, "embeddings", identity, key, len(self.images))
            layout = parts[key].layout(self.layout)  # interrupted work may be cut differently
            groups.setdefault((layout["batch"], layout["part"]), []).append(key)
        self.done, self.total = 0, len(self.images) * len(self.requests)
        self.computed = 0
        for (batch, part), keys in groups.items():
            pieces = []
            for index, start in enumerate(range(0, len(self.images), part)):
                if share is not None and index not in share:
                    continue
                rows = range(start, min(start + part, len(self.images)))
                todo = tuple(key for key in keys if not parts[key].has(index))
                self.done += len(rows) * (len(keys) - len(todo))
                pieces.append((todo, index, rows))
            # Parts that need the same encoders are one stream of images: it does not run dry at their ends.
            for needed, stretch in itertools.groupby(pieces, key=lambda piece: piece[0]):
                if needed:
                    self._stretch(needed, parts, [(index, rows) for _, index, rows in stretch], batch)
        out: dict[str, ShardedRows] = {}
        for (batch, part), keys in groups.items():
            for key in keys if share is None else ():
                dim, shard_parts = self.requests[key].encoder.embed_dim, max(1, SHARD_ROWS // part)
                out[key] = parts[key].publish((dim,), np.float32, part, shard_parts, self._notes(key, batch))
        return out

    def _stretch(
        self,
        keys: Sequence[str],
        parts: Mapping[str, Parts],
        pieces: Sequence[tuple[int, range]],
        batch: int,
    ) -> None:
        """Embed the images of some parts (number, rows) by the encoders `keys`, and keep each part when it is done."""
        recipes = distinct([self.requests[key].encoder.preprocess for key in keys])
        cuts = [[range(i, min(i + batch, r.stop)) for i in range(r.start, r.stop, batch)] for _, r in pieces]
        batches = self._batches(list(recipes.values()), [rows for cut in cuts for rows in cut])
        with contextlib.closing(batches), ThreadPoolExecutor(1, thread_name_prefix="keep") as keeper:
            kept: Future[None] | None = None
            for (index, rows), cut in zip(pieces, cuts, strict=True):
                embedded = self._embedded(keys, list(recipes), itertools.islice(batches, len(cut)))
                if kept is not None:
                    kept.result()
                kept = keeper.submit(self._keep, parts, index, rows, embedded)
            if kept is not None:
                kept.result()

    def _embedded(
        self, keys: Sequence[str], recipes: Sequence[str], batches: Iterable[Batch]
    ) -> dict[str, np.ndarray]:
        """(n, D) embeddings of some batches by encoder; a batch has one tensor per recipe."""
        import torch

        outputs: dict[str, list[torch.Tensor]] = {key: [] for key in keys}
        names = ", ".join(self.requests[key].encoder.name for key in keys)
        for positions, tensors in batches:
            pixels = dict(zip(recipes, self._sent(tensors), strict=True))
            for key in keys:
                recipe = pixels_name(self.requests[key].encoder.preprocess)
                outputs[key].append(self._forward(key, pixels[recipe]))
                self.done += len(positions)
                self.computed += len(positions)
            rate = self.computed / max(time.perf_counter() - self.started, 1e-9)
            self.report(self.done, self.total, f"{self.images.dataset}: {names}, {rate:.1f} images/s")
        embedded = {key: torch.cat(out).cpu().numpy() for key, out in outputs.items()}
        for key in keys:
            self._count_gpu(key)
        return embedded

    def _sent(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """A batch where the networks are; where that has no room for it, as it is: they take it in pieces."""
        started = time.perf_counter()
        try:
            return [on_device(tensor, self.device) for tensor in tensors]
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            return tensors
        finally:
            self.times.transfer += time.perf_counter() - started

    def _keep(
        self, parts: Mapping[str, Parts], index: int, rows: range, embedded: Mapping[str, np.ndarray]
    ) -> None:
        """Write a part of every encoder, while the next one is computed."""
        started = time.perf_counter()
        for key, values in embedded.items():
            check_finite(values, self.requests[key], tuple(self.images.paths[rows.start : rows.stop]))
            parts[key].write(index, values)
        self.times.write += time.perf_counter() - started

    def _batches(self, recipes: list[Preprocess], cut: list[range]) -> Generator[Batch]:
        """Prepared batches: from the store where all recipes have been prepared before, else from the files."""
        cuda = self.device.startswith("cuda")
        ready = [source for p in recipes if (source := open_prepared(self.store, p, self.images)) is not None]
        if len(ready) == len(recipes):
            size = sum(3 * p.size**2 for p in recipes) * max(map(len, cut))
            ahead = min(8, max(2, READ_AHEAD_BYTES // size)) if cuda else 2
            return stored_batches(ready, cut, threads=self.threads, ahead=ahead, times=self.times, pin=cuda)
        return prepared_batches(
            self.images.paths, recipes, cut, threads=self.threads, times=self.times, pin=cuda
        )

    def _network(self, key: str) -> Runner:
        name = content_key(_network_identity(self.requests[key]))
        if name not in self.networks:
            self.report(self.done, self.total, f"loading {self.requests[key].encoder.name}")
            self.networks[name] = Runner(self.requests[key], self.device, self.threads)
        runner = self.networks[name]
        self.halvings.setdefault(key, runner.halvings)
        return runner

    def _forward(self, key: str, pixels: torch.Tensor) -> torch.Tensor:
        runner = self._network(key)
        started, transferred, begun = time.perf_counter(), runner.transfer, self._gpu_mark()
        out = runner(pixels)
        seconds, transfer = time.perf_counter() - started, runner.transfer - transferred
        self.times.transfer += transfer
        if begun is None:
            self._count_model(key, seconds - transfer, seconds)
        else:  # the call returned before the work was done
            self.gpu_spans.setdefault(key, []).append((begun, self._gpu_mark()))
        runner.examine(pixels, out)
        self.embedded[key] = self.embedded.get(key, 0) + len(pixels)
        return out

    def _gpu_mark(self) -> Any:
        """A point in the GPU's queue whose time can be asked for when it is reached; None on a CPU."""
        if not self.device.startswith("cuda"):
            return None
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def _count_gpu(self, key: str) -> None:
        """Count what the GPU spent on an encoder, whose work must be done."""
        seconds = sum(begun.elapsed_time(ended) for begun, ended in self.gpu_spans.pop(key, ())) / 1000
        self._count_model(key, seconds, seconds)

    def _count_model(self, key: str, seconds: float, with_transfer: float) -> None:
        self.times.model += seconds
        self.times.model_by_encoder[key] = self.times.model_by_encoder.get(key, 0.0) + with_transfer

    def _notes(self, key: str, batch: int) -> dict[str, Any]:
        """What is worth knowing about how the embeddings came about."""
        import torch

        from .images import codecs

        runner = self.networks.get(content_key(_network_identity(self.requests[key])))
        return {
            "device": self.device,
            "machine": machine_line(self.device),
            "processor": machine_line(),
            "threads": self.threads,
            "batch": min(batch, runner.limit) if runner else batch,
            "batch_halvings": runner.halvings - self.halvings.get(key, runner.halvings) if runner else 0,
            "torch": str(torch.__version__),
            "codecs": codecs(),
            "files_decoded": self.times.files,
            "prepare_thread_seconds": round(self.times.prepare, 3),
            "files_shared_by": len(self.requests),
            "model_seconds": round(self.times.model_by_encoder.get(key, 0.0), 6),
            "model_images": self.embedded.get(key, 0),
        }


def _recipe(preprocess: Preprocess) -> dict[str, Any]:
    """A preprocess as JSON; where it is stated does not change what it does."""
    values = dataclasses.asdict(preprocess) | preprocess.crop_version()
    del values["source"]
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
