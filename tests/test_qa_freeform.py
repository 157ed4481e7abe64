"""Free-form questions: a model behind a real server writes them, rightly and wrongly; the engine has the last word."""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from dataclasses import replace

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsr_core import ask, cli
from dsr_core.endpoint import Endpoint, EndpointConfig
from dsr_core.errors import SourceError
from dsr_core.qa.asking.asking import Asker, BadReply
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.asking.ledger import AskingConfig
from dsr_core.qa.config import QaConfig
from dsr_core.qa.files.readers import read_items, read_rows
from dsr_core.qa.freeform.draft import FreeDraft, FreeDrafter
from dsr_core.qa.freeform.freeform import FreeForm, FreeFormConfig, SceneToAsk
from dsr_core.qa.freeform.prompts import FORMS, messages, reply_schema
from dsr_core.qa.freeform.reply import read_question_reply
from dsr_core.qa.item import QaError
from dsr_core.reasoning.query import Query
from dsr_core.reasoning.vocabulary import VOCABULARY, is_label
from tests.fakes import fake_scene, fake_track
from tests.free_form_model import CLASSES, Writer, street
from tests.language_model import completion, endpoint

QA = QaConfig(min_window_s=2.0, max_window_s=8.0)
LETTER = {letter: i for i, letter in enumerate("ABCD")}


@pytest.fixture(scope="module")
def scene():
    return street()


def made(scene, tmp_path, respond, per_scene=12, read_back="model", name="j", qa=QA, seed=0, **asking):
    """Items, drops, ending and totals of a run against a server that answers with `respond(body)`."""
    config = AskingConfig(**{"backoff_s": 0.01, "max_backoff_s": 0.02, **asking})
    with endpoint(respond) as server, Journal(tmp_path / f"{name}.jsonl", {}) as journal:
        asker = Asker(Endpoint(EndpointConfig(server.url, "tiny", timeout_s=5.0)), config)
        free = FreeForm(FreeFormConfig(per_scene, read_back), qa, asker, seed)
        scenes = [SceneToAsk("street", "clip", lambda: scene)]
        ending = free.run(scenes, journal)
        drops = Counter()
        return list(free.items(scenes, journal, drops)), drops, ending, asker.ledger.totals()


def spoiled(scene, change, always=True):
    """A server whose model's replies are changed: all of them, or those that are not corrections."""
    writer = Writer(scene)

    def respond(body):
        reply = writer(body)
        written = "options" in reply
        return 200, completion(change(reply) if written and (always or len(body["messages"]) == 2) else reply)

    return respond


# --- what comes out --------------------------------------------------------------------------------------------------


def test_every_item_is_what_the_engine_answers(scene, tmp_path):
    writer = Writer(scene)
    items, drops, ending, totals = made(scene, tmp_path, lambda body: (200, completion(writer(body))), per_scene=80)
    assert len(items) >= 60 and ending.finished == 80 and len(items) + drops.total() == 80 and totals.requests >= 80
    kinds = Counter(item.candidate.kind for item in items)
    assert len(kinds) >= 12 and set(kinds) <= set(FORMS)
    assert {item.extra["read_by"] for item in items} == {"grammar", "model"}
    assert set(Counter(item.letter for item in items)) == set("ABCD")
    for item in items:
        c = item.candidate
        assert c.type == "non_temp" and c.video_id == "clip" and item.distractors == "model" and len(item.options) == 4
        assert item.origins[item.answer_index] == "truth" and item.origins.count("model") == 3
        answer = ask(scene, Query.from_dict(c.query))
        assert tuple(s.label for s in answer.states) == c.labels
        start, end = c.window
        between = f"between {start:.1f}s and {end:.1f}s, "
        prefix, _, question = c.question.partition(between)
        at = c.viewpoint["at"]
        assert prefix.startswith("Following the perspective of " if at is None else "From the perspective of ")
        assert at is None or f" at {at:.1f}s, " in prefix
        assert c.image_size == (640, 480) and not re.search(r"\b[a-z]+ \d\b", question)
        boxes = re.findall(r"(\w+) with initial bounding box coordinates \[\d+,\d+,\d+,\d+\]", question)
        assert set(boxes) <= {*c.things, c.viewer} and set(c.things) <= set(CLASSES) and question[0].islower()
        rest = re.sub(r"\w+ with (?:initial )?bounding box coordinates \[[\d,]+\]", "", question)
        assert not re.search(r"\d", rest)


