"""What a set of files is called: by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def digest_of(files: Mapping[str, bytes]) -> str:
    """SHA-256, hex, over the sorted paths and contents, each preceded by its length."""
    total = hashlib.sha256()
    for path, content in sorted(files.items()):
        for part in (path.encode(), content):
            total.update(len(part).to_bytes(8, "big"))
            total.update(part)
    return total.hexdigest()
