"""Curation: models on captions and frames, tracks, lists, journals, budgets; each endpoint is a real server."""

from __future__ import annotations

import argparse
import base64
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest

from dsr_core import cli
from dsr_core.commands.endpoint import Told
from dsr_core.endpoint import Endpoint, EndpointConfig, Usage
from dsr_core.qa.asking.asking import Asker, BadReply, NoReply
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.asking.ledger import AskingConfig, Ledger, Stopped
from dsr_core.qa.curation.captions import read_captions
from dsr_core.qa.curation.curate import CurateConfig, Curator, captioned
from dsr_core.qa.curation.curated import CuratedEntry, read_curated, write_curated
from dsr_core.qa.curation.motion_filter import MotionFilterConfig, filter_motion
from dsr_core.qa.curation.prompts import CATEGORIES, classes, read_reply, reply_schema
from dsr_core.qa.curation.recordings import Recording, expand
from dsr_core.qa.item import QaError
from tests.fakes import fake_scene, fake_track
from tests.language_model import completion, dripping, endpoint

REPO = Path(__file__).resolve().parents[1]
GOOD = {
    "agents": ["Man", "the dog"],
    "objects": ["ball", "man"],
    "movers": [{"name": "man", "count": 2}, {"name": "Dog", "count": 1}],
    "why": "two men and a dog run",
}
SEEN = {
    **GOOD,
    "inside_vehicle": False,
    "smallest_percent": 2,
    "largest_percent": 12.5,
    "touching": False,
    "category": CATEGORIES[0],
}
QUICK = {"backoff_s": 0.01, "max_backoff_s": 0.02}


def asker(server, timeout_s=5.0, **config):
    return Asker(Endpoint(EndpointConfig(server.url, "tiny", timeout_s=timeout_s)), AskingConfig(**{**QUICK, **config}))


def billed(content, prompt=100, reply=50):
    data = json.loads(completion(content))
    return json.dumps({**data, "usage": {"prompt_tokens": prompt, "completion_tokens": reply}}).encode()


def ask(server, **config):
    one = asker(server, **config)
    return one.ask([{"role": "user", "content": "?"}], reply_schema(frames=False), read_reply), one


# --- asking ----------------------------------------------------------------------------------------------------------


def test_a_good_reply_is_put_into_one_form_and_counted():
    with endpoint(lambda body: (200, billed(GOOD))) as server:
        found, one = ask(server, price_prompt=2.0, price_completion=10.0)
    assert (
        found["agents"] == ["man", "dog"] and found["objects"] == ["ball"] and found["movers"] == {"dog": 1, "man": 2}
    )
    totals = one.ledger.totals()
    assert (totals.requests, totals.failures, totals.prompt_tokens, totals.completion_tokens) == (1, 0, 100, 50)
    assert totals.cost == pytest.approx(100 * 2e-6 + 50 * 10e-6) and totals.guessed == 0
    assert "cost 0.0007" in str(totals)
    (sent,) = server.requests
    assert sent["response_format"]["json_schema"]["schema"] == reply_schema(frames=False)


def test_tokens_are_guessed_where_the_server_does_not_count():
    with endpoint(lambda body: (200, completion(GOOD))) as server:
        _, one = ask(server)
    totals = one.ledger.totals()
    assert totals.guessed == 1 and totals.completion_tokens > 10 and "guessed" in str(totals)


BAD = {
    "prose": ("I would say yes", "no JSON object"),
    "a last line with yes": ("Let me think. No, not really.\nyes", "no JSON object"),
    "missing field": ({"agents": [], "objects": [], "movers": []}, "not as the schema says"),
    "wrong type": ({**GOOD, "movers": "three"}, "not as the schema says"),
    "extra field": ({**GOOD, "note": 1}, "not as the schema says"),
    "zero movers of a class": ({**GOOD, "movers": [{"name": "man", "count": 0}]}, "not as the schema says"),
    "movers of no class": ({**GOOD, "movers": [{"name": "cat", "count": 3}]}, "movers of no class"),
    "no class": ({**GOOD, "agents": ["man", "[12,3,4,5]"]}, "no class"),
    "empty": ("", "empty or endless reply"),
}


