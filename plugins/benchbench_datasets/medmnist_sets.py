"""RetinaMNIST and OCTMNIST: the arrays of MedMNIST v2, unpacked to image files once.

The file is an ``.npz`` with ``{train,val,test}_{images,labels}``. Its md5 must be MedMNIST's own, unless the folder
is simulated. OCTMNIST's images come from OCT2017 and RetinaMNIST's from DeepDRiD; neither carries patients.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.api import Access, DatasetInfo, DatasetOption, Task
from benchbench.datasets.model import SIMULATED_MARKER
from benchbench.datasets.reading import Problems, table
from benchbench.errors import DataError
from benchbench.store import default_root

from .dr import dr_tasks
from .folders import one_against_rest

if TYPE_CHECKING:
    import pandas as pd

MD5 = {
    "retinamnist": {"224": "eae7e3b6f3fcbda4ae613ebdcbe35348"},
    "octmnist": {"224": "abc493b6d529d5de7569faaef2773ba3"},
}
OCT_CLASSES = ("CNV", "DME", "DRUSEN", "NORMAL")


def load(root: Path, options: Mapping[str, str], name: str = "") -> pd.DataFrame:
    """One PNG per image, written on first use: see `_place`."""
    import numpy as np

    size = options["size"]
    archive = root / f"{name}_{size}.npz"
    if not archive.is_file():
        raise DataError(
            f"{name}: the archive is missing.", where=str(archive), fix=f"bench data how-to {name}"
        )
    target = _place(archive, name, size)
    if not (target / "complete").is_file():
        _check_md5(archive, name, size)
        _unpack(archive, target, name)
    records: list[dict[str, object]] = []
    problems = Problems(name)
    with np.load(archive, allow_pickle=False) as arrays:
        for split in ("train", "val", "test"):
            for i, label in enumerate(arrays[f"{split}_labels"].reshape(-1)):
                image_id = f"{split}/{i:06d}"
                path = target / f"{image_id}.png"
                if not path.is_file():
                    problems.add(f"{path} is missing; delete {target} to unpack again")
                records.append({"image_id": image_id, "path": path, "split": split, "label": float(label)})
    problems.stop(where=str(root))
    return table(records, ["label"])


def _place(archive: Path, name: str, size: str) -> Path:
    """``unpacked_<size>`` beside the archive; where data may only be read, a folder of the store."""
    beside = archive.parent / f"unpacked_{size}"
    if (beside / "complete").is_file() or os.access(archive.parent, os.W_OK):
        return beside
    file = archive.stat()
    return default_root() / "unpacked" / f"{name}_{size}_{file.st_size}_{file.st_mtime_ns}"


def _check_md5(archive: Path, name: str, size: str) -> None:
    if (archive.parent / SIMULATED_MARKER).is_file():
        return
    with archive.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != MD5[name][size]:
        raise DataError(
            f"{name}: the archive is not MedMNIST's (md5 {found}, expected {MD5[name][size]}).",
            where=str(archive),
            fix="download it again; the download may have been cut short",
        )


def _unpack(archive: Path, target: Path, name: str) -> None:
    import shutil

    import numpy as np
    from PIL import Image

    work = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpacking."))
        with np.load(archive, allow_pickle=False) as arrays:
            for split in ("train", "val", "test"):
                (work / split).mkdir()
                for i, pixels in enumerate(arrays[f"{split}_images"]):
                    Image.fromarray(pixels).save(work / split / f"{i:06d}.png", compress_level=1)
        (work / "complete").write_text("unpacked from " + archive.name + "\n", encoding="utf-8")
        if (target / "complete").is_file():  # another run was faster
            return
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work, target)
    except OSError as error:
        raise DataError(
            f"{name}: the archive cannot be unpacked: {error.strerror or error}.",
            where=str(target.parent),
            fix="make room there, and make the folder writable",
        ) from error
    finally:
        if work is not None:  # after the rename there is nothing left of it
            shutil.rmtree(work, ignore_errors=True)


def _simulate(root: Path, n: int | None, seed: int, name: str = "") -> None:
    from .synthetic.medmnist_layouts import write_medmnist

    write_medmnist(root, n, seed, name)


def _info(
    name: str, title: str, modality: str, tasks: tuple[Task, ...], total: int, source: str
) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        title=title,
        modality="oct" if modality == "oct" else "cfp",
        tasks=tasks,
        access=Access(
            route="Zenodo 10519652 (MedMNIST v2)",
            licence="CC BY 4.0",
            redistributable=True,
            steps=(
                f"Download https://zenodo.org/records/10519652/files/{name}_224.npz",
                f"Put the file into <data root>/{name}; it is unpacked on first use, there or in the store.",
            ),
            layout=f"{name}/\n  {name}_224.npz",
        ),
        citation="""@article{yang2023medmnist,
  author = {Yang, Jiancheng and Shi, Rui and Wei, Donglai and others},
  title = {{MedMNIST} v2: A large-scale lightweight benchmark for {2D} and {3D} biomedical image classification},
  journal = {Scientific Data}, volume = {10}, pages = {41}, year = {2023}}""",
        load=partial(load, name=name),
        simulate=partial(_simulate, name=name),
        paired_eyes=True,
        default_split="official",
        options=(DatasetOption("size", ("224",), "224", "side of the images in pixels"),),
        expected={"total": total},
        derived_from=(source,),
    )


_DR = "DeepDRiD's grades, as MedMNIST distributes them"
_OCT = "OCT2017's classes, as MedMNIST distributes them"
RETINAMNIST = _info("retinamnist", "RetinaMNIST (DeepDRiD)", "cfp", dr_tasks(_DR, "label"), 1600, "deepdrid")
OCTMNIST = _info(
    "octmnist",
    "OCTMNIST (OCT2017)",
    "oct",
    (
        Task("disease", "Disease class", "multiclass", OCT_CLASSES, "label", provenance=_OCT),
        *one_against_rest(OCT_CLASSES, _OCT),
    ),
    109309,
    "oct2017",
)
