"""One HTTP request with a bounded time and a bounded reply."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import threading
import time
import urllib.parse

from dsr_core.endpoint.config import EndpointConfig, EndpointError

_CHUNK_BYTES = 8192


def _timeout(config: EndpointConfig) -> EndpointError:
    what = f"did not reply within {config.timeout_s:g} s; allow more time"
    return EndpointError("timeout", what, config.base_url)


def post(body: dict, config: EndpointConfig, end: float) -> tuple[int, tuple[str, bytes, str | None]]:
    """Status of one POST, and its reason, body and Retry-After."""
    url = urllib.parse.urlsplit(config.base_url)
    left_s = end - time.monotonic()
    if left_s <= 0:
        raise _timeout(config)
    make = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = make(url.hostname, url.port, timeout=left_s)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    key = os.environ.get(config.api_key_env, "").strip()
    if key:
        headers["Authorization"] = f"Bearer {key}"
    late = None
    try:
        connection.connect()
        # The socket's own timeout starts anew with every byte; this one does not.
        late = threading.Timer(max(end - time.monotonic(), 0.0), _hang_up, (connection.sock,))
        late.daemon = True
        late.start()
        connection.request("POST", f"{url.path.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        response = connection.getresponse()
        data = _read(response, config)
        if time.monotonic() >= end:  # then the reply may have been cut short
            raise _timeout(config)
        return response.status, (response.reason, data, response.getheader("Retry-After"))
    except EndpointError:
        raise
    except (OSError, http.client.HTTPException, ssl.SSLError, ValueError) as error:
        if isinstance(error, TimeoutError) or time.monotonic() >= end:
            raise _timeout(config) from None
        # A key that is no header value is not repeated: messages are shown to others.
        what = type(error).__name__ if isinstance(error, ValueError) and key else f"{type(error).__name__}: {error}"
        raise EndpointError("unavailable", f"cannot be used ({what}); is it running?", config.base_url) from None
    finally:
        if late is not None:
            late.cancel()
        connection.close()


def _hang_up(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


def _read(response: http.client.HTTPResponse, config: EndpointConfig) -> bytes:
    # Escaped in JSON a character takes at most 12 bytes (a surrogate pair); the rest is what surrounds the reply.
    most, out = 12 * config.max_reply_characters + 65_536, bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        out += chunk
        if len(out) > most:
            raise EndpointError("reply", too_long(config), status=200)
    return bytes(out)


def too_long(config: EndpointConfig) -> str:
    return f"its reply is longer than {config.max_reply_characters} characters"
