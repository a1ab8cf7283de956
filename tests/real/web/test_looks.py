"""Comparisons, trends and datasets as pages; what is never on any page, and who sees which."""

import re

from yarl import URL

from evalwindow.model import EntryState
from evalwindow.report.links import Links
from evalwindow.report.trends import gather_trends
from tests.real.web.night_world import EVIL, get, judged, tags


async def test_a_run_leads_to_comparisons_its_night_and_its_trend(site, seeded, configured):
    entry = configured.store.entries(seeded.nights[3])[-1]
    html = await get(site, f"/runs/{entry.run_id}")
    related = html[html.index('class="related"') :].split("</p>")[0]
    links = dict(re.findall(r'<a href="([^"]+)">([^<]+)</a>', related))
    assert set(links.values()) == {
        "Compare with its baseline",
        "Compare with the night before",
        "Its night",
        "Trend of gsm8k",
    }
    for link in links:
        await get(site, link.replace("&amp;", "&"))


async def test_two_runs_are_compared_sample_by_sample(site, seeded, configured):
    run, other = judged(configured.store, seeded)
    html = await get(site, f"/compare?run={run}&other={other}")
    counts = dict(re.findall(r">([A-Z][\w ,]+) <i>(\d+)</i>", html))
    assert int(counts["Lost"]) >= 15
    assert html.count('class="sample down wrong"') == int(counts["Lost"])
    assert html.index('class="sample down') < html.index('class="sample same')
    lost = await get(site, f"/compare?run={run}&other={other}&show=down")
    assert lost.count('<details class="sample') == int(counts["Lost"])
    assert "<mark>" in lost


async def test_what_can_not_be_compared_is_told(site, seeded, configured):
    run, _ = judged(configured.store, seeded)
    html = await get(site, f"/compare?run={run}&other={seeded.baselines['gsm8k']}", 422)
    assert "compare two runs of one suite" in html
    assert "There is no run &#39;none&#39;" in await get(site, f"/compare?run={run}&other=none", 404)
    form = await get(site, f"/compare?run={run}")
    assert f'value="{run}"' in form
    assert "page: Input should be" in await get(site, f"/compare?run={run}&other={run}&page=0", 422)


async def test_trends_mark_every_night_and_the_baseline(site, seeded, configured):
    html = await get(site, "/trends?suite=demo-regression")
    view = gather_trends(configured.store, links=Links(), team=None, suite="demo-regression")
    [_, lost] = view.candidates
    assert [point.void for point in lost.points] == [False, True, False, False]
    assert [mark.kind for mark in lost.charts[0].marks][1::2] == ["void", "fail"]
    assert lost.charts[0].level.label.startswith("baseline 9")
    charts = [chart for trend in (*view.candidates, *view.aa) for chart in trend.charts]
    drawn = [tag for tag, attributes in tags(html) if tag == "circle" and attributes.get("class") == "hit"]
    assert len(drawn) == sum(len(chart.marks) for chart in charts)
    assert html.count("runs in numbers") == len(view.candidates) + len(view.aa) == 3
    assert "There is no trend of suite" in await get(site, "/trends?suite=none", 404)


async def test_what_models_wrote_is_text_on_every_page(site, configured, seed, monkeypatch):
    monkeypatch.setattr("tests.airflow.seed.answer_to", lambda sample, *, right: EVIL + "!" * (not right))
    seeded = seed.sow()
    configured.store.set_entry(configured.store.entries(seeded.nights[0])[0].id, EntryState.INVALID, note=EVIL)
    run, other = judged(configured.store, seeded)
    paths = ("/nights", f"/nights/{seeded.nights[0]}", "/trends", f"/runs/{run}", f"/compare?run={run}&other={other}")
    for path in paths:
        html = await get(site, path)
        for tag, attributes in tags(html):
            assert tag not in ("script", "img", "iframe", "object"), path
            assert not any(name.startswith("on") or name == "style" for name in attributes), path
    assert "&lt;script&gt;" in html


async def test_every_page_allows_nothing_but_its_style(site, seeded):
    for path in ("/nights", "/trends", "/compare", f"/nights/{seeded.nights[0]}", "/nights/none"):
        async with site.get(path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy


async def test_a_team_sees_its_own_nights_and_everybody_s_baselines(as_team, seeded, configured):
    run, other = judged(configured.store, seeded)
    own = (f"/nights/{seeded.nights[3]}", f"/runs/{run}", f"/compare?run={run}&other={other}", "/trends?suite=gsm8k")
    for path in own:
        assert (await as_team("search", path))[0] == 200
        assert (await as_team("ads", path))[0] == 404
        assert (await as_team(None, path))[0] == 303
    status, html = await as_team("ads", "/nights")
    assert status == 200
    assert not any(night in html for night in seeded.nights)
    assert run not in html
    assert "No trend yet" in (await as_team("ads", "/trends"))[1]


async def test_files_of_the_data_docs_are_served_and_nothing_beside_them(site, configured):
    home = configured.settings.home
    docs = home / "datadocs" / "k1" / "validations"
    docs.mkdir(parents=True)
    (docs / "lines.html").write_text("<html><head></head><body><script>alert(1)</script></body></html>")
    (home / "secret.txt").write_text("secret")
    (docs / "out.txt").symlink_to(home / "secret.txt")
    async with site.get("/datadocs/k1/validations/lines.html") as answer:
        assert answer.status == 200
        policy = answer.headers["Content-Security-Policy"]
        assert "<style>" in await answer.text()
    assert policy.startswith("sandbox allow-same-origin; default-src 'none'")
    assert "script-src" not in policy
    escapes = (
        *("../secret.txt", "k1/../../secret.txt", "..%2Fsecret.txt", "%2e%2e/secret.txt", "k1/validations/out.txt"),
        *("/etc/passwd", "%2Fetc%2Fpasswd", "k1", "k1/validations", "k1/%00", "x" * 5000),
    )
    for path in escapes:
        url = URL(str(site._base_url) + "/datadocs/" + path, encoded=True)
        async with site.get(url) as answer:
            assert answer.status == 404, path
            assert "secret" not in (await answer.text()).replace("secret.txt", "")


async def test_the_page_of_a_dataset_names_what_was_found(site, configured):
    finding = {"check": "target", "severity": "error", "text": "2 targets are empty", "count": 2}
    finding["rows"] = [{"line": 112, "id": "gsm8k-0112", "what": EVIL}]
    document = {"suite": "gsm8k", "dataset": "data/x.jsonl", "digest": "d" * 64, "key": "k1", "ok": False}
    document |= {"findings": [finding], "samples": 20, "docs": "datadocs/k1/index.html"}
    configured.store.put_dataset_report(key="k1", suite="gsm8k", digest="d" * 64, ok=False, document=document)
    html = await get(site, "/datadocs/k1/index.html")
    assert "1 check failed" in html
    assert "line 112 (gsm8k-0112): &lt;script&gt;" in html
    assert "and 1 more" in html
    assert "There is no dataset report" in await get(site, "/datadocs/k2/index.html", 404)
