"""Which function words an answer of which kind; kinds that are not listed are worded by `wording` itself."""

from __future__ import annotations

from collections.abc import Callable

from dsr_core.language.phrases import Told
from dsr_core.language.words_events import EVENT_WORDS
from dsr_core.language.words_many import MANY_WORDS
from dsr_core.language.words_metric import METRIC_WORDS
from dsr_core.language.words_presence import PRESENCE_WORDS

WORDS: dict[str, Callable[[Told], str]] = {**METRIC_WORDS, **EVENT_WORDS, **PRESENCE_WORDS, **MANY_WORDS}
