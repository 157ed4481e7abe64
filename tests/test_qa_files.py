"""Question sets as files: what is written is read back; every published layout is read; what is broken says how."""

import json
import random
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsr_core import load_scene
from dsr_core.qa.config import QaConfig
from dsr_core.qa.files.columns import OWN, PUBLISHED
from dsr_core.qa.files.files import parquet_writer, write_items
from dsr_core.qa.files.letters import index_of, without_letters
from dsr_core.qa.files.read_types import type_read
from dsr_core.qa.files.readers import read_items, read_rows
from dsr_core.qa.files.rescale import rescale_boxes
from dsr_core.qa.item import DSR_TYPES, Candidate, Item, QaError
from dsr_core.qa.making.generate import candidates
from dsr_core.qa.options.noise import noise_options

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def items():
    """Items of both styles with options that need not be good ones."""
    import numpy as np

    scene, rng, made = load_scene("sim:seed=1,duration=20,render=0"), np.random.default_rng(0), []
    for number, c in enumerate(candidates(scene, QaConfig(per_scene=120), 0, "a scene", "abc_0")):
        wrong = noise_options(c, rng)
        if wrong:
            options = [*wrong[: number % 4], c.answer, *wrong[number % 4 :]]
            made.append(Item(c, tuple(options), number % 4, ("truth",), "dsr", "g1", {"seed": 3}))
    for c in candidates(scene, QaConfig(per_scene=40, style="mllm4d"), 0, "another"):
        made.append(Item(c, (c.answer, "another", "a third"), 0, ("truth", "numeric", "numeric")))
    return made


def test_a_parquet_file_gives_the_same_items_back(items, tmp_path):
    path = tmp_path / "set.parquet"
    assert write_items(path, items, provenance={"seed": 0}) == len(items) > 100
    back = read_items(path)
    assert [i.extra for i in back] == [{"seed": 0, **i.extra} for i in items]
    assert [replace(i, extra={}) for i in back] == [replace(i, extra={}) for i in items]


def test_columns_are_the_published_ones_and_then_our_own(items, tmp_path):
    path = tmp_path / "set.parquet"
    write_items(path, items)
    table = pq.read_table(path)
    assert table.column_names == [*PUBLISHED, *OWN] and table.column_names[:5] == [
        "videoID", "type", "question", "options", "answer"
    ]  # fmt: skip
    assert table.schema.metadata is None or b"pandas" not in table.schema.metadata
    for row, item in zip(table.to_pylist(), items, strict=True):
        assert row["videoID"] == (item.candidate.video_id or item.candidate.scene)
        assert [o[:3] for o in row["options"]] == ["A. ", "B. ", "C. ", "D. "][: len(item.options)]
        assert row["options"][ord(row["answer"]) - 65][3:] == item.candidate.answer


_BOX = r"\[\d+,\d+,\d+,\d+\]"
_V = rf"(?:camera|[\w ]+ with (?:initial )?bounding box coordinates {_BOX})"
_O = rf"(?:camera|[\w ]+ with initial bounding box coordinates {_BOX})"
_F = rf"(?:camera|[\w ]+ with final bounding box coordinates {_BOX})"
_CORES = {
    "dis": "how does the distance between {O} and {O} change?",
    "dir": "how does the direction of {O} to {O} change?",
    "ori": "how does the orientation of {O} change?",
    "spd": "how does the speed of {O} change?",
    "spd_comp": "compare the speed between {O} and {O}.",
}
_NUMBERED = r"\(1\) {0}(?: \(\d+\) {0})*"
_TREND = r"(?:Become larger|Become smaller|Keep nearly constant(?: and then become (?:larger|smaller))?)\."
_WAY = r"(?:Front|Behind|Left|Right|Above|Below)(?:\|(?:Left|Right|Above|Below))*\."
_FASTER = (
    r"(?:\(1\) The former is always faster\.|The latter is always faster\.|\(1\) Their speed is nearly the same\."
    rf"|{_NUMBERED.format('(?:The former is faster|The latter is faster|Nearly the same)[.]')})"
)


