"""Who answers a benchmark: endpoints, checkpoints, files of predictions, the geometry engine, baselines."""

import base64
import json
import time

import cv2
import numpy as np
import pytest
from bench_rows import write_questions
from language_model import completion, endpoint

from dsr_core.bench.models.base import Decoding, ModelStopped, NoReply, Request, Said
from dsr_core.bench.models.baselines import MajorityModel, RandomModel
from dsr_core.bench.models.endpoint import EndpointModel
from dsr_core.bench.models.geometry import GeometryModel
from dsr_core.bench.models.make import ModelOptions, make_model
from dsr_core.bench.models.predictions import PredictionsModel, joined
from dsr_core.bench.prompts import Message
from dsr_core.bench.row import BenchError, Row
from dsr_core.bench.task import find_task
from dsr_core.endpoint import EndpointConfig
from dsr_core.errors import DependencyError, DsrError
from dsr_core.qa.asking.asking import AskingConfig

GREEDY = Decoding(0.0, 8)
CHOICES = {"A": "left", "B": "right", "C": "up", "D": "down"}


def row(key="k", type_="t", answer="A", choices=CHOICES, **fields):
    return Row(key, "clip.mp4", f"Which way, {key}?", choices, answer, type=type_, **fields)


def request(key="k", frames=0, **fields):
    pictures = [np.full((56, 84, 3), 40 * i, np.uint8) for i in range(frames)]
    times = tuple(0.5 * i for i in range(frames))
    return Request(row(key, **fields), Message("Be brief.", "Look: ", "Which way?"), pictures, times)


# --- endpoints -------------------------------------------------------------------------------------------------------


def asked(respond, requests, **asking):
    with endpoint(respond) as there:
        model = EndpointModel(
            EndpointConfig(there.url, "tiny", timeout_s=asking.pop("timeout_s", 5.0)),
            AskingConfig(**{"backoff_s": 0.01, "max_backoff_s": 0.02, **asking}),
        )
        return model.replies(requests, GREEDY), there, model


def test_frames_go_to_an_endpoint_as_pictures():
    replies, there, model = asked(lambda body: (200, completion("B")), [request(frames=3)])
    assert replies[0].text == "B" and there.requests[0]["temperature"] == 0.0 and there.requests[0]["max_tokens"] == 8
    system, user = there.requests[0]["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "image_url", "image_url", "text"]
    sent = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    pictures = [
        cv2.imdecode(np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8), cv2.IMREAD_COLOR) for url in sent
    ]
    assert [picture.shape for picture in pictures] == [(56, 84, 3)] * 3
    assert [round(float(picture.mean())) for picture in pictures] == pytest.approx([0, 40, 80], abs=2)
    assert "1 request" in model.spent()


def test_a_blind_question_is_plain_text():
    _, there, _ = asked(lambda body: (200, completion("B")), [request()])
    assert there.requests[0]["messages"][1] == {"role": "user", "content": "Look: Which way?"}


def test_an_endpoint_that_is_busy_is_asked_again():
    answers = iter([(503, b"{}"), (429, b"{}"), (200, completion("C"))])
    replies, there, model = asked(lambda body: next(answers), [request()])
    assert replies == [Said("C", replies[0].told)] and len(there.requests) == 3
    assert "(2 failed)" in model.spent()


def test_an_endpoint_that_stays_busy_leaves_the_row_for_later():
    replies, there, _ = asked(lambda body: (500, b"{}"), [request("a")], tries=2)
    assert isinstance(replies[0], NoReply) and replies[0].again and "after 2 tries" in replies[0].why
    assert len(there.requests) == 2

    def late(body):
        time.sleep(0.5)
        return 200, completion("A")

    replies, _, _ = asked(late, [request()], tries=1, timeout_s=0.1)
    assert replies[0].again and "0.1 s" in replies[0].detail


def test_an_empty_reply_is_a_reply_that_says_nothing():
    replies, _, _ = asked(lambda body: (200, completion(" ")), [request()])
    assert replies[0].text == "" and "empty" in replies[0].told["why"]


def test_a_wrong_key_or_a_spent_budget_ends_the_run():
    with pytest.raises(ModelStopped, match="401"):
        asked(lambda body: (401, b"{}"), [request()])
    body = {"choices": [{"message": {"content": "A"}}], "usage": {"prompt_tokens": 900, "completion_tokens": 100}}
    with pytest.raises(ModelStopped, match="budget is spent"):
        asked(
            lambda _: (200, json.dumps(body).encode()),
            [request("a"), request("b")],
            price_prompt=1e3,
            price_completion=1e3,
            max_cost=1.5,
        )


