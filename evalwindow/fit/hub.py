"""Where a model's config.json lies on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from evalwindow.config import Pool
from evalwindow.fit.errors import CantTell


def folder_of(pool: Pool) -> Path:
    """The folder of a pool's model: its own, or a copy of a hub's in the local Hugging Face cache.

    Nothing is fetched. Raises CantTell where there is no copy.
    """
    local = Path(pool.model).expanduser()
    if local.is_dir():
        return local
    found = _cached(pool.model, revision=pool.revision, environment=pool.environment)
    if found is None:
        at = f" at {pool.revision}" if pool.revision else ""
        raise CantTell(
            f"{pool.model!r} is no folder, and the Hugging Face cache of this machine has no config.json of it{at}; "
            f"fetch it once: hf download {pool.model} config.json"
        )
    return found.parent


def _cached(name: str, *, revision: str | None, environment: Mapping[str, str]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache  # a third of a second, for hub names only
    from huggingface_hub.errors import HFValidationError

    home, cache = environment.get("HF_HOME"), environment.get("HF_HUB_CACHE")
    place = cache or (Path(home) / "hub" if home else None)
    try:
        found = try_to_load_from_cache(name, "config.json", cache_dir=place, revision=revision)
    except HFValidationError:  # no name that a hub could have
        return None
    return Path(found) if isinstance(found, str) else None
