"""Splits: what a suite may write, whole groups, published counts, fingerprints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench.errors import DataError, SuiteError
from benchbench.splits import SplitSpec, make_split, split_fingerprint, split_text


def one_hot(codes: np.ndarray, classes: int) -> np.ndarray:
    return (codes[:, None] == np.arange(classes)[None, :]).astype(float)


def split_of(
    spec: str, counts: tuple[int, ...], official: list[str] | None = None, groups: list[str] | None = None
):
    codes = np.repeat(np.arange(len(counts)), counts)
    ids = [f"i{k:05d}" for k in range(len(codes))]
    parts = make_split(
        SplitSpec.parse(spec), ids, official or [""] * len(ids), one_hot(codes, len(counts)), groups or ids
    )
    return ids, codes, np.array(parts)


def sizes(parts: np.ndarray) -> tuple[int, int, int]:
    return tuple(int((parts == p).sum()) for p in ("train", "val", "test"))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("name", "classes", "published"),
    [
        ("APTOS-2019", (1805, 370, 999, 193, 295), (2048, 514, 1100)),
        ("MESSIDOR-2", (1017, 270, 347, 75, 35), (972, 246, 526)),
        ("Glaucoma Fundus", (788, 289, 467), (861, 218, 465)),
        ("Retina", (300, 100, 101, 100), (336, 84, 181)),
        ("OCTID", (206, 55, 102, 107, 102), (316, 82, 174)),
    ],
)
def test_the_retfound_recipe_gives_the_published_counts(name, classes, published):
    assert sizes(split_of("retfound", classes)[2]) == published


def test_the_retfound_recipe_keeps_idrids_official_test_split():
    train, test = (134, 20, 136, 74, 49), (34, 5, 32, 19, 13)
    codes = np.concatenate([np.repeat(np.arange(5), train), np.repeat(np.arange(5), test)])
    official = ["train"] * sum(train) + ["test"] * sum(test)
    ids = [str(k) for k in range(len(codes))]
    parts = np.array(make_split(SplitSpec.parse("retfound"), ids, official, one_hot(codes, 5), ids))
    assert sizes(parts) == (329, 84, 103)
    assert list(parts == "test") == [p == "test" for p in official]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), min_size=12, max_size=60),
    st.integers(0, 5),
    st.booleans(),
)
def test_a_group_is_never_in_two_parts(patients, seed, folded):
    codes = np.concatenate([np.full(n, c) for c, n in patients])
    groups = [f"p{g}" for g, (_, n) in enumerate(patients) for _ in range(n)]
    ids = [str(k) for k in range(len(codes))]
    spec = SplitSpec("kfold" if folded else "grouped_stratified", seed=seed)
    parts = make_split(spec, ids, [""] * len(ids), one_hot(codes, 3), groups)
    for group in set(groups):
        assert len({p for p, g in zip(parts, groups, strict=True) if g == group}) == 1


def test_every_image_is_tested_exactly_once_over_the_folds():
    tested: list[str] = []
    for fold in range(5):
        ids, _, parts = split_of(f"kfold(seed=3, fold={fold} of 5)", (40, 25, 10))
        tested += [i for i, p in zip(ids, parts, strict=True) if p == "test"]
    assert sorted(tested) == sorted(ids)


def test_classes_are_balanced_to_within_one_image_when_groups_are_single():
    counts = (1805, 370, 999, 193, 295)
    _, codes, parts = split_of("grouped_stratified(seed=0, 56:14:30)", counts)
    for c, n in enumerate(counts):
        for part, share in (("train", 0.56), ("val", 0.14), ("test", 0.30)):
            assert abs(((codes == c) & (parts == part)).sum() - share * n) <= 1.5


def test_the_seed_changes_the_split_and_the_order_of_the_table_does_not():
    ids, codes, first = split_of("grouped_stratified(seed=0, 56:14:30)", (50, 30))
    _, _, other = split_of("grouped_stratified(seed=1, 56:14:30)", (50, 30))
    assert list(first) != list(other)
    turned = ids[::-1]
    parts = make_split(SplitSpec("grouped_stratified"), turned, [""] * 80, one_hot(codes[::-1], 2), turned)
    assert split_fingerprint(ids, list(first)) == split_fingerprint(turned, parts)


def test_a_validation_share_of_zero_leaves_no_validation_image():
    _, _, parts = split_of("grouped_stratified(seed=0, 70:0:30)", (60, 40))
    assert sizes(parts) == (70, 0, 30)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("official", "official"),
        ("retfound", "retfound(seed=1)"),
        (
            {"kind": "grouped_stratified", "seed": 1, "ratios": [56, 14, 30]},
            "grouped_stratified(seed=1, 56:14:30)",
        ),
        ("grouped_stratified(seed=2, 70:10:20)", "grouped_stratified(seed=2, 70:10:20)"),
        ({"kind": "kfold", "folds": 10, "fold": 3}, "kfold(seed=0, fold=3 of 10)"),
        ({"kind": "grouped_stratified", "ratios": "70:10:20"}, "grouped_stratified(seed=0, 70:10:20)"),
    ],
)
def test_what_a_suite_writes_has_one_canonical_form(written, canonical):
    spec = SplitSpec.parse(written)
    assert str(spec) == canonical
    assert SplitSpec.parse(str(spec)) == spec


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("offical", "official"),
        ({"kind": "kfold", "fold": 5, "folds": 5}, "fold 5 of 5"),
        ({"kind": "grouped_stratified", "ratio": [1, 1, 1]}, "ratios"),
        ({"kind": "grouped_stratified", "ratios": [1, 1]}, "ratios"),
        ({"kind": "grouped_stratified", "ratios": [56, 14, 0]}, "ratios"),
        ({"kind": "grouped_stratified", "seed": "a"}, "whole numbers"),
        ({"seed": 1}, "kind"),
        ("kfold(x)", "'x'"),
    ],
)
def test_a_wrong_split_is_refused_with_a_hint(written, hint):
    with pytest.raises(SuiteError, match=hint):
        SplitSpec.parse(written)


def test_an_official_split_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="no official split"):
        split_of("official", (5, 5))


def test_the_split_text_is_sorted_by_image_and_its_fingerprint_sees_every_change():
    assert split_text(["b", "a"], ["test", "train"]) == "a\ttrain\nb\ttest\n"
    assert split_fingerprint(["a", "b"], ["train", "test"]) != split_fingerprint(["a", "b"], ["test", "test"])


def test_a_word_for_duplicates_that_does_not_exist_is_refused_with_the_three_that_do():
    with pytest.raises(SuiteError, match="group, keep, drop_conflicts"):
        SplitSpec.parse({"kind": "kfold", "duplicates": "drop"})
