"""Recording: in batches, in order, and through an outage of the database."""

import pytest

from evalwindow.errors import ServiceDown
from evalwindow.model import Completion, SampleResult
from evalwindow.recorder import BATCH, Recorder, outlasting


class Rows:
    """What reached the store; away for its first `outages` calls."""

    def __init__(self, outages=0):
        self.outages, self.batches, self.kept = outages, [], {}

    def record(self, run_id, shard_id, token, results):
        self._maybe_away()
        self.batches.append([result.sample_id for result in results])
        return len(results)

    def cache_get(self, keys):
        return {key: self.kept[key] for key in keys if key in self.kept}

    def cache_put(self, completions):
        self.kept.update(completions)

    def _maybe_away(self):
        if self.outages:
            self.outages -= 1
            raise ServiceDown(service="PostgreSQL", host="h", reason="gone", advice="start it")


def recorder(rows):
    return Recorder(rows, run_id="r", shard_id="s", token=1)


def result(name):
    return SampleResult(sample_id=name, epoch=0, scores={})


async def test_results_are_written_in_batches_and_the_rest_when_flushed():
    rows = Rows()
    mine = recorder(rows)
    for n in range(BATCH + 3):
        await mine.add(result(f"s{n}"))
    assert [len(batch) for batch in rows.batches] == [BATCH]
    await mine.flush()
    assert [len(batch) for batch in rows.batches] == [BATCH, 3]


async def test_flushing_twice_writes_once():
    rows = Rows()
    mine = recorder(rows)
    await mine.add(result("s0"))
    await mine.flush()
    await mine.flush()
    assert rows.batches == [["s0"]]


async def test_nothing_is_lost_while_the_database_is_away():
    rows = Rows(outages=2)
    mine = recorder(rows)
    await mine.add(result("s0"))
    await mine.put("key", Completion(text="a"))
    await mine.flush()
    assert rows.batches == [["s0"]]
    assert await mine.get(["key"]) == {"key": Completion(text="a")}


async def test_an_error_that_is_no_outage_is_raised_at_once():
    def broken():
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await outlasting(broken)