def test_tokens_and_cost_are_told():
    body = {"choices": [{"message": {"content": "A"}}], "usage": {"prompt_tokens": 900, "completion_tokens": 100}}
    replies, _, model = asked(
        lambda _: (200, json.dumps(body).encode()), [request()], price_prompt=1.0, price_completion=10.0
    )
    assert (replies[0].told["prompt_tokens"], replies[0].told["completion_tokens"]) == (900, 100)
    assert "900 + 100 tokens" in model.spent() and "cost 0.0019" in model.spent()


# --- predictions -----------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path):
    return find_task("dsr").read(write_questions(tmp_path / "questions.jsonl", 6))


def told(path, rows):
    model = PredictionsModel(path, rows)
    return [reply.text if isinstance(reply, Said) else None for reply in model.replies(list(map(asking, rows)), GREEDY)]


def asking(row):
    return Request(row, Message("", "", ""))


def test_predictions_are_read_in_every_layout(tmp_path, rows):
    said = ["A", "B. right", "the answer is C", "", "A", "B"]
    by_key = [{"key": r.key, "reply": text} for r, text in zip(rows, said, strict=True)]
    by_number = [{"index": at, "prediction": text, "question": rows[at].question} for at, text in enumerate(said)]
    by_text = [
        {"video": f"/data/{r.video}", "question": r.question, "response": text}
        for r, text in zip(rows, said, strict=True)
    ]
    layouts = {
        "list.json": json.dumps(by_key),
        "map.json": json.dumps({r.key: text for r, text in zip(rows, said, strict=True)}),
        "keys.jsonl": "".join(json.dumps(one) + "\n" for one in reversed(by_key)),
        "numbers.json": json.dumps(by_number),
        "text.json": json.dumps(by_text),
        "table.csv": "index,prediction\n" + "".join(f'{at},"{text}"\n' for at, text in enumerate(said)),
        "official.tsv": "index\tvideo\tprediction\n"
        + "".join(f"{at}\t{r.video}\t{text}\n" for at, (r, text) in enumerate(zip(rows, said, strict=True))),
    }
    for name, text in layouts.items():
        (tmp_path / name).write_text(text)
        assert told(tmp_path / name, rows) == said, name


def test_our_own_result_folder_is_a_file_of_predictions(tmp_path, rows):
    from dsr_core.bench.run import make_plan, run

    plan = make_plan(find_task("dsr"), tmp_path / "questions.jsonl")
    first = run(plan, RandomModel(5), tmp_path / "out").result
    again = run(plan, PredictionsModel(tmp_path / "out", rows), tmp_path / "again").result
    assert again.scores.headline == first.scores.headline and again.name == "out"


def test_rows_that_a_file_lacks_are_missing_and_others_are_refused(tmp_path, rows):
    path = tmp_path / "few.json"
    path.write_text(json.dumps([{"key": rows[1].key, "reply": "B"}, {"key": rows[2].key, "reply": None}]))
    assert told(path, rows) == [None, "B", None, None, None, None]
    for records, message in (
        ([{"key": "none", "reply": "A"}], "is to no row"),
        ([{"index": 0, "prediction": "A", "question": "Another one?"}], "is to no row"),
        ([{"key": rows[0].key, "reply": "A"}] * 2, "two replies to row '0|clip_0'"),
        ([{"key": rows[0].key, "said": "A"}], "has no column reply"),
        ([], "holds no replies"),
    ):
        with pytest.raises(BenchError, match=message):
            joined(records, rows, "x.json")


def test_ids_that_repeat_from_file_to_file_are_told_apart_by_the_question():
    rows = [row("real|v_1"), row("synthetic|v_1")]
    records = [{"id": "v_1", "question": "Which way, synthetic|v_1?", "response": "B"}]
    assert joined(records, rows, "x") == {"synthetic|v_1": "B"}
    with pytest.raises(BenchError, match="is to no row"):
        joined([{"id": "v_1", "response": "B"}], rows, "x")


def test_a_sheet_needs_its_reader(tmp_path, rows):
    try:
        import openpyxl
    except ImportError:
        (tmp_path / "x.xlsx").write_bytes(b"")
        with pytest.raises(DependencyError, match="pip install openpyxl"):
            PredictionsModel(tmp_path / "x.xlsx", rows)
        return
    book = openpyxl.Workbook()
    for line in [("index", "prediction"), *((at, "ABC"[at % 3]) for at in range(6))]:
        book.active.append(line)
    book.save(tmp_path / "x.xlsx")
    assert told(tmp_path / "x.xlsx", rows) == ["A", "B", "C", "A", "B", "C"]


