"""Replies of models -> options and numbers: every shape by hand, and what was recorded for published replies."""

import itertools
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsr_core.bench import PARSER_VERSION, extract_choice, extract_number
from tests.data import shared

WAYS = {"A": "left", "B": "right", "C": "not moving", "D": "there are no cars in the video"}
COUNTS = {"A": 1, "B": 2, "C": 0, "D": 13}
TURNS = {"A": "clockwise", "B": "counter-clockwise", "C": "not spinning", "D": "both ways"}
STATES = {
    "A": "(1) Become larger.",
    "B": "(1) Keep nearly constant and then become larger.",
    "C": "(1) Become smaller. (2) Become larger.",
    "D": "(1) Keep nearly constant.",
}
YES = {"A": "No", "B": "Yes", "C": "Not sure", "D": "Possibly"}
TWINS = {"A": "left", "B": "right", "C": "left", "D": "up"}
THINGS = {"A": "the car", "B": "a bus", "C": "two men", "D": "cannot be determined"}

SIDES = {
    "A": "(1) Front|Left.",
    "B": "(1) Front|Right. (2) Behind.",
    "C": "(1) Behind.",
    "D": "(1) Front|Left. (2) Behind.",
}
LENGTHS = {"A": "1.5 meters", "B": "2.5 meters", "C": "10 meters", "D": "15 meters"}

LETTER_SHAPES = """\
B|b|(B)|[B]|B.|B)|b)|(b).| B |**B**|`B`|$B$|"B"|'B'|B!|B:|(B) right|B. right|B: right|B) right|B - right|B right
**B**: right|**B. right**|\\boxed{B}|$\\boxed{\\text{B}}$|\\boxed{(B)}|\\boxed{B. right}|<answer>B</answer>
<answer> (B) right </answer>|<answer>B|option B|Option (B)|option b|The answer is B|The answer is B.
the answer is (B).|Answer: B|answer: b|Answer:B|Answer B|ANSWER: B|Final answer: B|The final answer is: $B
Therefore, the final answer is: B|Therefore, the final answer is: $\\boxed{B}$|The correct answer is **B**.
The correct option is B because the car turns.|I would choose B.|I'd go with option B|My answer is B.|It's B.
It is B|I think B|So, B.|{"answer": "B"}|{"answer": "B", "reason": "A is wrong"}|B, because the car drives there
B because it moves|B (right)|Option B is correct.|B is the correct answer.|B is correct, A is not.|Ｂ|答案：B|答案是B
<think>A or C? Probably A.</think>B|<think>It could be A.</think><answer>B</answer>|The best choice is B) right
Answer = B|Answer -> B|The answer is option B.|The answer is: B: right|The answer is likely B.
The answer must be B.|Choice B|Correct answer: B|the answer would be B|Sure! The answer is B.|B\\n|I guess B.
My guess is B"""


@pytest.mark.parametrize("reply", [line for row in LETTER_SHAPES.split("\n") for line in row.split("|")])
def test_a_letter_is_found_in_every_usual_shape(reply):
    assert extract_choice(reply, WAYS) == "B"


