"""The list of dependencies that `make sbom` writes, and the check of their licences."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.support import licences
from tests.test_packaging import names, pins

ROOT = Path(__file__).resolve().parents[1]


def package(folder: Path, name: str, *metadata: str) -> None:
    """Install the metadata of a package, without any code."""
    (folder / f"{name}-1.0.dist-info").mkdir(parents=True)
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0", *metadata, ""]
    (folder / f"{name}-1.0.dist-info" / "METADATA").write_text("\n".join(lines))


def test_the_licence_of_every_dependency_is_compatible_with_that_of_the_project(capsys) -> None:
    assert licences.main() == 0
    shown = capsys.readouterr().out
    listed = {canonicalize_name(line.split()[0]) for line in shown.splitlines()[:-1]}
    installed = {canonicalize_name(item.metadata["Name"]) for item in distributions()}
    assert set(names(pins())) & installed <= listed and {"torch", "tqdm", "mpmath"} <= listed
    assert f"{len(listed)} packages, {len(listed)} with" in shown


@pytest.mark.parametrize(
    ("metadata", "stated"),
    [
        ("License-Expression: AGPL-3.0-only", "AGPL-3.0-only"),
        ("License-Expression: MIT AND GPL-3.0-or-later", "MIT AND GPL-3.0-or-later"),
        ("License: Proprietary", "Proprietary"),
        ("License: Free for all\nClassifier: License :: OSI Approved :: MIT License", "Free for all"),
        ("Classifier: License :: Other/Proprietary License", "Other/Proprietary License"),
        ("Classifier: License :: OSI Approved", "none stated"),
        ("Summary: none", "none stated"),
    ],
)
def test_a_package_whose_licence_is_not_known_to_be_compatible_fails(
    metadata: str, stated: str, tmp_path, monkeypatch, capsys
) -> None:
    package(tmp_path, "given", "Requires-Dist: between", 'Requires-Dist: nowhere; extra == "more"')
    package(tmp_path, "between", "License: MIT", "Requires-Dist: strange>=1", 'Requires-Dist: other; extra == "no"')
    package(tmp_path, "strange", metadata)
    package(tmp_path, "other", "License: unused")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert licences.main("given") == 1
    shown = capsys.readouterr()
    first, second, last = shown.out.splitlines()
    assert first.split() == ["between", "1.0", "MIT", "permissive"]
    assert second.split() == ["strange", "1.0", *stated.split(), *"NOT KNOWN TO BE COMPATIBLE".split()]
    assert last == "2 packages, 1 with a licence that is compatible with Apache-2.0."
    assert shown.err.startswith("error: strange 1.0: check its licence")


@pytest.mark.parametrize(
    ("expression", "good"),
    [
        ("MIT", True), ("MIT OR GPL-2.0-only", True), ("MIT AND GPL-2.0-only", False), ("", False), ("()", False),
        ("yes", False), ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("(MIT AND (GPL-2.0-only OR LGPL-3.0-only)) AND MIT", False),
        ("GPL-2.0-only OR MIT AND ISC", True), ("Apache-2.0 WITH LLVM-exception", True), ("GPL-3.0-only WITH x", False),
    ],
)  # fmt: skip
def test_an_expression_is_compatible_if_one_of_its_choices_is(expression: str, good: bool) -> None:
    assert (licences.reason(expression) is not None) == good


def test_make_sbom_lists_every_installed_package(tmp_path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    command = ["make", "-s", "-o", f"{sys.prefix}/installed", f"VENV={sys.prefix}", f"PYTHON={sys.executable}", "sbom"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "with a licence that is compatible with Apache-2.0" in done.stdout
    listed = json.loads((tmp_path / "sbom.json").read_text())
    assert listed["bomFormat"] == "CycloneDX"
    found = {(canonicalize_name(item["name"]), item["version"]) for item in listed["components"]}
    assert found == {(canonicalize_name(item.metadata["Name"]), item.version) for item in distributions()}
