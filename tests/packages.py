"""Small packages with fake networks in them, served to the real pip and npm clients from this machine."""

import hashlib
import io
import json
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, name: str, members: dict[str, bytes], version: str = "1.0") -> Path:
    """A wheel that pip takes for one; it says that it needs a package that exists nowhere."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-package-anywhere\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for member, data in members.items():
            wheel.writestr(member, data)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


def make_tarball(name: str, members: dict[str, bytes], version: str = "1.0.0") -> bytes:
    """An npm tarball; its install script would leave a trace."""
    manifest = {"name": name, "version": version, "scripts": {"prepack": "touch ran", "install": "touch ran"}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tarball:
        for member, data in {"package/package.json": json.dumps(manifest).encode(), **members}.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            tarball.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


@contextmanager
def npm_registry(name: str, tarball: bytes, version: str = "1.0.0"):
    """An npm registry with one package; yields its address and the list of paths that were asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.endswith(".tgz"):
                body, kind = tarball, "application/octet-stream"
            else:
                host = f"http://127.0.0.1:{self.server.server_port}"
                dist = {"tarball": f"{host}/x/-/x-{version}.tgz", "shasum": hashlib.sha1(tarball).hexdigest()}
                entry = {"name": name, "version": version, "dist": dist}
                body = json.dumps(
                    {"name": name, "dist-tags": {"latest": version}, "versions": {version: entry}}
                ).encode()
                kind = "application/json"
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
