"""Submissions that are broken or hostile are refused with a message that names the fault."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchbench.leaderboard.guard import Limits, Refused, read_bundle
from benchbench.leaderboard.rescore import read_boards
from benchbench.leaderboard.site import build_site, write_site
from benchbench.leaderboard.spec import own_slug
from benchbench.leaderboard.validate import check_place, validate

from .boards import Place


def _set(*keys: Any, to: Any) -> Callable[[Place], None]:
    """Set a value deep inside submission.json."""

    def change(place: Place) -> None:
        def edit(value: dict[str, Any]) -> None:
            target: Any = value
            for key in keys[:-1]:
                target = target[key]
            target[keys[-1]] = to

        place.edit_json(edit)

    return change


def _write(name: str, data: bytes) -> Callable[[Place], None]:
    def change(place: Place) -> None:
        (place.bundle / name).write_bytes(data)

    return change


def _lines(change: Callable[[list[str]], list[str]], task: str = "referable") -> Callable[[Place], None]:
    return lambda place: place.edit_lines(change, task)


def _score(text: str) -> Callable[[Place], None]:
    """Put another text in place of the first score."""
    return _lines(lambda lines: [lines[0], lines[1].split(",")[0] + "," + text, *lines[2:]])


def _stamp(stamp: str) -> Callable[[Place], None]:
    return _set("results", 0, "stamps", to=stamp)


def _duplicate_key(place: Place) -> None:
    path = place.bundle / "submission.json"
    path.write_text(path.read_text().replace('"submitted"', '"notes": "x", "submitted"', 1))


def _link(place: Place) -> None:
    (place.bundle / "environment.json").unlink()
    (place.bundle / "environment.json").symlink_to("/etc/hostname")


def _linked_folder(place: Place) -> None:
    target = place.root / "elsewhere"
    (place.bundle / "predictions").rename(target)
    (place.bundle / "predictions").symlink_to(target)


def _pickle(place: Place) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, ("touch pwned",)

    (place.bundle / "predictions" / "scores.pkl").write_bytes(pickle.dumps(Payload()))


def _gzip_bomb(place: Place) -> None:
    place.predictions().write_bytes(gzip.compress(b"0" * 50_000_000))


def _cut(place: Place) -> None:
    path = place.predictions()
    path.write_bytes(path.read_bytes()[:-20])


def _two_members(place: Place) -> None:
    path = place.predictions()
    path.write_bytes(path.read_bytes() + gzip.compress(b"hidden"))


def _no_digest(place: Place) -> None:
    place.edit_json(lambda s: s["encoder"].update(weights_sha256=None))


def _contradiction(place: Place) -> None:
    def edit(submission: dict[str, Any]) -> None:
        submission["encoder"]["pretraining"] = [{"name": "idrid", "images": 400, "source": "paper"}]
        submission["contamination"][0]["status"] = "clean"

    place.edit_json(edit)


def _twice(place: Place) -> None:
    place.edit_json(lambda s: s["results"].append(s["results"][0]))


def _formula(place: Place) -> None:
    _lines(lambda lines: [*lines[:-1], "=cmd|'/C calc'!A0,0.5"])(place)


FAULTS: dict[str, tuple[Callable[[Place], None], str]] = {
    # texts
    "a title of spaces": (_set("encoder", "title", to="   "), "holds nothing but spaces"),
    "an invisible title": (_set("encoder", "title", to="\u3164"), "holds control or invisible characters"),
    "a day that is none": (_set("submitted", to="2026-19-39"), "is no day of the calendar"),
    "a day to come": (
        _set("submitted", to="2099-12-31"),
        "submitted is 2099-12-31, a day that has not come yet",
    ),
    "a precision of one's own": (
        _set("encoder", "precision", to="fp32 "),
        "submission.json: encoder.precision: Input should be 'fp32', 'bf16' or 'fp16' (found 'fp32 ')",
    ),
    "names too long for a file": (
        lambda p: p.edit_json(lambda s: [s[k].update(name=k[0] * 120) for k in ("submitter", "encoder")]),
        "make a file name of 261 characters; 200 are allowed: shorten one of them",
    ),
    "negative compute": (_set("encoder", "gpu_days", to=-5.0), "greater than or equal to 0"),
    # files
    "a file is missing": (lambda p: (p.bundle / "cost.json").unlink(), "cost.json is missing"),
    "predictions are missing": (
        lambda p: p.predictions().unlink(),
        "idrid__referable__linear_probe__s0.csv.gz is missing",
    ),
    "a symbolic link": (_link, "'environment.json' is a symbolic link"),
    "a linked folder": (_linked_folder, "'predictions' is a symbolic link"),
    "a pickle": (_pickle, "'predictions/scores.pkl' is an unexpected file"),
    "a Python module": (_write("plugin.py", b"print(1)"), "'plugin.py' is an unexpected file"),
    "a folder of its own": (lambda p: (p.bundle / "hidden").mkdir(), "'hidden' is an unexpected folder"),
    "a named pipe": (lambda p: os.mkfifo(p.bundle / "pipe.json"), "'pipe.json' is not a plain file"),
    "a huge file": (
        _write("cost.json", b" " * 2_000_000),
        "'cost.json' has 2000000 bytes; 1 MiB are allowed",
    ),
    "predictions of no cell": (
        _write("predictions/other__task__s0.csv.gz", gzip.compress(b"x")),
        "'predictions/other__task__s0.csv.gz' belongs to no cell",
    ),
    "a gzip bomb": (_gzip_bomb, "expands to more than"),
    "a gzip file cut short": (_cut, "is cut short"),
    "two gzip members": (_two_members, "holds bytes after its end"),
    "no gzip file": (lambda p: p.predictions().write_bytes(b"image,score\n"), "is not a gzip file"),
    # JSON
    "no JSON": (_write("submission.json", b"{'a': 1}"), "submission.json is not valid JSON"),
    "not UTF-8": (_write("submission.json", b'{"a": "\xff"}'), "submission.json is not UTF-8"),
    "deep JSON": (_write("cost.json", b"[" * 100_000), "cost.json is nested more than 12 levels deep"),
    "NaN in JSON": (_write("cost.json", b'{"machine": NaN, "table": []}'), "NaN is not a number"),
    "an enormous number": (
        _write("cost.json", b'{"machine": ' + b"9" * 5000 + b"}"),
        "a number has 5000 digits",
    ),
    "a repeated key": (_duplicate_key, "occurs twice"),
    "an unknown field": (_set("ranking", to=1), "submission.json: ranking: Extra inputs are not permitted"),
    "a missing field": (
        lambda p: p.edit_json(lambda s: s.pop("plugin")),
        "submission.json: plugin: Field required",
    ),
    "a newer schema": (_set("schema_version", to=99), "newer benchbench (schema_version 99)"),
    "an older schema": (_set("schema_version", to=1), "older benchbench (schema_version 1)"),
    "a terminal escape": (_set("encoder", "title", to="x\x1b[2Jy"), "control or invisible characters"),
    "reversed writing": (_set("submitter", "name", to="abc\u202ecba"), "control or invisible characters"),
    "an endless name": (
        _set("encoder", "title", to="x" * 5000),
        "submission.json: encoder.title: String should have at most",
    ),
    # what it answers
    "an unknown spec": (_set("spec", to="fakes@1"), "there is no spec 'fakes@1' here did you mean 'fake@1'?"),
    "a path as spec": (
        _set("spec", to="../../spec/fake@1"),
        "submission.json: spec: String should match pattern",
    ),
    "another spec": (_set("spec_sha256", to="0" * 64), "spec_sha256 is not that of fake@1"),
    "other images": (_set("results", 0, "image_fingerprint", to="ab" * 16), "other images were used"),
    "another version of a protocol": (
        _set("results", 0, "protocol_version", to="2"),
        "protocol_version is '2', the spec says '1'",
    ),
    "another plugin's protocol": (
        _set("results", 0, "protocol_plugin", to="benchbench-other 1.0"),
        "protocol_plugin is 'benchbench-other 1.0', the spec says ''",
    ),
    "another split": (_set("results", 0, "split_fingerprint", to="ab" * 16), "another split was used"),
    "other labels": (_set("results", 0, "label_fingerprint", to="ab" * 16), "other labels were used"),
    "other settings": (
        _set("results", 0, "config", to='{"C": 10}'),
        "is not the protocol's setting in the spec",
    ),
    "a missing cell": (
        lambda p: p.edit_json(lambda s: s["results"].pop()),
        "idrid__grade__linear_probe, seed 0 is missing",
    ),
    "a cell twice": (_twice, "is there twice"),
    "a cell of no panel": (_set("results", 0, "seed", to=7), "seed 7 is not a cell of fake@1"),
    "no weights sha256": (_no_digest, "encoder.weights_sha256 is missing"),
    "a wrong sha256": (
        _set("encoder", "weights_sha256", to="abc"),
        "encoder.weights_sha256: String should match",
    ),
    "random weights": (_set("encoder", "weights_status", to="untrained"), "the encoder is UNTRAINED"),
    "simulated images": (_stamp("SYNTHETIC"), "the result is SYNTHETIC: its images are simulated"),
    "an untrained result": (_stamp("UNTRAINED"), "the result is UNTRAINED"),
    "a shortened protocol": (_stamp("DEMO"), "the result is DEMO"),
    "no contamination declaration": (_set("contamination", to=[]), "the declaration for idrid is missing"),
    "a contradictory declaration": (
        _contradiction,
        "the encoder's card lists it among the pre-training data",
    ),
    # scores
    "an image twice": (_lines(lambda lines: [*lines, lines[1]]), "has a second row"),
    "an image left out": (_lines(lambda lines: lines[:-1]), "1 of 80 test images have no row"),
    "a foreign image": (_lines(lambda lines: [*lines, "0" * 20 + ",0.5"]), "is not a test image of the spec"),
    "a formula": (_formula, "C calc'!A0\" is not a test image of the spec"),
    "a formula as score": (_score("=1+1"), "the score '=1+1' is not a plain number"),
    "NaN": (_score("nan"), "the score 'nan' is missing, NaN or infinite"),
    "infinity": (_score("-Infinity"), "the score '-Infinity' is missing, NaN or infinite"),
    "overflow": (_score("1e999"), "the score 1e999 is not a probability"),
    "a score above 1": (_score("1.5"), "the score 1.5 is not a probability between 0 and 1"),
    "an underscore": (_score("0_1"), "the score '0_1' is not a plain number"),
    "no score": (_score(""), "the score '' is missing"),
    "too many columns": (_score("0.1,0.2"), "3 columns instead of 2"),
    "other columns": (_lines(lambda lines: ["image,label", *lines[1:]]), "its columns must be image,score"),
    "bytes that are no text": (
        lambda p: p.predictions().write_bytes(gzip.compress(b"\x00\xff")),
        "not plain ASCII",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_or_hostile_submission_is_refused_by_name(place: Place, fault: str) -> None:
    spoil, message = FAULTS[fault]
    validate(place.bundle, place.specs)  # sound before
    spoil(place)
    with pytest.raises(Refused) as refusal:
        validate(place.bundle, place.specs)
    assert message in refusal.value.block()
    assert "\x1b" not in refusal.value.block()


def test_nothing_of_a_pickle_is_executed(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _pickle(place)
    with pytest.raises(Refused):
        validate(place.bundle, place.specs)
    assert not (tmp_path / "pwned").exists()


def test_all_faults_are_named_together(place: Place) -> None:
    _set("results", 0, "stamps", to="SYNTHETIC")(place)
    _score("nan")(place)
    (place.bundle / "predictions" / "idrid__grade__linear_probe__s0.csv.gz").unlink()
    with pytest.raises(Refused) as refusal:
        validate(place.bundle, place.specs)
    text = refusal.value.block()
    assert "SYNTHETIC" in text
    assert "NaN" in text
    assert "idrid__grade__linear_probe__s0.csv.gz is missing" in text


# ------------------------------------------------------------------------------------------- archives


def _zip(place: Place, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(place.bundle.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(place.bundle).as_posix())
    return path


def _zip_folder(place: Place, path: Path, name: str = "my submission") -> Path:
    """An archive of the folder itself, with its entry for each folder, as file managers make it."""
    copy = path.parent / "pack" / name
    shutil.copytree(place.bundle, copy)
    shutil.make_archive(str(path.with_suffix("")), "zip", copy.parent, name)
    return path


def _slip(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../pwned.json", "{}")


def _absolute(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("/tmp/pwned.json", "{}")


def _backslash(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("..\\pwned.json", "{}")


def _zipped_link(path: Path) -> None:
    info = zipfile.ZipInfo("environment.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, "/etc/hostname")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def _same_name(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("cost.json", "{}")


def _bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for i in range(40):
            archive.writestr(f"predictions/a__b__c__s{i}.csv.gz", b"\0" * 3_000_000)


def _lying_bomb(path: Path) -> None:
    """The directory of the archive declares ten bytes for what expands to five million."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cost.json", b"\0" * 5_000_000)
    data = path.read_bytes()
    path.write_bytes(data.replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))