def test_wording_is_the_published_one(items):
    """Every question and option of the templates, against their shapes in the published files."""
    for item in items:
        c = item.candidate
        if c.type not in DSR_TYPES:
            continue
        mode, _, short = c.type.partition("_")
        seen = rf"following the perspective of {_V}" if mode == "rel" else rf"from the perspective of {_V} at \d+\.\ds"
        if short == "dir_pred":
            seen = seen.replace("(?:initial )?", "(?:final )?")
            shape = f"{seen[0].upper()}{seen[1:]}, predict the moving direction of {_F}"
        else:
            core = re.escape(_CORES[short]).replace(r"\{O\}", _O)
            shape = rf"Between \d+\.\ds and \d+\.\ds, {seen}, {core}"
        assert re.fullmatch(shape, c.question), c.question
        said = _FASTER if short == "spd_comp" else _NUMBERED.format(_TREND if short in ("dis", "spd") else _WAY)
        assert re.fullmatch(said, c.answer), c.answer


def test_bytes_do_not_depend_on_how_items_come(items, tmp_path):
    one, other = tmp_path / "one.parquet", tmp_path / "other.parquet"
    many = items * 60  # more than one row group
    write_items(one, many, provenance={"a": 1, "b": 2})
    with parquet_writer(other, {"b": 2, "a": 1}) as write:
        for start in range(0, len(many), 777):
            write(iter(many[start : start + 777]))
    assert one.read_bytes() == other.read_bytes()
    assert pq.ParquetFile(one).num_row_groups > 1
    for name, layout in (("a.json", "dsr"), ("b.json", "qwen"), ("b.jsonl", "qwen"), ("c.jsonl", "swift")):
        write_items(tmp_path / name, items, layout)
        first = (tmp_path / name).read_bytes()
        write_items(tmp_path / name, iter(items), layout)
        assert (tmp_path / name).read_bytes() == first


def test_a_file_is_written_whole_or_not_at_all(items, tmp_path):
    def broken():
        yield from items[:10]
        raise RuntimeError("stop")

    for name, layout in (("a.parquet", "parquet"), ("a.json", "dsr"), ("b.json", "qwen"), ("c.jsonl", "swift")):
        with pytest.raises(RuntimeError):
            write_items(tmp_path / name, broken(), layout)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "layout"),
    [("a.parquet", "parquet"), ("a.json", "dsr"), ("b.json", "qwen"), ("b.jsonl", "qwen"), ("c.jsonl", "swift")],
)
def test_rows_of_every_layout_are_the_same(items, tmp_path, name, layout):
    if layout == "qwen":  # has no types; those of the templates are read off their words
        items = [i for i in items if i.candidate.type in DSR_TYPES]
    assert write_items(tmp_path / name, items, layout) == len(items)
    if layout == "dsr":
        items = sorted(items, key=lambda i: i.candidate.video_id == "")  # videos in the order they come
    for index, (row, item) in enumerate(zip(read_rows(tmp_path / name), items, strict=True)):
        c = item.candidate
        assert row.index == index and row.video_id == (c.video_id or c.scene)
        assert (row.question, row.type, row.options) == (c.question, c.type, item.options)
        assert row.answer_index == item.answer_index and row.letter == item.letter
        if layout == "parquet":
            assert (row.scene, row.group, row.image_size) == (c.scene, item.group, c.image_size)
            assert row.future_from_s == c.future_from_s


