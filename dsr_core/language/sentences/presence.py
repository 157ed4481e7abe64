# ruff: noqa: E501  (one sentence a line)
"""Sentences about where things are and whether they are seen: position, visibility, last seen, facing."""

from dsr_core.language.grammar import open_question as _open
from dsr_core.language.grammar import yes_no as _yes_no

_VIEW = r"(?:(?:in|within) (?:(?:my|the|your|our|the camera's|the robot's) )?(?:view|sight|field of view|picture|image)|visible|in (?:the )?frame)"
_HIDDEN = r"(?:occluded|hidden|obscured|covered|blocked from view)"
_OUT = r"(?:(?:out of|outside(?: of)?) (?:(?:my|the|your|our) )?(?:view|sight|field of view|picture|image|frame)|not visible|gone|not in (?:view|sight))"

SENTENCES = (
    # --- last seen -----------------------------------------------------------------------------------------------------
    _open("when was A last seen?", r"when (?:{be} {A} (?:last|most recently) (?:seen|observed|visible|in view|in sight|detected|around)|{did} {robot} (?:last )?see {A2}(?: last)?)", "last_seen", "when"),
    _open("how long ago was A last seen?", r"how long ago (?:{be} {A} (?:last )?(?:seen|observed|visible|in view|detected)|{did} {robot} (?:last )?see {A2}(?: last)?)|how long (?:has|have) {A3} been (?:gone|out of (?:view|sight)|unseen|missing)", "last_seen", "value"),
    _open("where was A last seen?", r"where (?:{be} {A} (?:last|most recently) (?:seen|observed|visible|in view|detected)|{did} {robot} (?:last )?see {A2}(?: last)?|{be} {A3} when (?:it|he|she|they) (?:was|were) last seen)", "last_seen", "where"),
    # --- visibility ----------------------------------------------------------------------------------------------------
    _open("is A in view or occluded?", rf"(?:{{be}}|can) {{A}} (?:be )?(?:{_VIEW}|seen|{_HIDDEN}|{_OUT}) or (?:{_HIDDEN}|{_OUT}|{_VIEW}|not)(?: seen)?", "visibility", now=True),
    _open("how long was A in view?", rf"(?:how long|for how long|how many seconds) (?:(?:{{be}}|has|have) {{A}} (?:been )?(?:{_VIEW}|seen)|(?:did|could|can) {{robot}} see {{A2}})", "visibility", "value"),
    _open("when was A in view?", rf"when (?:{{be}} {{A}} (?:{_VIEW}|seen|{_HIDDEN}|{_OUT})|(?:did|could|can) {{robot}} see {{A2}}|{{did}} {{A3}} (?:come into|leave|go out of) (?:view|sight|the picture|the frame))", "visibility"),
    _yes_no("is A in view?", rf"(?:{{be}}|has|have) {{A}} (?:(?:been )?(?:still )?(?:{_VIEW}|seen)|still (?:there|here|around))", "visibility", "in_view", now=True),
    _yes_no("can you see A?", r"(?:can|could|do|does|did) {robot} (?:still |ever )?see {A}", "visibility", "in_view", now=True),
    _yes_no("did A stay in view?", rf"{{did}} {{A}} (?:stay|remain|keep) {_VIEW}", "visibility", "in_view"),
    _yes_no("is A occluded?", rf"(?:{{be}}|has|have|did|does) {{A}} (?:been |become |get )?(?:still )?{_HIDDEN}", "visibility", "occluded", now=True),
    _yes_no("is A out of view?", rf"(?:{{be}}|has|have|did|does) {{A}} (?:been |go |gone |get |move )?(?:still )?{_OUT}", "visibility", "out_of_view", now=True),
    _yes_no("did A leave the view?", r"(?:{did} {A} (?:leave|exit)|(?:has|have) {A2} left) (?:(?:my|the|your|our|the camera's) )(?:view|sight|field of view|picture|image|frame)", "visibility", ("in_view", "out_of_view")),
    _yes_no("did A disappear?", r"{did} {A} (?:disappear|vanish)(?: from (?:view|sight|the (?:view|picture)))?|(?:has|have) {A2} (?:disappeared|vanished)(?: from (?:view|sight|the (?:view|picture)))?", "visibility", "occluded|out_of_view", now=True),
    # --- facing --------------------------------------------------------------------------------------------------------
    _open("is A facing B or away?", r"{be} {A} (?:facing|looking|turned|oriented|pointing) (?:at |to |towards? )?(?:or away from {B}|{B4} or (?:(?:facing |looking |turned |pointing )?away(?: from (?:it|him|her|them|me|you|us))?|sideways))", "facing", now=True),
    _open("did A face B or away?", r"{did} {A} (?:face|look at|look towards?) {B} or (?:(?:face |look )?away(?: from (?:it|him|her|them|me|you|us))?)", "facing"),
    _yes_no("did A face left?", r"{did} {A} (?:ever )?(?:face|look|point) {dir}", "orientation"),
    _yes_no("did A face away from B?", r"{did} {A} (?:ever )?(?:face|look|point) away(?: from {B})?", "facing", "away"),
    _yes_no("did A face B?", r"{did} {A} (?:ever )?(?:face|look at|look towards?|point at|point towards?) {B}", "facing", "facing"),
    _yes_no("is A sideways to B?", r"{be} {A} (?:standing )?sideways to {B}", "facing", "sideways", now=True),
    # --- position ------------------------------------------------------------------------------------------------------
    _open("what is the position of A?", r"what {be} (?:the )?(?:position|location|place|coordinates) of {A}", "position", "where", now=True),
    _open("what is A's position?", r"what {be} {A}'s? (?:position|location|coordinates)", "position", "where", now=True),
)  # fmt: skip
