"""The blind audit: attackers find what is planted and nothing else; clusters, bounds, table, picture and command."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from dsr_core import cli
from dsr_core.errors import DependencyError, ModelError
from dsr_core.qa.audit import audit as audit_module
from dsr_core.qa.audit.audit import OVERALL, TURNED, audit, credit_of
from dsr_core.qa.audit.features import Texts
from dsr_core.qa.audit.learned import LEARNERS, folds_of, one_thread
from dsr_core.qa.audit.plot import plot_audits
from dsr_core.qa.audit.records import Record, clusters_of, read_records
from dsr_core.qa.audit.rules import RULES
from dsr_core.qa.audit.stats import effective_count, lower_bound, upper_bound
from dsr_core.qa.audit.table import side_by_side, table
from dsr_core.qa.audit.text import contrasts_of, likeness, option_shapes, question_numbers, states_of
from dsr_core.qa.item import QaError

TEXTS = (
    "(1) Become larger.",
    "(1) Become smaller.",
    "(1) Keep nearly constant.",
    "(1) Become larger. (2) Become smaller.",
)
SIDES = ("(1) Front|Left.", "(1) Front|Right.", "(1) Behind|Left.", "(1) Behind|Right.")


def fair(n: int = 600, texts=TEXTS, seed: int = 0, type: str = "rel_dis") -> list[Record]:
    """Groups of four questions with the same options, each true once; the text tells nothing."""
    rng = np.random.default_rng(seed)
    records = []
    for number in range(n // 4):
        for truth in rng.permutation(4):
            order = rng.permutation(4)
            x, start = rng.integers(0, 600), rng.uniform(0, 20)
            question = (
                f"Between {start:.1f}s and {start + 3:.1f}s, how does the car with box [{x},100,{x + 40},160] go?"
            )
            options = tuple(texts[i] for i in order)
            records.append(Record(type, question, options, int(np.flatnonzero(order == truth)[0]), number % 20))
    return records


def by_box(n: int = 600, seed: int = 0) -> list[Record]:
    """The same, but the box is on the side that the answer names in three of four questions."""
    rng = np.random.default_rng(seed)
    records = []
    for record in fair(n, SIDES, seed):
        left = ("Left" in record.options[record.answer]) == (rng.random() < 0.75)
        x = int(rng.integers(0, 260) if left else rng.integers(320, 580))
        question = f"Between 1.0s and 3.0s, where is the car with box [{x},100,{x + 40},160]?"
        records.append(Record("rel_dir", question, record.options, record.answer, record.cluster))
    return records


def test_fair_questions_pass(monkeypatch):
    monkeypatch.setattr(audit_module, "FEWEST_JUDGED", 400)
    found = audit(fair(800))
    assert found.verdicts == {"rel_dis": "pass", OVERALL: "pass"}
    rules = [r for r in found.of("rel_dis") if r.family == "rule"]
    assert len(rules) == len(RULES)
    assert all(abs(r.accuracy - 0.25) < 1e-9 for r in rules)  # each option is true once in its group
    assert len(found.of("rel_dis")) == len(RULES) + len(LEARNERS) + len(TURNED)
    assert all(r.clusters == 20 and r.count == 800 and r.chance == 0.25 for r in found.of("rel_dis"))


def test_a_box_that_tells_the_side_is_found_by_joint_attackers_alone(monkeypatch):
    monkeypatch.setattr(audit_module, "FEWEST_JUDGED", 400)
    found = audit(by_box(1200))
    shares = {r.attacker: r.accuracy for r in found.of("rel_dir")}
    assert shares["joint: linear"] > 0.33 and shares["joint: boosted"] > 0.33
    assert shares["neighbours"] > 0.28
    assert all(shares[name] < 0.29 for name in ("options: words", "options: shapes", "prior of the text", "longest"))
    assert found.verdicts["rel_dir"] == "leaks"
    assert found.best("rel_dir").attacker.startswith("joint")


def test_what_is_planted_in_the_options_is_found():
    rng = np.random.default_rng(0)
    records = []
    for number in range(400):
        truth = TEXTS[rng.integers(3)]
        noise = [
            " ".join(f"({i + 1}) Become {w}er." for i, w in enumerate(rng.permutation(["larg", "small"]))) for _ in "ab"
        ]
        options = list(dict.fromkeys([truth, *noise, "The latter is always faster."]))[:4]
        order = rng.permutation(len(options))
        told = tuple(options[i] for i in order)
        records.append(Record("abs_dis", "How?", told, told.index(truth), number % 10))
    shares = {r.attacker: r.accuracy for r in audit(records).of("abs_dis")}
    for name in ("options: words", "options: shapes", "prior of the text", "popular text", "joint: linear"):
        assert shares[name] > 0.9, name
    assert shares["fewest states"] > shares["most states"] and shares["not numbered"] < 0.1


def test_letters_are_found():
    records = [Record("t", r.question, r.options, 0, r.cluster) for r in fair(200)]
    assert {r.attacker: r.accuracy for r in audit(records).of("t")}["letter"] == 1.0


def test_figures_repeat():
    assert audit(by_box(200), seed=3) == audit(by_box(200), seed=3)


def test_rules_alone_train_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    found = audit(fair(40), learners=False)
    assert {r.family for r in found.results} == {"rule"}
    with pytest.raises(DependencyError, match=r"pip install 'dsr_ros\[qa\]'"):
        audit(fair(40))


def test_one_scene_trains_nothing_and_says_so():
    found = audit([Record(r.type, r.question, r.options, r.answer, 0) for r in fair(100)])
    assert {r.accuracy for r in found.results if r.family == "learned"} == {0.25}
    assert "1 scene" in found.notes[0]


def test_questions_with_two_and_four_options_are_judged_by_their_own_chance():
    two = [Record("t", r.question, r.options[:2], r.answer, r.cluster) for r in fair(400) if r.answer < 2]
    four = [Record("t", r.question, r.options, r.answer, r.cluster) for r in fair(200)]
    found = audit([*two, *four], learners=False)
    assert found.of("t")[0].chance == pytest.approx((len(two) / 2 + len(four) / 4) / (len(two) + len(four)))
    assert found.of("t")[0].count == len(two) + len(four)


def test_nothing_to_audit_is_an_error():
    with pytest.raises(QaError, match="no questions"):
        audit([])


# --- clusters, folds, bounds -----------------------------------------------------------------------------------------


def test_scenes_that_share_a_group_stay_together():
    clusters = clusters_of(["a", "a", "b", "c", "c", "d"], ["", "g", "g", "", "h", ""])
    assert clusters[0] == clusters[1] == clusters[2]
    assert len({clusters[0], clusters[3], clusters[5]}) == 3 and clusters[3] == clusters[4]


def test_folds_hold_whole_clusters():
    cluster = np.random.default_rng(0).integers(0, 23, 500)
    fold = folds_of(cluster)
    assert set(fold) == set(range(5))
    assert all(len(set(fold[cluster == c])) == 1 for c in set(cluster))
    assert np.bincount(fold).max() < 1.5 * np.bincount(fold).min()
    assert set(folds_of(np.zeros(9, int))) == {0}


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_never_see_the_answers_of_their_own_fold(name):
    records = by_box(160)
    texts = Texts(records)
    fold = folds_of(texts.cluster)
    before = one_thread(LEARNERS[name], texts, fold, 0)[fold == 0]
    texts.answer[fold == 0] = (texts.answer[fold == 0] + 1) % 4
    texts.records = [
        Record(r.type, r.question, r.options, int(a), r.cluster) for r, a in zip(records, texts.answer, strict=True)
    ]
    assert (one_thread(LEARNERS[name], texts, fold, 0)[fold == 0] == before).all()


def test_bounds_are_those_of_clopper_and_pearson():
    exact = stats.binomtest(300, 1000, alternative="greater").proportion_ci(0.99, method="exact").low
    assert lower_bound(300, 1000, 0.01) == pytest.approx(exact)
    exact = stats.binomtest(300, 1000, alternative="less").proportion_ci(0.99, method="exact").high
    assert upper_bound(300, 1000, 0.01) == pytest.approx(exact)
    assert (lower_bound(0, 10, 0.05), upper_bound(10, 10, 0.05)) == (0.0, 1.0)


def test_alike_questions_of_a_scene_count_less():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(50), 40)
    independent = (rng.random(2000) < 0.3).astype(float)
    same = np.repeat((rng.random(50) < 0.3).astype(float), 40)
    assert effective_count(independent, cluster, 0.05) > 900
    assert effective_count(same, cluster, 0.05) < 80
    assert effective_count(independent, np.zeros(2000, int), 0.05) == 0.0


def test_bound_covers_the_truth_where_scenes_differ():
    """Attackers that are right 30 % of the time on average, more in some scenes: the bound is rarely above that."""
    rng = np.random.default_rng(1)
    cluster, above, above_items = np.repeat(np.arange(30), 60), 0, 0
    for _ in range(300):
        share = np.repeat(rng.beta(3, 7, 30), 60)
        credits = (rng.random(len(share)) < share).astype(float)
        worth = effective_count(credits, cluster, 0.05)
        above += lower_bound(credits.mean() * worth, worth, 0.05) > 0.3
        above_items += lower_bound(credits.sum(), len(credits), 0.05) > 0.3
    assert above / 300 < 0.1 < above_items / 300


def test_ties_share_the_credit():
    assert credit_of([1, 1, 0, 0], 0) == 0.5 and credit_of([0, 0, 0, 0], 2) == 0.25
    assert credit_of([1, 2, 0, 0], 0) == 0.0 and credit_of([-np.inf, 2, 0, 0], 1) == 1.0


# --- what is read from the text --------------------------------------------------------------------------------------


def test_numbers_of_a_question():
    numbers = question_numbers("Between 1.5s and 4.0s, from the view of car with box [10,20,30,60] at 2.5s, who?")
    assert numbers[:4].tolist() == [1.5, 4.0, 2.5, 2.5]
    assert numbers[4:8] == pytest.approx([20, 40, np.log(20), np.log(40)])
    assert np.isnan(numbers[8]) and numbers[-1] == 1
    assert question_numbers("How far between frame 3 and frame 11 of 32?")[:4] == pytest.approx(
        [3, 11, np.nan, 8], nan_ok=True
    )


def test_shape_of_options():
    assert states_of("(1) Front|Left. (2) Front.") == ("Front|Left.", "Front.")
    assert states_of("The latter is always faster.") == ("The latter is always faster.",)
    assert likeness(TEXTS[0], TEXTS[0]) == 1.0 > likeness(TEXTS[0], TEXTS[1]) > 0.0
    contrasts = contrasts_of(option_shapes(SIDES))
    assert contrasts[:, 1].tolist() == [1, -1, 1, -1]  # first state: left or right
    assert contrasts[:, 0].tolist() == [1, 1, -1, -1]


@pytest.mark.parametrize(
    ("rule", "options", "chosen"),
    [
        ("longest", ("ab", "abcd", "a", "abc"), {1}),
        ("shortest", ("ab", "abcd", "a", "b"), {2, 3}),
        ("most states", TEXTS, {3}),
        ("not numbered", (*TEXTS[:3], "The latter is always faster."), {3}),
        ("most repeats", (*TEXTS[:3], "(1) Become larger. (2) Become larger."), {3}),
        ("smoothest", ("(1) Front|Left. (2) Behind|Right.", "(1) Front|Left. (2) Front."), {1}),
        ("odd one out", ("(1) Left.", "(1) Left. (2) Left.", "(1) Behind."), {2}),
        ("middle number", ("4.0 m", "1.0 m", "3.0 m"), {2}),
        ("largest number", ("4.0 m", "1.0 m", "3.0 m"), {0}),
    ],
)
def test_rules(rule, options, chosen):
    scores = RULES[rule](options)
    assert set(np.flatnonzero(scores >= scores.max() - 1e-12)) == chosen


# --- what a person sees ----------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path) -> Path:
    """A published layout: no scenes, so that videos are what stays together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    records = [*fair(400), *by_box(400)]
    rows = {
        "videoID": [f"video_{r.cluster}" for r in records],
        "type": [r.type for r in records],
        "question": [r.question for r in records],
        "options": [[f"{letter}. {o}" for letter, o in zip("ABCD", r.options, strict=True)] for r in records],
        "answer": ["ABCD"[r.answer] for r in records],
    }
    pq.write_table(pa.table(rows), tmp_path / "set.parquet")
    return tmp_path / "set.parquet"


