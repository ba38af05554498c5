"""Throw damaged and hostile files at everything that reads files, and see that people get plain words.

For suites, label tables, dataset cards, checkpoints, submissions, images and the store's manifests, good files are
changed by Hypothesis: bytes flipped, cut, repeated, or replaced by tokens that are known to hurt. An input counts as a
fault when anything but a plain refusal comes out (a traceback, "a fault in benchbench"), when it takes ten seconds
of the processor or two minutes in all, when it starts a program, or when it writes outside the campaign's own folder.

python benchmarks/fuzz_campaign.py [--inputs 500] [--seed 0] [--only KIND] [--guided]

With --guided, Atheris (pip install atheris) chooses the inputs by the code that they reach; for one kind at a time.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

if "--guided" in sys.argv:  # Atheris has to see these modules while they are imported
    import atheris

    with atheris.instrument_imports(include=["benchbench", "yaml"]):
        from fuzz_inputs import Kind, changed, kinds
else:
    from fuzz_inputs import Kind, changed, kinds

LIMIT_S = 10


class Hang(BaseException):
    """An input took longer than `LIMIT_S`."""


class Watch:
    """Notes programs that are started, and files that are written outside a folder (an audit hook of Python)."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.on, self.seen = str(folder), False, set[str]()
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "socket.connect"):
            self.seen.add(f"{event} {arguments[0]}")
        if (
            len(arguments) > 1
            and event in ("os.remove", "os.rmdir", "os.mkdir")
            and arguments[-1] not in (-1, None)
        ):
            return  # relative to an open folder, which was reached by a path that was judged
        changes = event in (
            "os.rename",
            "os.remove",
            "os.mkdir",
            "os.rmdir",
            "os.symlink",
            "os.link",
            "shutil.rmtree",
        )
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if (changes or writes) and isinstance(arguments[0], str | os.PathLike):
            path = os.path.abspath(arguments[0])
            if not path.startswith((self.folder, "/dev/")):
                self.seen.add(f"{event} {path}")


def attempt(kind: Kind, data: bytes, watch: Watch) -> None:
    """Read one input and note what came of it."""
    kind.tried += 1
    started = time.process_time()
    watch.seen.clear()
    watch.on = True
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)  # time of the processor: others may use the machine as well
    signal.alarm(12 * LIMIT_S)  # for waiting, such as for a pipe
    try:
        kind.accepted += kind.read(data)
    except Hang:
        kind.faults["took longer than ten seconds"] += 1
    except BaseException as error:
        kind.faults[f"{type(error).__name__}: {error}"[:300]] += 1
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        watch.on = False
    for deed in watch.seen:
        kind.faults[deed] += 1
    kind.slowest_s = max(kind.slowest_s, time.process_time() - started)


def by_hypothesis(kind: Kind, inputs: int, number: int, watch: Watch) -> None:
    """Every good file as it is, then changed ones. The first is sound: a campaign that refuses it tests nothing."""
    for data in kind.seeds:
        attempt(kind, data, watch)
        if not kind.accepted:
            kind.faults["a good file is refused"] += 1

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(kind.seeds))
    def run(data: bytes) -> None:
        attempt(kind, data, watch)

    run()


def guided(kind: Kind, inputs: int, watch: Watch, folder: Path) -> None:
    """Let Atheris choose the inputs of one kind; it ends the process itself, at the first fault or after `inputs`."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, data in enumerate(kind.seeds):
        (corpus / str(i)).write_bytes(data)

    def one(data: bytes) -> None:
        attempt(kind, data, watch)
        if kind.faults:
            raise AssertionError(dict(kind.faults))

    atheris.Setup([sys.argv[0], f"-runs={inputs}", "-max_len=200000", str(corpus)], one)
    atheris.Fuzz()


def report(all_kinds: dict[str, Kind]) -> Iterator[str]:
    """The figures as a table, and every distinct fault."""
    yield "| input | tried | accepted | refused in plain words | faults | slowest |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, kind in all_kinds.items():
        bad = sum(kind.faults.values())
        yield (
            f"| {name} | {kind.tried:,} | {kind.accepted:,} | {kind.tried - kind.accepted - bad:,} | {bad} "
            f"| {kind.slowest_s:.1f} s |"
        )
    yield f"inputs tried: {sum(k.tried for k in all_kinds.values()):,}"
    for name, kind in all_kinds.items():
        for fault, times in kind.faults.most_common():
            yield f"FAULT {name} x{times}: {fault}"


def _hang(*_: object) -> None:
    raise Hang


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=500, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="kinds whose name holds this text")
    parser.add_argument("--guided", action="store_true")
    args = parser.parse_args()
    sys.dont_write_bytecode = True
    logging.disable()  # what is refused is counted, not read
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, _hang)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        os.environ["BENCHBENCH_STORE"] = str(folder / "store")
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
        chosen = {name: kind for name, kind in kinds(folder).items() if args.only in name}
        watch = Watch(folder)
        if args.guided:
            (kind,) = chosen.values()
            guided(kind, args.inputs, watch, folder)
        for name, kind in chosen.items():
            by_hypothesis(kind, args.inputs, args.seed, watch)
            print(
                f"{name}: {kind.tried} inputs, {sum(kind.faults.values())} faults",
                file=sys.stderr,
                flush=True,
            )
        print("\n".join(report(chosen)))
        raise SystemExit(any(kind.faults for kind in chosen.values()))


if __name__ == "__main__":
    main()