@pytest.mark.parametrize(
    ("reply", "choices", "letter"),
    [
        ("right", WAYS, "B"),
        ("Right.", WAYS, "B"),
        ("To the right", WAYS, "B"),
        ("It is moving to the right.", WAYS, "B"),
        ("The car is not moving.", WAYS, "C"),
        ("Not moving", WAYS, "C"),
        ("There are no cars in the video", WAYS, "D"),
        ("The answer is: right", WAYS, "B"),
        ("The answer is 'not moving'.", WAYS, "C"),
        ("Answer: there are no cars in the video.", WAYS, "D"),
        ("counterclockwise", TURNS, "B"),
        ("Counter clockwise.", TURNS, "B"),
        ("anti-clockwise", TURNS, "B"),
        ("The wheel spins counter-clockwise", TURNS, "B"),
        ("The wheel spins clockwise.", TURNS, "A"),
        ("2", COUNTS, "B"),
        ("two", COUNTS, "B"),
        ("2.0", COUNTS, "B"),
        ("There are two cars.", COUNTS, "B"),
        ("zero", COUNTS, "C"),
        ("Thirteen", COUNTS, "D"),
        ("One", COUNTS, "A"),
        ("The answer is 13.", COUNTS, "D"),
        ("3", COUNTS, None),
        ("Answer: 1", COUNTS, "A"),
        ("Yes", YES, "B"),
        ("No.", YES, "A"),
        ("Yes, it drives to the left.", YES, "B"),
        ("No, it does not.", YES, "A"),
        ("Not sure", YES, "C"),
        ("Become larger.", STATES, "A"),
        ("(1) Become larger.", STATES, "A"),
        ("(1) become smaller; (2) become larger", STATES, "C"),
        ("Keep nearly constant and then become larger", STATES, "B"),
        ("1. Keep nearly constant and then become larger", STATES, "B"),
        ("C. (1) Become smaller. (2) Become larger.", STATES, "C"),
        ("a bus", THINGS, "B"),
        ("the bus", THINGS, "B"),
        ("Cannot be determined", THINGS, "D"),
        ("The answer is: it cannot be determined.", THINGS, "D"),
        ("2 men", THINGS, "C"),
        ("(1) Front|Left. (2) Behind.", SIDES, "D"),
        ("The correct answer is (1) Front|Left. (2) Behind.", SIDES, "D"),
        ("The answer is A (1) Front|Left.", SIDES, "A"),
        ("The distance is 10 m.", LENGTHS, "C"),
        ("about 2.5 metres", LENGTHS, "B"),
        ("5 m", LENGTHS, None),
    ],
)
def test_an_options_text_is_found(reply, choices, letter):
    assert extract_choice(reply, choices) == letter


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " ",
        "\n",
        None,
        ".",
        "?",
        "N/A",
        "None",
        "none of the above",
        "None of A, B, C, D apply.",
        "I don't know.",
        "I'm sorry, I can't assist with that.",
        "I cannot determine whether it moves left or right.",
        "It is not possible to determine if the car moves left.",
        "I am unable to view videos.",
        "Both are possible.",
        "Both of them move.",
        "Both directions",
        "A car drives through the picture.",
        "A car…",
        "A man walks by",
        "All of the above",
        "not A",
        "The answer is not A.",
        "It is not B.",
        "Not left.",
        "A or B",
        "A and B",
        "A, B",
        "A/B",
        "AB",
        "CB",
        "B.A.",
        "either A or B",
        "The answer is A or B.",
        "Answer: B and C",
        "left or right",
        "E",
        "The answer is E.",
        "Cars drive",
        "Dogs",
        "Because",
        "A: left\nB: right\nC: not moving\nD: there are no cars in the video",
        "The final answer is: N/A",
        "Therefore, the final answer is: The information needed cannot be determined.",
        "Therefore, the final answer is: $LETTER",
        "The options are A, B, C and D.",
        "neither A nor B",
        "<answer></answer>",
        "<answer>unknown</answer>",
        "I would need to see more of it.",
        "I",
        "I see a person.",
        "B-side of the record",
        "Let us look at the frames",
    ],
)
def test_what_names_no_single_option_names_none(reply):
    assert extract_choice(reply, WAYS) is None


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("not A but B", "B"),
        ("The answer is not A but B.", "B"),
        ("The answer is not A, it's C.", "C"),
        ("The answer is B, not A.", "B"),
        ("The answer is B rather than A.", "B"),
        ("It is not moving left, it moves right.", "B"),
        ("A is wrong. B is correct.", "B"),
        ("Option A is incorrect, so option B.", "B"),
        ("A car drives to the right.", "B"),
        ("A bus appears. The answer is C.", "C"),
        ("Both wheels turn, so the answer is C", "C"),
        ("A is the correct answer", "A"),
        ("A.", "A"),
        ("A, as the car goes left", "A"),
        ("A", "A"),
        ("a", "A"),
        ("The answer is A", "A"),
        ("A left", "A"),
        ("I can't be sure, but the answer is probably A.", "A"),
        ("I cannot see it well, but I would guess B.", "B"),
        ("Neither A nor B. The answer is C.", "C"),
        ("A: left - not applicable\nB: right - the car clearly goes there\n\nTherefore, the final answer is: B", "B"),
        ("A: left - not applicable\nB: right\nC: not moving\nD: no\nSo the car goes right.", "B"),
        ("First I thought A. Then, looking again, the answer is B. Wait: the answer is C.", "C"),
        ("The answer might be A.\nFinal answer: B\n\nOption C is also correct in other videos.", "B"),
        ("B\n\nThe car begins on the left and drives across.", "B"),
        ("right\n\nThe car begins on the left and drives across.", "B"),
        ("Step 1: the car is left. Step 2: it moves.\n\nB", "B"),
        ("Step 1: the car is left.\n**Answer:**\nB", "B"),
        ("The correct answer is:\n\nB: right (However, one could say left.)", "B"),
        ("Option A: left - no.\nOption B: right - yes.\nOption B best matches what is seen.", "B"),
        ("The motion corresponds to option C.", "C"),
        ("B. left", "B"),
        ("A. The car moves right", "A"),
        ("Answer: A car moves to the right", "B"),
        ("Looking at the frames, the car starts at the left edge. Therefore, the car is moving to the right.", "B"),
        ("(A) is not right. (B) is not right. (D) is not right. So (C).", "C"),
        ("I rule out A, eliminate D and C. Only B remains.", "B"),
        ("<think>The answer is A.</think>\nThe answer is C.", "C"),
        ("<thinking>left, A</thinking><answer>D</answer>", "D"),
        ("<answer>A</answer> no wait <answer>B</answer>", "B"),
        ("Which is it: A, B, C or D? The answer is D.", "D"),
        ("If the car moved left the answer would be A. But it moves right, so the answer is B.", "B"),
        ("The answer is B. If it had moved left, the answer would be A.", "B"),
        ("It can't be A. It can't be B. It can't be D.", None),
        ("Option A: left is wrong. Option B: right is right.", "B"),
        ("I'm not sure, maybe left", "A"),
        ("B is incorrect", None),
        ("Both of the cars move right.", "B"),
        ("It moves neither left nor right; it is not moving.", "C"),
    ],
)
def test_the_conclusion_counts(reply, letter):
    assert extract_choice(reply, WAYS) == letter


