"""Patterns of English (and a little of other languages) by which a reply states, denies, lists or refuses an option."""

from __future__ import annotations

import re

from dsr_core.bench.options import WORD_LETTERS

# --- parts of the patterns below ---------------------------------------------------------------------------------
_GAP = r"[\s\"'(\[{<:=,~-]*"
_FILLER = (
    r"(?:(?i:the|an?|option|choice|letter|answer|number|is|it|likely|probably|most|definitely|clearly|simply|indeed|"
    r"therefore|thus|hence|just|still|really|actually|be|to|that|would|should|must|correct)\b" + _GAP + r")*?"
)
#: After the letter A such a word tells that it is no article.
AFTER_A = (
    r"(?:because|since|as|is|was|which|with|for|and|or|due|based|given|where|meaning|seems|appears|fits|matches|best|"
    r"would|if|when|correctly|accurately|over|rather|instead|not)\b"
)
HEAD_LETTER = re.compile(rf"{_GAP}{_FILLER}([A-Za-z])(?![A-Za-z0-9])(?!['-][A-Za-z])(.*)", re.DOTALL)
BARE_HEAD_LETTER = re.compile(
    r"[\s\"'(\[{<:-]*(?:(?i:option|choice|answer)\s*[:(]*\s*)?([A-Za-z])(?![A-Za-z0-9])(?!['-][A-Za-z])(.*)",
    re.DOTALL,
)
CLOSES = re.compile(r"\s*(?:$|[)\]}>\"'.,:;!?=/|&+—–-]|→|\n)")
ANOTHER = re.compile(
    r"[)\]\"']*(?:\s*(?:,?\s*\b(?i:and/or|and|or|nor)\b|[,/&+|])\s*(?:(?i:option|choice)\s+)?[(\[\"']*|\.(?=[A-Z]))"
    r"([A-Z])(?![A-Za-z0-9'])(?=\s*(?:$|[)\]\"'.,;:!?/&+|\n]|(?i:and|or)\b))"
)
DENIED = re.compile(
    r"[)\]\"'.:]*\s*(?:(?i:is|was|seems|appears|looks|would be|can be|could be|does|do|did|can|could)\b\s*"
    r"(?:\w+ly\s+)?)?"
    r"(?i:not\b|n't\b|incorrect|wrong|unlikely|invalid|inapplicable|ruled out|eliminated|excluded|doesn't|isn't|can't|"
    r"cannot|didn't)"
)
NEGATED = re.compile(
    r"\W*(?:(?i:is|definitely|clearly|certainly|likely|probably)\W+)*(?i:not|isn't|neither|cannot|never)\b"
)
INSTEAD = re.compile(r"\b(?i:but(?: rather)?|rather(?! than)|instead(?! of)|it'?s|it is)\b(?! not\b)(.*)", re.DOTALL)
REFUSAL = re.compile(
    r"\b(?i:n\s?/\s?a\b|none of|no (?:valid|correct|suitable|single|clear|definitive|option|answer|choice)|unknown|"
    r"undetermined|indeterminate|inconclusive|unclear|impossible|insufficient|unable|unanswerable|neither of|"
    r"(?:can ?not|can'?t|could ?n[o']t|could not) (?:be )?(?:\w+ly )?"
    r"(?:determin|answer|tell|say|see|view|identif|assist|help|provide|conclu|infer|know|judg|process|watch|analy|confirm|establish)\w*|"
    r"not (?:be )?(?:possible|enough|sufficient|clear|determin\w+|provided|applicable|given|listed|available|sure|able|"
    r"certain)|sorry|do(?: not|n't) (?:know|have)|all of the above)"
)
DENIALS = frozenset(
    f"{verb}{word}" for verb in ("", "is ", "seems ", "appears ") for word in ("wrong", "incorrect", "unlikely", "not")
)
#: After such words a refusal is followed by a guess.
GUESSES = re.compile(
    r"[,;:.]\s+(?i:but|however|maybe|perhaps|probably|likely|though|if I|I(?:'d| would)? (?:guess|think|believe))\b"
)
HYPOTHESIS = re.compile(
    r"\b(?i:if)\b(?!.*\b(?i:had to|have to|must|forced)\b)[^.!?\n]*(?i:would be|would have been)\W*$", re.DOTALL
)
PLACEHOLDER = re.compile(r"[\s\"'(\[{<]*(?i:letter|your (?:answer|choice)|x\b|option letter|answer\s*(?:letter|here))")
#: "A. left" is one sentence.
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!^[A-Z]\.)(?<!\n[A-Z]\.)(?<![.!?:] [A-Z]\.)\s+|\n+")
FIRST_SENTENCE = re.compile(r"\s*(.+?)(?:(?<=[.!?])\s|\n|$)", re.DOTALL)

