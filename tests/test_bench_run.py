"""`dsr bench`: a run, its files, going on after it was killed, and comparing two."""

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from bench_rows import write_questions, write_videos
from data import shared
from language_model import completion, endpoint

from dsr_core.bench.compare import ALL, compare
from dsr_core.bench.models.base import Model, ModelStopped, NoReply, Said
from dsr_core.bench.models.baselines import RandomModel
from dsr_core.bench.result import load_result
from dsr_core.bench.row import BenchError
from dsr_core.bench.run import make_plan, run
from dsr_core.bench.task import find_task
from dsr_core.cli import main
from dsr_core.errors import DsrError


class Told(Model):
    """Says A to everything; notes what it was asked, and stops after so many rows."""

    name, workers = "told", 2

    def __init__(self, batch_size=1, stops_after=10**9, says="A"):
        self.batch_size, self.left, self.says = batch_size, stops_after, says
        self.asked, self.lock = [], threading.Lock()

    def settings(self):
        return {"kind": "told", "name": self.name, "says": self.says}

    def replies(self, requests, decoding):
        with self.lock:
            if self.left <= 0:
                raise ModelStopped("enough")
            self.left -= len(requests)
            self.asked += requests
        return [Said(self.says, {"took_s": 0.5}) for _ in requests]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    return write_questions(folder / "questions.jsonl"), write_videos(folder / "videos")


def plan_of(files, **options):
    return make_plan(find_task("dsr"), files[0], files[1], **{"frames": "4", **options})