def test_shapes_of_the_json_layouts(items, tmp_path):
    write_items(tmp_path / "a.json", items, "dsr")
    data = json.loads((tmp_path / "a.json").read_text())
    assert list(data) == ["abc_0", "another"]
    assert list(data["abc_0"][0]) == ["Type", "Question", "A", "B", "C", "D", "Correct"]
    write_items(tmp_path / "b.json", items, "qwen")
    (first, *_), item = json.loads((tmp_path / "b.json").read_text()), items[0]
    lines = [f"{letter} {option}" for letter, option in zip("ABCD", item.options, strict=True)]
    assert first == {
        "video": "abc_0.mp4",
        "conversations": [
            {"from": "human", "value": "\n".join(["<video>", item.candidate.question, "Options:", *lines])},
            {"from": "gpt", "value": item.letter},
        ],
    }
    write_items(tmp_path / "c.jsonl", items, "swift")
    last = json.loads((tmp_path / "c.jsonl").read_text().splitlines()[-1])
    assert last["videos"] == ["another.mp4"] and last["messages"][0]["content"].startswith("<video>\n")
    (solution,) = last["solution"]
    assert solution["answer"] == "A" and len(solution["camera_center"]) == 2 and len(solution["camera_center"][0]) == 3


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=20).map(
    lambda text: " ".join(text.split())
)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_item_survives_a_parquet_file(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "x.parquet"
    numbers = st.floats(allow_nan=False, allow_infinity=False)
    options = tuple(data.draw(st.lists(TEXTS, min_size=2, max_size=4, unique=True)))
    index = data.draw(st.integers(0, len(options) - 1))
    maybe = st.none() | numbers
    candidate = Candidate(
        scene=data.draw(TEXTS), video_id=data.draw(TEXTS | st.just("")), type=data.draw(st.sampled_from(DSR_TYPES)),
        kind="distance", question=data.draw(TEXTS), answer=options[index], labels=tuple(data.draw(st.lists(TEXTS))),
        viewer="camera", things=tuple(data.draw(st.lists(TEXTS))), tracks=tuple(data.draw(st.lists(TEXTS))),
        window=(data.draw(numbers), data.draw(numbers)),
        viewpoint={"agent": "camera", "mode": "relative", "at": data.draw(maybe)}, query={"kind": data.draw(TEXTS)},
        covariates=tuple(data.draw(st.lists(numbers))), margin=data.draw(maybe), confidence=data.draw(numbers),
        value=data.draw(maybe), unit=data.draw(st.none() | TEXTS), metric=data.draw(st.booleans()),
        image_size=data.draw(st.none() | st.just((640, 360))), future_from_s=data.draw(maybe),
        ego_motion=data.draw(st.none() | TEXTS), others=tuple(data.draw(st.lists(TEXTS))), samples=7,
        spatial_states=data.draw(st.none() | st.just({"camera_center": [[0.0, 1.0, 2.0]], "object_center": None})),
    )  # fmt: skip
    item = Item(
        candidate, options, index, tuple(data.draw(st.lists(TEXTS))), "physical", data.draw(TEXTS | st.just(""))
    )
    write_items(path, [item])
    assert read_items(path) == [item]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from(["(1) Right.", "a dog", "5.2 m", "Left.", "Both"]), min_size=2, max_size=5, unique=True),
    st.sampled_from(["{0}. {1}", "{0} {1}", "({0}) {1}", "{0}: {1}", "{0}) {1}", "{0}.{1}", "{1}", "{0} {0}. {1}"]),
    st.sampled_from(["{0}", "({0})", "{0}.", "{0}:", " {0} ", "Answer: {0}", "{0}. {1}", "({0}) {1}", "{1}"]),
    st.integers(0, 4),
)  # fmt: skip
def test_letters_are_taken_off_and_answers_found(texts, prefix, said, index):
    index %= len(texts)
    options = [prefix.format(chr(65 + i), text) for i, text in enumerate(texts)]
    assert without_letters(options) == tuple(texts)
    assert index_of(said.format(chr(65 + index), texts[index]), texts) == index


def test_words_that_look_like_letters_stay():
    assert without_letters(["A dog", "The cat", "A bird", "None"]) == ("A dog", "The cat", "A bird", "None")
    assert without_letters(["A", "B", "C", "D"]) == ("A", "B", "C", "D")
    assert index_of("b", ("x", "y")) == 1
    for wrong in ("E", "", None, "maybe", 2, "Because"):
        with pytest.raises(QaError, match="the answer"):
            index_of(wrong, ("x", "y", "z", "w"))


def published_parquet(path, **changes):
    import pyarrow as pa

    row = {
        "videoID": "tV8tEjHQYHk_0",
        "type": "rel_dir_pred",
        "question": "Following the perspective of camera, predict the moving direction of dancer with final"
        " bounding box coordinates [354,133,444,322]",
        "options": ["A. (1) Behind|Below.", "B. (1) Left.", "C. (1) Right.", "D. (1) Above."],
        "answer": "B",
    } | changes
    pq.write_table(pa.Table.from_pylist([row, row]), path)
    return path


def test_the_published_bench_is_read(tmp_path):
    rows = read_rows(published_parquet(tmp_path / "benchmark.parquet"))
    assert [r.index for r in rows] == [0, 1] and rows[0].video_id == "tV8tEjHQYHk_0"
    assert rows[0].options == ("(1) Behind|Below.", "(1) Left.", "(1) Right.", "(1) Above.") and rows[0].letter == "B"
    with pytest.raises(QaError, match=r"lacks scene.* plain rows"):
        read_items(tmp_path / "benchmark.parquet")


