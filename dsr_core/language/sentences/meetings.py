# ruff: noqa: E501  (one sentence a line)
"""Sentences about two things that meet: closest approach, crossing, overtaking, following."""

from dsr_core.language.grammar import open_question as _open
from dsr_core.language.grammar import yes_no as _yes_no

_HIT = r"(?:reach|meet|pass|hit|get to|arrive at|collide with|run into|crash into|bump into|touch)"
_HITS = r"(?:reaches|meets|passes|hits|gets to|arrives at|collides with|runs into|comes closest to|is closest to|is nearest to|touches)"
_CLOSEST = r"(?:closest|nearest)"
_ANY_CROSSING = "left_to_right|right_to_left"

SENTENCES = (
    # --- closest approach (what will happen) ---------------------------------------------------------------------------
    _open("when will A reach B?", rf"when (?:will|would|does|do) {{A}} (?:{_HIT}|be {_CLOSEST} to|come {_CLOSEST} to|get {_CLOSEST} to) {{B}}", "closest_approach", "when", now=True),
    _open("when will A be closest?", rf"when will {{A}} (?:be|come|get) {_CLOSEST}", "closest_approach", "when", now=True),
    _open("how long until A reaches B?", rf"how (?:long|soon|much time)(?: is it| do i have| have i| is left| do we have)? (?:until|till|before|will it take (?:until|for)) {{A}} (?:{_HITS}|to {_HIT}) {{B}}", "closest_approach", "when", now=True),
    _open("what is the time to closest approach of A and B?", r"what {be} the (?:time (?:to|until|of) (?:the )?(?:closest approach|closest point of approach|collision|contact)|tcpa|ttc) (?:of|for|between|with|to) {A}(?: (?:and|to|with) {B})?", "closest_approach", "when", now=True),
    _open("how close will A get to B?", r"how (?:close|near) (?:will|would) {A} (?:get|come|be|pass)(?: (?:to|by) {B})?", "closest_approach", "value", now=True),
    _open("what will be the closest distance between A and B?", r"what (?:will be the|{be} the (?:predicted|expected|future)) {least} distance (?:between|of|from) {A} (?:and|to) {B}", "closest_approach", "value", now=True),
    _open("is A on a collision course with B?", rf"(?:{{be}} {{A}} on (?:a )?collision course(?: with {{B}})?|(?:(?:will|would) {{A2}}|{{be}} {{A3}} (?:going|about) to) {_HIT} {{B2}})", "closest_approach", now=True),
    _open("will A and B meet?", r"(?:(?:will|would) {A} and {B}|{be} {A2} and {B2} (?:going|about) to) (?:meet|collide|crash|hit|touch)(?: each other| one another)?", "closest_approach", now=True),
    _yes_no("will A get closer to B?", r"will {A} (?:(?:get|come|move|go) (?:any )?(?:closer|nearer)(?: to {B})?|approach(?: {B2})?)", "closest_approach", "approaching", now=True),
    _yes_no("will A move away from B?", r"will {A} (?:get|move|go) {away}(?: from {B})?", "closest_approach", "receding", now=True),
    # --- closest distance (what happened) ------------------------------------------------------------------------------
    _open("how close did A come to B?", r"how (?:close|near) (?:(?:did|does|do) {A} (?:ever )?(?:get|come|pass|go)|(?:has|have) {A2} (?:come|got|gotten|been))(?: (?:to|by) {B})?", "closest_distance", "value"),
    _open("what was the closest that A came to B?", r"what {be} (?:the )?(?:closest|nearest)(?: that)? {A} (?:ever )?(?:came|got|gets|comes)(?: to {B})?", "closest_distance", "value"),
    _open("when was A closest to B?", rf"when (?:(?:was|were|is) {{A}} (?:the )?{_CLOSEST}|(?:did|does) {{A2}} (?:get|come) {_CLOSEST})(?: to {{B}})?", "closest_distance", "when"),
    _open("when were A and B closest to each other?", rf"when (?:were|are) {{A}} and {{B}} (?:the )?{_CLOSEST}(?: to each other| together| to one another)?", "closest_distance", "when"),
    _open("what was the smallest distance between A and B?", r"what {be} the {least} distance (?:between|of|from) {A} (?:and|to) {B}", "closest_distance", "value"),
    _open("what was the smallest distance to A?", r"what {be} the {least} distance (?:to|of|from) {A}", "closest_distance", "value"),
    # --- crossing ------------------------------------------------------------------------------------------------------
    _open("when did A cross in front of B?", r"when {did} {A} (?:cross|pass|go|walk|drive|run)(?: over)? (?:in front of|ahead of|before) {B}", "crossing", "when", viewer="object"),
    _open("which way did A cross in front of B?", r"{which} {did} {A} cross(?:(?: over)? (?:in front of|ahead of|before) {B})?", "crossing", viewer="object"),
    _yes_no("did A cross from left to right?", r"(?:{did} {A} (?:cross|pass)|(?:has|have) {A2} (?:crossed|passed)|{be} {A3} (?:crossing|passing))(?: over)?(?: (?:in front of|ahead of|before) {B})? from (?:the |my )?(?P<side>left|right) to (?:the |my )?(?:left|right)(?:(?: in front of| ahead of) {B4})?", "crossing", viewer="object"),
    _yes_no("did A cross in front of B?", r"(?:{did} {A} (?:ever )?(?:cross|pass|go|walk|drive|run)|(?:has|have) {A2} (?:crossed|passed|gone|walked|driven|run)) (?:over |by |past )?(?:in front of|ahead of) {B}", "crossing", _ANY_CROSSING, viewer="object"),
    _yes_no("is A crossing in front of B?", r"{be} {A} (?:crossing|passing|cutting) (?:over |by |past )?(?:in front of|ahead of) {B}", "crossing", _ANY_CROSSING, viewer="object", now=True),
    _yes_no("did A cross B's path?", r"(?:{did} {A} (?:ever )?(?:cross|cut across)|(?:has|have) {A2} crossed) (?:(?:{B}'s?|(?P<own>my|your|our)) (?:path|way)|the (?:path|way) of {B4})", "crossing", _ANY_CROSSING, viewer="object"),
    _yes_no("is A crossing B's path?", r"{be} {A} crossing (?:(?:{B}'s?|(?P<own>my|your|our)) (?:path|way)|the (?:path|way) of {B4})", "crossing", _ANY_CROSSING, viewer="object", now=True),
    # --- overtaking ----------------------------------------------------------------------------------------------------
    _open("when did A overtake B?", r"when {did} {A} (?:overtake|pass) {B}", "overtaking", "when"),
    _open("who overtook whom, A or B?", r"who (?:overtook|overtakes|passed|passes) who(?:m)?,? {A} or {B}", "overtaking"),
    _yes_no("did A overtake B?", r"(?:{did} {A} (?:ever )?overtake|(?:has|have) {A2} overtaken) {B}", "overtaking", "overtook"),
    _yes_no("is A overtaking B?", r"{be} {A} overtaking {B}", "overtaking", "overtook", now=True),
    _yes_no("was A overtaken by B?", r"(?:{be}|has|have|did) {A} (?:been |being |get )?overtaken by {B}", "overtaking", "overtaken"),
    _yes_no("did A pass B?", r"(?:{did} {A} (?:ever )?(?:pass(?: by)?|go past|drive past|walk past|run past|move past)|(?:has|have) {A2} (?:passed|gone past|driven past|walked past)) {B}", "overtaking", "overtook|passed"),
    _yes_no("is A passing B?", r"{be} {A} (?:passing(?: by)?|(?:going|driving|walking|moving) past) {B}", "overtaking", "overtook|passed", now=True),
    # --- following -----------------------------------------------------------------------------------------------------
    _yes_no("is A being followed by B?", r"(?:{be}|has|have) {A} (?:being |been )?(?:followed|tailed|chased|trailed) by {B}", "following", "following", swap=True, now=True),
    _yes_no("is A following B?", r"{be} {A} (?:following|tailing|chasing|trailing|running after|walking after|driving after|going after) {B}", "following", "following", now=True),
    _yes_no("did A follow B?", r"(?:{did} {A} (?:ever )?(?:follow|tail|chase|trail)|(?:has|have) {A2} (?:followed|been following)) {B}", "following", "following"),
    _open("when did A follow B?", r"when {did} {A} (?:start (?:to follow|following)|follow|stop following) {B}", "following"),
)  # fmt: skip