def _encrypted(path: Path) -> None:
    data = bytearray(path.read_bytes())
    position = data.find(b"PK\x01\x02")
    data[position + 8] |= 1
    path.write_bytes(bytes(data))


def _lzma(path: Path) -> None:
    """A member that another method compressed, with its bytes spoilt."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("cost.json", os.urandom(400))
    data = bytearray(path.read_bytes())
    data[60:80] = b"\xff" * 20
    path.write_bytes(bytes(data))


def _crowd(path: Path) -> None:
    """An archive that declares more entries than a submission may have; there is nothing behind it."""
    end = struct.pack("<4sHHHHLLH", b"PK\x05\x06", 0, 0, 60_000, 60_000, 30_000_000, 0, 0)
    path.write_bytes(b"\0" * 1000 + end)


ARCHIVES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a path upwards": (_slip, "'../../pwned.json' points outside the submission's folder"),
    "an absolute path": (_absolute, "'/tmp/pwned.json' points outside the submission's folder"),
    "a path with backslashes": (_backslash, "points outside the submission's folder"),
    "a symbolic link": (_zipped_link, "'environment.json' is a symbolic link"),
    "a name twice": (_same_name, "'cost.json' is in the archive twice"),
    "a bomb": (_bomb, "the files have more than 64 MiB together"),
    "a bomb that lies about its size": (_lying_bomb, "cost.json"),
    "an encrypted member": (_encrypted, "is encrypted"),
    "another compression": (_lzma, "'cost.json' is compressed by a method other than deflate"),
    "too many members": (_crowd, "the archive holds more than 2000 files"),
    "no archive": (lambda path: path.write_bytes(b"PK\x03\x04 nothing"), "the archive cannot be read"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", ARCHIVES)
def test_a_hostile_archive_is_refused_by_name(place: Place, tmp_path: Path, fault: str) -> None:
    spoil, message = ARCHIVES[fault]
    path = _zip(place, tmp_path / "submission.zip")
    spoil(path)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(Refused) as refusal:
        validate(path, place.specs)
    assert message in refusal.value.block()
    assert set(tmp_path.rglob("*")) == before


def test_an_archive_and_its_folder_are_the_same_submission(place: Place, tmp_path: Path) -> None:
    from_folder = validate(place.bundle, place.specs)
    from_archive = validate(_zip(place, tmp_path / "submission.zip"), place.specs)
    assert from_archive.digest == from_folder.digest
    assert from_archive.submission == from_folder.submission


def test_an_archive_of_the_folder_itself_is_the_same_submission(place: Place, tmp_path: Path) -> None:
    packed = _zip_folder(place, tmp_path / "submission.zip")
    assert "my submission/predictions/" in zipfile.ZipFile(packed).namelist()
    assert validate(packed, place.specs).digest == validate(place.bundle, place.specs).digest


@pytest.mark.parametrize("stray", ["my submission/plugin.py", "other/cost.json", "cost.json", "../evil.json"])
def test_an_archive_of_the_folder_and_more_is_refused(place: Place, tmp_path: Path, stray: str) -> None:
    packed = _zip_folder(place, tmp_path / "submission.zip")
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(stray, "{}")
    with pytest.raises(Refused, match=r"unexpected file|points outside"):
        validate(packed, place.specs)


def test_a_folder_above_the_submissions_own_is_no_wrapping(place: Place, tmp_path: Path) -> None:
    path = tmp_path / "submission.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in place.bundle.rglob("*"):
            if file.is_file():
                archive.write(file, f"../{file.relative_to(place.bundle).as_posix()}")
    with pytest.raises(Refused, match="points outside the submission's folder"):
        validate(path, place.specs)


def test_too_many_files_are_refused_before_any_is_read(place: Place) -> None:
    with pytest.raises(Refused, match="more than 3 files"):
        read_bundle(place.bundle, Limits(files=3))


# ------------------------------------------------------------------------------------------- place


def test_a_submission_in_the_folder_of_another_is_refused(place: Place) -> None:
    other = next((place.root / "submissions" / place.spec.name).glob("*__beta/*"))
    bundle = validate(place.bundle, place.specs)
    with pytest.raises(Refused, match="by its content it belongs in"):
        check_place(other, bundle)


def _entry(place: Place, submitter: str, folder: str) -> str:
    """A copy of the submission under another submitter's name; returns its identifier."""
    other = place.root / "submissions" / place.spec.name / folder
    shutil.copytree(place.bundle, other)
    text = json.loads((other / "submission.json").read_text())
    text["submitter"]["name"] = submitter
    (other / "submission.json").write_text(json.dumps(text))
    return folder