def test_the_same_seed_gives_the_same_items_whatever_the_order(scene, tmp_path):
    def run(name, seed=0, **asking):
        writer = Writer(scene)

        def respond(body):
            time.sleep(random.random() * 0.01)
            return 200, completion(writer(body))

        return made(scene, tmp_path, respond, name=name, seed=seed, **asking)[0]

    first = run("a", concurrency=8)
    assert run("b", concurrency=1) == first != run("c", seed=1)


def test_things_are_named_by_id_where_there_are_no_boxes(tmp_path):
    bare = street()
    for track in bare.tracks.values():
        track.boxes_px[:] = float("nan")
    writer = Writer(bare)
    items, _, _, _ = made(bare, tmp_path, lambda body: (200, completion(writer(body))), per_scene=6)
    assert items and all("bounding box" not in item.candidate.question for item in items)
    named = re.compile(rf"\b(?:{'|'.join(CLASSES)}) \d", re.IGNORECASE)
    assert all(named.search(item.candidate.question + " ".join(item.options)) for item in items)


# --- what is dropped -------------------------------------------------------------------------------------------------


def other_letter(reply):
    return {**reply, "answer": "ABCD"[(LETTER[reply["answer"]] + 1) % 4]}


def false_truth(reply):
    """The true option is gone."""
    options, states = list(reply["options"]), list(reply["states"])
    true = LETTER[reply["answer"]]
    if reply["query"]["kind"] != "motion":
        return {**reply, "options": "nonsense"}
    for words, labels in (
        ("It moves, then it stands still, then it moves, then it stands still", ["moving", "still"] * 2),
        ("It stands still, then it moves, then it stands still, then it moves", ["still", "moving"] * 2),
    ):
        if labels not in states:
            options[true], states[true] = words, labels
    return {**reply, "options": options, "states": states}


def of_another_thing(reply):
    """The query is about another thing than the question."""
    question = reply["question"].replace("{t1}", "{x}").replace("{t2}", "{t1}").replace("{x}", "{t2}")
    return {**reply, "question": question}


WRONG = {
    "wrong answer": (other_letter, "wrong answer"),
    "other things": (
        lambda r: {**r, "question": "Where does {viewer} go?"},
        ("other things", "question not readable"),  # of many things none is named
    ),
    "no thing": (lambda r: {**r, "question": "Where does {t99} go?"}, "unknown thing"),
    "coordinates": (
        lambda r: {**r, "question": r["question"] + " It starts at (3.1, 2.0)."},
        "leaks numbers or the frame",
    ),
    "perspective": (lambda r: {**r, "question": "From your viewpoint, " + r["question"]}, "leaks numbers or the frame"),
    "metres": (
        lambda r: {**r, "options": [o + " by three metres" for o in r["options"]]},
        "leaks numbers or the frame",
    ),
    "yes or no": (lambda r: {**r, "question": "Is it so?"}, "yes or no"),
    "three options": (lambda r: {**r, "options": r["options"][:3]}, "not as the schema says"),
    "no letter": (lambda r: {**r, "answer": "the second"}, "not as the schema says"),
    "another kind": (lambda r: {**r, "query": {**r["query"], "kind": "visibility"}}, "not as the schema says"),
    "prose": (lambda r: "Sure: how fast is it?", "no JSON object"),
    "options alike": (lambda r: {**r, "options": [r["options"][0]] * 4}, ("options alike", "other things")),
    "all of these": (lambda r: {**r, "options": [*r["options"][:3], "None of these"]}, ("options about options",)),
    "compared with itself": (
        lambda r: {**r, "query": {**r["query"], "object": r["query"].get("subject") or r["query"]["among"][0]}},
        "bad query",
    ),
}


