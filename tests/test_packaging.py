"""The wheel: its contents, and that its command works without a clone. And its requirements: the ranges of setup.cfg,
and the versions that the tests passed with.
"""

import configparser
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from self_instruct.commands import COMMANDS
from tests.support.runs import rows
from tests.support.scripts import write_script
from tests.test_rooms import imported

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ("instruction_io/", "instruction_iio/", "seeds/", "configs/", "demo_model/")
"""Folders whose files go with an installation."""
ONLY_IN_A_CLONE = (".py",)
PINNED = ("requirements.txt", "tests/requirements.txt", "tests/requirements-dev.txt")
UNTESTED = {"bitsandbytes", "ray", "vllm"}
"""Optional libraries that need a GPU: no version of them has passed the tests."""
VLLM = ("transformers>=5.16.1,<5.20", "numba==0.65.0", "fastapi<0.137")
"""What current releases of vLLM require of libraries that are pinned here: both can be installed in one environment."""
SCHEME = "self_instruct_local-0.1.0.data/data/share/self_instruct/"


def tracked() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the files in git, because it would include an earlier build folder."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not name.startswith(("tests/", "benchmarks/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        built,
        source,
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel with `pip install --target`, and return the folder."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", folder, wheel]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # Take over the machine code of the kernels, which belongs to files of this time: compiling takes longer than all else.
    novelty = ROOT / "self_instruct" / "novelty"
    for path in (*novelty.rglob("*.py"), *novelty.rglob("*.nb[ic]")):
        copied = folder / path.relative_to(ROOT)
        assert path.suffix != ".py" or copied.read_bytes() == path.read_bytes()
        shutil.copy2(path, copied)
    return folder


def called(installed: Path, folder: Path, *argv: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder outside the clone."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, installed / "bin" / "self-instruct", *argv]
    return subprocess.run(list(map(str, command)), cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_has_all_modules_and_all_files_that_commands_read(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in tracked() if name.startswith("self_instruct/")} <= held
    wanted = {
        name for name in tracked()
        if name.startswith(SHIPPED) and not name.endswith(ONLY_IN_A_CLONE) and "/training/" not in name
    }  # fmt: skip
    assert {"instruction_io/inverse_prompt.txt", "seeds/code.jsonl", "configs/categories/math.yaml"} <= wanted
    assert {name.removeprefix(SCHEME) for name in held if name.startswith(SCHEME)} == wanted


def test_the_command_lists_all_commands_and_where_the_files_are(installed: Path, tmp_path: Path) -> None:
    shown = called(installed, tmp_path, "--help").stdout
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert str(installed / "share" / "self_instruct") in shown


@pytest.mark.parametrize("record_format", ["instruction_output", "instruction_input_output"])
def test_the_installed_command_generates_with_its_own_prompts_seeds_and_configurations(
    installed: Path, tmp_path: Path, record_format: str
) -> None:
    script = write_script(tmp_path / "script.jsonl", 60)
    share = installed / "share" / "self_instruct"
    given = [
        "--config", share / "configs" / "quickstart.yaml", "--engine", "scripted", "--script_path", script,
        "--record_format", record_format, "--batch_dir", "run", "--max_requests", 4,
    ]  # fmt: skip
    shown = called(installed, tmp_path, "generate", *given, "--dry_run")
    folder = "instruction_iio" if "input" in record_format else "instruction_io"
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith((ROOT / folder / "prompt.txt").read_text())
    if record_format == "instruction_output":  # the script writes no inputs
        done = called(installed, tmp_path, "generate", *given)
        assert done.returncode == 0, done.stderr
        assert "self-instruct generate --config" in done.stdout
        assert rows(tmp_path / "run/machine_generated_instructions.jsonl")
        asked = called(installed, tmp_path, "self-consistency", "--batch_dir", "run")
        assert asked.returncode == 2 and "the run replayed a script" in asked.stderr


def test_categories_and_topics_are_found_without_a_clone(installed: Path, tmp_path: Path) -> None:
    shown = called(installed, tmp_path, "generate", "--categories", "coding:50,trivia:50", "--dry_run")
    assert shown.returncode == 0, shown.stderr
    assert "(coding, step 1 of 2" in shown.stderr and "(trivia, step 1 of 1" in shown.stderr


def ranges() -> list[Requirement]:
    """Return all requirements of setup.cfg, including those of extras, without the package's own extras."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    found = [Requirement(line) for text in texts for line in text.split("\n") if line and not line.startswith("#")]
    return [item for item in found if item.name != config["metadata"]["name"]]


def pins() -> list[Requirement]:
    lines = [line for name in PINNED for line in (ROOT / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def names(items: list[Requirement]) -> list[str]:
    return [canonicalize_name(item.name) for item in items]


def test_every_requirement_has_one_range_and_one_pin_and_every_pin_a_range() -> None:
    assert len(ranges()) > 30
    spelled = {(canonicalize_name(item.name), str(item)) for item in ranges()}
    assert len(spelled) == len(set(names(ranges()))), "one library has two ranges"
    assert sorted(names(pins())) == sorted(set(names(ranges())) - UNTESTED)


def test_every_pin_is_one_version_inside_its_range() -> None:
    allowed = {canonicalize_name(item.name): item.specifier for item in ranges()}
    for pin in pins():
        (exact,) = pin.specifier
        assert exact.operator == "==" and "*" not in exact.version, str(pin)
        assert allowed[canonicalize_name(pin.name)].contains(exact.version), str(pin)
        assert len(allowed[canonicalize_name(pin.name)]) > 0, f"{pin.name} has no lower bound"


def test_the_pins_can_be_installed_beside_vllm() -> None:
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins()}
    for item in map(Requirement, VLLM):
        assert item.specifier.contains(pinned[item.name]), f"vLLM needs {item}"


def test_the_makefile_installs_the_pins_and_names_no_version_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "==" not in makefile and all(f"-r {name}" in makefile for name in PINNED)


def test_every_library_that_the_package_imports_is_required() -> None:
    modules = {
        name.split(".")[0] for path in (ROOT / "self_instruct").rglob("*.py") for name in imported(path) if name
    }
    foreign = modules - set(sys.stdlib_module_names) - {"self_instruct"}
    assert {"torch", "numpy", "regex"} <= foreign
    known = packages_distributions()
    required = set(names(ranges()))
    missing = {
        name for name in foreign
        if not {canonicalize_name(dist) for dist in known.get(name, [name])} & required
    }  # fmt: skip
    assert missing == set()
