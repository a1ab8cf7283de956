import pytest

from evalwindow.errors import NotFound
from tests.real.store.world import at_once

FILES = {"adapter.safetensors": bytes(range(256)) * 100, "config.json": b"{}", "empty": b""}


def test_files_come_back_as_they_were(store):
    digest = store.put_artifact("adapter", "acme/app:lora", FILES)
    assert store.artifact(digest) == FILES


def test_the_digest_is_of_names_and_contents_in_any_order(store):
    digest = store.put_artifact("adapter", "one", FILES)
    assert store.put_artifact("adapter", "two", dict(reversed(FILES.items()))) == digest
    others = [{"ab": b"c"}, {"a": b"bc"}, {"a": b"b", "c": b""}, {}]
    assert len({digest, *(store.put_artifact("adapter", "x", files) for files in others)}) == 5


def test_many_may_put_the_same_files_at_once(world):
    digests = at_once(lambda _: world.store.put_artifact("adapter", "x", FILES))
    assert len(set(digests)) == 1
    assert (world.count("artifact"), world.count("artifact_file")) == (1, 3)


def test_an_unknown_digest_is_not_found(store):
    with pytest.raises(NotFound, match="artifact 'nope'"):
        store.artifact("nope")