@pytest.mark.parametrize("change,reasons", WRONG.values(), ids=WRONG)
def test_wrong_questions_are_dropped_with_their_reason(scene, tmp_path, change, reasons):
    items, drops, ending, totals = made(scene, tmp_path, spoiled(scene, change), per_scene=6, corrections=1)
    reasons = {reasons} if isinstance(reasons, str) else set(reasons)
    assert items == [] and ending.finished == 6 and set(drops) <= reasons, drops
    assert totals.requests == 6 if reasons == {"wrong answer"} else totals.requests >= 12
    entries = [json.loads(line)["entry"] for line in (tmp_path / "j.jsonl").read_text().splitlines()[1:]]
    assert all(entry["why"] for entry in entries)


def test_a_corrected_question_is_kept_and_the_truth_is_not_told(scene, tmp_path):
    told = []

    def change(reply):
        return {**reply, "question": "How far is it in metres?"}

    respond = spoiled(scene, change, always=False)

    def listening(body):
        told.extend(m["content"] for m in body["messages"][2:] if m["role"] == "user")
        return respond(body)

    items, _, _, _ = made(scene, tmp_path, listening, per_scene=8)
    assert len(items) >= 6 and sum("'metres'" in text for text in told) == 8
    assert not any(word in text for text in told for word in ("engine finds", "is true:", "answer is"))


def only(kind, monkeypatch):
    monkeypatch.setattr(FreeDrafter, "_kinds", lambda self, *told: (kind,))


def test_options_of_which_none_is_true(scene, tmp_path, monkeypatch):
    only("motion", monkeypatch)
    _, drops, _, _ = made(scene, tmp_path, spoiled(scene, false_truth), per_scene=5, corrections=0)
    assert set(drops) == {"no option is true"}


def test_a_question_that_says_something_else_is_dropped(scene, tmp_path, monkeypatch):
    only("distance", monkeypatch)
    writer = Writer(scene)

    def respond(body):
        reply = writer(body)
        if "options" in reply:  # of the distance, but the words are about the speed
            one, other = reply["query"]["subject"], reply["query"]["object"]
            reply = {**reply, "question": f"How does the speed of {{{one}}} change beside {{{other}}}?"}
        return 200, completion(reply)

    items, drops, _, _ = made(scene, tmp_path, respond, per_scene=8)
    assert not items and set(drops) <= {"question reads otherwise", "question not readable"} and drops.total() == 8


def test_another_kind_that_leads_to_the_same_option_is_dropped(scene, tmp_path, monkeypatch):
    only("fastest", monkeypatch)
    respond = spoiled(scene, lambda r: {**r, "question": "Which one is the slowest?"})
    items, drops, _, _ = made(scene, tmp_path, respond, 8, corrections=0)
    assert not items and drops["question reads otherwise"] >= 3


def test_states_that_the_options_do_not_say(scene, tmp_path, monkeypatch):
    only("distance", monkeypatch)
    turned = {"decreasing": "increasing", "increasing": "decreasing", "constant": "constant"}

    def change(reply):
        return {**reply, "states": [[turned[label] for label in states] for states in reply["states"]]}

    _, drops, _, _ = made(scene, tmp_path, spoiled(scene, change), per_scene=5, corrections=0)
    assert set(drops) <= {"states differ"} and drops.total() == 5


def test_who_reads_the_question_again(scene, tmp_path):
    counts = {}
    for who in ("grammar", "model", "none"):
        writer = Writer(scene)
        items, drops, _, _ = made(scene, tmp_path, lambda b, w=writer: (200, completion(w(b))), 30, who, name=who)
        counts[who] = len(items)
        assert who == "grammar" or "question not readable" not in drops
        assert who != "grammar" or drops["question not readable"] > 0
        assert {item.extra["read_by"] for item in items} <= {"grammar", {"none": "nobody"}.get(who, who)}
    assert counts["grammar"] < counts["model"] <= counts["none"]


