"""Documentation that cannot rot: every command, hook, suite key and environment variable is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchbench import hookspecs
from benchbench.cli import COMMANDS
from benchbench.suite import Suite

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_documented(command: str) -> None:
    assert f"`bench {command}" in (DOCS / "reference/commands.md").read_text()


@pytest.mark.parametrize("hook", [n for n in vars(hookspecs) if n.startswith("benchbench_")])
def test_every_hook_is_documented(hook: str) -> None:
    pages = "".join(p.read_text() for p in DOCS.rglob("*.md"))
    assert hook in pages


@pytest.mark.parametrize("key", Suite.model_fields)
def test_every_suite_key_is_documented(key: str) -> None:
    assert f"| `{key}` |" in (DOCS / "reference/suite.md").read_text()


def test_every_environment_variable_is_documented() -> None:
    code = "".join(p.read_text() for p in (ROOT / "benchbench").rglob("*.py"))
    page = (DOCS / "reference/commands.md").read_text()
    used = set(re.findall(r'"(BENCHBENCH_[A-Z_]+)"', code))
    assert used
    assert {v for v in used if f"`{v}`" not in page} == set()


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *DOCS.rglob("*.md")]), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
