"""A house whose rows and files are old."""

import asyncio
import json
import os
import shutil
import time

from sqlalchemy import text

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import (
    ApiModel,
    Config,
    Lora,
    Pool,
    ReplayModel,
    Team,
    WarmModel,
    Window,
)
from evalwindow.engines.adapters import digest_of_folder, materialise
from evalwindow.model import Candidate, EngineInfo, Source
from evalwindow.nights.promotion import promote
from evalwindow.report.files import report_folder, write_report
from evalwindow.report.gather import gather
from evalwindow.report.page import page
from evalwindow.services import build
from evalwindow.settings import Settings
from evalwindow.store.ids import new_id
from tests.real.web.helpers import answer_run
from tests.unit.worlds import ROOT, rows, write_outputs, write_suite

SAMPLES = 60
NIGHTLY = Window(cron="0 22 * * *", duration_minutes=60, team="search", suites=("echo",), models=("tiny",))


class House:
    """A config, its services, and short ways into the past."""

    def __init__(self, folder, *, database_url, redis_url):
        self.folder = folder
        self.settings = Settings(database_url=database_url, redis_url=redis_url, home=folder / "home")
        (folder / "suites").mkdir()
        for suite in ("echo", "other"):
            self.write_suite(suite, rows(SAMPLES))
        adapter = folder / "configured"
        shutil.copytree(ROOT / "demo" / "adapters" / "as-good", adapter)
        self.config = Config(
            suites=folder / "suites",
            pools={"warm": Pool(model="m", lora=Lora())},
            models={
                "tiny": ApiModel(engine="openai", base_url="http://127.0.0.1:9", model="tiny"),
                "adapted": WarmModel(engine="vllm", pool="warm", adapter=adapter),
                "recorded": ReplayModel(
                    engine="replay",
                    outputs=write_outputs(folder / "said.jsonl", {f"s{n}": "1" for n in range(SAMPLES)}),
                ),
            },
            teams={"search": Team(), "ads": Team()},
            windows={"nightly": NIGHTLY},
        )
        self._opened = []
        self.services = self.open()
        self.see_engine()

    def open(self, **changes):
        services = build(self.settings, config=self.config.model_copy(update=changes))
        self._opened.append(services)
        return services

    @property
    def store(self):
        return self.services.store

    @property
    def home(self):
        return self.settings.home

    def write_suite(self, suite, samples, **spec):
        write_suite(self.folder / "suites", samples, suite=suite, policy={"margin": 0.1}, **spec)

    def see_engine(self, worker="gpu-1"):
        self.store.heartbeat("warm", worker, EngineInfo(engine="vllm", version="1", model_digest="m"), "ready")

    def admit(self, *, suite="echo", model="tiny", team="search", branch="main", adapter=None):
        wish = Submission(
            key=new_id(), team=team, suite=suite, candidate=Candidate(model=model), source=Source(branch=branch)
        )
        run = flow.submit(self.services, wish)
        if adapter is not None:
            more = json.dumps({"adapter": adapter})
            self.sql(
                "UPDATE run SET candidate = candidate || CAST(:more AS jsonb) WHERE id = :id", id=run.id, more=more
            )
        return run.id

    def conclude(self, run_id, *, wrong=0, days=0):
        """Answer everything, the first `wrong` samples wrongly, so many days ago."""
        asyncio.run(answer_run(self.services, run_id, lambda said: "?" if int(said) < wrong else said))
        self.sql(
            "UPDATE run SET concluded_at = now() - make_interval(days => :days) WHERE id = :id", id=run_id, days=days
        )
        return run_id

    def run(self, *, wrong=0, days=0, **of):
        return self.conclude(self.admit(**of), wrong=wrong, days=days)

    def report(self, run_id):
        view = gather(self.store, self.config, run_id, base_url="http://x")
        return write_report(view, report_folder(self.home))

    def page(self, run_id):
        return page(gather(self.store, self.config, run_id, base_url="http://x"))

    def promote(self, run_id, **more):
        return promote(self.services, run_id, who="lea", why="release 4", **more)

    def sql(self, statement, **values):
        with self.store._transaction() as connection:
            assert connection.execute(text(statement), values).rowcount > 0

    def close(self):
        for services in self._opened:
            asyncio.run(services.aclose())


def aged(path, *, days):
    """Put back the time of a file or folder."""
    then = time.time() - days * 86_400
    os.utime(path, (then, then))
    return path


def texts(house, run_id):
    return {result.completion.text for result in house.store.results(run_id)}


def copy_adapter(house, marker):
    """A LoRA adapter's copy under home, as an engine leaves it; its digest."""
    source = house.folder / f"source-{marker}"
    shutil.copytree(ROOT / "demo" / "adapters" / "as-good", source)
    config = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(config | {"marker": marker}))
    content = {path.name: path.read_bytes() for path in source.iterdir()}
    (house.home / "adapters").mkdir(parents=True, exist_ok=True)
    digest = digest_of_folder(source)
    return aged(materialise(house.home / "adapters", digest=digest, files=content), days=40).name
