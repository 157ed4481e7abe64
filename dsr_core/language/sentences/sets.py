# ruff: noqa: E501  (one sentence a line)
"""Sentences about many things: who is nearest, fastest, approaching fastest, and how many do something.

{set} is "who", "which car", "what"; {A} and {A2} are two things of which one is asked for; {N} the things that are counted. "Which cars are moving?" and "is any car moving?" are
counts, too: the answer lists those that do.
"""

from dsr_core.language.grammar import Sentence
from dsr_core.language.grammar import open_question as _open
from dsr_core.language.grammar import yes_no as _yes_no

_FASTEST = r"(?:the )?(?:fastest|quickest|most quickly)"
_APPROACH = r"(?:approaching|nearing|closing in on|{get} {toward}|{go} {toward})"
_NEAR = r"(?:getting closer|coming closer|coming nearer|getting nearer|approaching|closing in)"
_AWAY = r"(?:(?:{get}|{go}) {away}|receding|leaving)"
_FASTER = r" (?:the )?(?:fastest|quickest|most quickly)"
_QUICKER = r"(?:the )?(?:faster|quicker|more quickly|fastest)"
_NEARER = r"(?:the )?(?:nearer|closer|nearest|closest)"
_FARTHER = r"(?:the )?(?:farther|further)(?: away)?"
_OF_TWO = r"(?: one| thing| vehicle| of them| of the two)?"
_EITHER = r"(?:the )?{A} or {A2}"
_MANY = r"how many (?:of the )?{N}"


_ANY = r"(?:(?:there )?(?:(?P<who>anyone|anybody|someone|somebody)|anything|something|(?:any|some) {N})|there (?:an?|one) {N2})"
_ARE = "{be} "


def _relation(example: str, rest: str, of: str, asked=None, **more) -> tuple[Sentence, ...]:
    """A relation counted, listed and, in the present, asked for: "how many", "which" and "is any".

    Args:
        example: "how many cars are moving?".
        rest: What follows "how many cars"; in the present it begins with `_ARE`.
    """
    listed = example.replace("how many", "which")
    sentences = [
        Sentence(example, f"{_MANY} {rest}", "count", asked, of=of, **more),
        Sentence(listed, f"{{set}} {rest}", "count", asked, "which", of=of, **more),
    ]
    if rest.startswith(_ARE):
        one = example.replace("how many cars are", "is any car")
        sentences.append(
            Sentence(one, f"{_ARE}{_ANY} {rest.removeprefix(_ARE)}", "count", asked, "yes_no", of=of, **more)
        )
    return tuple(sentences)


