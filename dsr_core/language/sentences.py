# ruff: noqa: E501  (one sentence a line)
"""The sentences that are understood, one a line: an example, its pattern, and what it asks.

In a pattern {A} and {B} are names, {be} and {do} forms of the verbs, {trend} words of change, {dir} a direction. Times
and viewpoints ("between 2 and 5 s", "from the child's perspective") have been taken out before. The first that fits
counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A name, perhaps with the mark of a box (⟦0⟧); short, so that no pattern can take long on any text.
_NAME = r"(?:[^,;:?!⟦]{0,80}⟦\d+⟧|[^,;:?!⟦]{1,80}?)"
_GO = r"(?:moving|going|driving|heading|headed|walking|running|travelling|traveling|flying|rolling|riding|steering)"
_PIECES = {
    "{A}": rf"(?P<A>{_NAME})",
    "{B}": rf"(?P<B>{_NAME})",
    "{be}": r"(?:is|are|am|was|were)",
    "{do}": r"(?:do|does|did|has|have|will)",
    "{trend}": (
        r"(?P<trend>(?:(?:getting|get|becoming|become|growing|grow|staying|stay|remaining|remain|keeping|keep|nearly|the)"
        r" ){0,3}(?:smaller|shorter|less|lower|larger|bigger|greater|longer|higher|increas\w{1,5}|decreas\w{1,5}"
        r"|shrink(?:ing)?|growing|grow|dropping|drop|falling|fall|rising|rise|constant|same|unchanged|steady|stable))"
    ),
    "{dir}": r"(?P<dir>[^,;:?!]{2,60}?)",
    "{dir2}": r"(?P<dir2>[^,;:?!]{2,120}?)",
    "{place}": r"(?P<place>[^;:?!]{2,200}?)",
    "{go}": _GO,
    "{get}": r"(?:getting|coming|moving|going|drawing|becoming|growing|driving|walking|running|heading)",
    "{toward}": r"(?:closer to|nearer to|closer towards?|towards?|up to|at)",
    "{away}": r"(?:farther away|further away|away|farther|further)",
    "{of}": r"(?:of|from|to|relative to|with respect to|in relation to|as seen from|seen from)",
}


@dataclass(frozen=True)
class Sentence:
    """One understood sentence.

    Attributes:
        example: The sentence in plain words, offered when a question is not understood.
        pattern: Regular expression of the whole sentence in lower case, with pieces in braces.
        kind: Kind of the query.
        asked: Label that a yes/no question is about, "value" for "how far", "slower" for "which is slower", or None.
        form: "open", "yes_no" or "which".
        viewer: "said" (the robot where nothing is said), "world", "fixed" (held fixed at the window's end, so
            that the viewer's own motion does not count), "fixed_unless_said", "object" (the object's own eyes where
            nothing is said).
        swap: The query is about B as seen by A ("is A facing B?" asks where B is for A).
        now: It speaks of the present when it says nothing of time.
    """

    example: str
    pattern: str
    kind: str
    asked: str | tuple[str, ...] | None = None
    form: str = "open"
    viewer: str = "said"
    swap: bool = False
    now: bool = False

    @property
    def regex(self) -> re.Pattern:
        text = self.pattern
        for piece, expression in _PIECES.items():
            text = text.replace(piece, expression)
        for noun in ("distance", "speed", "direction", "orientation"):
            text = text.replace(f" the {noun}", f" (?:the )?{noun}")
        return re.compile(text, re.IGNORECASE)


def _open(example, pattern, kind, **more) -> Sentence:
    return Sentence(example, pattern, kind, **more)


def _yes_no(example, pattern, kind, asked=None, **more) -> Sentence:
    return Sentence(example, pattern, kind, asked, "yes_no", **more)


_TOGETHER = r"(?: to each other| to one another| together)?"
_FAST = r"(?P<fast>faster|quicker|slower)"
_CHANGE = r"(?:change|changing|develop|evolve|vary|behave)(?: over time)?"

SENTENCES = (
    # --- the published templates (their viewpoints and windows are taken out before) -----------------------------------
    _open("how does the distance between A and B change?",
          rf"how (?:{{do}}|{{be}}) the distance (?:between|of|from) {{A}} (?:and|to) {{B}} {_CHANGE}", "distance"),
    _open("how does the distance to A change?", rf"how (?:{{do}}|{{be}}) the distance (?:to|of|from) {{A}} {_CHANGE}", "distance"),
    _open("how does the direction of A to B change?",
          rf"how (?:{{do}}|{{be}}) the (?:relative )?(?:direction|position|bearing) (?:of|from) {{A}} {{of}} {{B}} {_CHANGE}", "direction"),
    _open("how does the direction of A change?",
          rf"how (?:{{do}}|{{be}}) the (?:relative )?(?:direction|position|bearing) of {{A}} {_CHANGE}", "direction"),
    _open("how does the orientation of A change?",
          rf"how (?:{{do}}|{{be}}) the (?:orientation|facing direction|heading) of {{A}} {_CHANGE}", "orientation"),
    _open("how does the speed of A change?", rf"how (?:{{do}}|{{be}}) the (?:speed|velocity) of {{A}} {_CHANGE}", "speed", viewer="world"),
    _open("compare the speed between A and B.", r"compare the speeds? (?:between|of) {A} (?:and|with|to) {B}", "speed_comparison", viewer="world"),
    _open("predict the moving direction of A.",
          r"predict (?:the )?(?:moving |motion |movement |travel |future )?direction of {A}", "direction_prediction", viewer="fixed_unless_said"),
    # --- distance ------------------------------------------------------------------------------------------------------
    _open("is A getting closer or farther away from B?",
          r"{be} {A} {get} (?:closer|nearer)(?: to {B})? or {get}? ?{away}(?: (?:from|to) {B2})?".replace("{B2}", _NAME), "distance", now=True),
    _yes_no("are A and B getting closer to each other?",
            rf"{{be}} {{A}} and {{B}} (?:{{get}} (?:closer|nearer)|approaching|converging|closing in){_TOGETHER}(?: each other)?", "distance", "decreasing", now=True),
    _yes_no("are A and B moving apart?",
            r"{be} {A} and {B} {get} (?:apart|{away}(?: from each other)?)", "distance", "increasing", now=True),
    _yes_no("is A getting closer to B?", r"{be} {A} {get} {toward} {B}", "distance", "decreasing", now=True),
    _yes_no("is A approaching B?", r"{be} {A} (?:approaching|nearing|closing in on|catching up with) {B}", "distance", "decreasing", now=True),
    _yes_no("is A getting closer?", r"{be} {A} (?:{get} (?:closer|nearer)|approaching|closing in)", "distance", "decreasing", now=True),
    _yes_no("does A get closer to B?", r"{do} {A} (?:(?:get|come|move|go|drive|walk) {toward}|approach|near) {B}", "distance", "decreasing"),
    _yes_no("does A get closer?", r"{do} {A} (?:(?:get|come|move) (?:closer|nearer)|approach)", "distance", "decreasing"),
    _yes_no("is A moving away from B?", r"{be} {A} (?:{get} {away} from|leaving|receding from) {B}", "distance", "increasing", now=True),
    _yes_no("is A moving away?", r"{be} {A} (?:{get} {away}|receding)", "distance", "increasing", now=True),
    _yes_no("does A move away from B?", r"{do} {A} (?:get|move|go|drive|walk) {away} from {B}", "distance", "increasing"),
    _yes_no("does A move away?", r"{do} {A} (?:get|move|go|drive|walk) {away}", "distance", "increasing"),
    _yes_no("is A keeping its distance from B?",
            r"{be} {A} (?:keeping (?:its|the|a constant|the same) distance|staying (?:at the same distance|equally far)) (?:from|to) {B}", "distance", "constant", now=True),
    _yes_no("is the distance between A and B getting smaller?",
            r"{be} the distance (?:between|of|from) {A} (?:and|to) {B} {trend}", "distance", now=True),
    _yes_no("does the distance between A and B increase?",
            r"{do} the distance (?:between|of|from) {A} (?:and|to) {B} {trend}", "distance"),
    _yes_no("does the distance to A decrease?", r"(?:{do}|{be}) the distance (?:to|from) {A} {trend}", "distance", now=True),
    _open("how far is A from B?", r"how (?:far|close)(?: away| apart)? {be} {A}(?: away)? (?:from|to) {B}", "distance", asked="value", now=True),
    _open("how far apart are A and B?", r"how (?:far apart|close(?: together)?) {be} {A} and {B}(?: apart)?", "distance", asked="value", now=True),
    _open("how far away is A?", r"how (?:far|close)(?: away)? {be} {A}(?: away)?", "distance", asked="value", now=True),
    _open("what is the distance between A and B?",
          r"what {be} the distance (?:between|of|from) {A} (?:and|to) {B}", "distance", asked="value", now=True),
    _open("what is the distance to A?", r"what {be} the distance (?:to|of|from) {A}", "distance", asked="value", now=True),
    # --- speed ---------------------------------------------------------------------------------------------------------
    _open("how does A's speed change?", rf"how (?:{{do}}|{{be}}) {{A}}'s? (?:speed|velocity) {_CHANGE}", "speed", viewer="world"),
    _open("is A speeding up or slowing down?",
          r"{be} {A} (?:speeding up|accelerating|getting faster) or (?:slowing down|decelerating|braking|getting slower)", "speed", viewer="world", now=True),
    _open("how fast is A relative to B?", rf"how fast {{be}} {{A}}(?: {_GO})? (?:relative|compared) to {{B}}", "speed", asked="value", viewer="object", now=True),
    _open("how fast is A?", rf"how fast (?:{{be}} {{A}}(?: {_GO})?|{{do}} {{A2}} (?:go|move|drive|walk))".replace("{A2}", f"(?P<A2>{_NAME})"), "speed", asked="value", viewer="world", now=True),
    _open("what is the speed of A?", r"what {be} (?:the )?(?:current )?(?:speed|velocity) of {A}", "speed", asked="value", viewer="world", now=True),
    _open("what is A's speed?", r"what {be} {A}'s? (?:current )?(?:speed|velocity)", "speed", asked="value", viewer="world", now=True),
    _yes_no("is A speeding up?", r"{be} {A} (?:speeding up|accelerating|(?:getting|going|moving|driving) faster|picking up speed)", "speed", "increasing", viewer="world", now=True),
    _yes_no("is A slowing down?", r"{be} {A} (?:slowing(?: down)?|decelerating|braking|(?:getting|going|moving|driving) slower)", "speed", "decreasing", viewer="world", now=True),
    _yes_no("is A keeping a constant speed?", r"{be} {A} (?:keeping|moving at|going at|driving at|at) (?:a |its |the )?(?:constant|same|steady) speed", "speed", "constant", viewer="world", now=True),
    _yes_no("does A speed up?", r"{do} {A} (?:speed up|accelerate|get faster|go faster)", "speed", "increasing", viewer="world"),
    _yes_no("does A slow down?", r"{do} {A} (?:slow(?: down)?|decelerate|brake|get slower|go slower)", "speed", "decreasing", viewer="world"),
    _yes_no("does the speed of A increase?", r"(?:{do}|{be}) the speed of {A} {trend}", "speed", viewer="world", now=True),
    # --- which is faster -----------------------------------------------------------------------------------------------
    Sentence("which is faster, A or B?", rf"(?:which|who|what)(?: one| thing| vehicle| of them| of the two)? (?:{{be}}|{{do}})(?: {_GO}| move| go| drive| walk)? {_FAST},? {{A}} or {{B}}", "speed_comparison", "faster", "which", "world", now=True),
    Sentence("which moves faster, A or B?", rf"(?:which|who|what)(?: one| thing| vehicle)? (?:moves|goes|drives|walks|moved|went|drove|walked) {_FAST},? {{A}} or {{B}}", "speed_comparison", "faster", "which", "world"),
    Sentence("which of A and B is faster?", rf"(?:which|who)(?: one)? of {{A}} (?:and|or) {{B}} {{be}}(?: {_GO})? {_FAST}", "speed_comparison", "faster", "which", "world", now=True),
    Sentence("is A or B faster?", rf"{{be}} {{A}} or {{B}}(?: {_GO})? {_FAST}", "speed_comparison", "faster", "which", "world", now=True),
    _yes_no("is A faster than B?", rf"{{be}} {{A}}(?: {_GO})? {_FAST} than {{B}}", "speed_comparison", "faster", viewer="world", now=True),
    _yes_no("does A move faster than B?", rf"{{do}} {{A}} (?:move|go|drive|walk|run) {_FAST} than {{B}}", "speed_comparison", "faster", viewer="world"),
    _yes_no("is A as fast as B?", rf"{{be}} {{A}}(?: {_GO})? (?:just )?as fast as {{B}}", "speed_comparison", "same", viewer="world", now=True),
    # --- facing --------------------------------------------------------------------------------------------------------
    _open("which way is A facing?", r"(?:in |to |towards )?(?:which|what) (?:way|direction) {be} {A} (?:facing|looking|pointing|oriented|turned)(?: to| towards| at)?", "orientation", now=True),
    _open("which way does A face?", r"(?:in |to |towards )?(?:which|what) (?:way|direction) {do} {A} (?:face|look|point)(?: to| towards| at)?", "orientation"),
    _open("what is the orientation of A?", r"(?:what {be} the (?:orientation|heading) of|how {be}) {A}(?: oriented)?", "orientation", now=True),
    _open("how does A turn?", r"how {do} {A} (?:turn|rotate)", "orientation"),
    _yes_no("is A facing left?", r"{be} {A} (?:facing|looking|pointing|oriented) {dir}", "orientation", now=True),
    _yes_no("is A facing away from B?", r"{be} {A} (?:facing|looking|pointing|turned) away(?: from {B})?", "direction", "behind", swap=True, now=True),
    _yes_no("is A facing B?", r"{be} {A} (?:(?:facing|pointing)(?: towards?| to| at)?|looking (?:towards?|at)|turned towards?) {B}", "direction", "front", swap=True, now=True),
    # --- where it goes -------------------------------------------------------------------------------------------------
    _open("where is A going?", rf"where {{be}} {{A}} {_GO}(?: to| towards?)?(?: next)?", "direction_prediction", viewer="fixed", now=True),
    _open("which direction will A move?", r"(?:in |to |towards )?(?:which|what) (?:way|direction) (?:will|does|do|did|would) {A} (?:move|go|head|drive|walk|travel)(?: to| in| towards)?(?: next)?", "direction_prediction", viewer="fixed", now=True),
    _open("which way is A moving?", rf"(?:in |to |towards )?(?:which|what) (?:way|direction) {{be}} {{A}} (?:going to move|{_GO})(?: to| in| towards)?(?: next)?", "direction_prediction", viewer="fixed", now=True),
    _open("where will A go next?", r"where (?:will|would) {A} (?:go|move|head|be|drive|walk)(?: to)?(?: next)?", "direction_prediction", viewer="fixed", now=True),
    _yes_no("is A moving to the left?", rf"{{be}} {{A}} {_GO} {{dir}}", "direction_prediction", viewer="fixed", now=True),
    _yes_no("will A move to the left?", r"(?:will|does) {A} (?:move|go|head|drive|walk|turn) {dir}", "direction_prediction", viewer="fixed", now=True),
    # --- moving or still -----------------------------------------------------------------------------------------------
    _yes_no("does A go from in front to behind-left of B?", r"{do} {A} (?:go|move|change|pass|cross|get|come|shift|switch|walk|drive|run) from {dir} to {dir2}", "direction"),
    _yes_no("is A going from the left to the right?", rf"{{be}} {{A}} (?:{_GO}|passing|crossing|changing|shifting) from {{dir}} to {{dir2}}", "direction", now=True),
    _open("is A moving or standing still?", r"{be} {A} (?:moving|driving|walking) or (?:parked|stationary|still|standing still|stopped|not)|(?:{be} {A2} (?:parked|stationary|still|standing still|stopped) or (?:moving|driving))".replace("{A2}", f"(?P<A2>{_NAME})"), "motion", now=True),
    _open("when does A move?", r"when {do} {A} (?:move|stand still|stop|start(?: moving)?)", "motion"),
    _yes_no("is A moving?", rf"{{be}} {{A}} (?:in motion|under way|underway|{_GO})", "motion", "moving", now=True),
    _yes_no("is A parked?", r"{be} {A} (?:parked|stationary|still|static|motionless|stopped|standing(?: still)?|at rest|not moving)", "motion", "still", now=True),
    _yes_no("does A start moving?", r"{do} {A} (?:start|begin)(?:ed)?(?: moving| to move| driving)?", "motion", ("still", "moving")),
    _yes_no("does A stop?", r"{do} {A} (?:stop(?: moving)?|come to a stop|halt)", "motion", ("moving", "still")),
    _yes_no("does A move?", r"{do} {A} (?:move|drive|walk|roll)(?: at all)?", "motion", "moving"),
    _yes_no("does A stand still?", r"{do} {A} (?:stand(?: still)?|stay still|rest|not move)", "motion", "still"),
    # --- where it is ---------------------------------------------------------------------------------------------------
    _open("where is A relative to B?", r"where {be} {A} (?:relative to|with respect to|in relation to|compared to|as seen from|seen from|from) {B}", "direction", viewer="object", now=True),
    _open("on which side of B is A?", r"(?:on|at) (?:which|what) side of {B} {be} {A}", "direction", viewer="object", now=True),
    _open("in which direction is A?", r"(?:in )?(?:which|what) direction {be} {A}(?: (?:from|of|relative to) {B})?", "direction", viewer="object", now=True),
    _open("what is the direction of A to B?", r"what {be} the (?:direction|position|bearing) of {A} (?:to|from|relative to) {B}", "direction", now=True),
    _open("where is A?", r"where {be} {A}", "direction", now=True),
    _yes_no("is A in front of B?", r"{be} {place}", "direction", now=True),
)  # fmt: skip

COMPILED = tuple((sentence, sentence.regex) for sentence in SENTENCES)
EXAMPLES = tuple(sentence.example for sentence in SENTENCES)
