"""A mail server that keeps what it is given, and that can go and come back at the same port."""

from __future__ import annotations

from aiosmtpd.controller import Controller

from demo.mailbox import Mailbox
from evalwindow.processes import free_port


class MailServer:
    """Runs from its beginning, in a thread."""

    def __init__(self) -> None:
        self._port = free_port("127.0.0.1", 0)
        self._controller: Controller | None = None
        self.mailbox = Mailbox()
        self.url = f"smtp://127.0.0.1:{self._port}?starttls=never"
        self.start()

    def start(self) -> None:
        """Harmless when it is there."""
        if self._controller is None:
            self._controller = Controller(self.mailbox, hostname="127.0.0.1", port=self._port)
            self._controller.start()

    def stop(self) -> None:
        """Harmless when it is not there."""
        if self._controller is not None:
            self._controller.stop()
        self._controller = None