SENTENCES = (
    # --- who is … ------------------------------------------------------------------------------------------------------
    _open("which car is nearest to B?", r"{set} {be} (?:the )?(?:nearest|closest)(?: one| thing| object)?(?: to {B})?", "nearest", now=True),
    _open("what is the nearest car to B?", r"(?:what|which|who) {be} the (?:nearest|closest) {N}(?: to {B})?", "nearest", now=True),
    _open("which car came closest to B?", r"{set} (?:came|got|comes|gets|was|were) (?:the )?(?:nearest|closest)(?: to {B})?", "nearest"),
    _open("which car is farthest from B?", r"{set} {be} (?:the )?(?:farthest|furthest|most distant)(?: one)?(?: away)?(?: from {B})?", "farthest", now=True),
    _open("what is the farthest car from B?", r"(?:what|which|who) {be} the (?:farthest|furthest|most distant) {N}(?: (?:away )?from {B})?", "farthest", now=True),
    _open("which car is approaching B fastest?", rf"{{set}} {{be}} (?:{_APPROACH} {{B}}|{_NEAR}) {_FASTEST}", "fastest_approaching", now=True),
    _open("which car approached B fastest?", rf"{{set}} (?:approach(?:es|ed)|came closer to|got closer to|comes closer to|gets closer to) {{B}}{_FASTER}", "fastest_approaching"),
    _open("which car is moving away from B fastest?", rf"{{set}} {{be}} {_AWAY}(?: from {{B}})?{_FASTER}", "fastest_receding", now=True),
    _open("which car moved away from B fastest?", rf"{{set}} (?:(?:moves|moved|goes|went|gets|got|drives|drove) {{away}}|recede[sd])(?: from {{B}})?{_FASTER}", "fastest_receding"),
    _open("which car is fastest?", r"{set} {be} (?:{go} |the )?(?:the )?(?:fastest|quickest)(?: one| thing)?", "fastest", now=True),
    _open("which car moved fastest?", r"{set} (?:moves|moved|goes|went|drives|drove|walks|walked|runs|ran) (?:the )?(?:fastest|quickest)", "fastest"),
    _open("what is the fastest car?", r"(?:what|which|who) {be} the (?:fastest|quickest) {N}", "fastest", now=True),
    _open("which car is slowest?", r"{set} {be} (?:{go} |the )?(?:the )?slowest(?: one| thing)?", "slowest", now=True),
    _open("which car moved slowest?", r"{set} (?:moves|moved|goes|went|drives|drove|walks|walked|runs|ran) (?:the )?slowest", "slowest"),
    _open("what is the slowest car?", r"(?:what|which|who) {be} the slowest {N}", "slowest", now=True),
    # --- which of two … ------------------------------------------------------------------------------------------------
    _open("which is nearer to B, A or A2?", rf"(?:which|who|what){_OF_TWO} {{be}} {_NEARER}(?: to {{B}})?,? {_EITHER}", "nearest", now=True),
    _open("which of A and A2 is nearer to B?", rf"(?:which|who)(?: one)? of {{A}} (?:and|or) {{A2}} {{be}} {_NEARER}(?: to {{B}})?", "nearest", now=True),
    _open("is A or A2 nearer to B?", rf"{{be}} {_EITHER} {_NEARER}(?: to {{B}})?", "nearest", now=True),
    _yes_no("is A closer to B than A2?", r"{be} {A} (?:closer|nearer) to {B} than {A2}(?: {be})?", "nearest", "first", now=True),
    _open("which came closer to B, A or A2?", rf"(?:which|who|what){_OF_TWO} (?:came|got|was|comes|gets) (?:closer|nearer)(?: to {{B}})?,? {_EITHER}", "nearest"),
    _open("which is farther from B, A or A2?", rf"(?:which|who|what){_OF_TWO} {{be}} {_FARTHER}(?: from {{B}})?,? {_EITHER}", "farthest", now=True),
    _open("is A or A2 farther from B?", rf"{{be}} {_EITHER} {_FARTHER}(?: from {{B}})?", "farthest", now=True),
    _yes_no("is A farther from B than A2?", rf"{{be}} {{A}} {_FARTHER} from {{B}} than {{A2}}(?: {{be}})?", "farthest", "first", now=True),
    _open("which is approaching B faster, A or A2?", rf"(?:which|who|what){_OF_TWO} {{be}} (?:{_APPROACH} {{B}}|{_NEAR}) {_QUICKER},? {_EITHER}", "fastest_approaching", now=True),
    _open("which of A and A2 is approaching B faster?", rf"(?:which|who)(?: one)? of {{A}} (?:and|or) {{A2}} {{be}} (?:{_APPROACH} {{B}}|{_NEAR}) {_QUICKER}", "fastest_approaching", now=True),
    _open("is A or A2 approaching B faster?", rf"{{be}} {_EITHER} (?:{_APPROACH} {{B}}|{_NEAR}) {_QUICKER}", "fastest_approaching", now=True),
    _yes_no("is A approaching B faster than A2?", rf"{{be}} {{A}} (?:{_APPROACH} {{B}}|{_NEAR}) {_QUICKER} than {{A2}}(?: {{be}})?", "fastest_approaching", "first", now=True),
    _open("which approached B faster, A or A2?", rf"(?:which|who|what){_OF_TWO} (?:approach(?:es|ed)|came closer to|got closer to) {{B}} {_QUICKER},? {_EITHER}", "fastest_approaching"),
    _open("which is moving away from B faster, A or A2?", rf"(?:which|who|what){_OF_TWO} {{be}} {_AWAY}(?: from {{B}})? {_QUICKER},? {_EITHER}", "fastest_receding", now=True),
    # --- how many … ----------------------------------------------------------------------------------------------------
    *_relation("how many cars are approaching B?", rf"{{be}} (?:{_APPROACH} {{B}}|{_NEAR}|{{go}} (?:closer|nearer))", "distance", "decreasing", now=True),
    *_relation("how many cars approached B?", r"(?:approached {B}|got closer(?: to {B4})?|came closer(?: to {B5})?)", "distance", "decreasing"),
    *_relation("how many cars are moving away from B?", rf"{{be}} {_AWAY}(?: from {{B}})?", "distance", "increasing", now=True),
    *_relation("how many cars are moving?", r"{be} (?:in motion|{go})(?: at all)?", "motion", "moving", now=True),
    *_relation("how many cars moved?", r"(?:have |has )?(?:moved|been moving)(?: at all)?", "motion", "moving"),
    *_relation("how many cars are parked?", r"{be} (?:parked|stationary|still|static|stopped|(?:standing|sitting|staying)(?: still)?|at rest|not moving|motionless)(?: in place)?", "motion", "still", now=True),
    *_relation("how many cars stopped?", r"(?:have |has )?(?:stopped|come to a (?:stop|halt)|came to a (?:stop|halt))", "motion", ("moving", "still")),
    *_relation("how many cars started moving?", r"(?:have |has )?(?:started|begun|began)(?: moving| to move)?", "motion", ("still", "moving")),
    *_relation("how many cars are speeding up?", r"{be} (?:speeding up|accelerating|getting faster)", "speed", "increasing", viewer="world", now=True),
    *_relation("how many cars are slowing down?", r"{be} (?:slowing(?: down)?|decelerating|braking|getting slower)", "speed", "decreasing", viewer="world", now=True),
    *_relation("how many cars are facing away from B?", r"{be} (?:facing|looking|turned|pointing) away(?: from {B})?", "facing", "away", now=True),
    *_relation("how many cars are facing left?", r"{be} (?:facing|looking|pointing) (?:to |towards? )?(?:the )?{dir}", "orientation", now=True),
    *_relation("how many cars are facing B?", r"{be} (?:facing|looking at|looking towards?|pointing (?:to|at|towards?))(?: towards?)? {B}", "facing", "facing", now=True),
    *_relation("how many cars are turning left?", r"{be} turning {side}", "turning", now=True),
    *_relation("how many cars turned left?", r"(?:have |has )?turned {side}", "turning"),
    *_relation("how many cars are moving to the left?", r"{be} {go} {dir}", "moving_direction", now=True),
    *_relation("how many cars moved to the left?", r"(?:have |has )?{moved} {dir}", "moving_direction"),
    *_relation("how many cars are following B?", r"{be} (?:following|tailing|chasing) {B}", "following", "following", now=True),
    *_relation("how many cars overtook B?", r"(?:overtook|(?:have|has) overtaken) {B}", "overtaking", "overtook"),
    *_relation("how many cars are in view?", r"{be} (?:in (?:view|sight|the picture|the image)|visible)", "visibility", "in_view", now=True),
    *_relation("how many cars are occluded?", r"{be} (?:occluded|hidden)", "visibility", "occluded", now=True),
    *_relation("how many cars are in front of B?", r"{be} {place}", "direction", now=True),
    _open("how many cars are there?", _MANY + r" (?:(?:are|were|is|was) (?:there|seen|around)|(?:do|did|can|could) {robot} see|(?:have|has) (?:been seen|you seen|passed by|appeared))", "count", now=True),
    _yes_no("are there any cars?", r"{be} there (?:(?:any|some) {N}|an? {N2})(?: around| here)?", "count", now=True),
)  # fmt: skip