@pytest.mark.parametrize("content,reason", BAD.values(), ids=BAD)
def test_a_bad_reply_is_told_to_the_model_and_then_given_up(content, reason):
    with endpoint(lambda body: (200, completion(content))) as server, pytest.raises(BadReply) as error:
        ask(server, corrections=2)
    assert error.value.reason == reason and len(server.requests) == 3
    last = server.requests[-1]["messages"]
    if content:
        assert len(last) == 3 and "cannot be used" in last[2]["content"] and str(error.value)[:40] in last[2]["content"]


def test_a_corrected_reply_is_taken():
    with endpoint(lambda body: (200, completion(GOOD if len(body["messages"]) > 1 else "dunno"))) as server:
        found, one = ask(server)
    assert found["movers"] and one.ledger.totals().requests == 2


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_busy_server_is_asked_again(status):
    left = [status, status]

    def respond(body):
        return (left.pop(), b"busy", ("Retry-After", "0.01")) if left else (200, completion(GOOD))

    with endpoint(respond) as server:
        found, one = ask(server)
    assert found["agents"] and (one.ledger.totals().requests, one.ledger.totals().failures) == (3, 2)


def test_a_broken_server_is_given_up():
    with endpoint(lambda body: (500, b"no")) as server, pytest.raises(NoReply, match=r"500.*tried 3 times"):
        ask(server, tries=3)
    assert len(server.requests) == 3


def test_what_a_refusal_says_is_told_but_never_the_key(monkeypatch):
    monkeypatch.setenv("DSR_LANGUAGE_MODEL_API_KEY", "sesame")
    for message, told in (("context is too long", True), ("the key sesame is bad", False), (["x"], False)):
        body = json.dumps({"error": {"message": message}}).encode()
        with endpoint(lambda _, body=body: (413, body)) as server, pytest.raises(NoReply) as error:
            ask(server)
        assert ("context is too long" in str(error.value)) == told and "sesame" not in str(error.value)
        assert "413" in str(error.value) and len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_stops_everything(status):
    with endpoint(lambda body: (status, b"no")) as server, pytest.raises(Stopped) as error:
        ask(server)
    assert error.value.reason == "endpoint refuses" and str(status) in str(error.value) and len(server.requests) == 1


def test_a_slow_server_is_a_timeout_and_asked_again():
    slow = [True]

    def respond(body):
        return 200, dripping(0.1, completion(GOOD)) if slow and slow.pop() else completion(GOOD)

    with endpoint(respond) as server:
        assert ask(server, timeout_s=0.3)[0]["agents"]
    assert len(server.requests) == 2


def test_a_server_that_knows_less_is_asked_with_less_from_then_on():
    def respond(body):
        refuses = "temperature" in body or "response_format" in body or "max_tokens" in body
        return (400, b"unknown field") if refuses else (200, completion(GOOD))

    with endpoint(respond) as server:
        one = asker(server)
        for _ in range(2):
            one.ask([{"role": "user", "content": "?"}], reply_schema(frames=False), read_reply)
    assert ["temperature" in sent for sent in server.requests] == [True, True, False, False]


def test_the_budget_ends_before_it_is_spent():
    config = AskingConfig(max_tokens=1000, max_reply_tokens=100)
    ledger = Ledger(config)
    for _ in range(3):
        ledger.begin(200)  # the first: no more than 300
        ledger.end(Usage(200, 50), Usage(200, 50))
    ledger.begin(200)  # 750 used, 250 in flight
    with pytest.raises(Stopped, match="max_tokens = 1000, used 750"):
        ledger.begin(200)
    assert ledger.totals().requests == 3
    with pytest.raises(QaError, match="price_prompt"):
        AskingConfig(max_cost=1.0)
    costly = Ledger(AskingConfig(max_cost=0.01, price_prompt=1.0, price_completion=10.0))
    with pytest.raises(Stopped, match="max_cost"):
        costly.begin(10_000)


@pytest.mark.parametrize("field", ["tries", "corrections", "concurrency", "backoff_s", "max_cost", "max_tokens"])
def test_settings_of_asking_are_checked(field):
    with pytest.raises(QaError, match=field):
        AskingConfig(**{field: -1})


