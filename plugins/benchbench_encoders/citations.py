"""BibTeX entries of the encoders' papers."""

from __future__ import annotations


def _entry(kind: str, key: str, **fields: str) -> str:
    lines = [f"  {name}={{{value}}}" for name, value in fields.items()]
    return f"@{kind}{{{key},\n" + ",\n".join(lines) + "\n}"


RETFOUND = _entry(
    "article",
    "zhou2023retfound",
    title="A foundation model for generalizable disease detection from retinal images",
    author="Zhou, Yukun and Chia, Mark A. and Wagner, Siegfried K. and Ayhan, Murat S. and others",
    journal="Nature",
    volume="622",
    pages="156--163",
    year="2023",
    doi="10.1038/s41586-023-06555-x",
)
DERETFOUND = _entry(
    "article",
    "sun2025deretfound",
    title="A data-efficient strategy for building high-performing medical foundation models",
    author="Sun, Yuqi and others",
    journal="Nature Biomedical Engineering",
    year="2025",
    doi="10.1038/s41551-025-01365-0",
)
RETFOUND_GREEN = _entry(
    "article",
    "engelmann2025retfoundgreen",
    title="Training a high-performance retinal foundation model with half-the-data and 400 times less compute",
    author="Engelmann, Justin and Bernabeu, Miguel O.",
    journal="Nature Communications",
    volume="16",
    year="2025",
    doi="10.1038/s41467-025-62123-z",
)
MAE = _entry(
    "inproceedings",
    "he2022mae",
    title="Masked Autoencoders Are Scalable Vision Learners",
    author="He, Kaiming and Chen, Xinlei and Xie, Saining and Li, Yanghao and Dollár, Piotr and Girshick, Ross",
    booktitle="IEEE/CVF Conference on Computer Vision and Pattern Recognition",
    year="2022",
    eprint="2111.06377",
)
DINOV2 = _entry(
    "article",
    "oquab2024dinov2",
    title="DINOv2: Learning Robust Visual Features without Supervision",
    author="Oquab, Maxime and Darcet, Timothée and Moutakanni, Théo and others",
    journal="Transactions on Machine Learning Research",
    year="2024",
    eprint="2304.07193",
)
REGISTERS = _entry(
    "inproceedings",
    "darcet2024registers",
    title="Vision Transformers Need Registers",
    author="Darcet, Timothée and Oquab, Maxime and Mairal, Julien and Bojanowski, Piotr",
    booktitle="International Conference on Learning Representations",
    year="2024",
    eprint="2309.16588",
)
AUGREG = _entry(
    "article",
    "steiner2022augreg",
    title="How to train your ViT? Data, Augmentation, and Regularization in Vision Transformers",
    author="Steiner, Andreas and Kolesnikov, Alexander and Zhai, Xiaohua and Wightman, Ross and "
    "Uszkoreit, Jakob and Beyer, Lucas",
    journal="Transactions on Machine Learning Research",
    year="2022",
    eprint="2106.10270",
)
DINO = _entry(
    "inproceedings",
    "caron2021dino",
    title="Emerging Properties in Self-Supervised Vision Transformers",
    author="Caron, Mathilde and Touvron, Hugo and Misra, Ishan and Jégou, Hervé and Mairal, Julien and "
    "Bojanowski, Piotr and Joulin, Armand",
    booktitle="IEEE/CVF International Conference on Computer Vision",
    year="2021",
    eprint="2104.14294",
)
MOCO_V3 = _entry(
    "inproceedings",
    "chen2021mocov3",
    title="An Empirical Study of Training Self-Supervised Vision Transformers",
    author="Chen, Xinlei and Xie, Saining and He, Kaiming",
    booktitle="IEEE/CVF International Conference on Computer Vision",
    year="2021",
    eprint="2104.02057",
)
SIMCLR = _entry(
    "inproceedings",
    "chen2020simclr",
    title="A Simple Framework for Contrastive Learning of Visual Representations",
    author="Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey",
    booktitle="International Conference on Machine Learning",
    year="2020",
    eprint="2002.05709",
)
SWAV = _entry(
    "inproceedings",
    "caron2020swav",
    title="Unsupervised Learning of Visual Features by Contrasting Cluster Assignments",
    author="Caron, Mathilde and Misra, Ishan and Mairal, Julien and Goyal, Priya and Bojanowski, Piotr and "
    "Joulin, Armand",
    booktitle="Advances in Neural Information Processing Systems",
    year="2020",
    eprint="2006.09882",
)
URFOUND = _entry(
    "inproceedings",
    "yu2024urfound",
    title="UrFound: Towards Universal Retinal Foundation Models via Knowledge-Guided Masked Modeling",
    author="Yu, Kai and others",
    booktitle="Medical Image Computing and Computer Assisted Intervention",
    year="2024",
    eprint="2408.05618",
)
VISIONFM = _entry(
    "misc",
    "qiu2023visionfm",
    title="VisionFM: a Multi-Modal Multi-Task Vision Foundation Model for Generalist Ophthalmic Artificial "
    "Intelligence",
    author="Qiu, Jianing and others",
    year="2023",
    eprint="2310.04992",
)
FLAIR = _entry(
    "article",
    "silvarodriguez2025flair",
    title="A Foundation Language-Image Model of the Retina (FLAIR): encoding expert knowledge in text supervision",
    author="Silva-Rodríguez, Julio and Chakor, Hadi and Kobbi, Riadh and Dolz, Jose and Ben Ayed, Ismail",
    journal="Medical Image Analysis",
    volume="99",
    pages="103357",
    year="2025",
)
