"""Plugin packages, really installed by pip: good ones appear, broken ones are named and harm nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = Path(__file__).parent / "plugin_packages"
ALL = ("good", "broken_import", "broken_metadata", "broken_syntax", "clashing")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed all plugin packages of the tests."""
    import shutil

    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for name in ALL:
        shutil.copytree(PACKAGES / name, source / name)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-compile",
        ]
        done = subprocess.run(
            [*pip, "--target", str(target), str(source / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    return target


def bench(site: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in an environment with the packages."""
    return subprocess.run(
        [sys.executable, "-m", "benchbench", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]),
            **variables,
        },
    )


def test_a_third_partys_encoder_is_listed_and_passes_the_kit(site: Path) -> None:
    listed = bench(site, "list", "encoders", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "good_squares" in listed.stdout
    checked = bench(site, "check", "benchbench-good")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "encoder good_squares: embeddings have the declared shape and type" in checked.stdout


@pytest.mark.slow
def test_a_third_partys_encoder_runs_in_the_quickstart_by_name(site: Path, tmp_path: Path) -> None:
    quickstart = (Path(__file__).parents[1] / "suites" / "quickstart.yaml").read_text()
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        quickstart.replace("  - efficientnet_lite2\n", "  - good_squares\n")
        .replace("  - untrained/tf_efficientnet_lite0\n", "")
        .replace("  - efficientnet_lite0\n", "")
        .replace("images: 300", "images: 80")
    )
    assert "good_squares" in suite.read_text()
    done = bench(site, "run", str(suite), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = next((tmp_path / "out").rglob("rows.csv")).read_text()
    assert "good_squares" in rows


def test_broken_plugins_are_named_with_distribution_version_entry_point_and_cause(site: Path) -> None:
    listed = bench(site, "list", "plugins", "--json")
    assert listed.returncode == 0, listed.stderr
    json.loads(listed.stdout)
    text = " ".join(listed.stdout.split())
    for distribution, cause in {
        "benchbench-broken-import": "No module named 'a_module_that_nobody_has'",
        "benchbench-broken-metadata": "embed_dim=-3",
        "benchbench-broken-syntax": "SyntaxError",
    }.items():
        assert distribution in text
        assert cause in text
    assert "0.3.0" in text
    assert bench(site, "list", "encoders").returncode == 0


def test_checking_a_broken_plugin_says_why(site: Path) -> None:
    checked = bench(site, "check", "benchbench-broken-import")
    assert checked.returncode == 1
    assert "a_module_that_nobody_has" in checked.stdout


def test_a_clash_of_names_makes_both_reachable_by_full_name_only(site: Path) -> None:
    bare = bench(site, "show", "encoder", "resnet50")
    assert bare.returncode == 2
    assert "benchbench-clashing/resnet50" in bare.stderr
    assert "benchbench-retina/resnet50" in bare.stderr
    full = bench(site, "show", "encoder", "benchbench-clashing/resnet50")
    assert full.returncode == 0, full.stderr
    assert "Somebody else's ResNet50" in full.stdout


def test_strict_mode_makes_a_broken_plugin_fatal(site: Path) -> None:
    done = bench(site, "list", "encoders", BENCHBENCH_STRICT_PLUGINS="1")
    assert done.returncode == 2
    assert "benchbench-broken-import" in done.stderr


@pytest.mark.parametrize(
    ("kind", "written", "meant"),
    [
        ("encoder", "RETFound-MEH", "retfound_meh"),
        ("encoder", "retfound-meh", "retfound_meh"),
        ("encoder", "RETFound_meh", "retfound_meh"),
        ("encoder", "DERETFound", "deretfound"),
        ("dataset", "APTOS-2019", "aptos2019"),
        ("dataset", "IDRiD", "idrid"),
        ("dataset", "MESSIDOR-2", "messidor2"),
    ],
)
def test_a_name_as_papers_write_it_gets_the_hint_that_means_it(kind: str, written: str, meant: str) -> None:
    from benchbench.errors import PluginError
    from benchbench.plugins import registry

    with pytest.raises(PluginError) as error:
        getattr(registry(), kind)(written)
    assert f"did you mean '{meant}'?" in str(error.value)


def test_the_meh_of_papers_is_the_nature_model_and_not_its_younger_namesake() -> None:
    from benchbench.plugins import registry

    assert registry().encoder("retfound_meh").name == "retfound_mae_cfp"
