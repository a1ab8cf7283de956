"""Adapters that a CI job uploads."""

import asyncio
import os

import pytest

from evalwindow.client import Client
from evalwindow.errors import BadInput, Unauthorized

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def upload(files: dict[str, bytes], *, token: str | None = None):
    async def work():
        async with Client.open(os.environ["EVALWINDOW_URL"], token or os.environ["EVALWINDOW_TOKEN"]) as client:
            return await client.put_adapter("mine", files)

    return asyncio.run(work())


def test_an_adapter_may_be_larger_than_other_bodies_and_comes_back_byte_by_byte(service):
    files = {CONFIG: b"{}", WEIGHTS: os.urandom(2_000_000)}
    kept = upload(files)
    assert kept.size == 2_000_002
    assert service.store.artifact(kept.digest) == files
    assert upload(files).digest == kept.digest


@pytest.mark.parametrize("files", [{CONFIG: b"{}"}, {CONFIG: b"{}", WEIGHTS: b"w", "run.py": b"print()"}])
def test_an_adapter_is_its_two_files_and_nothing_else(service, files):
    with pytest.raises(BadInput, match=f"an adapter has {CONFIG} and {WEIGHTS}; got: {', '.join(sorted(files))}"):
        upload(files)


def test_nobody_without_a_token_uploads_anything(service):
    with pytest.raises(Unauthorized):
        upload({CONFIG: b"{}", WEIGHTS: b"w"}, token="ew_x_y")
