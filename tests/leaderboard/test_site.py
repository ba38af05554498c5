"""The site's files: deterministic, self-contained, escaped, and made from scores that were computed here."""

from __future__ import annotations

import csv
import io
import json
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from benchbench.errors import BenchError
from benchbench.leaderboard.bundle import Declaration, bundle_of, write_bundle
from benchbench.leaderboard.guard import Refused
from benchbench.leaderboard.release import check_releases, freeze_release, read_releases, write_release
from benchbench.leaderboard.rescore import read_boards
from benchbench.leaderboard.site import build_site, differences, write_site
from benchbench.leaderboard.spec import own_slug
from benchbench.results import Run, read_run

from .boards import PLUGIN, Place, builder, make_board, make_run

PAYLOADS = (
    "<script>document.title='pwned'</script>",
    '"><img src=x onerror="document.title=\'pwned\'">',
    "'; alert(1); //",
    "{{ 1234 * 5678 }}{% for x in y %}",
    "</style></title><svg onload=alert(1)>",
    '=HYPERLINK("http://x","y")',
)


def hostile_board(root: Path, run: Run) -> None:
    """A board with an entry all of whose texts are attacks."""
    place = Place(root)
    make_board(root, run, ["alpha", "beta"])

    def spoil(s: dict) -> None:  # type: ignore[type-arg]
        text = " ".join(PAYLOADS[:4])
        s["encoder"] |= {
            "title": PAYLOADS[0] + PAYLOADS[5],
            "citation": "\n".join(PAYLOADS),
            "architecture": text[:250],
        }
        s["encoder"]["pretraining"] = [{"name": PAYLOADS[1], "images": 3, "source": PAYLOADS[4]}]
        s["encoder"]["name"] = PAYLOADS[5]
        s["submitter"]["contact"] = "javascript:alert(1)"
        s["notes"] = PAYLOADS[3] + PAYLOADS[4]
        s["contamination"][0]["source"] = PAYLOADS[4]

    def spoil_environment(e: dict) -> None:  # type: ignore[type-arg]
        e["command"] = PAYLOADS[1]
        e["versions"][PAYLOADS[0]] = PAYLOADS[4]

    def spoil_cost(c: dict) -> None:  # type: ignore[type-arg]
        c["table"] = [{PAYLOADS[0]: PAYLOADS[1], "value": PAYLOADS[4]}]

    folder = place.bundle
    place.edit_json(spoil)
    place.edit_json(spoil_environment, "environment.json")
    place.edit_json(spoil_cost, "cost.json")
    target = folder.parents[1] / f"Test-group__{own_slug(PAYLOADS[5])}" / folder.name
    target.parent.mkdir()
    folder.rename(target)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def tags_of(page: bytes) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Tags()
    parser.feed(page.decode())
    return parser.tags


def test_hostile_texts_become_plain_text_on_every_page(tmp_path: Path, real_run: Run) -> None:
    hostile_board(tmp_path / "board", real_run)
    boards = read_boards(tmp_path / "board")
    site = build_site(boards, (freeze_release(boards, "2026.1", "2026-05-01", "0.1.0"),), "Board")
    pages = {name: data for name, data in site.items() if name.endswith(".html")}
    assert any(b"&lt;script&gt;document.title" in page for page in pages.values())
    for name, page in pages.items():
        tags = tags_of(page)
        assert [t for t, _ in tags].count("script") == 1, name
        assert [t for t, _ in tags].count("style") == 1, name
        assert not {"img", "iframe", "object", "embed", "form", "link"} & {t for t, _ in tags}, name
        assert not any(key.startswith("on") for _, attributes in tags for key in attributes), name
        assert b"7006652" not in page, name
        for _, attributes in tags:
            assert not (attributes.get("href") or "").lower().startswith(("javascript", "data", "http"))


