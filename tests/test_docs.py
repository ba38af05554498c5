"""Documentation that cannot rot: every command, hook, suite key and environment variable is documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchbench import hookspecs
from benchbench.cli import COMMANDS, bench
from benchbench.cost.config import CostConfig
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


NESTED = [(m, key) for m, s in Suite.model_json_schema()["$defs"].items() for key in s["properties"]]


@pytest.mark.parametrize(("model", "key"), NESTED, ids=[f"{m}.{k}" for m, k in NESTED])
def test_every_key_inside_a_suite_s_keys_is_documented(model: str, key: str) -> None:
    keys = (DOCS / "reference/suite.md").read_text().split("## Keys")[1]
    if f"| `cost.{key}` |" in keys:
        assert f"| `cost.{key}` | {CostConfig.model_fields[key].default} |".replace(".0 |", " |") in keys
    else:
        assert f"`{key}`" in keys


def test_the_example_of_a_suite_can_be_planned(tmp_path: Path) -> None:
    suite = tmp_path / "example.yaml"
    suite.write_text((DOCS / "reference/suite.md").read_text().split("```yaml\n")[1].split("```")[0])
    planned = CliRunner().invoke(bench, ["plan", str(suite), "--demo", "--data-root", str(tmp_path)])
    assert planned.exit_code == 0, planned.output
    assert "18 cells" in planned.output


def test_every_package_that_the_install_brings_is_on_the_page_that_says_what_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [r for name, group in project["optional-dependencies"].items() if name != "dev" for r in group]
    page = (
        (DOCS / "decisions/0001-dependencies.md").read_text().replace("lite0/2", "lite0 efficientnet-lite2")
    )
    for requirement in [*project["dependencies"], *extras]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert name[0].removesuffix("-pytorch-model").removesuffix("-binary") in page


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
