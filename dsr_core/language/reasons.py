"""Why a question is not understood: the few things that people ask and that no kind of question can say."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One reason.

    Attributes:
        name: Short name.
        text: What is lacking, and what to ask instead.
        pattern: What shows it in a question.
    """

    name: str
    text: str
    pattern: re.Pattern


def _reason(name: str, text: str, words: str = "", *patterns: str) -> Reason:
    """`words`: with a star for any ending ("rotat*"), an underscore for a space."""
    alternatives = [w.replace("_", " ").replace("*", r"\w*") for w in words.split()]
    either = [rf"\b(?:{'|'.join(alternatives)})(?!\w)"] if alternatives else []
    return Reason(name, text, re.compile("|".join((*either, *patterns)), re.IGNORECASE))


_MOST_CHARACTERS = 300
_SOMEBODY = r"(?:person|people|he|she|they|man|woman|boy|girl|player|cook|worker|baker|barber|artist|cashier|driver)"
_COUNTED = r"(?:revolutions|spins|flips|jumps|turns|laps|scoops|spoons|spoonfuls|strokes|keepy)"

#: In this order: the first that a question shows is named.
REASONS = (
    _reason(
        "counting of repetitions",
        "how often something is done is not counted; ask whether and when it happens",
        "how_often more_than_once twice number_of_times each_time each_strike",
        rf"\bhow many (?:times|steps|(?:\w+ )?{_COUNTED})\b",
    ),
    _reason(
        "body parts",
        "a thing is one body; hands, legs, heads and gazes are not seen",
        "hand hands arm arms leg legs foot feet head heads finger* elbow* shoulder* face gaze eye eyes wrist* knee pose"
        " sleeve* hair body wheel wheels steering door doors lid handle handlebar*",
    ),
    _reason(
        "rotation",
        "spins and rolls are not judged; ask whether a thing turns left or right",
        "clockwise counterclockwise counter-clockwise anti-clockwise anticlockwise clckswise clockswise spin spins"
        " spinning spun rotat* revolv* flip* *flip somersault* roll_over rolls_over rolled_over u-turn",
        r"\bturn(?:s|ed|ing)? (?:around|over|round)\b",
    ),
    _reason(
        "picture",
        "turns as they look in a picture are not judged; ask for the thing's own turn, or which way it moves",
        "quadrant camera_pan camera_view frame_is picture_is image_is",
        r"\bturn\w*\b.*\b(?:camera|picture|image|screen|frame|perspectives?)\b",
        r"\b(?:camera|camera's) perspectives?\b.*\bturn",
    ),
    _reason(
        "slopes",
        "slopes are not seen; ask whether a thing moves upwards or downwards",
        "uphill downhill stairs ramp landing taking_off slope",
        r"\b(?:up|down) the (?:hill|tree|rocks|slide|ladder)\b",
    ),
    _reason(
        "handling",
        "what is done with a thing is not seen; ask how the thing itself moves",
        "pick picks picked picking put puts putting pour* cut cuts cutting slic* stir* hold holds holding held place"
        " places placed placing throw* threw thrown hit hits kick* catch* caught grab* open opens opened opening closed"
        " push* pull* carry carries carried carrying wash* rins* scoop* wip* dribbl* shoot* shot lift* draw* handed"
        " handl* peel* swip* spray* sweep* toss* drag* paddl* pedal* ride rides riding serve used use uses using take"
        " takes took taken making makes applied apply crack* bounc* dip* plucked turning_the turning_their",
        r"\b(?:is|are|was|were|where|being) (?:the )?(?:\w+ ){0,4}moved\b",
        rf"\b{_SOMEBODY} (?:\w+ ){{0,5}}(?:moves?|moved|moving) (?:the|an?|his|her|their|boxes)\b",
    ),
    _reason(
        "order of events",
        "one event is not judged against another; give the times in seconds",
        "after before when while until once as_soon_as first last initially sequence order then come_from start_from"
        " starting_from throughout from_the_cabinet from_the_desk from_the_canvas",
        r"\bto (?:go|get|see|enter|exit|face|reach|access|put|look|pick|rinse|dispose|start|jump|work|avoid|switch)\b",
    ),
    _reason(
        "vague words",
        'nobody says how near "near" is, or how fast "fast"; ask how far or how fast it is',
        "next_to beside near close_to adjacent_to alongside touching far_away slowly quickly",
        r"\b(?:going|moving|driving) (?:very |too )?(?:fast|slow)\b",
    ),
    _reason(
        "limits",
        "no number is compared with in a question; ask how far or how fast, and compare its value",
        "",
        r"\b(?:than|within|at least|at most|over|under|above|below) (?:\w+ )?\d+(?:\.\d+)?"
        r" ?(?:m|cm|km|metres?|meters?|feet|m/s|km/h|mph|degrees)\b",
    ),
    _reason(
        "two named things",
        'name them both: "which is approaching me faster, the car or the bus?"',
        "both same_direction opposite_direction* each_other leading which_of_the_two",
        r"\bwhich (?:one|thing)? ?(?:approaches|is (?:nearer|closer|farther|further|approaching|the faster))\b",
        r"\b(?:approach\w*|coming closer) .*\bfaster\b",
        r"\b(?:closer|nearer|farther|further|bigger|larger)\b.*\bthan\b",
        r"^(?:is|are|was|were|did|does|do) (?:[\w-]+ ){1,6}and the ",
    ),
    _reason(
        "each from its own eyes",
        "many things have many views; ask about one of them",
        "",
        r"\bhow many\b.*(?:\b(?:their|its|his|her) own\b|\b(?:forwards?|backwards?)\b)",
    ),
    _reason(
        "looks",
        "colour, size, kind and doings of a thing are not judged",
        "describe what_happens how_big how_large how_tall how_old dancing",
        r"\b(?:what|which) (?:colou?r|kind|type|brand|size|objects?)\b|\bwhat is the number\b",
        r"\bwhat (?:does|do|did|is|was) (?:\w+ ){1,5}(?:do|doing|look like|wear\w*)\b",
        r"\b(?:is|are|was|were) (?:the )?(?:\w+ ){1,4}(?:red|green|blue|black|white|yellow|brown|big|small|old|young)$",
    ),
    _reason(
        "denial",
        "what is denied is not read; ask whether it is so",
        "not never no none nothing nobody neither without",
        r"n't\b",
    ),
    _reason(
        "no thing is named",
        'a question stands alone; say which thing is meant, as in "is the car moving?"',
        "",
        r"^(?:is|are|was|were|does|do|did|has|have|will|can|how (?:far|fast|close)(?: away)? (?:is|are|did|does|will)"
        r"|(?:when|where|which way|why) (?:is|are|was|did|does|will|has)) (?:it|he|she|they|this|that|him|her|them)\b",
    ),
)


def reason_not_understood(text: str) -> Reason | None:
    """The reason that the beginning of a question shows, None where none is known."""
    beginning = text[:_MOST_CHARACTERS]
    return next((reason for reason in REASONS if reason.pattern.search(beginning)), None)
