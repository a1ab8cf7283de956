"""Disks that are full: of the reports, of the logs, of the adapters, of the database, of an engine's own files."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from demo.github_standin import Standin, create_app
from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Lora
from evalwindow.content import digest_of
from evalwindow.engines.residents import Residents
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.errors import EngineUnavailable
from evalwindow.model import Candidate, RunState, Source
from evalwindow.report.files import report_folder
from tests.faults.disks import disk_at, full_disk_at, limit_files, make_room, may_mount, mounted, seen_by
from tests.real.engines.requests import ask
from tests.real.engines.tiny import adapter_files
from tests.real.engines.unit import GpuUnit
from tests.real.github.serving import serving
from tests.real.house import REPO, TEAM, until
from tests.real.web.helpers import answer_run
from workers.groups import Group

pytestmark = pytest.mark.timeout(600)

SHA = "c0ffee" * 6 + "abcd"
PULL = Source(repo=REPO, pull_request=7, head_sha=SHA, branch="main")


def wish(suite, **fields):
    return Submission(key=suite, team=TEAM, suite=suite, candidate=Candidate(model="parrot"), **fields)


@asynccontextmanager
async def github_of(house):
    """A GitHub that the house's processes tell."""
    standin = Standin()
    async with serving(create_app(standin)) as url:
        house.environ |= {"EVALWINDOW_GITHUB_API_URL": url, "EVALWINDOW_GITHUB_TOKEN": "ghs_installed"}
        yield standin


async def eventually(condition):
    await asyncio.to_thread(until, condition)


def page_of(services, run_id):
    [page] = [each for each in services.store.deliveries(run_id) if each.channel == "page"]
    return page


def start_full(house, how):
    """A dispatcher that has no room for reports: on a small disk, or by a limit that its log is under, too."""
    folder = report_folder(house.folder)
    if how == "disk":
        folder.mkdir()
        dispatcher = house.start("dispatcher", under=full_disk_at(folder))
        return dispatcher, "No space left on device", lambda: make_room(dispatcher.pid, folder)
    dispatcher = house.start("dispatcher")
    until(lambda: "dispatching" in house.said())
    limit_files(dispatcher.pid, 0)
    return dispatcher, "File too large", lambda: limit_files(dispatcher.pid, -1)


@pytest.mark.parametrize("how", ["disk", "limit"])
async def test_a_verdict_is_told_while_its_page_waits_for_room(house, services, how):
    if how == "disk" and not may_mount():
        pytest.skip("this user may not mount a filesystem in a namespace of its own; the limit is tested")
    async with github_of(house) as github:
        dispatcher, reason, free = await asyncio.to_thread(start_full, house, how)
        run = await asyncio.to_thread(flow.submit, services, wish("trip", source=PULL))
        await answer_run(services, run.id, lambda target: target)
        await eventually(lambda: page_of(services, run.id).error)
        await eventually(lambda: github.comments and github.check_runs[0].get("conclusion"))
        assert (page_of(services, run.id).state, services.store.run(run.id).state) == ("waiting", RunState.CONCLUDED)
        assert reason in page_of(services, run.id).error
        free()
        await eventually(lambda: page_of(services, run.id).state == "sent")
    folder = seen_by(dispatcher.pid, report_folder(house.folder))
    assert sorted(path.name for path in folder.iterdir()) == [f"{run.id}.html", f"{run.id}.json"]
    assert json.loads((folder / f"{run.id}.json").read_text())["answer"] == "pass"
    assert (folder / f"{run.id}.html").read_text().rstrip().endswith("</html>")
    assert [check["conclusion"] for check in github.check_runs] == ["success"]
    assert len(github.comments) == 1


async def test_results_that_the_database_has_no_room_for_wait_and_no_attempt_is_lost(home, services, caplog):
    run = await asyncio.to_thread(flow.submit, services, wish("echo"))
    with mounted(home / "small", size="256k") as disk, rows_on(disk, services.store.url, table="result"):
        disk.fill()
        shards = services.store.shards(run.id)
        work = [asyncio.create_task(flow.run_shard(services, shard.id)) for shard in shards]
        await eventually(lambda: "No space left on device" in caplog.text)
        assert services.store.run(run.id).state is RunState.RUNNING
        disk.make_room()
        await asyncio.gather(*work)
        assert services.store.run(run.id).state is RunState.CONCLUDED
        assert [(shard.state, shard.attempts) for shard in services.store.shards(run.id)] == [("done", 1)] * len(shards)
        assert sorted(result.sample_id for result in services.store.results(run.id)) == sorted(
            f"s{n}" for n in range(40)
        )