def test_a_published_file_is_grouped_by_video(file):
    records = read_records(file)
    assert [(r.question, r.options, r.answer) for r in records[:400]] == [
        (r.question, r.options, r.answer) for r in fair(400)
    ]
    assert len({r.cluster for r in records}) == 20


def test_command(file, capsys, tmp_path, monkeypatch):
    picture = tmp_path / "audit.png"
    assert cli.main(["audit", str(file), "--plot", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "rel_dir" in out and "joint" in out and "small" in out and "Bonferroni" in out
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 20_000
    monkeypatch.setattr(audit_module, "FEWEST_JUDGED", 300)
    assert cli.main(["audit", str(file), "--json", "--rules-only", "--strict"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdicts"] == {"rel_dir": "pass", "rel_dis": "pass", OVERALL: "pass"}
    assert {"type", "attacker", "accuracy", "bound", "item_bound", "clusters"} <= set(told["results"][0])


def test_strict_fails_where_a_set_leaks(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(audit_module, "FEWEST_JUDGED", 100)
    row = {"type": "rel_dis", "question": "How?", "options": [f"A. {TEXTS[3]}", f"B. {TEXTS[0]}"], "answer": "A"}
    rows = [{"videoID": f"v{n % 5}", **row} for n in range(200)]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main(["audit", str(path), "--rules-only", "--strict"]) == 1
    assert "leaks" in capsys.readouterr().out


def test_wrong_file_is_named(capsys, tmp_path):
    assert cli.main(["audit", str(tmp_path / "none.parquet")]) == 2
    assert "none.parquet" in capsys.readouterr().err


def test_tables_and_pictures_of_several_sets(tmp_path):
    audits = {"one": audit(fair(80), learners=False), "two": audit(by_box(80), learners=False)}
    assert "longest 25.0" in table(audits["one"], best=20)
    compared = side_by_side(audits).splitlines()
    assert compared[0].split() == ["type", "one", "two"] and any(line.startswith("rel_dir ") for line in compared)
    assert plot_audits(audits, tmp_path / "two.svg").read_text().count("<svg") == 1


def test_a_language_model_is_an_attacker(tmp_path):
    torch = pytest.importorskip("torch", reason="language models need torch: pip install 'dsr_ros[vlm]'")
    transformers = pytest.importorskip("transformers", reason="language models need transformers")
    tokenizers = pytest.importorskip("tokenizers", reason="language models need tokenizers")
    from dsr_core.qa.audit.lm import LanguageModel

    words = sorted({w for r in fair(8) for text in (r.question, *r.options) for w in text.split()})
    vocabulary = {w: i for i, w in enumerate(["<unk>", *words, "Question:", "Answer:", "-"])}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>")
    torch.manual_seed(0)
    config = transformers.GPT2Config(vocab_size=len(vocabulary), n_positions=256, n_embd=16, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "lm")
    tokenizer.save_pretrained(tmp_path / "lm")
    model = LanguageModel(str(tmp_path / "lm"))
    record = fair(8)[0]
    scores = model(record)
    assert len(scores) == 4 and len(set(scores)) == 4
    # A model that has learnt one text finds that one likeliest.
    likes = model._model
    likes.lm_head.weight = torch.nn.Parameter(likes.lm_head.weight.detach().clone())
    optimiser = torch.optim.Adam(likes.parameters(), lr=0.02)
    text = tokenizer(f"Answer: {TEXTS[2]}", return_tensors="pt").input_ids
    for _ in range(60):
        optimiser.zero_grad()
        likes(text, labels=text).loss.backward()
        optimiser.step()
    assert record.options[int(np.argmax(model(record)))] == TEXTS[2]
    found = audit(fair(16), learners=False, scorers={"tiny": model})
    assert next(r for r in found.of("rel_dis") if r.attacker == "tiny").family == "language model"
    with pytest.raises(ModelError, match="nowhere"):
        LanguageModel(str(tmp_path / "nowhere"))