@pytest.mark.parametrize(
    ("mine", "theirs", "folder"),
    [
        ("Test group", "Stranger", "Stranger__alpha/000000000000"),
        ("Test group", "Test group!", "Test-group__other/000000000000"),
        ("東京大学", "北京大学", "unnamed__other/000000000000"),
    ],
)
def test_nobody_replaces_the_entry_of_another_submitter(
    place: Place, mine: str, theirs: str, folder: str
) -> None:
    replaced = _entry(place, theirs, folder)
    _set("submitter", "name", to=mine)(place)
    _set("supersedes", to=replaced)(place)
    with pytest.raises(Refused, match="not an earlier entry of the same submitter"):
        check_place(place.bundle, validate(place.bundle, place.specs))


def test_a_submitter_replaces_an_entry_of_its_own_however_the_name_is_spelt(place: Place) -> None:
    _set("supersedes", to=_entry(place, "TEST  ｇｒｏｕｐ", "TEST-group-x__other/000000000000"))(place)
    check_place(place.bundle, validate(place.bundle, place.specs))


@pytest.mark.parametrize("replaced", ["../../spec", "a/b/c", "Test-group__alpha"])
def test_what_is_replaced_is_named_by_an_identifier_and_no_path(place: Place, replaced: str) -> None:
    _set("supersedes", to=replaced)(place)
    with pytest.raises(Refused, match="not the identifier of an entry"):
        check_place(place.bundle, validate(place.bundle, place.specs))


