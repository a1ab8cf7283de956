"""What is kept no longer: outputs, pages, Data Docs, adapters. Real SQL, real files."""

import dataclasses

from evalwindow.comparable import compare as compare_runs
from evalwindow.config import Breaker, Retention
from evalwindow.engines.adapters import digest_of_folder, materialise
from evalwindow.engines.flock import FileLock
from evalwindow.engines.residents import lock_path, served_name
from evalwindow.gate import judge
from evalwindow.model import Answer
from evalwindow.report.comparison import comparison_page, comparison_view
from evalwindow.report.files import report_folder
from evalwindow.report.links import Links
from evalwindow.store.ids import new_id
from evalwindow.upkeep import files, retain
from evalwindow.web.compare import compare
from tests.fixtures.results import write_down
from tests.real.upkeep.house import SAMPLES, aged, copy_adapter, texts


def test_outputs_go_and_a_baseline_s_and_an_open_run_s_stay(house):
    baseline, old, young = house.run(days=400), house.run(days=91, wrong=5), house.run(days=89)
    house.promote(baseline)
    waiting = house.admit()
    shard = house.store.claim(house.store.shards(waiting)[0].id, "w", 60)
    write_down(house.store, waiting, shard.id, shard.token, house.store.results(young)[:20])
    house.sql("UPDATE run SET created_at = now() - interval '400 days' WHERE id = :id", id=waiting)
    removed = retain(house.services)
    assert removed.outputs == 1
    assert texts(house, old) == {""}
    for kept in (baseline, young):
        assert "59" in texts(house, kept)
    assert len(texts(house, waiting)) == 20
    assert retain(house.services).outputs == 0


def test_a_trimmed_run_is_compared_as_before_and_its_page_says_what_is_gone(house):
    house.promote(house.run(days=400))
    old, newer = house.run(days=91, wrong=30), house.run(wrong=20)
    suite = house.store.suite(house.store.run(old).suite_digest)
    before = house.page(old)
    verdict = judge(suite, house.store.results(newer), house.store.results(old), baseline_run=old)
    compared = compare(newer, old, "search", house.services)
    retain(house.services)
    assert judge(suite, house.store.results(newer), house.store.results(old), baseline_run=old) == verdict
    assert compare(newer, old, "search", house.services) == compared
    after = house.page(old)
    assert after.count("(output removed after 91 days)") > SAMPLES  # each answer, and the line above it
    assert "<pre>59</pre>" in before
    assert after.count("<pre>59</pre>") == before.count("<pre>59</pre>") - 1  # the target and the baseline's stay
    [figures] = [part for part in before.split("<section") if "Failing prompts" in part]
    assert figures in after


def test_two_runs_side_by_side_say_which_outputs_are_gone(house):
    old, newer = house.run(days=91, wrong=30), house.run(wrong=20)
    retain(house.services)
    both = {"run": newer, "other": old, "team": "search", "links": Links()}
    html = comparison_page(house.store, house.config, **both)
    assert html.count("(output removed after 91 days)") == SAMPLES
    assert "empty answer" not in html and "<mark>" not in html
    view = comparison_view(compare_runs(house.store, run=newer, other=old, team=None), house.config, show="all", page=1)
    assert view.counts == {"down": 0, "up": 10, "text": 0, "same": 50, "all": 60}


def test_a_trimmed_run_can_still_be_promoted_and_judged_against(house):
    old = house.run(days=91)
    retain(house.services)
    house.promote(old)
    judged = house.store.run(house.run(wrong=30))
    assert (judged.answer, judged.verdict.baseline_run) == (Answer.FAIL, old)
    assert house.store.run(house.run()).answer is Answer.PASS


def test_pages_go_with_the_outputs_and_those_of_others_stay(house):
    trimmed, old, young, baseline = (house.run(days=days) for days in (95, 40, 5, 200))
    house.promote(baseline)
    pages = {run_id: house.report(run_id) for run_id in (trimmed, old, young, baseline)}
    foreign = report_folder(house.home) / f"{new_id()}.html"
    foreign.write_text("of another database")
    draft = report_folder(house.home) / f".{old}.html.0123456789abcdef"
    draft.write_text("half a page")
    assert retain(house.services, dry_run=True).reports == 4
    assert all(path.exists() for path in pages.values())
    services = house.open(retention=Retention(reports_days=None))
    assert retain(services).reports == 2  # the trimmed one's page and JSON: nothing keeps them
    assert not pages[trimmed].exists()
    aged(draft, days=2)
    assert retain(house.services).reports == 3
    assert [path.exists() for path in (pages[old], pages[young], pages[baseline], foreign, draft)] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert not pages[old].with_suffix(".json").exists()


def test_data_docs_without_a_report_go_and_young_ones_stay(house):
    folder = house.home / files.DOCS
    keys = {name: folder / (name * 64) for name in "abc"}
    for path in keys.values():
        path.mkdir(parents=True)
        (path / "index.html").write_text("docs")
        aged(path, days=2)
    house.store.put_dataset_report(key="a" * 64, suite="echo", digest="d", ok=True, document={})
    aged(keys["c"], days=0)
    draft = folder / f".{'d' * 64}.123"
    draft.mkdir()
    aged(draft, days=2)
    assert retain(house.services, dry_run=True).docs == 2
    assert retain(house.services).docs == 2
    assert sorted(path.name[0] for path in folder.iterdir()) == ["a", "c"]


