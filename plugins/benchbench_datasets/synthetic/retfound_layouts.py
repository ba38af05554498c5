"""RETFound's released archives, filled with cropped copies of the synthetic originals."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from benchbench.api import DatasetInfo
from benchbench.datasets.loading import balanced_classes, resolve_options
from benchbench.splits import PARTS, SplitSpec, make_split

from .writing import save, start

_APTOS = ("anodr", "bmilddr", "cmoderatedr", "dseveredr", "eproliferativedr")
_FOLDERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "aptos2019": ("APTOS2019", _APTOS),
    "messidor2": ("MESSIDOR2", _APTOS),
    "idrid": ("IDRiD_data", ("anoDR", "bmildDR", "cmoderateDR", "dsevereDR", "eproDR")),
    "papila": ("PAPILA", ("anormal", "bsuspectglaucoma", "cglaucoma")),
    "glaucoma_fundus": ("Glaucoma_fundus", ("anormal_control", "bearly_glaucoma", "cadvanced_glaucoma")),
    "retina": ("Retina", ("anormal", "bcataract", "cglaucoma", "ddretina_disease")),
    "octid": ("OCTID", ("ANormal", "ARMD", "CSR", "Diabetic_retinopathy", "Macular_Hole")),
}


def _originals() -> dict[str, DatasetInfo]:
    from .. import aptos2019, class_sets, idrid, messidor2, octid, papila

    return {
        "aptos2019": aptos2019.INFO,
        "messidor2": messidor2.INFO,
        "idrid": idrid.INFO,
        "papila": papila.INFO,
        "glaucoma_fundus": class_sets.GLAUCOMA_FUNDUS,
        "retina": class_sets.RETINA4,
        "octid": octid.INFO,
        "jsiec": class_sets.JSIEC,
    }


def write_retfound(root: Path, n: int | None, seed: int, name: str) -> None:
    """``<folder>/{train,val,test}/<class>/<file>`` by RETFound's recipe: per class, image level."""
    from ..class_sets import JSIEC_FOLDERS

    origin = name.removeprefix("retfound_")
    info = _originals()[origin]
    folder, classes = _FOLDERS.get(origin, ("JSIEC", JSIEC_FOLDERS))
    start(root, name, n or 0, seed)
    with tempfile.TemporaryDirectory() as work:
        source = Path(work) / origin
        assert info.simulate is not None
        info.simulate(source, n, seed)
        frame = info.load(source, resolve_options(info, {}))
        ids = list(frame["image_id"])
        parts = make_split(
            SplitSpec.parse("retfound"),
            ids,
            list(frame["split"]),
            balanced_classes(info.tasks[0], frame),
            ids,
        )
        labels = info.tasks[0].labels(frame)
        for (
            part
        ) in PARTS:  # the archives have a folder for every class, also where a small part has no image of it
            for name_of_class in classes:
                (root / folder / part / name_of_class).mkdir(parents=True)
        for image_id, path, part, label in zip(ids, frame["path"], parts, labels, strict=True):
            if part and label == label:
                stem = Path(path).stem if origin != "idrid" else str(image_id).replace("/", "_")
                suffix = Path(path).suffix.lower()
                with Image.open(path) as image:
                    save(_crop(image), root / folder / part / classes[int(label)] / f"{stem}{suffix}", 95)


def _crop(image: Image.Image) -> Image.Image:
    """The square around what is not black, as the released images were cropped."""
    box = image.convert("L").point(lambda v: 255 if v > 12 else 0).getbbox() or (0, 0, *image.size)
    left, top, right, bottom = box
    side = max(right - left, bottom - top)
    square = Image.new(image.mode, (side, side))
    square.paste(image.crop(box), ((side - (right - left)) // 2, (side - (bottom - top)) // 2))
    return square