# --- baselines -------------------------------------------------------------------------------------------------------


def test_chance_is_drawn_by_seed_and_row():
    requests = [request(str(i)) for i in range(400)]
    first = [reply.text for reply in RandomModel(1).replies(requests, GREEDY)]
    backwards = [reply.text for reply in RandomModel(1).replies(requests[::-1], GREEDY)]
    assert first == backwards[::-1] != [reply.text for reply in RandomModel(2).replies(requests, GREEDY)]
    assert all(70 < first.count(letter) < 130 for letter in "ABCD")
    number = Request(row(choices=None, answer="", number=4.0), Message("", "", ""))
    assert 1 <= int(RandomModel().replies([number], GREEDY)[0].text) <= 10


def test_the_majority_takes_the_text_that_is_right_most_often():
    others = [row(str(i), "t", "B") for i in range(3)] + [row("x", "t", "A"), row("y", "u", "D")]
    numbers = [row(str(i), "n", choices=None, number=float(i)) for i in (1, 2, 9)]
    model = MajorityModel([*others, *numbers], "other.json", "0")
    moved = {"A": "down", "B": "up", "C": "Right.", "D": "left"}

    def says(**fields):
        return model.replies([Request(row(**fields), Message("", "", ""))], GREEDY)[0].text

    assert says(choices=moved) == "C"
    assert says(type_="u", choices=moved) == "A"
    assert says(choices={"A": "one", "B": "two"}) == "B"
    assert says(type_="n", choices=None, answer="", number=5.0) == "2"
    with pytest.raises(BenchError, match="holds no questions"):
        MajorityModel([], "none.json", "0")


# --- geometry --------------------------------------------------------------------------------------------------------


def test_the_geometry_engine_answers_from_scenes(tmp_path):
    from dsr_core.sources.simulator import Simulator

    Simulator(duration_s=12.0, render=False).truth().save(tmp_path / "clip.scene.npz")
    model = GeometryModel(tmp_path, "robust")
    question = "Between 2 and 6 s, how does the distance between the forklift and the person change?"
    from dsr_core.api import ask
    from dsr_core.scene import Scene

    options = ["increasing", "decreasing", "nearly constant"]
    right = ask(Scene.load(tmp_path / "clip.scene.npz"), question, options, "robust").choice_index
    choices = dict(zip("ABC", options, strict=True))
    asked = [
        Row("1", "videos/clip.mp4", question, choices, "A"),
        Row("2", "clip.mp4", "Is the crane getting closer to me?", {"A": "yes", "B": "no"}, "A"),
        Row("3", "other.mp4", question, choices, "A"),
    ]
    replies = model.replies([Request(one, Message("", "", "")) for one in asked], GREEDY)
    assert right >= 0 and replies[0].text == "ABC"[right]
    assert replies[1].text == "declined: NO_SUCH_OBJECT"
    assert find_task("dsr").outcome(asked[1], replies[1].text).status == "unparsed"
    assert isinstance(replies[2], NoReply) and not replies[2].again
    (tmp_path / "other.scene.npz").write_bytes(b"no scene")
    assert "cannot be read" in model.replies([Request(asked[2], Message("", "", ""))], GREEDY)[0].why
    with pytest.raises(BenchError, match="no folder of scenes"):
        GeometryModel(tmp_path / "none")
    with pytest.raises(BenchError, match="geometry:dsr"):
        GeometryModel(tmp_path, "strict")


# --- names -----------------------------------------------------------------------------------------------------------


def test_models_are_made_from_their_names(tmp_path):
    def read(path):
        return find_task("dsr").read(path)

    questions = write_questions(tmp_path / "train.jsonl")
    assert make_model("random:7", ModelOptions(), read).seed == 7
    assert make_model(f"majority:{questions}", ModelOptions(), read).name == "majority of train.jsonl"
    made = make_model("openai:http://localhost:1/v1#a/b", ModelOptions(timeout_s=3.0), read)
    assert (made.config.base_url, made.config.model, made.config.timeout_s) == ("http://localhost:1/v1", "a/b", 3.0)
    assert make_model("geometry:robust", ModelOptions(scenes=str(tmp_path)), read).rules == "robust"
    for wrong in ("openai:localhost#x", "openai:http://h/v1", "hf:", "gpt-4o"):
        with pytest.raises(DsrError):
            make_model(wrong, ModelOptions(), read)