def test_a_run_writes_replies_and_a_result(files, tmp_path):
    model = Told()
    ended = run(plan_of(files), model, tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert ended.unfinished == 0 and not ended.stopped
    # Of three videos the last is not there: its rows are missing, not wrong.
    headline = result["scores"]["headline"]
    assert (headline["rows"], headline["missing"], headline["unparsed"]) == (8, 4, 0)
    assert headline["value"] == pytest.approx(sum(row["answer"] == "A" for row in result["rows"] if row["parsed"]) / 8)
    assert any("4 of 12 rows are missing" in note for note in result["scores"]["notes"])
    missing = [row for row in result["rows"] if row["status"] == "missing"]
    assert {row["key"] for row in missing} == {f"{at}|clip_2" for at in (2, 5, 8, 11)}
    assert all("clip_2.mp4" in row["why"] for row in missing)
    told = (result["prompt"], result["prompt_version"], result["parser_version"], result["task_version"])
    assert told == ("official", 1, 1, 1) and result["frames"]["count"] == 4 and len(result["data"]["sha256"]) == 64
    lines = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert len(lines) == 9 and lines[1]["entry"]["reply"] == lines[1]["entry"]["parsed"] == "A"
    assert all(len(request.frames) == len(request.times_s) == 4 for request in model.asked)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_run_in_two_parts_gives_the_same_result(files, tmp_path, batch_size):
    run(plan_of(files), Told(batch_size), tmp_path / "whole")
    first = run(plan_of(files), Told(batch_size, stops_after=3), tmp_path / "parts")
    assert first.stopped == "enough" and first.unfinished > 0
    assert first.result.scores.headline.missing > 4
    model = Told(batch_size)
    second = run(plan_of(files), model, tmp_path / "parts")
    assert second.unfinished == 0 and 0 < len(model.asked) < 8
    assert (tmp_path / "parts/result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()


def test_a_torn_last_line_is_dropped_and_asked_again(files, tmp_path):
    run(plan_of(files), Told(), tmp_path)
    whole, replies = (tmp_path / "result.json").read_bytes(), tmp_path / "replies.jsonl"
    replies.write_bytes(replies.read_bytes()[:-30])
    model = Told()
    run(plan_of(files), model, tmp_path)
    assert len(model.asked) == 1
    assert (tmp_path / "result.json").read_bytes() == whole
    assert all(json.loads(line) for line in replies.read_text().splitlines())


def test_other_settings_or_data_in_the_same_folder_are_refused_with_the_difference(files, tmp_path):
    run(plan_of(files), Told(), tmp_path / "out")
    with pytest.raises(DsrError, match=r"frames\.count = 4, now 5"):
        run(plan_of(files, frames="5"), Told(), tmp_path / "out")
    with pytest.raises(DsrError, match=r"frames\.order = 'ordered', now 'reversed'"):
        run(plan_of(files, view="reversed"), Told(), tmp_path / "out")
    with pytest.raises(DsrError, match=r"model\.says"):
        run(plan_of(files), Told(says="B"), tmp_path / "out")
    changed = tmp_path / "questions.jsonl"
    changed.write_text(files[0].read_text().replace("thing 3", "thing three"))
    with pytest.raises(DsrError, match=r"data\.sha256"):
        run(plan_of((changed, files[1])), Told(), tmp_path / "out")
    again = run(plan_of(files, frames="5"), Told(), tmp_path / "out", resume=False)
    assert again.result.settings["frames"]["count"] == 5


def test_more_rows_of_the_same_file_go_on(files, tmp_path):
    few = run(plan_of(files, limit=3), Told(), tmp_path)
    assert len(few.result.outcomes) == 3
    assert any("only the first 3 of 12 rows" in note for note in few.result.scores.notes)
    model = Told()
    run(plan_of(files), model, tmp_path)
    assert len(model.asked) == 6


def test_views_change_what_is_shown(files, tmp_path):
    means = {}
    for view in ("normal", "blind", "shuffled", "first", "reversed"):
        model = Told()
        run(plan_of(files, view=view, limit=1), model, tmp_path / view)
        means[view] = [round(float(picture.mean())) for picture in model.asked[0].frames]
    assert means["blind"] == [] and means["reversed"] == means["normal"][::-1]
    assert len(set(means["first"])) == 1 and sorted(means["shuffled"]) == means["normal"] != means["shuffled"]


def test_predictions_hide_the_future_unless_asked_not_to(files, tmp_path):
    hidden, shown = Told(), Told()
    ended = run(plan_of(files), hidden, tmp_path / "hidden")
    run(plan_of(files, hide_future=False), shown, tmp_path / "shown")
    last = [max(r.times_s[-1] for r in m.asked if r.row.type == "rel_dir_pred") for m in (hidden, shown)]
    assert last == [pytest.approx(1.0, abs=0.11), pytest.approx(1.9)]
    assert any("were not shown the future" in note for note in ended.result.scores.notes)


def test_boxes_follow_the_size_of_the_frames(files, tmp_path):
    """The frames have 56x56 pixels; a file that does not say what its boxes refer to is left alone."""
    plan, model = plan_of(files, limit=2), Told()
    text, choices = (
        "Where does the car with initial bounding box coordinates [320,90,640,360] go?",
        {"A": "[0,0,64,36]"},
    )
    row = replace(plan.rows[0], question=text, choices=choices, answer="A", letters=("A",), image_size=(640, 360))
    run(replace(plan, rows=(row, replace(row, key="b", image_size=None))), model, tmp_path)
    asked = sorted(model.asked, key=lambda request: request.row.key == "b")  # two workers ask in any order
    shown = [request.message.after for request in asked]
    width, height = asked[0].frames[0].shape[1::-1]
    assert f"[{width // 2},{height // 4},{width},{height}]" in shown[0] and text not in shown[0]
    assert f"[0,0,{round(width / 10)},{round(height / 10)}]" in shown[0]
    assert text in shown[1] and "[0,0,64,36]" in shown[1]


def test_frames_at_a_rate_and_unusable_options(files):
    assert (plan_of(files, frames="2fps").frames.kind, plan_of(files, frames="2fps").frames.rate_hz) == ("rate", 2.0)
    for wrong, message in (
        ({"frames": "some"}, "neither a count"),
        ({"view": "upside"}, "no view 'upside'"),
        ({"limit": 0}, "limit = 0"),
        ({"prompt": "brief"}, "has no prompt 'brief'"),
        ({"temperature": -1.0}, "temperature = -1"),
        ({"max_tokens": 0}, "max_tokens = 0"),
    ):
        with pytest.raises(BenchError, match=message):
            plan_of(files, **wrong)
    with pytest.raises(BenchError, match="no folder of videos"):
        make_plan(find_task("dsr"), files[0], "/none/such")


def test_frames_need_videos_and_blind_models_do_not(files, tmp_path):
    plan = make_plan(find_task("dsr"), files[0])
    with pytest.raises(BenchError, match="--videos DIR, or --view blind"):
        run(plan, Told(), tmp_path)
    blind = run(make_plan(find_task("dsr"), files[0], view="blind"), Told(), tmp_path)
    assert blind.result.scores.headline.rows == 12 and blind.result.name == "told, blind"


class Silent(Told):
    def replies(self, requests, decoding):
        return [NoReply("no reply after 2 tries", True, "busy") for _ in requests]


def test_rows_without_a_reply_are_asked_again_next_time(files, tmp_path):
    first = run(plan_of(files, limit=2), Silent(), tmp_path)
    assert first.unfinished == 2 and first.result.scores.headline.missing == 2
    assert "2 no reply after 2 tries" in " ".join(first.result.scores.notes)
    assert run(plan_of(files, limit=2), Told(), tmp_path).unfinished == 0


def test_two_runs_are_compared_row_by_row(files, tmp_path):
    for says in "AB":
        run(plan_of(files), Told(says=says), tmp_path / says)
    found = compare(load_result(tmp_path / "A"), load_result(tmp_path / "B"))
    everything = found.lines[0]
    rows = json.loads((tmp_path / "A/result.json").read_text())["rows"]
    right = [sum(row["answer"] == says for row in rows if row["status"] == "scored") for says in "AB"]
    assert (everything.name, everything.rows, everything.both) == (ALL, 8, 0)
    assert (everything.first_only, everything.second_only) == tuple(right)
    assert found.differ["model.says"] == ("A", "B") and {line.name for line in found.lines[1:]} == {
        row["type"] for row in rows if row["status"] == "scored"
    }
    other = write_questions(tmp_path / "other.jsonl")
    other.write_text(other.read_text().replace('"answer": "A"', '"answer": "C"'))
    run(plan_of((other, files[1])), Told(), tmp_path / "other")
    with pytest.raises(BenchError, match="their data files differ"):
        compare(load_result(tmp_path / "A"), load_result(tmp_path / "other"))
    with pytest.raises(BenchError, match=r"holds no result\.json"):
        load_result(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(BenchError, match="no result of dsr bench"):
        load_result(tmp_path)


def test_results_are_read_back_as_they_were(files, tmp_path):
    result = run(plan_of(files), RandomModel(3), tmp_path).result
    again = load_result(tmp_path)
    assert again.scores.headline == result.scores.headline and again.name == "random (seed 3)"
    assert [(o.row.key, o.score, o.parsed) for o in again.outcomes] == [
        (o.row.key, o.score, o.parsed) for o in result.outcomes
    ]


# --- the command line ------------------------------------------------------------------------------------------------


def dsr(capsys, *words):
    status = main(["bench", *map(str, words)])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_one_command_scores_an_endpoint(files, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("DSR_LANGUAGE_MODEL_API_KEY", "secret")

    def respond(body):
        if "Question 1:" in json.dumps(body):
            return 200, completion(" ")
        return 200, completion("The answer is B.")

    with endpoint(respond) as there:
        words = ("dsr_bench", "--data", files[0], "--videos", files[1], "--model", f"openai:{there.url}#tiny")
        status, out, _ = dsr(capsys, *words, "--frames", 3, "--out", tmp_path / "out", "--json")
        told = json.loads(out)
        assert status == 0 and len(there.requests) == 8
        assert told["scores"]["headline"]["rows"] == 8 and told["scores"]["headline"]["unparsed"] == 1
        assert told["model"]["name"] == "tiny" and "8 requests" in told["spent"] and "rows" not in told
        assert (tmp_path / "out/report.html").is_file()
        assert "secret" not in "".join(p.read_text() for p in (tmp_path / "out").iterdir())
        status, out, _ = dsr(capsys, *words, "--frames", 3, "--out", tmp_path / "out")
        assert status == 0 and len(there.requests) == 8 and "micro average" in out
        status, _, err = dsr(capsys, *words, "--frames", 4, "--out", tmp_path / "out")
        assert status == 2 and "frames.count = 3, now 4" in err and "--no-resume" in err


def test_a_run_that_was_killed_goes_on_and_gives_the_same_result(files, tmp_path, capsys):
    arrived = threading.Event()

    def respond(body):
        if len(there.requests) > 4:
            arrived.set()
        time.sleep(0.05)
        return 200, completion("B" if "thing 4" in json.dumps(body) else "C")

    with endpoint(respond) as there:
        words = ["dsr", "--data", files[0], "--videos", files[1], "--frames", 2, "--concurrency", 1]
        words = [str(word) for word in (*words, "--model", f"openai:{there.url}#tiny", "--out")]
        killed = subprocess.Popen([sys.executable, "-m", "dsr_core.cli", "bench", *words, str(tmp_path / "parts")])
        assert arrived.wait(20.0)
        killed.kill()
        killed.wait(10.0)
        assert not (tmp_path / "parts/result.json").exists()
        there.requests.clear()
        assert dsr(capsys, *words, tmp_path / "parts")[0] == 0
        assert 0 < len(there.requests) < 8
        assert dsr(capsys, *words, tmp_path / "whole")[0] == 0
    assert (tmp_path / "parts/result.json").read_bytes() == (tmp_path / "whole/result.json").read_bytes()


#: Right rows of the published outputs with our reading: of 1371.
VLM4D = {
    ("direct-output", "Qwen2.5-VL-7B-Instruct_1fps"): 43.33,
    ("cot", "gpt-4o_32frame"): 60.03,
}


@pytest.mark.parametrize(("prompt", "model"), VLM4D)
def test_published_outputs_of_vlm4d_are_scored_by_one_command(tmp_path, capsys, prompt, model):
    outputs = shared(f"vlm4d/published_outputs/real_mc_{prompt}/{model}.json")
    words = ("vlm4d", "--data", shared("vlm4d/real_mc.json"), "--predictions", outputs, "--out", tmp_path, "--json")
    status, out, _ = dsr(capsys, *words)
    scores = json.loads(out)["scores"]
    assert status == 0
    assert round(100 * scores["figures"]["real"]["value"], 2) == VLM4D[prompt, model]
    assert (scores["headline"]["rows"], scores["headline"]["missing"]) == (1371, 0)
    assert {figure["name"]: figure["rows"] for figure in scores["by_type"]} == {"ego": 449, "exo": 922}


def test_a_comparison_by_command(files, tmp_path, capsys):
    for seed in (1, 2):
        out = tmp_path / str(seed)
        assert dsr(capsys, "dsr", "--data", files[0], "--model", f"random:{seed}", "--out", out)[0] == 0
    status, out, _ = dsr(capsys, "compare", tmp_path / "1", tmp_path / "2")
    assert status == 0 and "first:  random (seed 1)" in out and "McNemar p" in out and "all rows" in out
    found = json.loads(dsr(capsys, "compare", tmp_path / "1", tmp_path / "2", "--json")[1])
    assert found["lines"][0]["rows"] == 12


def test_wrong_words_say_what_to_give(files, tmp_path, capsys):
    data = ("--data", files[0], "--out", tmp_path)
    for words, message in (
        (("dsr_bnch", *data, "--model", "random"), "did you mean 'dsr_bench'"),
        (("dsr", "--model", "random"), "needs --data, --out"),
        (("dsr", *data), "either --model or --predictions"),
        (("dsr", *data, "--model", "gpt"), "there is no model 'gpt'; give openai:URL#NAME"),
        (("dsr", *data, "--model", "geometry"), "needs --scenes DIR"),
        (("dsr", *data, "--model", "majority"), "majority:FILE"),
        (("dsr", *data, "--model", "random:x"), "whole number"),
        (("dsr", *data, "--predictions", tmp_path / "none.json"), "no file of predictions"),
        (("dsr", "benchmark.parquet", "--model", "random"), "--data"),
        (("compare", tmp_path), "two result folders"),
        (("replay",), "one bag"),
    ):
        status, _, err = dsr(capsys, *words)
        assert status == 2 and message in err and err.count("\n") == 1, (words, err)