def test_a_reader_that_understands_something_else_drops_the_item(scene, tmp_path, monkeypatch):
    only("orientation", monkeypatch)
    writer = Writer(scene)

    def respond(body):
        if body["messages"][0]["content"].startswith("You translate"):
            return 200, completion({"query": None, "why": "no idea", "now": False, "last_s": None})
        return 200, completion(writer(body) | {"question": "Whither points the nose of {t1}?"})

    _, drops, _, _ = made(scene, tmp_path, respond, per_scene=6, corrections=0)
    assert set(drops) <= {"question not readable", "other things"} and drops["question not readable"]


# --- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_that_stumbles_and_dies_and_comes_back(scene, tmp_path):
    writer, served = Writer(scene), []

    def stumbling(body):
        served.append(1)
        if len(served) > 14:
            return 500, b"dead"
        if len(served) % 3 == 2:
            return 429, b"slow down", ("Retry-After", "0")
        return 200, completion(writer(body))

    items, drops, ending, _ = made(scene, tmp_path, stumbling, per_scene=20, tries=2, concurrency=1)
    assert 0 < len(items) < 12 and ending.stopped == "no replies" and drops["not asked yet"] >= 8
    again = Writer(scene)
    resumed, drops, ending, _ = made(scene, tmp_path, lambda b: (200, completion(again(b))), per_scene=20)
    fresh = Writer(scene)
    whole, _, _, _ = made(scene, tmp_path, lambda b: (200, completion(fresh(b))), per_scene=20, name="whole")
    assert not ending.stopped and not drops["not asked yet"] and resumed == whole
    assert all(item in resumed for item in items)


def test_the_budget_stops_and_the_rest_is_counted(scene, tmp_path):
    writer = Writer(scene)
    respond = lambda body: (200, completion(writer(body)))  # noqa: E731
    items, drops, ending, totals = made(
        scene, tmp_path, respond, per_scene=30, max_tokens=20_000, max_reply_tokens=500, concurrency=1
    )
    assert ending.stopped == "budget spent" and totals.prompt_tokens + totals.completion_tokens <= 20_000
    assert items and drops["not asked yet"] == 30 - ending.finished


def test_a_scene_that_cannot_be_read_costs_nothing_else(scene, tmp_path):
    def broken():
        raise SourceError("bag of nothing")

    writer = Writer(scene)
    with endpoint(lambda b: (200, completion(writer(b)))) as server, Journal(tmp_path / "j.jsonl", {}) as journal:
        asker = Asker(Endpoint(EndpointConfig(server.url, "tiny")), AskingConfig(backoff_s=0.01))
        free = FreeForm(FreeFormConfig(4), QA, asker)
        scenes = [SceneToAsk("bad", "", broken), SceneToAsk("street", "", lambda: scene, "key")]
        ending = free.run(scenes, journal)
        drops = Counter()
        assert len(list(free.items(scenes, journal, drops))) >= 2 and drops["not asked yet"] == 4
    assert ending.finished == 4 and set(ending.unfinished) == {f"bad question {i}" for i in range(4)}
    assert "bag of nothing" in ending.unfinished["bad question 0"] and not ending.stopped


def test_a_scene_with_too_little_in_it_asks_nobody(tmp_path):
    lonely = fake_scene(fake_track("1", duration_s=8.0), duration_s=8.0)
    with endpoint(lambda body: (500, b"no")) as server, Journal(tmp_path / "j.jsonl", {}) as journal:
        asker = Asker(Endpoint(EndpointConfig(server.url, "tiny")), AskingConfig())
        free = FreeForm(FreeFormConfig(3), QA, asker)
        scenes = [SceneToAsk("s", "", lambda: lonely)]
        free.run(scenes, journal)
        drops = Counter()
        assert list(free.items(scenes, journal, drops)) == [] and drops == {"too few things at the time": 3}
    assert server.requests == []