# --- where a reply states something -------------------------------------------------------------------------------
_SAYS = (
    r"[\"']?\s*(?:\b(?i:is|would be|should be|must be|was|will be|seems to be|appears to be)\b\s*:?|"
    r":|=|→|-{1,2}>|—|–)"
)
FINAL = re.compile(
    r"\b(?i:final|ultimate|overall)(?i:\s+(?:correct|best))?\s+"
    r"(?i:answer|choice|option|decision|selection|response|conclusion)"
    rf"\b[a-z ,']{{0,60}}?(?:{_SAYS}|\n)|答案(?:是|为)?\s*:?"
)
STATED = re.compile(
    r"\b(?i:answer|option|choice|response|selection)\b(?:[a-z ,']|\(s\)){0,60}?" + _SAYS
    + r"|\b(?i:answer)\s+(?=[(\[\"']?[A-Z][)\]\"']?[.:]?\s*(?:$|\n))"
    + r"|\b(?i:answer)\s*-(?=\s*[(\[\"']?[A-Z]\b)"
    + r"|\b(?i:so|therefore|thus|hence),? (?i:it'?s|it is)\b"
)  # fmt: skip
CHOSEN = re.compile(
    r"\b(?:(?i:I|we|let's|let us)(?:'d|'ll)?\s+(?i:(?:would|will|can|must|should|am going to|have to|need to|"
    r"also|therefore|thus|then)\s+)*"
    r"(?i:choose|select|pick|go with|guess|say|opt for|answer|conclude|think|believe|lean toward(?:s)?|vote for|assume)"
    r"|(?i:corresponds?(?:ing)? to|match(?:es|ing)?|aligns? with|leads? to|points? to|indicat(?:es?|ing)|supports?|"
    r"suggests?|favou?rs?|making|choose|select|pick|go with|it'?s|it is|this is|that is|which is|would be|must be)"
    r"(?=\s+(?:(?i:the|likely|probably)\s+)*(?i:option|choice|answer|letter)\b)"
    r"|(?i:therefore|thus|hence|so|consequently|in conclusion|conclusion|accordingly|overall)\b[,:]?"
    r"|(?i:guess)(?:\s+(?i:is|would be))?:?)\s+(?i:(?:that|it is|it's|the)\s+)*"
)
VERDICT = re.compile(
    r"(?:\b(?i:option|choice|answer|letter)\s+)?(?<![A-Za-z0-9'])[(\"']?([A-Z])[)\"']?"
    r"(?:\s+(?:(?i:is|seems|appears|would be|must be|looks|remains)\s+"
    r"(?i:(?:to be|the|a|an|also|most|more|only|\w+ly)\s+)*"
    r"(?i:correct|best|right(?! of| side| hand)|accurate|appropriate|plausible|suitable|answer|closest|better|true|"
    r"valid)\b"
    r"|(?i:(?:\w+ly|best|better)\s+)*(?i:fits|matches|aligns|describes|reflects|captures)\b))"
)
CALLED_CORRECT = re.compile(
    r"(?<!not )\b(?i:is|seems|appears)(?i:\s+(?:to be|the|a|an|also|most|\w+ly))*\s+"
    r"(?i:correct|accurate|best|right (?:answer|option|choice)|most plausible|most likely)\b"
)
#: A last sentence of a long reply is its conclusion with such words.
CONCLUDES = re.compile(
    r"\b(?i:therefore|thus|so|hence|consequently|accordingly|overall|conclu\w+|finally|in summary|in short|"
    r"based on|given (?:this|that|these|the)|it follows|this means|this (?:suggests|indicates)|must be|"
    r"(?:best|most) \w+|only \w+ remains)\b"
)
LISTED = re.compile(r"\W{0,4}(?:(?i:option|choice)\s+)?[(\[\"']?([A-Z])[)\]\"']*\s*(?:[.:)\]]|[-–—] )\s*(?=\S)")
MENTION = re.compile(
    r"\b(?i:option|choice|answer|letter)\s+[(\"']?([A-Z])(?![A-Za-z0-9])|\(([A-Z])\)"
    rf"|(?<![A-Za-z0-9'(./-])((?![{WORD_LETTERS}])[A-Z])(?![A-Za-z0-9'/-])"
    rf"|(?<![A-Za-z0-9'(./-])([{WORD_LETTERS}])(?=\s*[.,:;)!?/]|\s*$|\s+(?:or|and|nor|is|are)\b)"
)
DENIED_BEFORE = re.compile(
    r"\b(?i:not|cannot|\w+n't|neither|nor|never|rather than|instead of|than|rul(?:e|es|ed|ing) out|eliminat\w+|"
    r"exclud\w+|except|over|versus|unlike|reject\w*|discard\w*)\s+(?i:(?:option|choice|answer|letter|be|the|for|by)\s+)*[(\"']?$"
)