def test_data_docs_go_with_reports_that_newer_ones_have_replaced(house):
    for age, key in enumerate("abcd"):
        house.store.put_dataset_report(key=key * 64, suite="echo", digest=key, ok=True, document={})
        house.sql(
            "UPDATE dataset_report SET at = now() - make_interval(days => :days) WHERE key = :key",
            days=100 + age,
            key=key * 64,
        )
        (house.home / files.DOCS / (key * 64)).mkdir(parents=True)
        aged(house.home / files.DOCS / (key * 64), days=2)
    removed = retain(house.services)
    assert (removed.datasets, removed.docs) == (2, 2)
    assert sorted(path.name[0] for path in (house.home / files.DOCS).iterdir()) == ["a", "b"]


def test_the_folder_of_data_docs_is_the_one_that_validation_writes():
    from evalwindow.datasets import validate

    assert files.DOCS == validate.DOCS


def test_copies_of_adapters_that_nothing_needs_go(house):
    names = ("idle", "open", "baseline", "touched", "in use")
    digests = {name: copy_adapter(house, name) for name in names}
    configured = digest_of_folder(house.folder / "configured")
    content = {path.name: path.read_bytes() for path in (house.folder / "configured").iterdir()}
    aged(materialise(house.home / "adapters", digest=configured, files=content), days=40)
    folder = house.home / "adapters"
    locks = {name: lock_path(folder, pool="warm", name=served_name(digest)) for name, digest in digests.items()}
    for path in locks.values():
        path.touch()
        aged(path, days=40)
    aged(locks["touched"], days=2)
    house.admit(adapter=digests["open"])
    house.promote(house.run(adapter=digests["baseline"]))
    house.sql("UPDATE run SET created_at = now() - interval '40 days'")
    user = FileLock(locks["in use"])
    assert user.try_lock(shared=True)
    aged(locks["in use"], days=40)
    assert retain(house.services, dry_run=True).copies == 1
    assert (folder / digests["idle"]).exists()
    assert retain(house.services).copies == 1
    kept = {path.name for path in folder.iterdir() if path.is_dir()}
    assert kept == {configured} | set(digests.values()) - {digests["idle"]}
    user.unlock()
    assert retain(house.services).copies == 1
    assert not (folder / digests["in use"]).exists()


def test_what_a_kill_left_of_a_removal_is_removed_the_next_time(house):
    half = house.home / "adapters" / f".removed-{'e' * 64}.4711"
    half.mkdir(parents=True)
    (half / "adapter_config.json").write_text("{}")
    assert retain(house.services).copies == 0  # somebody may be at it
    aged(half, days=2)
    assert retain(house.services).copies == 1
    assert not half.exists()


def test_a_dry_run_says_what_would_go_and_removes_nothing(house):
    old = house.run(days=91)
    completion = house.store.results(old)[0].completion
    house.store.write([], {"k": completion})
    house.sql("UPDATE completion_cache SET at = now() - interval '31 days'")
    digest = house.store.put_artifact("adapter", "x", {"adapter_config.json": b"{}"})
    house.sql("UPDATE artifact SET created_at = now() - interval '31 days'")
    house.see_engine("long gone")
    house.sql("UPDATE engine SET seen_at = now() - interval '8 days' WHERE worker = 'long gone'")
    planned = retain(house.services, dry_run=True)
    assert (planned.outputs, planned.cache, planned.adapters, planned.engines, planned.total) == (1, 1, 1, 1, 4)
    assert (texts(house, old) != {""}, len(house.store.engines()), len(house.store.artifact(digest))) == (True, 2, 1)
    assert retain(house.services) == dataclasses.replace(planned, dry_run=False)
    assert retain(house.services).total == 0
    assert (texts(house, old), len(house.store.engines())) == ({""}, 1)


def test_what_breakers_did_half_a_year_ago_goes_with_its_mails(house):
    for _ in range(2):
        house.store.breaker_failed("pool:warm", reason="away", rule=Breaker(failures=1), alerts=("mail:a@b.example",))
        house.store.reset_breaker("pool:warm", by="lea", reason="mended")
    house.sql("UPDATE breaker_event SET at = now() - interval '180 days'")
    house.sql("UPDATE delivery SET state = 'sent' WHERE breaker_event_id IS NOT NULL")
    assert retain(house.services, dry_run=True).breakers == 3
    assert retain(house.services).breakers == 3
    [left] = house.store.breaker_events(10)
    assert (left.what, left.by) == ("reset", "lea")
    assert house.store.totals().openings == {"pool:warm": 2}


def test_what_is_kept_for_ever_is_never_removed(house):
    old = house.run(days=4000)
    house.report(old)
    copy_adapter(house, "old")
    house.store.write([], {"k": house.store.results(old)[0].completion})
    house.sql("UPDATE completion_cache SET at = now() - interval '4000 days'")
    for_ever = Retention(**dict.fromkeys(Retention.model_fields))
    assert retain(house.open(retention=for_ever)).total == 0
    assert texts(house, old) != {""}
