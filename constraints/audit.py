"""Looks at the lists of constraints/: `make check` runs it, for it needs no network.

Each list is consistent: every package is pinned once, to one version, and what a package of the list asks for is in the
list in a version that it takes. What is installed here is what cpu.txt says. Lists of machines that work together have
one version of a package.

With a folder as its argument, a checkout of PyPA's advisory database, no pinned version is one that an advisory names.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

HERE = Path(__file__).parent
INSTALLED = "cpu.txt"  # the list that .venv is made from
APART = ("gpu.txt", "peers.txt")  # resolved for other machines: versions may differ
OMITTED = {"torchvision", "torchaudio", "torchcodec", "triton"}  # on purpose: see lock.py
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)")

Pins = Mapping[str, str]


def main(arguments: Sequence[str]) -> int:
    faults: list[str] = []
    lists = {path.name: read(path, faults) for path in sorted(HERE.glob("*.txt"))}
    faults += [*disagreements(lists), *unlike_installed(lists[INSTALLED]), *unmet(lists)]
    if arguments:
        faults += [fault for name, pins in lists.items() for fault in advised(name, pins, Path(arguments[0]))]
    for fault in faults:
        print(f"constraints/{fault}", file=sys.stderr)  # noqa: T201
    advice = "with advisories" if arguments else "without advisories: `make audit` asks for them"
    print(f"constraints: {sum(map(len, lists.values()))} pins in {len(lists)} lists, {len(faults)} faults, {advice}")  # noqa: T201
    return 1 if faults else 0


def read(path: Path, faults: list[str]) -> dict[str, str]:
    """Versions by package; a line that pins nothing exactly, or again, is a fault."""
    pins: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = PIN.match(line)
        if found is None:
            faults.append(f"{path.name}:{number}: {line!r} pins no version; write name==version")
            continue
        name = canonicalize_name(found["name"])
        if name in pins:
            faults.append(f"{path.name}:{number}: {name} is pinned twice")
        pins[name] = found["version"]
    return pins


def disagreements(lists: Mapping[str, Pins]) -> Iterator[str]:
    """Packages of which the images that work together have different versions."""
    together = {name: pins for name, pins in lists.items() if name not in APART}
    for package in sorted({package for pins in together.values() for package in pins}):
        versions = {name: pins[package] for name, pins in together.items() if package in pins}
        if len(set(versions.values())) > 1:
            yield f"{', '.join(f'{name}: {package}=={version}' for name, version in versions.items())}"


def unlike_installed(pins: Pins) -> Iterator[str]:
    """What this environment has in another version than the list that it is made from, or lacks."""
    for package, version in pins.items():
        try:
            installed = distribution(package).version
        except PackageNotFoundError:
            installed = "nothing"
        if installed != version:
            yield f"{INSTALLED}: {package}=={version}, but {installed} is installed here; `make install` or `make lock`"


def unmet(lists: Mapping[str, Pins]) -> Iterator[str]:
    """What a package asks for, as far as it is installed here in the list's version, and its list doesn't hold."""
    for name, pins in lists.items():
        for package, version in pins.items():
            for wanted in _requirements(package, version):
                held = pins.get(canonicalize_name(wanted.name))
                if held is None and name not in APART and canonicalize_name(wanted.name) not in OMITTED:
                    yield f"{name}: {package}=={version} asks for {wanted}, which is not in the list"
                if held is not None and not wanted.specifier.contains(held, prereleases=True):
                    yield f"{name}: {package}=={version} asks for {wanted}; pinned is {held}"


def _requirements(package: str, version: str) -> list[Requirement]:
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return []
    wanted = map(Requirement, (found.requires or []) if found.version == version else [])
    return [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]


def advised(name: str, pins: Pins, database: Path) -> Iterator[str]:
    """Pins that an advisory names; raises FileNotFoundError where there is no database."""
    for folder in sorted((database / "vulns").iterdir()):
        version = pins.get(canonicalize_name(folder.name))
        for path in sorted(folder.glob("*.yaml")) if version else ():
            advisory = yaml.safe_load(path.read_text())
            if (
                version
                and not advisory.get("withdrawn")
                and any(concerns(one, version) for one in advisory["affected"])
            ):
                aliases = ", ".join(advisory.get("aliases") or [])
                yield f"{name}: {folder.name}=={version}: {advisory['id']} ({aliases or 'no alias'})"


def concerns(affected: Mapping[str, Any], version: str) -> bool:
    """Whether an advisory's entry, in OSV's form, covers the version."""
    ranges = [each for each in affected.get("ranges") or [] if each["type"] == "ECOSYSTEM"]
    return version in (affected.get("versions") or []) or any(_inside(each["events"], version) for each in ranges)


def _inside(events: Sequence[Mapping[str, str]], version: str) -> bool:
    """Events are in order: introduced, then fixed or last_affected."""
    inside = False
    try:
        mine = Version(version)
        for event in events:
            if "introduced" in event and (event["introduced"] == "0" or mine >= Version(event["introduced"])):
                inside = True
            if "fixed" in event and mine >= Version(event["fixed"]):
                inside = False
            if "last_affected" in event and mine > Version(event["last_affected"]):
                inside = False
    except InvalidVersion:
        return True  # somebody should look
    return inside


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