def test_tables_are_read(tmp_path):
    easi = tmp_path / "DSRBench.tsv"
    easi.write_text(
        "index\tvideo\tquestion\toptions\tanswer\ttask_type\n"
        "0\tabc_0.mp4\tWhich?\t\"['A. (1) Right.', 'B. It''s left.', 'C. x', 'D. y']\"\tB\tabs_dir\n"
        '1\tabc_1.mp4\tWhich?\t["A. one", "B. two"]\tA. one\tnon_temp\n'.replace("It''s", "It is")
    )
    first, second = read_rows(easi)
    assert (first.video_id, first.type, first.options[1], first.letter) == ("abc_0", "abs_dir", "It is left.", "B")
    assert (second.options, second.answer_index) == (("one", "two"), 0)
    official = tmp_path / "official.tsv"
    official.write_text(
        "index\tvideo\tvideo_path\tcandidates\tquestion\tanswer\n"
        "0\tabc_0\t/x/abc_0.mp4\t['A. (1) Right.', \"B. the dog's\", 'C. x', 'D. y']\t"
        "Following the perspective of camera, predict the moving direction of camera\tD\n"
    )
    (row,) = read_rows(official)
    assert row.type == "rel_dir_pred" and row.options[1] == "the dog's" and row.letter == "D"


def test_python_in_a_table_is_not_run(tmp_path):
    path = tmp_path / "x.tsv"
    path.write_text("video\tquestion\tcandidates\tanswer\nv\tq\t[__import__('os').getcwd(), 'b']\tA\n")
    with pytest.raises(QaError, match=r"row 0: .*no list"):
        read_rows(path)


def test_json_of_the_generator_and_of_training(tmp_path):
    train = tmp_path / "train_qa_pairs.json"
    entry = {"Type": "abs_spd", "Question": "q", "A": "(1) x.", "B": "y", "C": "z", "D": "w", "Correct": "C"}
    free = {"Question": "free?", "A": "A. red", "B": "B. green", "C": "C. blue", "D": "D. white", "Correct": "(B)"}
    train.write_text(json.dumps({"v_1": [entry, free]}))
    first, second = read_rows(train)
    assert (first.type, first.letter, first.video_id) == ("abs_spd", "C", "v_1")
    assert (second.type, second.letter, second.options[1]) == ("non_temp", "B", "green")
    talk = {
        "video": "videos/v_2.mp4",
        "conversations": [
            {
                "from": "human",
                "value": "<video>\nFollowing the perspective of camera, where?\nOptions:\nA A. a\nB B. b",
            },
            {"from": "gpt", "value": "B"},
        ],
    }
    packed = tmp_path / "packed.json"
    packed.write_text(json.dumps([[talk, talk], talk]))
    rows = read_rows(packed)
    assert len(rows) == 3 and rows[0].options == ("a", "b") and rows[0].type == "non_temp" and rows[2].video_id == "v_2"
    lines = tmp_path / "packed.jsonl"
    lines.write_text(json.dumps([talk, talk]) + "\n\n" + json.dumps(talk) + "\n")
    assert [replace(r, index=0) for r in read_rows(lines)] == [replace(r, index=0) for r in rows]


def test_types_are_read_off_the_words(items):
    for item in items:
        c = item.candidate
        assert type_read(c.question) == (c.type if c.type in DSR_TYPES else "")
    assert type_read("From the perspective of camera at 2.0s, between 1.0s and 3.0s, which car turns?") == "non_temp"
    assert type_read("What is this?") == ""