# --- the pieces ------------------------------------------------------------------------------------------------------


def drafts(scene, count=40, qa=QA):
    drafter = FreeDrafter(scene, qa)
    found = [drafter.draw(random.Random(i)) for i in range(count)]
    assert all(isinstance(draft, FreeDraft) for draft in found)
    return found


def test_the_facts_are_in_the_viewers_frame(scene):
    seen = set()
    for draft in drafts(scene):
        facts = draft.facts
        assert set(facts["things"]) == set(draft.things) and len(facts["times_s"]) <= 12
        assert (facts["times_s"][0], facts["times_s"][-1]) == draft.window_s
        assert draft.viewer.name not in {agent.name for agent in draft.things.values()}
        for name, told in facts["things"].items():
            track = draft.things[name].track
            assert told["class"] == track.label and len(told["places"]) == len(facts["times_s"])
            if draft.viewer.name == "camera":  # it stands at the origin and looks along x
                row = abs(track.stamps_s - draft.window_s[1]).argmin()
                assert told["places"][-1] == pytest.approx(track.positions_world_m[row], abs=0.12)
        seen |= {(draft.viewer.track is None, draft.at_s is None)}
        if draft.viewer.name == "camera":  # its boxes would tell
            assert not {"direction", "nearest", "farthest"} & set(draft.kinds)
        assert '"id"' not in json.dumps(facts) and 2 <= len(draft.things) <= 8
        prompt = json.dumps(messages(facts, draft.kinds))
        assert all(f"- {kind}: " in prompt for kind in draft.kinds) and len(prompt) < 20_000
    assert len(seen) == 4


def test_without_scale_the_facts_have_three_digits(scene):
    tiny = replace(scene.transformed(scale=1e-3), metric=False)
    facts = FreeDrafter(tiny, QA).draw(random.Random(0)).facts
    places = [abs(x) for told in facts["things"].values() for place in told["places"] for x in place]
    assert facts["unit"] == "arbitrary" and len({x for x in places if x}) > 5 and max(places) < 0.1


@pytest.mark.parametrize("kind", FORMS)
def test_the_examples_are_read_as_they_say(scene, kind):
    form = FORMS[kind]
    draft = next(d for d in drafts(scene) if len(d.things) >= 4)
    many = VOCABULARY[kind].many
    query = {"kind": kind, "among": ["t1", "t2", "t3", "t4"]} if many else {"kind": kind, "subject": "t1"}
    if many and VOCABULARY[kind].relates:
        query["object"] = "viewer"
    if form.needs_object:
        query["object"] = "t2"
    reply = {
        "question": form.question,
        "options": list(form.options),
        "states": [list(states) for states in form.states],
        "answer": "A",
        "query": query,
    }
    jsonschema.validate(reply, reply_schema((kind,), tuple(draft.things)))
    jsonschema.Draft202012Validator.check_schema(reply_schema((kind,), tuple(draft.things)))
    written = read_question_reply(reply, draft)
    assert written.query.kind == kind and len(set(written.options)) == 4
    assert draft.order[written.marked] == 0
    if not many:
        assert all(is_label(kind, label) for states in form.states for label in states)
    with pytest.raises(BadReply):
        read_question_reply({**reply, "question": form.question + " {t3} {t4}"}, draft)


_TEXT = st.text(st.sampled_from("abc {}t12viewer.?'\"\n|é"), min_size=8, max_size=40)
_OPTION = st.one_of(_TEXT, st.sampled_from(["{t1}", "{t2}", "It gets larger", "{t1} is faster", " .", "{}", "left"]))


