# ruff: noqa: E501  (one sentence a line)
"""Sentences about what happened from the window's start to its end: how far, which way, how much nearer, turns."""

from dsr_core.language.grammar import open_question as _open
from dsr_core.language.grammar import yes_no as _yes_no

_STOOD = r"(?:parked|stationary|(?:standing )?still|in the same place|where it was)"
_TURNS = "turning_left|turning_right"

SENTENCES = (
    # --- displacement and path length ----------------------------------------------------------------------------------
    _open("is A parked or has it moved?",
          rf"(?:{{be}}|has|have) {{A}} (?:(?:been )?{_STOOD} or (?:(?:has|have|had) )?(?:been )?moved?|moved or (?:(?:is|are|been|was) )?{_STOOD})", "displacement"),
    _yes_no("has A moved?", r"(?:has|have|had) {A} (?:moved|changed (?:its|his|her|their) (?:place|position|location))(?: at all| away from (?:its|his|her|their) place)?", "displacement", "moved"),
    _yes_no("did A change its place?", r"{did} {A} (?:change (?:its|his|her|their) (?:place|position|location)|leave (?:its|his|her|their) (?:place|position|spot)|end up (?:elsewhere|somewhere else))", "displacement", "moved"),
    _yes_no("did A stay in its place?", r"{did} {A} (?:stay|remain|end up) (?:in|at) (?:its|his|her|their|the same) (?:place|position|spot|location)", "displacement", "stayed"),
    _open("how far did A move?", r"how (?:far|much) (?:(?:did|does|do) {A} move|(?:has|have|had) {A2} (?:moved|been moved))(?: from (?:its|his|her|their) (?:place|start|starting (?:point|place|position)))?", "displacement", "value"),
    _open("what is the displacement of A?", r"what {be} (?:the )?(?:total |net )?displacement of {A}", "displacement", "value"),
    _open("how far is A from where it was?", r"how far(?: away)? {be} {A} from where (?:it|he|she|they) (?:was|were|started|began|stood)(?: before)?", "displacement", "value"),
    _open("how far did A travel?", r"how (?:far|long a way) (?:(?:did|does|do) {A} (?:travel|go|drive|walk|run|roll|swim|fly|ride|cycle|come)|(?:has|have|had) {A2} (?:travelled|traveled|gone|driven|walked|run|rolled))", "path_length", "value"),
    _open("what distance did A cover?", r"(?:what|which|how much) (?:distance|ground|of a distance) (?:(?:did|does|do) {A} (?:cover|travel|go|drive|walk|make)|(?:has|have|had) {A2} (?:covered|travelled|traveled|driven|walked))", "path_length", "value"),
    _open("what is the distance travelled by A?", r"what {be} the (?:total |whole )?distance (?:travelled|traveled|covered|driven|walked|run) by {A}", "path_length", "value"),
    _open("how long is the path of A?", r"(?:how long {be} the (?:path|way|trajectory|route|track) of|what {be} the (?:path length|length of the (?:path|trajectory|route)) of) {A}", "path_length", "value"),
    # --- which way -----------------------------------------------------------------------------------------------------
    _open("did A move forwards or backwards?", r"{did} {A} {move} (?:forwards? or (?:backwards?|in reverse)|backwards? or forwards?)", "moving_direction", viewer="own", note="from its own eyes"),
    _open("which way did A move?", r"{which} (?:{did} {A} {move}|(?:has|have) {A2} {moved})(?: (?:with respect|relative) to {B})?{to}", "moving_direction"),
    _open("what was the direction of A's movement?", r"what {be} (?:the )?(?:main |overall |general )?(?:direction of {A}'s? (?:movement|motion|translation|travel)|(?:moving direction|direction of (?:movement|motion|travel)|movement direction) of {A2})", "moving_direction"),
    _yes_no("did A back up?", r"{did} {A} (?:back (?:up|out|away)|reverse|go in reverse|(?:move|drive|go) in reverse)", "moving_direction", "behind", viewer="own", note="from its own eyes"),
    # --- nearer, to the side, in depth ---------------------------------------------------------------------------------
    _open("how far is the nearest point of A from B?", r"how (?:far|close)(?: away)? {be} the (?:nearest|closest) (?:point|part|side|edge|end|surface|corner) (?:of|on) {A}(?: (?:from|to) {B})?", "nearest_distance", "value", now=True),
    _open("what is the distance from B to the nearest point of A?", r"what {be} the distance (?:(?:from|between) {B} (?:to|and) )?(?:to )?the (?:nearest|closest) (?:point|part|side|edge|end|surface|corner) (?:of|on) {A}", "nearest_distance", "value", now=True),
    _open("how much closer did A get to B?", r"(?:by )?how much (?:closer|nearer|farther|further)(?: away)? (?:(?:did|does|do) {A} (?:get|come|move|go)|(?:has|have) {A2} (?:come|got|gotten|moved|gone|become))(?: (?:to|from) {B})?", "distance_change", "value"),
    _open("how much did the distance between A and B change?", r"(?:by )?how much (?:did|does|has) the distance (?:between|of|from) {A} (?:and|to) {B} (?:changed?|increased?|decreased?|grow|shrink)", "distance_change", "value"),
    _open("how much did the distance to A change?", r"(?:by )?how much (?:did|does|has) the distance (?:to|of|from) {A} (?:changed?|increased?|decreased?|grow|shrink)", "distance_change", "value"),
    _open("did A end up closer or farther away?", r"{did} {A} end up (?:closer or {away}|{away} or closer)(?: (?:to|from) {B})?", "distance_change"),
    _yes_no("did A end up closer to B?", r"{did} {A} end up (?:closer|nearer)(?: to {B})?", "distance_change", "decreasing"),
    _yes_no("did A end up farther away from B?", r"{did} {A} end up {away}(?: from {B})?", "distance_change", "increasing"),
    _open("did A move to the left or right?", r"(?:{did} {A} {move}|(?:has|have) {A2} {moved}) {sides}(?: (?:of|in|across) (?:the|my|your) {picture})?", "lateral_change"),
    _yes_no("did A move to the left of the picture?", r"{did} {A} {move} (?:across the {picture} {side}|{side2} (?:of|in) (?:the|my|your) {picture})", "lateral_change"),
    _yes_no("is A moving to the left of the picture?", r"{be} {A} {go} (?:across the {picture} {side}|{side2} (?:of|in) (?:the|my|your) {picture})", "lateral_change", now=True),
    _open("how far did A move to the side?", r"how (?:far|much) {did} {A} (?:{move}) (?:to the (?:side|left|right)|sideways|laterally|left|right)", "lateral_change", "value"),
    _open("how does the lateral position of A change?", r"how {do} the (?:lateral|sideways) (?:position|place|offset) of {A} change", "lateral_change"),
    _open("how does the depth of A change?", r"how (?:much )?{do} the depth of {A} change", "depth_change"),
    _yes_no("did the depth of A increase?", r"(?:{do}|{be}) the depth of {A} {trend}", "depth_change"),
    # --- turns ---------------------------------------------------------------------------------------------------------
    _open("is A turning left or right?", r"{be} {A} (?:turning|steering|veering|curving|making a turn) {sides}", "turning", now=True),
    _open("did A turn left or right?", r"{did} {A} (?:turn|steer|veer|make a turn) {sides}", "turning"),
    _open("did A turn or go straight?", r"{did} {A} (?:(?:make a )?turn or (?:continue |keep |go )?(?:going |driving |moving )?straight(?: on| ahead)?|(?:go|drive|continue) straight(?: on| ahead)? or turn)", "turning"),
    _open("which way did A turn?", r"{which} (?:{did} {A} turn|(?:has|have) {A2} turned)(?: to| towards| in)?", "turning"),
    _open("which way is A turning?", r"{which} {be} {A} (?:turning|steering|veering)(?: to| towards| in)?", "turning", now=True),
    _open("how much did A turn?", r"(?:by )?(?:how much|(?:how|what) (?:far|angle|large an angle)) (?:(?:did|does|do) {A} turn|(?:has|have) {A2} turned)(?: by)?", "turning", "value"),
    _yes_no("did A turn left?", r"(?:{did} {A} (?:turn|steer|veer|make a turn|take a turn)|(?:has|have) {A2} turned) {side}|{did} {A3} make a {side2} turn", "turning"),
    _yes_no("is A turning left?", r"{be} {A} (?:(?:turning|steering|veering|making a turn) {side}|making a {side2} turn)", "turning", now=True),
    _yes_no("did A turn?", r"{did} {A} (?:ever )?(?:turn(?: at all)?|make a turn|change (?:its|his|her|their) direction)|(?:has|have) {A2} turned", "turning", _TURNS),
    _yes_no("is A turning?", r"{be} {A} (?:turning|making a turn)", "turning", _TURNS, now=True),
    _yes_no("did A go straight?", r"{did} {A} (?:go|drive|move|walk|keep|stay|continue) (?:going |driving )?straight(?: on| ahead| on ahead)?", "turning", "straight"),
    _yes_no("is A going straight?", r"{be} {A} {go} straight(?: on| ahead| on ahead)?", "turning", "straight", now=True),
)  # fmt: skip

#: After the published trends and "from … to …", which begin alike.
LATER = (
    _yes_no("did A move to the right?", r"(?:{did} {A} {move}|(?:has|have) {A2} {moved}) {dir}", "moving_direction"),
)  # fmt: skip
