"""A chat-completion endpoint for tests: a real HTTP server in a thread that answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint:
    """What the server was sent and how it answers.

    Attributes:
        url: base_url for the configuration.
        requests: Bodies of the requests, decoded.
        headers: Headers of the requests.
        paths: Paths of the requests.
    """

    def __init__(self, respond):
        self.respond = respond
        self.requests, self.headers, self.paths = [], [], []
        self.url = ""
        self.gone = threading.Event()


def completion(content) -> bytes:
    """The body of a chat completion with this content (a text, or a value that is written as JSON)."""
    content = content if isinstance(content, str) else json.dumps(content)
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()


@contextmanager
def endpoint(respond):
    """Serves `respond(body) -> (status, body bytes)`, or a generator of pieces in place of the bytes."""
    state = Endpoint(respond)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append(body)
            state.headers.append(dict(self.headers))
            state.paths.append(self.path)
            status, data, *headers = state.respond(body)
            try:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if isinstance(data, bytes):
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                for piece in [data] if isinstance(data, bytes) else data:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                state.gone.set()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5.0)


def dripping(seconds_a_byte: float, data: bytes):
    """Pieces of one byte, slowly."""
    for i in range(len(data)):
        yield data[i : i + 1]
        time.sleep(seconds_a_byte)
