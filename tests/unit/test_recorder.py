"""Recording: in batches, in order, and through an outage of the database."""

import asyncio

import pytest

from evalwindow.errors import ServiceDown
from evalwindow.model import Completion, SampleResult
from evalwindow.poison import INNOCENT, Known, Standing
from evalwindow.recorder import BATCH, NO_RENEWAL, Ledger, Recorder, Written, outlasting


class Rows:
    """What reached the store; away for its first `outages` calls. Of a shard in `broken` nothing can be written."""

    def __init__(self, outages=0, broken=()):
        self.outages, self.broken = outages, set(broken)
        self.calls, self.finished, self.kept, self.held = [], [], {}, {}

    @property
    def batches(self):
        return [[result.sample_id for result in page.results] for pages in self.calls for page in pages]

    def write(self, pages, completions, *, done=None, renewal=NO_RENEWAL):
        self._maybe_away()
        if self.broken & {page.shard_id for page in pages}:
            raise ValueError("a defect")
        if pages or done:
            self.calls.append(pages)
        self.kept.update(completions)
        if done:
            self.finished.append((done.shard_id, done.token))
        return Written(last=done is not None)

    def look_up(self, keys, *, completions=True):
        kept = {key: self.kept[key] for key in keys if key in self.kept and completions}
        return Known(completions=kept, standings={key: self.held[key] for key in keys if key in self.held})

    def strike(self, suspect, *, whole, run_id, error, proven):
        self._maybe_away()
        before = self.held.get(suspect.key, INNOCENT)
        quarantined = before.quarantined or proven
        self.held[suspect.key] = Standing(strikes=before.strikes + 1, quarantined=quarantined, error=error)
        return {suspect.key: self.held[suspect.key]}

    def absolve(self, keys):
        for key in keys:
            self.held.pop(key)

    def _maybe_away(self):
        if self.outages:
            self.outages -= 1
            raise ServiceDown(service="PostgreSQL", host="h", reason="gone", advice="start it")


def recorder(rows, *, shard="s", **options):
    return Recorder(rows, run_id="r", shard_id=shard, token=1, **options)


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


async def test_the_last_results_are_written_with_the_shards_end():
    rows = Rows()
    mine = recorder(rows, expected=2)
    for name in ("s0", "s1"):
        await mine.add(result(name))
    await mine.flush()  # whoever evaluated them can't know that the end follows at once
    assert rows.batches == []
    await mine.put("key", Completion(text="a"))
    assert await mine.finish() is True
    assert (rows.batches, rows.finished, set(rows.kept)) == ([["s0", "s1"]], [("s", 1)], {"key"})


async def test_what_is_not_the_end_is_written_when_flushed():
    rows = Rows()
    mine = recorder(rows, expected=2)
    await mine.add(result("s0"))
    await mine.flush()
    assert rows.batches == [["s0"]]


async def test_an_error_before_the_end_loses_nothing():
    rows = Rows()

    async def work():
        async with recorder(rows, expected=1) as mine:
            await mine.add(result("s0"))
            await mine.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert (rows.batches, rows.finished) == ([["s0"]], [])


async def test_an_end_that_could_not_be_written_leaves_its_results_to_be_written():
    rows = Rows(broken={"s"})
    mine = recorder(rows, expected=1)
    await mine.add(result("s0"))
    with pytest.raises(ValueError, match="a defect"):
        await mine.finish()
    rows.broken.clear()
    await mine.write()
    assert rows.batches == [["s0"]]


async def test_what_is_old_is_written_for_all_shards_of_a_process_at_once(monkeypatch):
    monkeypatch.setattr("evalwindow.recorder.EVERY_S", 0.01)
    rows, ledger = Rows(), Ledger()
    for name in ("a", "b", "c"):
        await recorder(rows, shard=name, ledger=ledger).add(result(name))
    await _until(lambda: rows.calls)
    assert len(rows.calls) == 1
    assert sorted(rows.batches) == [["a"], ["b"], ["c"]]


async def test_the_end_of_one_shard_takes_along_what_the_others_have():
    rows, ledger = Rows(), Ledger()
    first, second = recorder(rows, shard="a", ledger=ledger), recorder(rows, shard="b", ledger=ledger)
    await first.add(result("a0"))
    await second.add(result("b0"))
    await second.put("key", Completion(text="b"))
    await first.finish()
    assert (len(rows.calls), sorted(rows.batches), set(rows.kept)) == (1, [["a0"], ["b0"]], {"key"})
    assert rows.finished == [("a", 1)]
    await second.flush()  # there is nothing left
    await second.finish()
    assert (len(rows.calls), rows.finished) == (2, [("a", 1), ("b", 1)])


async def test_what_is_left_after_a_write_is_written_in_its_time(monkeypatch):
    monkeypatch.setattr("evalwindow.recorder.EVERY_S", 0.01)
    rows, ledger = Rows(), Ledger()
    first, second = recorder(rows, shard="a", ledger=ledger), recorder(rows, shard="b", ledger=ledger)
    await first.add(result("a0"))
    await first.finish()
    await second.add(result("b0"))
    await _until(lambda: ["b0"] in rows.batches)


async def test_what_comes_while_a_batch_is_written_is_written_too(monkeypatch):
    monkeypatch.setattr("evalwindow.recorder.EVERY_S", 0.01)
    rows, ledger = Rows(outages=1), Ledger()
    mine = recorder(rows, ledger=ledger)
    await mine.add(result("early"))
    await _until(lambda: not rows.outages)
    await mine.add(result("late"))
    await _until(lambda: len(rows.batches) == 2)
    assert rows.batches == [["early"], ["late"]]


async def test_a_shard_that_can_not_be_written_holds_no_other_up(monkeypatch, caplog):
    monkeypatch.setattr("evalwindow.recorder.EVERY_S", 0.01)
    rows, ledger = Rows(broken={"bad"}), Ledger()
    good, bad = recorder(rows, shard="good", ledger=ledger), recorder(rows, shard="bad", ledger=ledger)
    await good.add(result("g"))
    await bad.add(result("b"))
    await _until(lambda: "could not be written together" in caplog.text)
    await good.finish()
    assert rows.batches == [["g"]]
    with pytest.raises(ValueError, match="a defect"):
        await bad.finish()


async def _until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_an_error_that_is_no_outage_is_raised_at_once():
    def broken():
        raise ValueError("a defect")

    with pytest.raises(ValueError, match="a defect"):
        await outlasting(broken)
