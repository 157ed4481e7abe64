"""The one exception base of the project; each module raises its own subclass."""


class DsrError(Exception):
    """Base of every error that this library raises on purpose.

    The message names the offending value and the next step for the user.
    """


class GeometryError(DsrError):
    """A transform, camera or depth image is malformed."""


class SceneError(DsrError):
    """A scene, a track or a saved scene file is inconsistent."""


class SourceError(DsrError):
    """A recording cannot be read or written."""


class TrackingError(DsrError):
    """Observations cannot be tracked."""


class QueryError(DsrError):
    """A query (typed or JSON) is malformed."""


class DependencyError(DsrError):
    """An optional package is missing; the message tells how to install it."""


class ModelError(DsrError):
    """A network's file is unknown, missing, damaged, or cannot be fetched."""


class DeclineError(DsrError):
    """A well-formed question that cannot be answered, with a decline code.

    Attributes:
        code: One of `dsr_core.reasoning.answer.DECLINE_CODES`.
        candidates: Things that would help (names, ids, nearest questions).
    """

    def __init__(self, code: str, message: str, candidates: tuple[str, ...] = ()):
        super().__init__(message)
        self.code = code
        self.candidates = tuple(str(c) for c in candidates)