# --- the journal -----------------------------------------------------------------------------------------------------


def test_a_journal_drops_a_torn_line_and_goes_on(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, {"a": {"b": 1}}) as journal:
        journal.write("x", {"n": 1})
        journal.write("y", {"n": "ü"})
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path, {"a": {"b": 1}}) as journal:
            assert ("x" in journal) == (cut >= whole.index(b'"y"') - 7)
            if "y" not in journal:
                journal.write("y", {"n": 2})
            assert journal["y"] == {"n": 2}
    path.write_bytes(whole)
    with Journal(path, {"a": {"b": 1}}) as journal:
        assert len(journal) == 2 and journal["x"] == {"n": 1} and journal["y"] == {"n": "ü"}
        with pytest.raises(QaError, match="in use"):
            Journal(path, {"a": {"b": 1}})


def test_a_journal_of_other_settings_or_another_file_is_refused(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, {"a": {"b": 1}, "c": 2}) as journal:
        journal.write("x", {})
    with pytest.raises(QaError, match=r"a\.b = 1, now 3"):
        Journal(path, {"a": {"b": 3}, "c": 2})
    with Journal(path, {"a": {"b": 3}}, resume=False) as journal:
        assert len(journal) == 0
    for text in ("some notes of mine", "[1, 2]\n", '{"journal": 7, "settings": {}}\n', '{"journal":1}\n'):
        path.write_text(text)
        with pytest.raises(QaError):
            Journal(path, {})
        assert path.read_text() == text


def test_a_damaged_line_in_the_middle_is_told(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, {}) as journal:
        journal.write("x", {})
        journal.write("y", {})
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"garbage\n" + lines[2])
    with pytest.raises(QaError, match="line 2"):
        Journal(path, {})


# --- tracks ----------------------------------------------------------------------------------------------------------


def moving_scene(movers=3, still=2, duration_s=30.0, ego_velocity=(0.0, 0.0, 0.0), sigma_m=0.05, metric=True):
    rng = np.random.default_rng(0)
    tracks = [
        fake_track(str(i), "car", (10.0, 3.0 * i, 0.0), (0.5, 0, 0), duration_s, sigma_m=sigma_m, rng=rng)
        for i in range(movers)
    ]
    tracks += [
        fake_track(f"s{i}", "box", (12.0, -3.0 * i, 0.0), duration_s=duration_s, sigma_m=sigma_m, rng=rng)
        for i in range(still)
    ]
    return fake_scene(*tracks, duration_s=duration_s, ego_velocity=ego_velocity, metric=metric)


@pytest.mark.parametrize("metric", [True, False])
def test_the_motion_of_the_robot_moves_nothing(metric):
    assert filter_motion(moving_scene(metric=metric)).kept
    driving = filter_motion(moving_scene(movers=0, still=8, ego_velocity=(3.0, 0, 0), metric=metric))
    assert not driving.kept and driving.others == {"still": 8} and "0 of 8 things" in driving.reasons[0]


def test_what_moves_less_than_its_noise_does_not_move():
    report = filter_motion(moving_scene(movers=0, still=6, sigma_m=0.8))
    assert report.movers == () and sum(report.others.values()) == 6
    assert filter_motion(moving_scene(sigma_m=0.3)).kept


def test_length_way_and_class_count():
    config = MotionFilterConfig(min_movers=2)
    assert "8.0 s long" in filter_motion(moving_scene(duration_s=8.0), config).reasons[0]
    assert (
        "at most 20"
        in filter_motion(moving_scene(), MotionFilterConfig(min_duration_s=1, max_duration_s=20)).reasons[0]
    )
    assert filter_motion(moving_scene(), MotionFilterConfig(min_duration_s=1, max_duration_s=0)).kept
    short = filter_motion(moving_scene(), MotionFilterConfig(min_displacement_m=20.0))
    assert short.others == {"move too little": 3, "still": 2}
    assert (
        filter_motion(moving_scene(), MotionFilterConfig(not_counted=("car",))).others["is the one that records"] == 3
    )
    assert filter_motion(moving_scene()).movers[0].displacement == pytest.approx(15.0 * 7 / 8, rel=0.1)


