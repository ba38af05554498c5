"""Draw the two contact sheets of synthetic images in this folder: python docs/images/contact_sheets.py"""

from __future__ import annotations

from pathlib import Path

from benchbench_datasets.synthetic.anatomy import Findings
from benchbench_datasets.synthetic.dr_layouts import dr_photograph
from benchbench_datasets.synthetic.glaucoma_layouts import photograph
from benchbench_datasets.synthetic.oct import Scanner, Signs, draw_volume, render_bscan
from benchbench_datasets.synthetic.seeds import generator
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
Cell = tuple[Image.Image, str]

EYES = (
    ("papila", Findings(cup_to_disc=0.38), "PAPILA, healthy"),
    ("papila", Findings(cup_to_disc=0.82, rim_notch=0.8, atrophy=0.35), "PAPILA, glaucoma"),
    ("glaucoma_fundus", Findings(cup_to_disc=0.80, rim_notch=0.7), "Glaucoma Fundus, advanced"),
    ("retina4", Findings(cataract=0.55), "Retina, cataract"),
    ("areds", Findings(drusen=45, geographic_atrophy=0.14), "AREDS, advanced AMD"),
)
SCANS = (
    (Signs(), "healthy"),
    (Signs(foveal_scan=True), "foveal scan"),
    (Signs(srf=True), "subretinal fluid"),
    (Signs(irf=True), "intraretinal fluid"),
    (Signs(drusen=True), "drusen"),
    (Signs(ped=True), "pigment epithelium detachment"),
    (Signs(hdots=True, foveal_scan=True), "hyperreflective dots"),
    (Signs(hfoci=True, drusen=True), "hyperreflective foci"),
)


def fundus_cells() -> list[Cell]:
    """Five grades in three layouts, then glaucoma, cataract and AMD."""
    cells = []
    for name, title in (("idrid", "IDRiD"), ("aptos2019", "APTOS"), ("messidor2", "MESSIDOR-2")):
        for grade in range(5):
            eye, risk = ("OD", "OS")[grade % 2], 2 if grade > 1 else 0
            picture = dr_photograph(name, f"s{name}{grade}", eye, f"s{grade}", grade, risk, 3)
            cells.append((picture, f"{title} layout, grade {grade}"))
    return cells + [(photograph(n, "sheet" + t, "OD", "sheet", f, 1), t) for n, f, t in EYES]


def oct_cells() -> list[Cell]:
    """The eight signatures."""
    return [
        (render_bscan(Scanner(), draw_volume(generator(5, "v", k)), signs, 0, generator(5, "s", k)), title)
        for k, (signs, title) in enumerate(SCANS)
    ]


def draw_sheet(cells: list[Cell], columns: int, width: int, height: int, path: Path) -> None:
    """Write the cells as one JPEG, each with its title."""
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + 16)))
    draw = ImageDraw.Draw(sheet)
    for k, (picture, title) in enumerate(cells):
        x, y = k % columns * width, k // columns * (height + 16)
        small = picture.convert("RGB")
        small.thumbnail((width - 4, height - 4))
        sheet.paste(small, (x + (width - small.width) // 2, y + 16 + (height - small.height) // 2))
        draw.text((x + 6, y + 3), f"{title} (synthetic)", fill=(230, 230, 230))
    sheet.save(path, quality=84)


if __name__ == "__main__":
    draw_sheet(fundus_cells(), 5, 220, 170, HERE / "synthetic_fundus.jpg")
    draw_sheet(oct_cells(), 4, 240, 230, HERE / "synthetic_oct.jpg")
