"""The web app of tests/real/web, for those who want in."""

import pytest

from evalwindow import processes
from tests.real.web.conftest import services, suites, web

__all__ = ["services", "suites", "web"]


@pytest.fixture
def free_port() -> int:
    return processes.free_port("127.0.0.1", 0)
