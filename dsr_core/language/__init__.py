"""Question text -> Query, names -> tracks, Answer -> wording and options."""

# Imported at once: its module has the same name, and a later import of the module would take the name over.
from dsr_core.language.parse import ParsedQuestion, parse

__all__ = ["ParsedQuestion", "parse"]
