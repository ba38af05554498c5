"""One file from a web address; what an interrupted download left is carried on, if it is still the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import WeightsError

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int | None], None]
"""progress(bytes so far, bytes in all or None)"""


def download(url: str, part: Path, *, verifiable: bool, size: int | None, progress: Progress) -> None:
    """Bring the file at `url` to `part`.

    Bytes that are there already are kept when the server says by its entity tag or date that the file has not
    changed, or when the caller can verify the whole by its hash afterwards (`verifiable`).

    Raises:
        httpx.HTTPError: the network or the host refuses.
        WeightsError: the address answers with a web page.
    """
    import httpx

    tag = part.with_name(part.name + ".tag")
    remembered = tag.read_text() if tag.exists() else ""
    done = part.stat().st_size if part.exists() and (remembered or verifiable) else 0
    headers = {"Accept-Encoding": "identity"}
    if done:
        headers |= {"Range": f"bytes={done}-"} | ({"If-Range": remembered} if remembered else {})
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=60) as reply:
        if reply.status_code == 416:  # nothing is left to send: the part is complete
            reply.read()
        else:
            reply.raise_for_status()
            _refuse_web_page(url, reply)
            _remember(tag, reply)
            _receive(reply, part, done if reply.status_code == 206 else 0, size, progress)
    tag.unlink(missing_ok=True)


def _receive(reply: httpx.Response, part: Path, done: int, size: int | None, progress: Progress) -> None:
    length = reply.headers.get("content-length")
    total = done + int(length) if length else size
    with part.open("ab" if done else "wb") as stream:
        for chunk in reply.iter_bytes():
            stream.write(chunk)
            done += len(chunk)
            progress(done, total)


def _remember(tag: Path, reply: httpx.Response) -> None:
    """Keep what identifies the file; weak tags do not vouch for bytes."""
    value = reply.headers.get("etag", "")
    value = reply.headers.get("last-modified", "") if value.startswith("W/") or not value else value
    if value:
        tag.write_text(value)
    else:
        tag.unlink(missing_ok=True)


def _refuse_web_page(url: str, reply: httpx.Response) -> None:
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        raise WeightsError(
            "The address answers with a web page, not with the weights: it may ask to log in or to confirm.",
            where=url,
            fix="open the address in a browser, download the file there, and put it into the weights root",
        )