@contextmanager
def rows_on(disk, url, *, table):
    """The table's rows lie on that disk, until the block ends."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as admin:
        owner = Path(admin.execute(text("SHOW data_directory")).scalar_one()).stat()
        os.chown(disk.path, owner.st_uid, owner.st_gid)
        admin.execute(text(f"CREATE TABLESPACE small LOCATION '{disk.path}'"))
        admin.execute(text(f"TRUNCATE {table}"))  # no pages that earlier rows have left free
        admin.execute(text(f"ALTER TABLE {table} SET TABLESPACE small"))
        try:
            yield
        finally:
            admin.execute(text(f"ALTER TABLE {table} SET TABLESPACE pg_default"))
            admin.execute(text("DROP TABLESPACE small"))
    engine.dispose()


async def test_an_adapter_that_there_is_no_room_for_is_fetched_once_there_is(tmp_path):
    files = adapter_files(seed=1)
    digest = digest_of(files)
    with mounted(tmp_path / "adapters", size="256k") as disk:
        residents = Residents(
            VllmHttp(tmp_path / "no-engine"),
            folder=disk.path,
            pool="warm",
            lora=Lora(),
            base=None,
            artifact=lambda digest: files,
        )
        disk.fill()
        with pytest.raises(EngineUnavailable, match=r"can't be kept on this host: .*No space left on device"):
            async with residents.use(digest):
                pass
        assert [path.name for path in disk.path.iterdir() if path.is_dir()] == []
        disk.make_room()
        with pytest.raises(EngineUnavailable, match="no-engine is not running"):
            async with residents.use(digest):
                pass
        assert digest_of({path.name: path.read_bytes() for path in (disk.path / digest).iterdir()}) == digest


def test_a_warm_engine_outlives_a_full_disk(tmp_path):
    unit = GpuUnit(tmp_path, pool={"calibrate": False})
    with disk_at(unit.home, size="8m", pid=lambda: unit.process.pid) as disk:
        unit.start()
        try:
            first = fills_up_while_the_engine_starts(unit, disk)
            fills_up_and_the_engine_dies(unit, disk, first)
            fills_up_before_the_engine_is_replaced(unit, disk)
        finally:
            unit.signal(signal.SIGCONT)
            unit.stop()


def fills_up_while_the_engine_starts(unit, disk):
    """It is not heard of before there is room, and needs not be loaded again; its pid."""
    until(unit.paths.processes)
    unit.signal(signal.SIGSTOP)
    until(lambda: "Application startup complete" in unit.engine_log)
    disk.fill()
    unit.signal(signal.SIGCONT)
    until(lambda: "consumers don't hear of the engine" in unit.log or unit.process.poll() is not None)
    assert (unit.process.poll(), unit.record) == (None, None), unit.log
    [file] = unit.paths.processes()
    pid = Group.read(file).leader
    disk.make_room()
    assert unit.wait_ready().pid == pid
    assert unit.log.count("consumers don't hear of the engine") == 1
    return pid


def fills_up_and_the_engine_dies(unit, disk, pid):
    """What is warm answers all the same; a new one is loaded when there is room for its log."""
    disk.fill()
    assert asyncio.run(unit.engine().complete(ask("hello"))).text
    psutil.Process(pid).kill()
    until(lambda: "can't be started" in unit.log or unit.process.poll() is not None)
    assert unit.process.poll() is None, unit.log
    assert not unit.paths.processes()
    disk.make_room()
    unit.wait_ready(but_not=pid)


def fills_up_before_the_engine_is_replaced(unit, disk):
    """The old one stays."""
    old = unit.record
    disk.fill()
    unit.signal(signal.SIGHUP)
    until(lambda: "the engine was not replaced" in unit.log)
    assert unit.record == old
    assert asyncio.run(unit.engine().complete(ask("hello"))).text
