"""Query -> quantities -> states -> Answer; `engine.py` shows the whole journey on one page."""

# Imported at once: its module has the same name, and a later import of the module would take the name over.
from dsr_core.reasoning.answer import Answer, State
from dsr_core.reasoning.describe import describe
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.vocabulary import KINDS

__all__ = ["KINDS", "Answer", "Query", "State", "Viewpoint", "describe"]