def test_formulas_are_plain_text_in_csv_files(tmp_path: Path, real_run: Run) -> None:
    hostile_board(tmp_path / "board", real_run)
    site = build_site(read_boards(tmp_path / "board"), (), "Board")
    lines = list(csv.DictReader(io.StringIO(site["fake@1/results.csv"].decode())))
    hostile = [line for line in lines if "HYPERLINK" in line["encoder"]]
    assert len(hostile) == 2
    assert all(line["encoder"].startswith("'=HYPERLINK") for line in hostile)
    for name in ("fake@1/results.csv", "fake@1/comparisons.csv"):
        for cells in csv.reader(io.StringIO(site[name].decode())):
            assert not any(cell.startswith(("=", "+", "@")) for cell in cells)


def test_pages_hold_everything_and_link_only_to_files_of_the_site(place: Place) -> None:
    boards = read_boards(place.root)
    site = build_site(boards, (freeze_release(boards, "2026.1", "2026-05-01", "0.1.0"),), "Board")
    for name, page in site.items():
        if not name.endswith(".html"):
            continue
        for tag, attributes in tags_of(page):
            assert "src" not in attributes
            if tag == "a":
                target = (attributes["href"] or "").partition("#")[0]
                if target:
                    parts: list[str] = []
                    for part in [*name.split("/")[:-1], *target.split("/")]:
                        parts = parts[:-1] if part == ".." else [*parts, part]
                    assert "/".join(parts) in site, f"{name} links to {target}"


def test_equal_boards_give_equal_bytes(place: Place) -> None:
    assert build_site(read_boards(place.root), (), "B") == build_site(read_boards(place.root), (), "B")


def test_json_csv_and_pages_agree(place: Place) -> None:
    site = build_site(read_boards(place.root), (), "Board")
    record = json.loads(site["fake@1/results.json"])
    lines = list(csv.DictReader(io.StringIO(site["fake@1/results.csv"].decode())))
    assert len(record["results"]) == len(lines) == 4
    for result, line in zip(record["results"], lines, strict=True):
        assert float(line["value"]) == result["value"]
        assert f"{result['value']:.3f}".encode() in site[f"fake@1/tasks/{result['panel']}.html"]
        assert f"{result['value']:.3f}".encode() in site["index.html"]
    assert record["comparisons_in_family"] == len(record["comparisons"]) == 2


def test_entries_are_in_tie_groups_and_never_ranked(place: Place) -> None:
    site = build_site(read_boards(place.root), (), "Board")
    record = json.loads(site["fake@1/results.json"])
    assert not any(key == "rank" for line in record["results"] for key in line)
    for comparison in record["comparisons"]:
        groups = {
            line["entry"]: set(line["tie_group"])
            for line in record["results"]
            if line["panel"] == comparison["panel"]
        }
        shared = groups[comparison["first"]] & groups[comparison["second"]]
        assert bool(shared) == (comparison["outcome"] == "undecided")


def test_a_demonstration_is_marked_on_every_page_with_results(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "run", ["alpha", "beta"], stamps="SYNTHETIC"))
    spec = make_board(tmp_path / "board", run, ["alpha", "beta"])
    assert spec.demonstration
    boards = read_boards(tmp_path / "board")
    site = build_site(boards, (freeze_release(boards, "2026.1", "2026-05-01", "0.1.0"),), "Board")
    for name, page in site.items():
        if name.endswith(".html"):
            assert b"<strong>Demonstration.</strong>" in page, name


def test_a_superseded_entry_leaves_the_comparisons_and_keeps_its_page(tmp_path: Path, real_run: Run) -> None:
    make_board(tmp_path / "board", real_run, ["alpha"])
    old = Place(tmp_path / "board").bundle
    old_id = f"{old.parent.name}/{old.name}"
    boards = read_boards(tmp_path / "board")
    write_release(freeze_release(boards, "2026.1", "2026-05-01", "0.1.0"), tmp_path / "board")
    spec = boards[0].spec
    newer = bundle_of(
        real_run, "beta", spec, Declaration("Test group", "2026-06-01", PLUGIN, supersedes=old_id)
    )
    write_bundle(newer, spec, tmp_path / "board")
    boards = read_boards(tmp_path / "board")
    assert [e.bundle.submission.encoder.name for e in boards[0].current] == ["beta"]
    releases = read_releases(tmp_path / "board")
    assert check_releases(releases, boards) == ()
    site = build_site(boards, releases, "Board")
    page = site[f"fake@1/encoders/{old_id.replace('/', '__')}.html"].decode()
    assert "was replaced by" in page
    assert f"{releases[0].boards[0].results[0]['value']:.3f}" in page
    assert b"replaced by" in site["fake@1/history.html"]
    assert b"Alpha" not in site["index.html"]