@pytest.mark.parametrize("side,reason", [(20, "too small on the screen"), (600, "fill the screen"), (100, None)])
def test_the_share_of_the_screen(side, reason):
    scene = moving_scene()
    for track in scene.tracks.values():
        track.boxes_px[:] = (0, 0, side, side)
        object.__setattr__(track, "image_size", (640, 480))
    report = filter_motion(scene)
    assert report.kept == (reason is None) and report.others.get(reason, 0) == (3 if reason else 0)


@pytest.mark.parametrize("field", ["min_movers", "min_screen", "max_duration_s"])
def test_settings_of_the_filter_are_checked(field):
    with pytest.raises(QaError, match=field):
        MotionFilterConfig(**{field: float("nan")})


# --- lists and words -------------------------------------------------------------------------------------------------


def test_captions_in_every_form(tmp_path):
    rows = [("a_0", "A man, a dog.\nThey run."), ("b.c_1", 'He says "hi"')]
    koala = "videoID,url,timestamp,caption\n" + "".join(
        f"""{i},u,"['0:00:01.000', '0:00:31.500']","{c.replace('"', '""')}"\n""" for i, c in rows
    )
    (tmp_path / "a.csv").write_text(koala)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"video": f"x/{i}.mp4", "text": c}) + "\n" for i, c in rows))
    (tmp_path / "a.json").write_text(json.dumps(dict(rows)))
    for name in ("a.csv", "a.jsonl", "a.json"):
        found = read_captions(tmp_path / name)
        assert {i: c.text for i, c in found.items()} == dict(rows)
    assert read_captions(tmp_path / "a.csv")["a_0"].duration_s == pytest.approx(30.5)
    for name, text in (
        ("b.csv", "video,words\nx,y\n"),
        ("b.json", "{"),
        ("b.jsonl", "[]\n"),
        ("b.txt", "x"),
        ("c.csv", ""),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(QaError, match=name[:1]):
            read_captions(tmp_path / name)
    with pytest.raises(QaError, match="no captions"):
        read_captions(tmp_path / "none.csv")


def test_classes_have_one_form():
    assert classes(["A Man", "man.", "stop_sign", "None", "élan"]) == ["man", "stop sign", "élan"]
    jsonschema.Draft202012Validator.check_schema(reply_schema(frames=True))
    jsonschema.validate(SEEN, reply_schema(frames=True))


def test_a_list_comes_back_and_names_recordings(tmp_path):
    scene = moving_scene().save(tmp_path / "in" / "x.scene.npz")
    (tmp_path / "clip.mp4").write_bytes(b"")
    entries = [
        CuratedEntry(str(scene), None, "x", True, (), ("man",), ("ball",), {"movers": 3}),
        CuratedEntry(str(scene), None, "x", False, ("too short",)),
        CuratedEntry(None, None, "clip", True),
        CuratedEntry("sim:seed=1", None, "sim:seed=1", True),
    ]
    path = write_curated(tmp_path / "list.json", entries, {"kept": 2})
    assert json.loads(path.read_text())["entries"][0]["source"] == "in/x.scene.npz"
    back = read_curated(path)
    assert back[0] == entries[0] and back[1] == entries[1] and back[2].source == str(tmp_path / "clip.mp4")
    found = expand([str(path), str(tmp_path / "in")])
    assert [r.name for r in found] == ["x", "clip", "sim:seed=1"] and found[0].classes == ("man", "ball")
    assert [r.name for r in expand([str(tmp_path / "i*" / "*.npz")])] == ["x"]
    for text in (
        "{",
        "[]",
        '{"format": "dsr-curated", "version": 9}',
        '{"format": "dsr-curated", "version": 1, "entries": [1]}',
    ):
        path.write_text(text)
        with pytest.raises(QaError, match=r"list\.json"):
            read_curated(path)


def test_recordings_of_one_name_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        moving_scene().save(tmp_path / folder / "x.scene.npz")
    found = expand([str(tmp_path / "a"), str(tmp_path / "b")])
    assert [r.name for r in found] == ["a-x", "b-x"] and len({r.key for r in found}) == 2


# --- curation --------------------------------------------------------------------------------------------------------


def judged(tmp_path, server=None, captions=None, recordings=(), config=None, name="j", **options):
    one = None if server is None else asker(server, **{"concurrency": 2, **options})
    with Journal(tmp_path / f"{name}.jsonl", {}) as journal:
        curator = Curator(config or CurateConfig(), None, None, one, captions)
        return *curator.run(captioned(list(recordings), captions or {}), journal), one


def captions_of(count, tmp_path):
    (tmp_path / "c.json").write_text(json.dumps({f"v{i}": f"caption {i}" for i in range(count)}))
    return read_captions(tmp_path / "c.json")


def test_captions_are_judged_in_order_and_with_reasons(tmp_path):
    def respond(body):
        number = int(json.loads(body["messages"][1]["content"])["caption"].split()[1])
        few = {**GOOD, "movers": [{"name": "man", "count": 1}], "why": "one man"}
        nobody = {**GOOD, "agents": [], "movers": [{"name": "ball", "count": 5}]}
        time.sleep(0.02 * (number % 2))
        return 200, billed([GOOD, few, nobody, "what?"][number % 4])

    with endpoint(respond) as server:
        entries, ending, one = judged(tmp_path, server, captions_of(6, tmp_path), corrections=1)
    assert [e.video_id for e in entries] == [f"v{i}" for i in range(6)] and ending.finished == 6
    assert [e.keep for e in entries] == [True, False, False, False, True, False]
    assert "sees 1 movers" in entries[1].reasons[0] and "front" in entries[2].reasons[0]
    assert "no JSON object" in entries[3].reasons[0] and entries[0].scores == {"movers_in_caption": 3}
    assert one.ledger.totals().requests == 7


def test_a_run_that_loses_its_server_goes_on_later(tmp_path):
    captions, served = captions_of(8, tmp_path), []

    def respond(body):
        served.append(body["messages"][1]["content"])
        return (200, completion(GOOD)) if len(served) <= 3 else (503, b"gone")

    with endpoint(respond) as server:
        entries, ending, _ = judged(tmp_path, server, captions, tries=1)
    assert len(entries) == 3 and ending.stopped == "no replies" and len(ending.unfinished) >= 3
    served.clear()
    with endpoint(lambda body: (served.append(body), (200, completion(GOOD)))[1]) as server:
        entries, ending, _ = judged(tmp_path, server, captions)
    assert [e.video_id for e in entries] == list(captions) and len(served) == 5 and not ending.stopped


def test_a_budget_stops_cleanly_and_more_money_goes_on(tmp_path):
    captions = captions_of(8, tmp_path)
    with endpoint(lambda body: (200, billed(GOOD, 900, 100))) as server:
        entries, ending, one = judged(tmp_path, server, captions, max_tokens=3500, max_reply_tokens=100, concurrency=1)
        assert ending.stopped == "budget spent" and not ending.unfinished and len(entries) == 3
        assert one.ledger.totals().prompt_tokens + one.ledger.totals().completion_tokens == 3000
        entries, ending, one = judged(tmp_path, server, captions)
    assert len(entries) == 8 and one.ledger.totals().requests == 5


def test_tracks_are_judged_without_an_endpoint(tmp_path, capsys):
    moving_scene().save(tmp_path / "in" / "good.scene.npz")
    moving_scene(movers=1).save(tmp_path / "in" / "dull.scene.npz")
    (tmp_path / "in" / "broken.scene.npz").write_bytes(b"no")
    out = tmp_path / "list.json"
    assert cli.main(["curate", str(tmp_path / "in"), "--out", str(out)]) == 1
    told = capsys.readouterr().out
    assert "1 of 2 recordings kept" in told and "broken" in told and "run the same command again" in told
    (tmp_path / "in" / "broken.scene.npz").unlink()
    assert cli.main(["curate", str(tmp_path / "in"), "--out", str(out), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["judged"], report["kept"]) == (2, 1)
    entries = read_curated(out)
    assert [(e.video_id, e.keep, e.scores["movers_tracked"]) for e in entries] == [
        ("dull", False, 1),
        ("good", True, 3),
    ]
    assert [r.name for r in expand([str(out)])] == ["good"]
    assert cli.main(["curate", str(tmp_path / "in"), "--out", str(out), "--min-movers", "1"]) == 2
    assert "min_movers = 3, now 1" in capsys.readouterr().err
    assert cli.main(["curate", str(tmp_path / "in"), "--out", str(out), "--min-movers", "1", "--no-resume"]) == 0
    assert all(e.keep for e in read_curated(out))


def test_dear_tracks_are_judged_last_and_by_the_models_classes(tmp_path):
    asked, recordings = [], [Recording("a", None, "v0", "v0"), Recording("b", None, "v1", "v1")]
    captions = captions_of(2, tmp_path)

    def open_scene(recording):
        asked.append(recording)
        return moving_scene()

    def respond(body):
        few = {**GOOD, "movers": []}
        return 200, completion(GOOD if "caption 0" in body["messages"][1]["content"] else few)

    for last, expected in ((True, [("a", ("man", "dog", "ball"))]), (False, [("a", ()), ("b", ())])):
        asked.clear()
        with endpoint(respond) as server, Journal(tmp_path / f"{last}.jsonl", {}) as journal:
            curator = Curator(CurateConfig(), None, open_scene, asker(server, concurrency=1), captions, last)
            entries, _ = curator.run(recordings, journal)
        assert [(r.path, r.classes) for r in asked] == expected
        assert [e.keep for e in entries] == [True, False] and entries[0].scores["movers_tracked"] == 3
        assert set(entries[0].agents) >= {"man", "dog"}


def test_a_changed_file_is_judged_again(tmp_path):
    path = moving_scene().save(tmp_path / "x.scene.npz")
    args = ["curate", str(path), "--out", str(tmp_path / "l.json"), "--json"]
    assert cli.main(args) == 0 and read_curated(tmp_path / "l.json")[0].keep
    moving_scene(movers=1).save(path)
    assert cli.main(args) == 0 and not read_curated(tmp_path / "l.json")[0].keep


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    import cv2

    path = tmp_path_factory.mktemp("video") / "clip_0.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 5.0, (640, 480))
    for i in range(126):
        writer.write(np.full((480, 640, 3), 2 * i, np.uint8))
    writer.release()
    return path


SEEN_BADLY = {
    "inside": ({"inside_vehicle": True}, "inside of one moving thing"),
    "tiny": ({"smallest_percent": 0.2}, "0.2 % of the picture"),
    "huge": ({"largest_percent": 80}, "80 % of the picture"),
    "touching": ({"touching": True}, "touch or cover"),
    "still": ({"movers": []}, "sees 0 movers"),
}


@pytest.mark.parametrize("change,reason", [({}, None), *SEEN_BADLY.values()], ids=["good", *SEEN_BADLY])
def test_frames_are_judged(tmp_path, capsys, video, change, reason):
    with endpoint(lambda body: (200, billed({**SEEN, **change}))) as server:
        args = ["curate", str(video), "--endpoint", server.url, "--model", "tiny", "--frames", "4", "--json"]
        assert cli.main([*args, "--out", str(tmp_path / "list.json")]) == 0
    (entry,) = read_curated(tmp_path / "list.json")
    assert entry.keep == (reason is None) and (reason is None or reason in entry.reasons[0])
    assert entry.scores["duration_s"] == pytest.approx(25.0) and entry.details["frames"]["category"] == CATEGORIES[0]
    parts = server.requests[0]["messages"][1]["content"]
    pictures = [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]
    assert [p["text"] for p in parts if p["type"] == "text"][::3] == ["0.0 s:", "25.0 s:"] and len(pictures) == 4
    assert all(base64.b64decode(p.removeprefix("data:image/jpeg;base64,"))[:2] == b"\xff\xd8" for p in pictures)
    assert json.loads(capsys.readouterr().out)["this_run"]["prompt_tokens"] == 100


def test_what_is_too_short_is_not_shown_to_the_model(tmp_path, capsys, video):
    with endpoint(lambda body: (200, completion(SEEN))) as server:
        args = ["curate", str(video), "--endpoint", server.url, "--model", "tiny", "--out", str(tmp_path / "l.json")]
        assert cli.main([*args, "--min-duration", "30"]) == 0
    assert server.requests == [] and "25.0 s long" in read_curated(tmp_path / "l.json")[0].reasons[0]
    capsys.readouterr()


def test_wrong_usage_is_told(tmp_path, capsys, video, monkeypatch):
    monkeypatch.delenv("DSR_LANGUAGE_MODEL_URL", raising=False)
    out = ["--out", str(tmp_path / "list.json")]
    for args, told in (
        (["curate", *out], "needs a SOURCE"),
        (["curate", "--captions", "x.csv", *out], "--endpoint"),
        (["curate", str(tmp_path / "none"), *out], "does not exist"),
        (["curate", str(video), "--frames", "999", *out], "frames"),
        (["curate", str(video), "--model", "tiny", *out], "DSR_LANGUAGE_MODEL_URL"),
        (["curate", str(video), "--endpoint", "http://x/v1", "--model", "m", "--max-cost", "1", *out], "price_prompt"),
    ):
        assert cli.main(args) == 2
        assert told in capsys.readouterr().err
    assert cli.main(["curate", str(video), *out]) == 1  # a video without a model: nobody can judge it
    assert "nobody can judge it" in capsys.readouterr().out


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    captions_of(12, tmp_path)
    asked, hold = [], threading.Event()

    def respond(body):
        asked.append(json.loads(body["messages"][1]["content"])["caption"])
        if len(asked) > 5:
            hold.wait(20.0)
        return 200, completion(GOOD)

    with endpoint(respond) as server:
        command = [sys.executable, "-m", "dsr_core.cli", "curate", "--captions", str(tmp_path / "c.json")]
        command += [
            "--endpoint",
            server.url,
            "--model",
            "tiny",
            "--out",
            str(tmp_path / "l.json"),
            "--concurrency",
            "1",
        ]
        run = subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20.0
        while len(asked) < 6 and time.monotonic() < end:
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
        run.wait(10.0)
        assert len(asked) == 6 and not (tmp_path / "l.json").exists()
        hold.set()
        assert subprocess.run(command, cwd=REPO, stdout=subprocess.DEVNULL, timeout=60).returncode == 0
    assert sorted(asked[:5] + asked[6:]) == sorted(f"caption {i}" for i in range(12))
    assert [e.video_id for e in read_curated(tmp_path / "l.json")] == [f"v{i}" for i in range(12)]


def test_an_interrupted_run_ends_at_once_and_keeps_what_it_has(tmp_path):
    captions_of(6, tmp_path)
    asked, hold = [], threading.Event()

    def respond(body):
        asked.append(1)
        if len(asked) > 2:
            hold.wait(20.0)
        return 200, completion(GOOD)

    with endpoint(respond) as server:
        command = [sys.executable, "-m", "dsr_core.cli", "curate", "--captions", str(tmp_path / "c.json")]
        command += [
            "--endpoint",
            server.url,
            "--model",
            "tiny",
            "--out",
            str(tmp_path / "l.json"),
            "--concurrency",
            "2",
        ]
        run = subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20.0
        while len(asked) < 4 and time.monotonic() < end:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        assert run.wait(10.0) == 130  # though two replies are still awaited
        hold.set()
    assert len((tmp_path / "l.journal.jsonl").read_text().splitlines()) == 3


def test_tokens_cost_and_time_are_shown_while_it_runs(capsys):
    asked = Ledger(AskingConfig(price_prompt=1.0, price_completion=2.0))
    asked.begin(10)
    asked.end(Usage(10, 5), Usage(1000, 500))
    told = Told(argparse.Namespace(no_progress=False), 9, SimpleNamespace(ledger=asked), "recording")
    told()
    assert capsys.readouterr().err == ""
    told._shown_s -= 60.0
    told()
    assert "2 of 9 done; 1 request, 1000 + 500 tokens, cost 0.002, 0 s" in capsys.readouterr().err
