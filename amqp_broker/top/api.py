"""The little HTTP that it takes: GET with a name and a password, over one connection that is kept."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any, Final
from urllib.parse import unquote, urlsplit

TIMEOUT_S: Final = 10.0
DEFAULT_PORT: Final = 15672


class ApiUnavailableError(Exception):
    """No figures can be had; the text says why, in a sentence.

    Attributes:
        status: of HTTP; 0 when nobody answered.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """A management API.

    Args:
        url: of the port, with name and password: `http://guest:guest@127.0.0.1:15672`.

    Raises:
        ValueError: that is no such URL.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not of the form http://user:password@host:15672")
        self.place = f"{parts.hostname}:{parts.port or DEFAULT_PORT}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port or DEFAULT_PORT, timeout=TIMEOUT_S)
        self._prefix = parts.path.rstrip("/")
        login = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
        self._headers = {"authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}

    def get(self, path: str) -> Any:
        """What `api/{path}` answers. Raises ApiUnavailableError."""
        try:
            self._connection.request("GET", f"{self._prefix}/api/{path}", headers=self._headers)
            response = self._connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()  # the next request opens it again
            why = getattr(error, "strerror", None) or error or type(error).__name__
            raise ApiUnavailableError(f"no management API answers at {self.place}: {why}") from None
        if response.status == http.client.UNAUTHORIZED:
            raise ApiUnavailableError(f"{self.place} does not let this user look", response.status)
        try:
            answer = json.loads(body)
        except ValueError:
            raise ApiUnavailableError(f"{self.place} is no management API", response.status) from None
        if response.status != http.client.OK:
            raise ApiUnavailableError(f"{self.place} answers {response.status}", response.status)
        return answer

    def close(self) -> None:
        self._connection.close()