def test_names_that_lose_characters_in_a_folder_name_stay_apart() -> None:
    names = ["東京大学", "北京大学", "demonstration!", "demonstration?", "demonstration", "unnamed"]
    assert len({own_slug(n).casefold() for n in names}) == len(names)
    assert own_slug("benchbench demonstration") == "benchbench-demonstration"


def _identifier(place: Place, submitter: str, encoder: str) -> str:
    submission = validate(place.bundle, place.specs).submission
    return submission.model_copy(
        update={
            "submitter": submission.submitter.model_copy(update={"name": submitter}),
            "encoder": submission.encoder.model_copy(update={"name": encoder}),
        }
    ).folder


def test_a_slash_in_a_name_does_not_make_two_submitters_one(place: Place) -> None:
    pairs = [
        ("benchbench/timm", "resnet50"),
        ("benchbench", "timm/resnet50"),
        ("benchbench//timm", "resnet50x"),
        ("benchbench", "timm/resnet50x"),
        ("benchbench-timm", "resnet50"),
        ("benchbench timm/", "resnet50"),
    ]
    assert len({_identifier(place, *pair).casefold() for pair in pairs}) == len(pairs)


def test_identifiers_of_names_without_a_slash_stay_as_they_were(place: Place) -> None:
    found = _identifier(place, "benchbench demo_group", "timm/resnet50")
    assert found.partition("/")[0] == "benchbench-demo-group__timm__resnet50"


