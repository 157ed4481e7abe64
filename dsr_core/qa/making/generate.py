"""Scene -> questions with true answers, before they have options."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable

from dsr_core.errors import DeclineError
from dsr_core.language.choices import MAX_OPTION_CHARACTERS
from dsr_core.qa.config import QaConfig
from dsr_core.qa.item import TEMPLATE_TYPES, Candidate, QaError
from dsr_core.qa.making.mllm4d import TYPES as TASK_TYPES
from dsr_core.qa.making.mllm4d import TaskMaker
from dsr_core.qa.making.references import Reference, References
from dsr_core.qa.making.sample import Draft, Sampler
from dsr_core.qa.making.templates import KINDS, question, type_of
from dsr_core.qa.making.truth import truth
from dsr_core.reasoning.dsr_rules import word_states
from dsr_core.reasoning.engine import ResolvedQuery
from dsr_core.reasoning.kinds.published import source_stamps
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.query import Query, Viewpoint
from dsr_core.reasoning.window import common_span
from dsr_core.scene import Scene

#: What a question is worth, to the sampling of the next ones, whose answer more than a quarter have.
_STALE = 0.5
#: A try at a question of a type: one that was not made before, or the reason why it came to nothing.
Try = Callable[[str], Candidate | str]


def candidates(
    scene: Scene, config: QaConfig, seed: int, name: str, video_id: str = "", drops: Counter | None = None
) -> list[Candidate]:
    """Questions about a scene with their true answers.

    The same arguments give the same questions; other scenes of a set do not matter. Types are drawn with a weight of 1
    over one more than their count so far, as published, so they balance.

    Args:
        scene: The scene.
        config: What is asked, and what is dropped.
        seed: Of the whole set; each scene draws from its own stream by its name.
        name: Of the scene. video_id: Of its video, without suffix.
        drops: Counts by (type, reason) what was tried and dropped are added to it.

    Returns:
        At most `config.per_scene` questions, no two with the same text.
    """
    rng = random.Random(f"{seed}\n{name}")
    drops = Counter() if drops is None else drops
    style, types = (TaskMaker, TASK_TYPES) if config.style == "mllm4d" else (TemplateMaker, TEMPLATE_TYPES)
    if unknown := [t for t in config.types if t not in types]:
        raise QaError(f"style {config.style} has no type {', '.join(unknown)}; it has: {', '.join(types)}")
    types = config.types or types
    try:
        make = style(scene, config, rng, name, video_id)
    except DeclineError as error:  # too few frames to sample
        drops.update({(type_, error.code): 1 for type_ in types})
        return []
    return balanced(make, types, config, rng, drops)


def balanced(
    make: Try, types: tuple[str, ...], config: QaConfig, rng: random.Random, drops: Counter
) -> list[Candidate]:
    """Draws types until there are enough questions or every type has failed too often in a row."""
    found: list[Candidate] = []
    counts, failures = dict.fromkeys(types, 0), dict.fromkeys(types, 0)
    active = list(types)
    while active and len(found) < config.per_scene:
        kind = rng.choices(active, weights=[1.0 / (counts[t] + 1) for t in active])[0]
        made = make(kind)
        if isinstance(made, Candidate):
            found.append(made)
            counts[kind] += 1
            failures[kind] = 0
            continue
        drops[kind, made] += 1
        failures[kind] += 1
        if failures[kind] >= config.max_failures:
            active.remove(kind)
    return found


class TemplateMaker:
    """Makes questions of the twelve published templates about one scene; call it with a type."""

    def __init__(self, scene: Scene, config: QaConfig, rng: random.Random, name: str, video_id: str):
        self._scene, self._config, self._name, self._video_id = scene, config, name, video_id
        self._sampler = Sampler(scene, config, rng)
        self._references = References(scene, config)
        self._tried: set[str] = set()
        self._answers: defaultdict[tuple[str, ...], Counter] = defaultdict(Counter)
        self._samples = source_stamps(scene) if config.rules == "dsr" else None

    def __call__(self, type_: str) -> Candidate | str:
        mode, _, short = type_.partition("_")
        draft = self._sampler.draw(KINDS[short], mode == "abs")
        if isinstance(draft, str):
            return draft
        made = self._make(draft)
        self._sampler.tell(draft, self._worth(made) if isinstance(made, Candidate) else 0.0)
        return made

    def _worth(self, made: Candidate) -> float:
        """1 where a quarter at most of the questions alike had this answer, else less: what all have is no choice."""
        answers = self._answers[made.stratum]
        fresh = 4 * answers[made.answer] <= answers.total() + 3
        answers[made.answer] += 1
        return 1.0 if fresh else _STALE

    def _make(self, draft: Draft) -> Candidate | str:
        said = self._said(draft)
        if isinstance(said, str):
            return said
        viewer, *things = said
        text = question(draft.kind, viewer.text, tuple(t.text for t in things), draft.window_s, draft.at_s)
        if text in self._tried:
            return "repeated"
        self._tried.add(text)
        found = truth(self._scene, resolved(draft), self._config, self._config.rules)
        if isinstance(found, str):
            return found
        labels = tuple(state.label for state in found.states)
        worded = word_states(draft.kind, labels)
        if worded.count(". (") + 1 > self._config.max_states or len(worded) > MAX_OPTION_CHARACTERS:
            return "too many states"
        named = [a for a in (draft.viewer, draft.subject, draft.other) if a is not None and a.track is not None]
        shown = () if draft.window_s is None else (draft.window_s[0], draft.window_s[1] - draft.window_s[0])
        if draft.absolute:
            shown += (draft.at_s - (draft.window_s[0] if draft.window_s else 0.0),)
        classes = [a.name if a.track is None else a.track.label for a in (draft.subject, draft.other) if a is not None]
        viewpoint = Viewpoint(draft.viewer.name, "absolute" if draft.absolute else "relative", draft.at_s)
        other = None if draft.other is None else draft.other.name
        return Candidate(
            scene=self._name,
            video_id=self._video_id,
            type=type_of(draft.kind, draft.absolute),
            kind=draft.kind,
            question=text,
            answer=worded,
            labels=labels,
            viewer=draft.viewer.name if draft.viewer.track is None else draft.viewer.track.label,
            things=tuple(classes),
            tracks=tuple(dict.fromkeys(a.name for a in named)),
            window=found.window if draft.window_s is None else draft.window_s,
            viewpoint=viewpoint.to_dict(),
            query=Query(draft.kind, draft.subject.name, other, viewpoint, draft.window_s).to_dict(),
            covariates=sum((reference.box for reference in said), shown),
            margin=found.margin,
            confidence=found.confidence,
            metric=self._scene.metric,
            rules=self._config.rules,
            image_size=next((r.image_size for r in said if r.image_size is not None), None),
            future_from_s=self._predicted_from(draft) if draft.kind == "direction_prediction" else None,
            ego_motion=found.ego_motion,
            object_motion=found.object_motion,
            others=found.others,
            samples=found.samples,
        )

    def _said(self, draft: Draft) -> list[Reference] | str:
        """References to the viewer and the things, or the reason why one of them cannot be referred to."""
        predicts, timeless = draft.kind == "direction_prediction", draft.window_s is None
        end_s = self._predicted_from(draft) if predicts else None
        if predicts and end_s is None:
            return "not seen at the end"
        final, initial = (end_s, "final", timeless), (None if timeless else draft.window_s[0], "initial", False)
        viewed = (draft.at_s, "", False) if draft.absolute else final if timeless else initial
        asked = final if predicts else initial
        said = []
        for agent, how in ((draft.viewer, viewed), (draft.subject, asked), (draft.other, asked)):
            if agent is not None:
                reference = self._references.of(agent, *how)
                if isinstance(reference, str):
                    return reference
                said.append(reference)
        return said

    def _predicted_from(self, draft: Draft) -> float | None:
        """Second from which a prediction looks into the future, None where the things were gone by then."""
        if draft.window_s is not None:
            return draft.window_s[1]
        agents = [draft.subject] if draft.absolute else [draft.subject, draft.viewer]
        first, last = common_span(self._scene, agents)
        if self._samples is None:
            return last if last >= first else None
        return float(self._samples[29]) if first <= self._samples[29] and self._samples[31] <= last else None


def resolved(draft: Draft) -> ResolvedQuery:
    """The draft as the engine takes it."""
    return ResolvedQuery(
        draft.kind,
        draft.subject,
        draft.other,
        Viewer(draft.viewer, draft.at_s),
        draft.absolute,
        draft.window_s,
    )
