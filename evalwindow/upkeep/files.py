"""What lies under this host's home and is needed no longer. Nobody ever finds half of it: it is moved, then removed."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from evalwindow.config import WarmModel
from evalwindow.engines.adapters import digest_of_folder
from evalwindow.engines.flock import FileLock
from evalwindow.engines.residents import lock_path, served_name
from evalwindow.report.files import report_folder
from evalwindow.services import Services

DOCS = "datadocs"  # where evalwindow.datasets puts them; its own name for it stands behind heavy imports
REPORT = re.compile(r"([0-9a-z]{26})\.(?:html|json)")
DIGEST = re.compile(r"[0-9a-f]{64}")
LEFTOVER = re.compile(r"\..+")  # of a process that was killed in the middle
BATCH = 500
DAY_S = 86_400.0


def remove_reports(services: Services, age: dt.timedelta, *, dry_run: bool) -> int:
    """Pages and JSON of runs that ended so long ago or were trimmed; how many files. Those of other databases stay."""
    folder, count = report_folder(services.settings.home), 0
    found = ((path, match[1]) for path in _inside(folder) if (match := REPORT.fullmatch(path.name)))
    while batch := list(itertools.islice(found, BATCH)):
        over = services.store.expired_reports({run_id for _, run_id in batch}, age)
        old = [path for path, run_id in batch if run_id in over]
        count += _unlink(old, dry_run=dry_run)
    drafts = [path for path in _inside(folder) if re.fullmatch(rf"\.{REPORT.pattern}\..+", path.name) and _old(path)]
    return count + _unlink(drafts, dry_run=dry_run)


def remove_docs(services: Services, *, dry_run: bool) -> int:
    """Data Docs whose report is gone; how many folders. A young one's report may be about to be written."""
    folder = services.settings.home / DOCS
    old = [path for path in _inside(folder) if path.is_dir() and _old(path)]
    known = services.store.known_datasets([path.name for path in old])
    return _remove([path for path in old if path.name not in known], dry_run=dry_run)


def remove_copies(services: Services, age: dt.timedelta | None, *, dry_run: bool) -> int:
    """Copies of adapters that nothing needs and nobody used for so long; how many folders. A later use copies anew."""
    folder = services.settings.home / "adapters"
    if age is None or not folder.is_dir():
        return 0
    needed = services.store.needed_adapters(age) | set(_configured(services))
    idle = [path for path in _inside(folder) if DIGEST.fullmatch(path.name) and path.name not in needed]
    pools = [name for name, pool in services.config.pools.items() if pool.lora is not None]
    count = sum(_remove_copy(path, pools=pools, age=age, dry_run=dry_run) for path in idle)
    leftovers = [path for path in _inside(folder) if LEFTOVER.fullmatch(path.name) and path.is_dir() and _old(path)]
    return count + _remove(leftovers, dry_run=dry_run)


def _configured(services: Services) -> Iterator[str]:
    for model in services.config.models.values():
        if isinstance(model, WarmModel) and model.adapter is not None:
            yield digest_of_folder(model.adapter)


def _remove_copy(path: Path, *, pools: Collection[str], age: dt.timedelta, dry_run: bool) -> int:
    """With the locks that a consumer takes before it looks for the copy."""
    paths = [lock_path(path.parent, pool=pool, name=served_name(path.name)) for pool in pools]
    used = max(each.stat().st_mtime for each in (path, *paths) if each.exists())
    if time.time() - used < age.total_seconds():
        return 0
    with ExitStack() as held:
        for lock in map(FileLock, paths):
            if not lock.try_lock():
                return 0
            held.callback(lock.unlock)
        return _remove([path], dry_run=dry_run)


def _inside(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.iterdir())) if folder.is_dir() else iter(())


def _old(path: Path) -> bool:
    """For something that another process may be making."""
    return time.time() - path.stat().st_mtime > DAY_S


def _unlink(paths: Collection[Path], *, dry_run: bool) -> int:
    for path in () if dry_run else paths:
        path.unlink(missing_ok=True)
    return len(paths)


def _remove(folders: Collection[Path], *, dry_run: bool) -> int:
    """Out of the way at once; what a kill leaves of the rest is a leftover of the next time."""
    for path in () if dry_run else folders:
        gone = path.with_name(f".removed-{path.name.lstrip('.')}.{os.getpid()}")
        with suppress(FileNotFoundError):  # somebody else was a moment faster
            path.rename(gone)
            shutil.rmtree(gone)
    return len(folders)
