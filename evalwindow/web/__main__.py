"""`python -m evalwindow.web`: serve the web app where the settings say."""

from __future__ import annotations

import uvicorn

from evalwindow.services import build
from evalwindow.settings import read_settings
from evalwindow.web.app import create_app


def main() -> None:
    settings = read_settings()
    app = create_app(build(settings))
    uvicorn.run(app, host=settings.host, port=settings.port, log_level=settings.log_level.lower(), server_header=False)


if __name__ == "__main__":
    main()
