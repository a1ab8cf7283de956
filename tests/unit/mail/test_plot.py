import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

from evalwindow.mail.plot import HEIGHT, MARKS, SCALE, WIDTH, Trend, draw
from evalwindow.model import Answer
from tests.unit.mail.examples import good, judged, lost_sort

BERLIN = ZoneInfo("Europe/Berlin")


def _trend(line, **changes):
    return replace(Trend(points=line.trend, baseline=0.96, margin=0.03, zone=BERLIN), **changes)


def _pixels(png):
    """Rows x columns x RGBA, 0..1."""
    return imread(io.BytesIO(png))


def _has(pixels, colour):
    red, green, blue = to_rgb(colour)
    near = (abs(pixels[..., :3] - (red, green, blue)) < 0.02).all(axis=-1) & (pixels[..., 3] > 0.98)
    return near.sum() > 20


def test_it_has_two_pixels_for_each_of_the_page_and_no_background():
    pixels = _pixels(draw(_trend(judged(lost_sort))))
    assert pixels.shape == (HEIGHT * SCALE, WIDTH * SCALE, 4)
    assert pixels[0, 0, 3] == 0
    assert 0.01 < (pixels[..., 3] > 0.5).mean() < 0.5


def test_every_answer_has_its_colour():
    failed = _pixels(draw(_trend(judged(lost_sort))))
    passed = _pixels(draw(_trend(judged(good))))
    assert _has(failed, MARKS[Answer.FAIL][0])
    assert not _has(passed, MARKS[Answer.FAIL][0])
    assert _has(passed, MARKS[Answer.PASS][0])
    assert len({shape for _, shape in MARKS.values()}) == len(MARKS)  # for who sees no colours


@pytest.mark.parametrize("nights", [1, 2, 30])
def test_few_and_many_nights_are_drawn(nights):
    assert len(draw(_trend(judged(good, nights=nights)))) > 5_000


def test_nights_without_numbers_are_drawn():
    line = judged(good, nights=3)
    empty = tuple(replace(point, score=None, latency_s=None, gpu_s=0.0) for point in line.trend)
    assert len(draw(_trend(line, points=empty, baseline=None, margin=None))) > 1_000


def test_its_words_are_the_numbers_that_it_shows():
    alt = _trend(judged(lost_sort)).alt
    assert alt.startswith("Score now 73.0 %, in the 13 nights before 95.0 % to 96.6 %, baseline 96.0 %.")
    assert _trend(judged(good, nights=1), baseline=None).alt.startswith("Score now 97.0 %. Median")


def test_mails_that_are_written_at_once_draw_the_same():
    trend = _trend(judged(good))
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: draw(trend), range(8)))) == 1
