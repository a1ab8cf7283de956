"""The page of nights and the page of one, over a real store, as the web app serves them."""

import datetime as dt
import re
from contextlib import contextmanager
from dataclasses import replace
from html import unescape

import aiohttp
import pytest
from sqlalchemy import event

from evalwindow.model import EntryState
from evalwindow.report.nights import Wish, gather_nights
from evalwindow.store import Store
from evalwindow.store.night_rows import NewEntry, NewNight
from evalwindow.web.app import create_app
from tests.airflow.seed import INVALID_NOTE, VOID
from tests.real.github.serving import serving
from tests.real.web.night_world import get, links

NIGHT = r'<td><a href="/nights/([0-9a-z]+)">'


def _nights_table(html):
    return html[html.index('<table class="nights">') : html.index("Regression runs")]


async def test_the_nights_are_listed_newest_first_with_their_verdicts(site, seeded):
    html = await get(site, "/nights")
    table = _nights_table(html)
    assert re.findall(NIGHT, table) == seeded.nights[::-1]
    words = re.findall(r'<span class="mark \w+">([\w ]+)</span>', table)
    assert words[1:3] == ["fail", "invalid dataset"]
    assert words[3] == "void"
    assert VOID in unescape(table)
    assert "22:00–06:00 CET" in table


async def test_a_night_under_way_says_how_far_it_is(site, seeded):
    html = await get(site, "/nights")
    assert "Under way" in html
    done, of = map(int, re.search(r"<span>(\d+) of (\d+) samples</span>", html).groups())
    assert 0 < done < of
    assert "2 of 6 have not begun" in html


async def test_the_cost_of_a_night_stands_beside_that_of_a_gpu_per_job(site, seeded, configured):
    view = gather_nights(configured.store, configured.config, team=None, wish=Wish())
    night = next(row for row in view.nights if row.view.night.id == seeded.nights[3]).view
    runs = [line.run for line in (*night.lines, *night.aa)]
    own = [line.run for line in (*night.lines, *night.aa) if line.entry.state is EntryState.STARTED]
    assert night.cost.gpu_s == pytest.approx(sum(run.summary.gpu_s for run in own))
    assert night.cost.cold_gpu_s == pytest.approx(sum(60 + run.summary.gpu_s for run in runs))


@contextmanager
def _statements(store):
    said = []

    def note(connection, cursor, statement, *rest):
        said.append(statement)

    event.listen(store._engine, "before_cursor_execute", note)
    yield said
    event.remove(store._engine, "before_cursor_execute", note)


def test_the_list_reads_no_sample_and_asks_no_more_for_more_nights(configured, seed):
    counts = []
    for _ in range(2):
        replace(seed, window=f"w{len(counts)}").sow()
        with _statements(configured.store) as said:
            gather_nights(configured.store, configured.config, team=None, wish=Wish())
        counts.append(len(said))
        assert not any("result.text" in statement or "result.scores" in statement for statement in said)
    assert counts[0] == counts[1] < 12


async def test_runs_are_filtered_and_an_unknown_filter_is_told(site, seeded):
    html = await get(site, "/nights?suite=demo-regression&model=demo-lost-sort&verdict=fail")
    runs = html[html.index('id="runs"') :]
    rows = re.findall(r'<span class="mark \w+">([\w ]+)</span></td>\s*<td><a href="/runs/[0-9a-z]+"><b>([\w-]+)', runs)
    assert rows == [("fail", "demo-regression")]
    void = await get(site, "/nights?verdict=void")
    assert set(re.findall(r'<span class="mark unsure">([\w ]+)</span>', void[void.index('id="runs"') :])) == {"void"}
    assert "filter by pass, fail" in await get(site, "/nights?verdict=great", 422)
    assert "No regression run fits" in await get(site, "/nights?model=none")


async def test_older_nights_and_runs_are_a_link_away(site, seeded, monkeypatch):
    monkeypatch.setattr("evalwindow.report.nights.NIGHTS", 2)
    monkeypatch.setattr("evalwindow.report.nights.RUNS", 3)
    seen, path = [], "/nights"
    while path:
        html = await get(site, path)
        seen += re.findall(NIGHT, _nights_table(html))
        path = next(iter(re.findall(r'<a href="([^"]+)">Older nights', html)), None)
    assert seen == seeded.nights[::-1]
    older = re.findall(r'<a href="([^"]+)#runs">Older runs', await get(site, "/nights?suite=gsm8k"))[0]
    assert "suite=gsm8k" in older


async def test_who_has_no_night_yet_is_told_what_to_do(site):
    html = await get(site, "/nights")
    assert "The next window opens" in html
    assert "No regression run yet" in html
    assert "No trend yet" in await get(site, "/trends")


async def test_a_night_names_the_bad_rows_its_cost_and_its_dag_run(site, seeded):
    html = await get(site, f"/nights/{seeded.nights[2]}")
    assert "line 112 (gsm8k-0112): target is empty" in html
    assert INVALID_NOTE.splitlines()[0] in html
    assert "of 60 min in the budget" in html
    assert any(link.startswith("http://127.0.0.1:8080/dags/nightly_regression/runs/") for link in links(html))


async def test_a_void_night_and_its_runs_say_so_with_the_reason(site, seeded, configured):
    html = unescape(await get(site, f"/nights/{seeded.nights[1]}"))
    assert html.index('<p class="word">Void') < html.index(VOID)
    run_id = next(entry.run_id for entry in configured.store.entries(seeded.nights[1]))
    assert VOID in unescape(await get(site, f"/runs/{run_id}"))


async def test_a_dry_run_says_what_would_be(site, configured):
    store, now = configured.store, dt.datetime.now(dt.UTC)
    new = NewNight(
        key="dry",
        window="nightly",
        team="search",
        branch="main",
        starts_at=now,
        ends_at=now + dt.timedelta(hours=1),
        dry_run=True,
    )
    night = store.open_night(new)
    store.plan(night.id, [NewEntry(suite="gsm8k", model="demo")])
    html = await get(site, f"/nights/{night.id}")
    assert "1 candidate would be evaluated; nothing was run." in html
    assert "dry run" in await get(site, "/nights")


async def test_a_database_that_is_away_is_a_page_that_says_so(configured):
    away = Store("postgresql+psycopg://nobody@127.0.0.1:1/none")
    app = create_app(replace(configured, store=away))
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        html = await get(session, "/nights", 503)
    assert "Not available now" in html
    assert "can&#39;t be reached" in html
