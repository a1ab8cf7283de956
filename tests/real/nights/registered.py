"""A house whose models a registry knows."""

import asyncio

from sqlalchemy import text

from evalwindow import flow, policy
from evalwindow.admission import Submission
from evalwindow.config import ApiModel, Config, Team
from evalwindow.model import Candidate, Source
from evalwindow.services import build
from evalwindow.settings import Settings
from tests.real.web.helpers import answer_run
from tests.unit.worlds import rows, write_suite

SAMPLES = 60


class House:
    """Suites of each promotion policy, and models that a registry knows as versions 1, 2 and 3."""

    def __init__(self, folder, *, database_url, redis_url, mlflow):
        self.folder, self.mlflow = folder, mlflow
        self.settings = Settings(database_url=database_url, redis_url=redis_url, home=folder)
        (folder / "suites").mkdir()
        for mode in policy.Promotion:
            wanted = {"margin": 0.1, "promotion": mode.value}
            write_suite(folder / "suites", rows(SAMPLES), suite=f"{mode}-suite", policy=wanted)
        self._opened = []
        self.services = self.open()

    def open(self, **registries):
        """Services of a process; `registries` are laid over the models' own."""
        entries = {f"v{n}": self.mlflow.entry(str(n)) for n in (1, 2, 3)} | {"plain": None} | registries
        models = {
            name: ApiModel(engine="openai", base_url="http://127.0.0.1:9", model=f"the {name}", registry=entry)
            for name, entry in entries.items()
        }
        config = Config(suites=self.folder / "suites", models=models, teams={"search": Team(), "ads": Team()})
        self._opened.append(build(self.settings, config=config))
        return self._opened[-1]

    @property
    def store(self):
        return self.services.store

    def run(self, model="v1", suite="automatic-suite", *, wrong=0, branch="main", more=None):
        """A concluded run whose first `wrong` samples are wrong; `more` is JSON laid over its candidate."""
        key = f"{model} {len(self.store.runs())}"
        run = flow.submit(
            self.services,
            Submission(
                key=key,
                team="search",
                suite=suite,
                candidate=Candidate(model=model),
                source=Source(branch=branch),
                use_cache=False,
            ),
        )
        if more:
            self.sql(
                "UPDATE run SET candidate = candidate || CAST(:more AS jsonb) WHERE id = :id", id=run.id, more=more
            )
        done = asyncio.run(answer_run(self.services, run.id, lambda said: "?" if int(said) < wrong else said))
        self.answered_by(done.id, f"the {model}")
        return done.id

    def answered_by(self, run_id, weights):
        change = "jsonb_set(provenance, '{0,model_digest}', to_jsonb(CAST(:weights AS text)))"
        self.sql(f"UPDATE run SET provenance = {change} WHERE id = :id", id=run_id, weights=weights)  # noqa: S608

    def sql(self, statement, **values):
        with self.store._transaction() as connection:
            connection.execute(text(statement), values)

    def baseline(self, suite="automatic-suite", branch="main"):
        row = self.store.baseline(suite, branch)
        return None if row is None else row.run_id

    def close(self):
        for services in self._opened:
            asyncio.run(services.aclose())