def test_entries_of_the_longest_names_have_a_page(place: Place) -> None:
    """Names as long as they may be, up to the last file that is made from them."""
    folder = place.bundle
    room = 200 - len("x__y__.html") + 2 - 12
    place.edit_json(lambda s: s["submitter"].update(name="x" * 100))
    place.edit_json(lambda s: s["encoder"].update(name="y" * (room - 100)))
    submission = json.loads((folder / "submission.json").read_text())
    name = f"{submission['submitter']['name']}__{submission['encoder']['name']}"
    target = folder.parents[1] / name / folder.name
    target.parent.mkdir()
    folder.rename(target)
    site = build_site(read_boards(place.root), (), "Board")
    write_site(site, place.root / "site")
    longest = max((p.name for p in (place.root / "site").rglob("*.html")), key=len)
    assert len(longest) == 200


def test_folders_that_differ_by_case_alone_are_refused(place: Place) -> None:
    own = place.bundle.parent
    (own.parent / own.name.upper()).mkdir()
    with pytest.raises(Refused, match="by upper and lower case alone"):
        check_place(place.bundle, validate(place.bundle, place.specs))


@pytest.mark.parametrize("where", [".", "fake@1", "fake@1/Test-group__alpha"])
def test_stray_files_among_the_submissions_are_refused(place: Place, where: str) -> None:
    (place.root / "submissions" / where / "notes.html").write_text("<script>")
    with pytest.raises(Refused, match=r"'notes\.html' is a file"):
        read_boards(place.root)


def test_json_of_a_spec_survives_reading(place: Place) -> None:
    raw = json.loads((place.root / "spec" / f"{place.spec.name}.json").read_text())
    assert raw == place.spec.model_dump(mode="json")