def test_options_with_the_same_text_are_told_apart_by_their_letter_alone():
    assert extract_choice("left", TWINS) is None
    assert extract_choice("C", TWINS) == "C"
    assert extract_choice("C: left", TWINS) == "C"
    assert extract_choice("The answer is A. left", TWINS) == "A"
    assert extract_choice("right", TWINS) == "B"


def test_letters_come_back_as_they_were_given_and_others_do_not():
    assert extract_choice("b", {"a": "left", "b": "right"}) == "b"
    assert extract_choice("E", {**WAYS, "E": "up"}) == "E"
    assert extract_choice("The answer is E.", {**WAYS, "E": "up"}) == "E"
    assert extract_choice("B", {}) is None


@given(st.text(max_size=200))
def test_no_reply_breaks_it(reply):
    assert extract_choice(reply, WAYS) in (*WAYS, None)
    number = extract_number(reply)
    assert number is None or abs(number) < float("inf")


@given(
    st.sampled_from(sorted(WAYS)),
    st.sampled_from(["{}", "{}.", "({})", "{}: {t}", "Answer: {}", "**{}**", "So the final answer is: {}"]),
)
def test_letters_are_read_alike(letter, shape):
    assert extract_choice(shape.format(letter, t=WAYS[letter]), WAYS) == letter


