"""The web app of tests/real/web, for those who want in."""

from tests.real.web.conftest import services, standin, suites, web

__all__ = ["services", "standin", "suites", "web"]