def test_broken_files_say_where_and_what_to_do(items, tmp_path):
    whole = tmp_path / "whole.parquet"
    write_items(whole, items)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    for read in (read_rows, read_items):
        with pytest.raises(QaError, match=r"cut\.parquet is no whole parquet file .*again"):
            read(cut)
        with pytest.raises(QaError, match=r"no question set at .*none\.parquet"):
            read(tmp_path / "none.parquet")
    foreign = tmp_path / "foreign.parquet"
    import pyarrow as pa

    pq.write_table(pa.table({"videoID": ["a"], "text": ["b"]}), foreign)
    with pytest.raises(QaError, match=r"foreign\.parquet has the columns videoID, text, not type, question"):
        read_rows(foreign)
    with pytest.raises(QaError, match=r"bad\.parquet, row 0: the answer 'E' is none of A, B, C, D"):
        read_rows(published_parquet(tmp_path / "bad.parquet", answer="E"))
    (tmp_path / "a.json").write_text('{"v": [{"Question": "q"')
    with pytest.raises(QaError, match=r"a\.json is no whole JSON file"):
        read_rows(tmp_path / "a.json")
    (tmp_path / "b.json").write_text('{"v": [{"Question": "q", "A": "x", "B": "y"}]}')
    with pytest.raises(QaError, match=r"b\.json, row 0: it lacks 'correct'"):
        read_rows(tmp_path / "b.json")
    (tmp_path / "c.jsonl").write_text('{"question": "q", "options": ["x", "y"], "answer": "A", "video": "v"}\n{"que')
    with pytest.raises(QaError, match=r"c\.jsonl, line 2"):
        read_rows(tmp_path / "c.jsonl")
    (tmp_path / "d.tsv").write_text("video\tquestion\toptions\tanswer\nv\tq\n")
    with pytest.raises(QaError, match=r"d\.tsv, line 2: 2 cells for 4 columns"):
        read_rows(tmp_path / "d.tsv")
    (tmp_path / "e.json").write_text("[]")
    with pytest.raises(QaError, match="holds no question"):
        read_rows(tmp_path / "e.json")
    (tmp_path / "f.txt").write_text("x")
    with pytest.raises(QaError, match=r"f\.txt ends in \.txt"):
        read_rows(tmp_path / "f.txt")
    for name, layout in (("x.json", "parquet"), ("x.parquet", "qwen"), ("x.json", "other")):
        with pytest.raises(QaError):
            write_items(tmp_path / name, items, layout)


@pytest.mark.parametrize("name", ["a.parquet", "a.json", "b.json", "b.jsonl", "c.jsonl"])
def test_damaged_files_raise_nothing_else(items, tmp_path, name):
    layout = {"a.parquet": "parquet", "a.json": "dsr", "c.jsonl": "swift"}.get(name, "qwen")
    write_items(tmp_path / name, items[:20], layout)
    whole, rng, refused = (tmp_path / name).read_bytes(), random.Random(0), 0
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        (tmp_path / name).write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        for read in (read_rows, read_items) if layout == "parquet" else (read_rows,):
            try:
                read(tmp_path / name)
            except QaError as error:
                assert name in str(error)
                refused += 1
    assert refused > 20


sizes = st.tuples(st.integers(16, 4000), st.integers(16, 4000))


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_boxes_are_rescaled_with_their_frames(old, new, shares):
    x1, x2 = sorted(round(s * old[0]) for s in shares[:2])
    y1, y2 = sorted(round(s * old[1]) for s in shares[2:])
    question = f"How does the speed of car with initial bounding box coordinates [{x1},{y1},{x2},{y2}] change at 2.0s?"
    scaled = rescale_boxes(question, old, new)
    found = [int(n) for n in re.search(r"\[(\d+),(\d+),(\d+),(\d+)\]", scaled).groups()]
    assert rescale_boxes(question, old, old) == question
    if old != new:
        assert 0 <= found[0] < found[2] <= new[0] and 0 <= found[1] < found[3] <= new[1]
        for value, was, a, b in zip(found, (x1, y1, x2, y2), (*old, *old), (*new, *new), strict=True):
            assert abs(value - was * b / a) <= 1.5
    assert re.sub(r"\[.*\]", "", scaled) == re.sub(r"\[.*\]", "", question)


def test_a_size_that_is_none():
    with pytest.raises(QaError, match="width, height"):
        rescale_boxes("q", (0, 10), (640, 360))


def test_a_rows_window_is_read_where_the_file_tells_it(items, tmp_path):
    write_items(tmp_path / "own.parquet", items)
    rows = read_rows(tmp_path / "own.parquet")
    assert [row.window for row in rows] == [item.candidate.window for item in items]
    assert read_rows(published_parquet(tmp_path / "published.parquet"))[0].window is None


def test_rows_that_are_no_questions_can_be_told_apart(tmp_path):
    entry = {"Type": "abs_spd", "Question": "q", "A": "x", "B": "y", "C": "z", "D": "w", "Correct": "C"}
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"v": [entry, entry | {"Correct": "F"}, {"Question": "?"}, entry | {"Correct": "A"}]}))
    faults = {}
    rows = read_rows(path, faults)
    assert [(row.index, row.letter) for row in rows] == [(0, "C"), (3, "A")]
    assert list(faults) == [1, 2] and "the answer 'F' is none of A, B, C, D" in faults[1] and "lacks" in faults[2]
    with pytest.raises(QaError, match=r"some\.json, row 1"):
        read_rows(path)
