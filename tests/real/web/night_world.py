"""Nights for the pages' tests, and what to read their HTML with."""

from html.parser import HTMLParser

from tests.airflow.seed import Story

STORY = Story(cut=0, void=1, invalid=2, unchanged=3, lost_sort=3)
SAMPLES = {"demo-regression": 140, "gsm8k": 20}
EVIL = '<script>alert(1)</script><img src=x onerror="alert(2)">'


class Tags(HTMLParser):
    """Every tag with its attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def tags(html):
    parser = Tags()
    parser.feed(html)
    return parser.found


def links(html):
    return [attributes["href"] for tag, attributes in tags(html) if tag == "a"]


async def get(session, path, status=200):
    """The HTML at a path."""
    async with session.get(path) as answer:
        assert answer.status == status, await answer.text()
        assert answer.content_type == "text/html"
        return await answer.text()


def judged(store, seeded, suite="demo-regression", model="demo-lost-sort"):
    """(run, baseline) of the last finished night's candidate."""
    entries = store.entries(seeded.nights[3])
    entry = next(entry for entry in entries if (entry.suite, entry.model) == (suite, model))
    return entry.run_id, seeded.baselines[suite]