@pytest.mark.parametrize(
    "reply",
    [
        "right",
        "It is not moving.",
        "The answer is: there are no cars in the video.",
        "Not left but right",
        "left or right",
    ],
)
def test_the_order_of_the_options_does_not_matter_to_texts(reply):
    named = extract_choice(reply, WAYS)
    for order in itertools.permutations(WAYS.values()):
        choices = dict(zip("ABCD", order, strict=True))
        letter = extract_choice(reply, choices)
        assert (letter and choices[letter]) == (named and WAYS[named]), choices


def test_a_very_long_reply_is_read_in_time():
    reply = "The car (A) is not B, or so. I think so, the answer is open and B fits. " * 10_000
    assert extract_choice(reply + "Therefore, the final answer is: C", WAYS) == "C"
    assert extract_choice(reply + "I choose C.", WAYS) == "C"
    assert extract_number(reply + "So it is 5.") == 5.0


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("3", 3.0),
        ("3.5", 3.5),
        ("3.5 meters", 3.5),
        ("about 3.5m", 3.5),
        ("three", 3.0),
        ("Twenty-five", 25.0),
        ("1,200", 1200.0),
        ("-2", -2.0),
        ("2-3", 2.5),
        ("2 to 4 meters", 3.0),
        ("between 2 and 3 m", 2.5),
        ("2–4", 3.0),
        ("1.5e3", 1500.0),
        ("**4**", 4.0),
        ("The answer is 7.", 7.0),
        ("There are 4 chairs.", 4.0),
        ("\\boxed{12}", 12.0),
        ("<answer>9</answer>", 9.0),
        ("zero", 0.0),
        ("The room is 5 m by 4 m, so the answer is 20 square meters.", 20.0),
        ("5 x 4 = 20", 20.0),
        ("Frame 3 shows it. Final answer: 8", 8.0),
        ("half a meter", 0.5),
        ("1/2", 0.5),
        ("a dozen", 12.0),
        (" 6.0 ", 6.0),
        (".5", 0.5),
        ("", None),
        (None, None),
        ("unknown", None),
        ("I cannot tell.", None),
        ("many", None),
        ("two hundred", 200.0),
        ("one hundred and five", 105.0),
        ("3.", 3.0),
        ("It is about 12 feet", 12.0),
        ("nan", None),
        ("inf", None),
        ("20 chairs and 3 tables", 20.0),
        ("5 (or 6)", 5.0),
    ],
)
def test_numbers_are_found(reply, number):
    assert extract_number(reply) == (None if number is None else pytest.approx(number))


def test_a_number_is_given_in_the_unit_that_was_asked_for():
    assert extract_number("350 cm", unit="m") == pytest.approx(3.5)
    assert extract_number("3.5 m", unit="cm") == pytest.approx(350.0)
    assert extract_number("3.5", unit="cm") == pytest.approx(3.5)
    assert extract_number("10 feet", unit="m") == pytest.approx(3.048)
    assert extract_number("5 chairs", unit="m") == pytest.approx(5.0)


#: Share of replies where the recorded letter and ours agree, at least.
LEAST_AGREED = {"real_mc_direct-output": 0.995, "real_mc_cot": 0.95}


@pytest.mark.parametrize("model", ["InternVL2_5-8B_4frame", "Qwen2.5-VL-7B-Instruct_1fps", "gpt-4o_32frame"])
@pytest.mark.parametrize("prompt", sorted(LEAST_AGREED))
def test_published_replies_are_read_as_recorded(prompt, model):
    rows = json.loads(shared(f"vlm4d/published_outputs/{prompt}/{model}.json").read_text())
    agreed = 0
    for row in rows:
        recorded = re.match(r"([A-D]):", row["extracted_answer"])
        agreed += extract_choice(row["response"], row["choices"]) == (recorded and recorded[1])
    assert len(rows) == 1371
    assert agreed >= LEAST_AGREED[prompt] * len(rows)


def test_the_parser_has_a_version():
    assert PARSER_VERSION >= 1