# ------------------------------------------------------------------------------------------- releases


def _released(place: Place) -> None:
    write_release(freeze_release(read_boards(place.root), "2026.1", "2026-05-01", "0.1.0"), place.root)


def test_a_release_is_written_once(place: Place) -> None:
    _released(place)
    with pytest.raises(BenchError, match="a release never changes"):
        _released(place)


def test_a_release_survives_new_entries(place: Place, real_run: Run) -> None:
    _released(place)
    before = read_releases(place.root)
    copied = bundle_of(real_run, "alpha", place.spec, Declaration("Third group", "2026-06-01", PLUGIN))
    write_bundle(copied, place.spec, place.root)
    boards = read_boards(place.root)
    assert check_releases(before, boards) == ()
    page = build_site(boards, before, "Board")["releases/2026.1.html"]
    assert b"Third group" not in page


def test_a_changed_submission_is_noticed_by_its_release(place: Place) -> None:
    _released(place)
    place.edit_lines(lambda lines: [lines[0], *(f"{line.split(',')[0]},0.25" for line in lines[1:])])
    faults = check_releases(read_releases(place.root), read_boards(place.root))
    assert any("was changed after the release" in fault for fault in faults)
    assert any("and is now 0.5" in fault for fault in faults)


def test_a_removed_submission_is_noticed_by_its_release(place: Place) -> None:
    _released(place)
    place.bundle.rename(place.root / "gone")
    faults = check_releases(read_releases(place.root), read_boards(place.root))
    assert any("was removed" in fault for fault in faults)


# ------------------------------------------------------------------------------------------- folders


def test_a_site_replaces_only_a_site(place: Place, tmp_path: Path) -> None:
    site = build_site(read_boards(place.root), (), "Board")
    out = tmp_path / "site"
    write_site(site, out)
    (out / "stale.html").write_text("old")
    assert differences(site, out) == ("stale.html does not belong there",)
    write_site(site, out)
    assert differences(site, out) == ()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    with pytest.raises(BenchError, match="holds other files"):
        write_site(site, tmp_path / "thesis")


def test_submissions_to_no_spec_are_refused(place: Place) -> None:
    (place.root / "submissions" / "other@1" / "a" / "b").mkdir(parents=True)
    with pytest.raises(Refused, match="belongs to no spec"):
        read_boards(place.root)


def test_a_linked_submission_is_refused(place: Place) -> None:
    folder = place.bundle
    folder.rename(place.root / "elsewhere")
    folder.symlink_to(place.root / "elsewhere")
    with pytest.raises(Refused, match="symbolic link"):
        read_boards(place.root)


def test_newer_versions_come_first(tmp_path: Path, real_run: Run) -> None:
    from benchbench.leaderboard.freeze import freeze, write_spec

    make_board(tmp_path / "board", real_run, ["alpha"])
    second = freeze(real_run, "2")
    write_spec(second, tmp_path / "board")
    write_bundle(
        bundle_of(real_run, "beta", second.spec, Declaration("G", "2026-01-01", PLUGIN)),
        second.spec,
        tmp_path / "board",
    )
    page = build_site(read_boards(tmp_path / "board"), (), "Board")["index.html"].decode()
    assert page.index('id="fake@2"') < page.index('id="fake@1"')


@pytest.mark.slow
def test_thirty_entries_on_four_tasks_are_scored_and_rendered_in_seconds(tmp_path: Path) -> None:
    names = [f"encoder{i:02d}" for i in range(30)]
    tasks = tuple(builder.FakeTask(f"set{i}/referable", n=150) for i in range(4))
    run = read_run(make_run(tmp_path / "run", names, tasks=tasks))
    make_board(tmp_path / "board", run, names)
    started = time.perf_counter()
    site = build_site(read_boards(tmp_path / "board"), (), "Board")
    assert time.perf_counter() - started < 20
    assert json.loads(site["fake@1/results.json"])["comparisons_in_family"] == 4 * 30 * 29 // 2
