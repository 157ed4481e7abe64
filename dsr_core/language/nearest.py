"""Names that nothing in a scene fits are replaced by the label that means the same, where one clearly does."""

from __future__ import annotations

from dataclasses import replace

from dsr_core.errors import DeclineError, DependencyError
from dsr_core.language.attributes import who_of
from dsr_core.language.embedding import match_name
from dsr_core.language.names import without_article
from dsr_core.language.resolve import by_name, fitting_tracks
from dsr_core.language.resolve_many import EVERYTHING
from dsr_core.reasoning.query import Query, Who
from dsr_core.scene import Scene


class NearestNames:
    """Names by meaning in one scene.

    Attributes:
        taken: {name: label} that were taken.
        near: Labels near to names for which none was taken.
    """

    def __init__(self, scene: Scene):
        self._scene = scene
        self.taken: dict[str, str] = {}
        self.near: tuple[str, ...] = ()

    def query(self, query: Query) -> Query:
        """The query with the labels that its unknown names mean.

        Raises:
            DeclineError: BACKEND_UNAVAILABLE where the extra `names` is needed and missing.
        """
        viewpoint = replace(query.viewpoint, agent=self._who(query.viewpoint.agent))
        other = None if query.object is None else self._who(query.object)
        return replace(query, subject=self._who(query.subject), object=other, viewpoint=viewpoint)

    def declined(self, error: DeclineError) -> DeclineError:
        """The decline with what is near in meaning as its first candidates."""
        if error.code != "NO_SUCH_OBJECT" or not self.near:
            return error
        near = [f"{t.label} {t.id}" for label in self.near for t in self._scene.tracks.values() if t.label == label]
        first = [c for c in near if c in error.candidates] or list(self.near)
        return DeclineError(error.code, str(error), tuple(dict.fromkeys((*first, *error.candidates))))

    def _who(self, who: Who) -> Who:
        if isinstance(who, str):
            if by_name(self._scene, without_article(who)) is not None:
                return who
            return self._label(who)
        if who.get("label") is None:
            return who
        label = self._label(who["label"])
        return {**who, **(label if isinstance(label, dict) else {"label": label})}

    def _label(self, name: str) -> Who:
        """The name as it is, or as the label that it means; a name that chooses keeps its choice."""
        if fitting_tracks(self._scene, name):
            return name
        chosen = who_of(name)
        label = chosen.get("label") if isinstance(chosen, dict) else chosen
        if label is None or label.lower() in EVERYTHING or fitting_tracks(self._scene, label):
            return name
        try:
            match = match_name(label, [t.label for t in self._scene.tracks.values()])
        except DependencyError as error:
            raise DeclineError("BACKEND_UNAVAILABLE", f"nothing called {label!r} has been seen; {error}") from None
        if match.taken is None:
            self.near = tuple(dict.fromkeys((*self.near, *match.near)))
            return name
        self.taken[label] = match.taken
        return {**chosen, "label": match.taken} if isinstance(chosen, dict) else match.taken
