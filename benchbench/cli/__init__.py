"""The command line. Commands are imported when they are called, so that help and lists stay instant."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from typing import Any

import click

from ..errors import EXIT_INTERRUPTED, EXIT_USAGE, BenchError
from ..processor import prepare_process
from ..store import default_root

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("run:run", "Run a suite and write its report."),
    "plan": ("run:plan", "Show what would run, what is cached and what is missing."),
    "status": ("run:status", "Show how far a suite is."),
    "list": ("listing:listing", "List encoders, datasets, protocols, suites or plugins."),
    "show": ("listing:show", "Show the card of an encoder, dataset, protocol, suite or plugin."),
    "data": ("data:data", "Get, check, simulate and prepare datasets."),
    "weights": ("weights:weights", "Get, check and slim checkpoints."),
    "audit": ("audit:audit", "Look for leaks and contamination in a suite's data."),
    "report": ("report:report", "Render the report of a run again from its files."),
    "compare": ("compare:compare", "Compare two runs, or two CSV files of scores, prediction by prediction."),
    "speed": ("speed:speed", "Measure speed, size and memory of encoders here."),
    "stats": ("stats:stats", "Statistics on anyone's scores; self-test against published examples."),
    "submit": ("leaderboard:submit", "Pack a run as a leaderboard submission."),
    "validate": ("leaderboard:validate", "Check a leaderboard submission."),
    "leaderboard": ("leaderboard:leaderboard", "Build the leaderboard site from submissions."),
    "check": ("check:check", "Run the conformance kit on a plugin."),
    "new": ("new:new", "Start a plugin package of your own."),
    "cache": ("cache:cache", "List, verify and clean the store."),
    "doctor": ("doctor:doctor", "Check this installation and say how to mend it."),
    "schema": ("schema:schema", "Print the JSON schema of suite files."),
}


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(f".{module}", __package__), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            from ..errors import did_you_mean

            raise BenchError(
                f"There is no command {name!r}; {did_you_mean(name, COMMANDS) or 'see bench --help'}",
                fix="bench --help",
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done; 1 some cells failed; 2 usage or suite error; 3 inputs missing; 130 interrupted.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--quiet", is_flag=True, help="Print results and errors only.")
@click.version_option(package_name="benchbench-retina", prog_name="bench")
def bench(debug: bool, quiet: bool) -> None:
    """Benchmark retinal image encoders: same images, same splits, valid tests, measured cost.

    Start with:  bench run suites/quickstart.yaml
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    log = logging.getLogger("benchbench")
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def main(arguments: list[str] | None = None) -> Any:
    """Entry point: errors become one short block and an exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    prepare_process(default_root() / "lib")
    try:
        code = bench.main(args=arguments, prog_name="bench", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except (
        click.exceptions.Abort,
        KeyboardInterrupt,
    ):  # click turns the second, and EOFError, into the first
        click.echo("Interrupted. Finished work is kept; the same command carries on.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except BenchError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        click.echo(f"Error: {error.block()}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        place = f"\n  where: {error.filename}" if error.filename else ""
        click.echo(
            f"Error: A file cannot be read or written: {error.strerror or error}.{place}\n"
            "  what to do: look at free space and permissions there; finished work is kept, and the same command "
            "carries on",
            err=True,
        )
        sys.exit(EXIT_USAGE)
    except Exception as error:
        if "--debug" in arguments:
            raise
        click.echo(
            f"Error: this is a fault in benchbench or a plugin: {type(error).__name__}: {error}\n"
            "  what to do: run the same command with --debug after `bench` and report what it prints",
            err=True,
        )
        sys.exit(EXIT_USAGE)