@given(
    question=st.one_of(_TEXT, st.sampled_from(["How does {t1} go?", "Where is {t1} of {t2}?", "Which one?"])),
    options=st.lists(_OPTION, min_size=4, max_size=4),
    states=st.lists(
        st.lists(
            st.sampled_from(["left", "t1", "{t1}", "increasing", "", "front|left", "moving"]), min_size=1, max_size=3
        ),
        min_size=4,
        max_size=4,
    ),
    kind=st.sampled_from(sorted(FORMS)),
    who=st.tuples(*[st.sampled_from([None, "t1", "t2"])] * 2),
    among=st.one_of(st.none(), st.permutations(["t1", "t2", "t3", "t4"]), st.just(["t1"] * 4)),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_reply_is_read_or_refused(four, question, options, states, kind, who, among):
    query = {"kind": kind, "subject": who[0], "object": who[1], "among": among}
    reply = {"question": question, "options": options, "states": states, "answer": "A", "query": query}
    jsonschema.validate(reply, reply_schema(tuple(FORMS), tuple(four.things)))
    try:
        written = read_question_reply(reply, four)
    except BadReply as error:
        assert error.reason and len(str(error)) < 1000
    else:
        assert len(set(written.options)) == 4 and "{" not in written.question + "".join(written.options)


@pytest.fixture(scope="module")
def four(scene):
    return next(draft for draft in drafts(scene) if len(draft.things) >= 4)


@pytest.mark.parametrize("fields", [{"per_scene": 0}, {"per_scene": 1.5}, {"read_back": "nobody"}], ids=json.dumps)
def test_settings_are_checked(fields):
    with pytest.raises(QaError, match=next(iter(fields))):
        FreeFormConfig(**fields)


# --- the command -----------------------------------------------------------------------------------------------------


def test_dsr_qa_mixes_them_in(scene, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    scene.save(tmp_path / "in" / "a.scene.npz")
    scene.save(tmp_path / "in" / "b.scene.npz")
    out = tmp_path / "set.parquet"
    writer = Writer(scene)
    with endpoint(lambda body: (200, completion(writer(body)))) as server:
        command = ["qa", str(tmp_path / "in"), "--out", str(out), "--per-scene", "20", "--distractors", "dsr"]
        command += ["--workers", "1", "--set", "min_window_s=2", "--set", "max_window_s=8"]
        free = ["--free-form", "6", "--endpoint", server.url, "--model", "tiny", "--json"]
        assert cli.main([*command, *free]) == 0
        report = json.loads(capsys.readouterr().out)
        first, asked = out.read_bytes(), len(server.requests)
        assert cli.main([*command, *free]) == 0  # all has been asked
        assert out.read_bytes() == first and len(server.requests) == asked
        assert cli.main([*command, *free, "--seed", "1"]) == 2
    assert "seed = 0, now 1" in capsys.readouterr().err
    items = read_items(out)
    kept = [item for item in items if item.candidate.type == "non_temp"]
    assert len(kept) == report["free_form"]["questions"] == report["types"]["non_temp"]["questions"] >= 8
    assert {item.candidate.scene for item in kept} == {"a", "b"} and len(items) > len(kept) + 20
    (settings,) = report["settings"]["extra"]
    assert settings["model"] == "tiny" and settings["free_form"] == {"per_scene": 6, "read_back": "model"}
    assert report["types"]["non_temp"]["asked"] == 12 and report["free_form"]["this_run"]["requests"] == asked
    assert all(item.letter in "ABCD" and item.extra["written_by"] == "tiny" for item in kept)
    rows = [row for row in read_rows(out) if row.type == "non_temp"]
    assert len(rows) == len(kept)


def test_dsr_qa_says_when_the_model_is_gone(scene, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    scene.save(tmp_path / "a.scene.npz")
    command = ["qa", str(tmp_path / "a.scene.npz"), "--out", str(tmp_path / "set.parquet"), "--per-scene", "20"]
    command += ["--distractors", "dsr", "--workers", "1", "--free-form", "4"]
    assert cli.main(command) == 2 and "--endpoint" in capsys.readouterr().err
    with endpoint(lambda body: (401, b"who are you")) as server:
        assert cli.main([*command, "--endpoint", server.url, "--model", "tiny"]) == 1
    told = capsys.readouterr().out
    assert "free-form: 0 questions kept" in told and "DSR_LANGUAGE_MODEL_API_KEY" in told and "4  not asked yet" in told
