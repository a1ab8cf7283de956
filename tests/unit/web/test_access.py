import pytest

from evalwindow.settings import Settings
from evalwindow.web.access import is_open


@pytest.mark.parametrize(
    "host, public_url, expected",
    [
        ("127.0.0.1", "", True),
        ("localhost", "", True),
        ("::1", "http://localhost:8800", True),
        ("0.0.0.0", "", False),  # noqa: S104 - what must not be open
        ("10.0.0.7", "", False),
        ("127.0.0.1", "https://evals.example", False),
    ],
)
def test_pages_are_open_only_where_nobody_else_gets_in(host, public_url, expected):
    assert is_open(Settings(host=host, public_url=public_url)) is expected
