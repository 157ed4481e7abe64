"""Free-form questions (type non_temp): a model writes them from a scene's facts, the engine decides what is true.

The model gives question, options, its answer and the typed query behind the question. An item is kept when the engine's
answer to that query is the very option that the model marked, and when the question's own words, read again without the
query (by the grammar, else by the model), are of the same kind and lead to the same option. Everything else is dropped
with its reason.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from dsr_core.api import ask
from dsr_core.errors import DeclineError, DependencyError
from dsr_core.language.llm import reading_of
from dsr_core.language.parse import ParsedQuestion, parse
from dsr_core.language.prompt import reply_schema as reading_schema
from dsr_core.language.prompt import system_prompt, user_prompt
from dsr_core.qa.asking.asking import Asker, BadReply, Unfinished, told_error
from dsr_core.qa.asking.crew import Ending, work_off
from dsr_core.qa.asking.journal import Journal
from dsr_core.qa.config import QaConfig
from dsr_core.qa.files.columns import item_of, row_of
from dsr_core.qa.freeform.draft import FreeDraft, FreeDrafter
from dsr_core.qa.freeform.prompts import messages, reply_schema
from dsr_core.qa.freeform.reply import Written, read_question_reply
from dsr_core.qa.item import Candidate, Item, QaError
from dsr_core.qa.making.truth import truth
from dsr_core.reasoning.agents import Agent
from dsr_core.reasoning.engine import Finding, ResolvedQuery
from dsr_core.reasoning.quantities import Viewer
from dsr_core.reasoning.vocabulary import VOCABULARY
from dsr_core.scene import Scene

READ_BACK = ("grammar", "model", "none")


@dataclass(frozen=True)
class FreeFormConfig:
    """How many are asked for, and how they are checked.

    Attributes:
        per_scene: Questions that are tried of a scene (published: 2 a video).
        read_back: Who reads the question again without its query: "grammar" (what it cannot read is dropped), "model"
            (the model reads what the grammar cannot), "none" (what the grammar cannot read is kept).
    """

    per_scene: int = 2
    read_back: str = "model"

    def __post_init__(self):
        if isinstance(self.per_scene, bool) or not isinstance(self.per_scene, int) or self.per_scene < 1:
            raise QaError(f"per_scene = {self.per_scene!r} must be a whole number of at least 1")
        if self.read_back not in READ_BACK:
            raise QaError(f"read_back = {self.read_back!r} is not known; known: {', '.join(READ_BACK)}")

    def to_dict(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class SceneToAsk:
    """A scene by name, opened when it is needed.

    Attributes:
        name: Of the scene. video_id: Of its video. open: Gives it.
        key: What tells it from other scenes in a journal; its name where "".
    """

    name: str
    video_id: str
    open: Callable[[], Scene]
    key: str = ""

    def question(self, number: int) -> str:
        """Name of one of its questions in a journal."""
        return f"{self.key or self.name} question {number}"


class Dropped(QaError):
    """A question that is not kept, and no correction is asked for.

    Attributes:
        reason: In a few words.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class FreeForm:
    """Makes free-form questions of scenes.

    Args:
        config: Of free-form questions. qa: Windows, viewers, rules, how sure an answer must be.
        asker: The model. seed: Of what the questions may be about.
    """

    def __init__(self, config: FreeFormConfig, qa: QaConfig, asker: Asker, seed: int = 0):
        self._config, self._qa, self._asker, self._seed = config, qa, asker, seed

    def settings(self) -> dict:
        """What the questions depend on, for the journal and as provenance."""
        model = self._asker.endpoint.config.model
        return {"free_form": self._config.to_dict(), "qa": self._qa.to_dict(), "seed": self._seed, "model": model}

    def run(self, scenes: Iterable[SceneToAsk], journal: Journal, seen: Callable[[], None] = lambda: None) -> Ending:
        """Tries all questions that the journal does not hold yet."""
        tasks = (task for scene in scenes for task in self._tasks(scene, journal))
        return work_off(tasks, journal, self._asker.config.concurrency, self._asker.stop, seen)

    def items(self, scenes: Iterable[SceneToAsk], journal: Journal, drops: Counter) -> Iterator[Item]:
        """The kept questions of scenes in order; why the others are not is counted in `drops`."""
        for scene in scenes:
            asked = set()
            for number in range(self._config.per_scene):
                key = scene.question(number)
                entry = journal[key] if key in journal else None
                if entry is None:
                    drops["not asked yet"] += 1
                elif "dropped" in entry:
                    drops[entry["dropped"]] += 1
                elif entry["item"]["question"] in asked:
                    drops["repeated"] += 1
                else:
                    asked.add(entry["item"]["question"])
                    yield item_of(entry["item"], tuple(entry["options"]), entry["answer"])

    def _tasks(self, to_ask: SceneToAsk, journal: Journal) -> Iterator[tuple[str, Callable[[], dict]]]:
        keys = [to_ask.question(number) for number in range(self._config.per_scene)]
        if all(key in journal for key in keys):
            yield from ((key, dict) for key in keys)  # done: they are only counted
            return
        try:
            scene = to_ask.open()
            drafter = FreeDrafter(scene, self._qa)
        except DependencyError:
            raise
        except Exception as error:  # whatever a damaged file does to its decoder
            for key in keys:
                yield key, _failing(f"{to_ask.name} cannot be read: {told_error(error)}")
            return
        for number, key in enumerate(keys):
            draft = drafter.draw(random.Random(f"{self._seed}\nfree-form\n{to_ask.name}\n{number}"))
            yield key, lambda draft=draft: self.try_one(scene, to_ask, draft)

    def try_one(self, scene: Scene, to_ask: SceneToAsk, draft: FreeDraft | str) -> dict:
        """One entry of the journal: an item, or why there is none.

        Raises:
            Unfinished: no reply. Stopped: nothing more is to be asked.
        """
        if isinstance(draft, str):
            return {"dropped": draft}
        written: Written | None = None

        def read(reply: dict) -> tuple[Written, Finding]:
            nonlocal written
            written = read_question_reply(reply, draft)
            return written, self._true(scene, written, draft)

        try:
            schema = reply_schema(draft.kinds, tuple(draft.things))
            written, found = self._asker.ask(messages(draft.facts, draft.kinds), schema, read)
            read_by = self._read_back(scene, written, draft)
        except (BadReply, Dropped) as error:
            asked = {} if written is None else {"question": written.named_question, "options": written.named_options}
            return {"dropped": error.reason, "why": str(error), **asked}
        item = self._item(scene, to_ask, draft, written, found, read_by)
        return {"item": row_of(item, {}), "options": list(item.options), "answer": item.answer_index}

    def _true(self, scene: Scene, written: Written, draft: FreeDraft) -> Finding:
        """What the engine finds, where it is sure and finds the option that the model marked.

        Raises:
            BadReply: the model may ask something else. Dropped: its answer is wrong.
        """
        query = written.query
        many = VOCABULARY[query.kind].many
        agents = {agent.name: agent for agent in (*draft.things.values(), draft.viewer)}
        subjects = tuple(agents[name] for name in query.subject["among"]) if many else ()
        subject = subjects[0] if many else agents[query.subject]
        other = None if query.object is None else agents[query.object]
        viewer = Viewer(draft.viewer, draft.at_s)
        resolved = ResolvedQuery(
            query.kind, subject, other, viewer, draft.at_s is not None, draft.window_s, subjects=subjects
        )
        found = truth(scene, resolved, self._qa, self._qa.rules)
        if isinstance(found, str):
            raise BadReply(found, f"the scene does not tell the answer surely ({found}); ask about something else")
        if many and len(found.states) > 1:
            raise BadReply("changes over time", "the answer changes during the time; ask about something else")
        answer = ask(scene, query, choices=written.named_options, rules=self._qa.rules)
        if answer.declined is not None:
            raise BadReply("no option is true", "not exactly one of the options is true; check them against the facts")
        if answer.choice_index != written.marked:
            marked = written.named_options[written.marked]
            raise Dropped("wrong answer", f"the model marks {marked!r}, the engine finds {answer.choice!r}")
        return found

    def _read_back(self, scene: Scene, written: Written, draft: FreeDraft) -> str:
        """Who read the question again, and found the same option.

        Raises:
            Dropped: nobody can read it, or it means something else.
        """
        try:
            parsed, read_by = parse(written.question), "grammar"
        except DeclineError:
            if self._config.read_back == "none":
                return "nobody"
            if self._config.read_back == "grammar":
                raise Dropped("question not readable", "the grammar does not read the question") from None
            parsed, read_by = self._read_by_model(written, draft), "model"
        query = parsed.query
        if query.kind != written.query.kind:  # one of four options may fit by chance
            raise Dropped(
                "question reads otherwise", f"the {read_by} reads {query.kind} in it, not {written.query.kind}"
            )
        if VOCABULARY[query.kind].many and isinstance(written.query.subject, dict):
            query = replace(query, subject=written.query.subject, of=None, asked=None)  # "which of these"
        answer = ask(scene, replace(parsed, query=query), choices=written.named_options, rules=self._qa.rules)
        if answer.declined is None and answer.choice_index == written.marked:
            return read_by
        told = answer.declined.code if answer.declined is not None else repr(answer.choice)
        raise Dropped("question reads otherwise", f"read by the {read_by} as {query.to_dict()} its answer is {told}")

    def _read_by_model(self, written: Written, draft: FreeDraft) -> ParsedQuestion:
        names = [agent.label for agent in (*draft.things.values(), draft.viewer)]
        asked = [
            {"role": "system", "content": system_prompt()},
            {"role": "user", "content": user_prompt(written.named_question, names)},
        ]
        model = self._asker.endpoint.config.model

        def read(reply: dict) -> ParsedQuestion:
            try:
                return reading_of(reply, model).given(draft.window_s, written.query.viewpoint)
            except DeclineError as error:
                raise BadReply("question not readable", str(error)) from None

        try:
            return self._asker.ask(asked, reading_schema(), read)
        except BadReply as error:
            raise Dropped("question not readable", str(error)) from None

    def _item(
        self, scene: Scene, to_ask: SceneToAsk, draft: FreeDraft, written: Written, found: Finding, read_by: str
    ) -> Item:
        said = (draft.viewer_said, *draft.said.values())
        named = [agent for agent in (draft.viewer, *written.things) if agent.track is not None]
        candidate = Candidate(
            scene=to_ask.name,
            video_id=to_ask.video_id,
            type="non_temp",
            kind=written.query.kind,
            question=written.question,
            answer=written.options[written.marked],
            labels=tuple(state.label for state in found.states),
            viewer=_class(draft.viewer),
            things=tuple(map(_class, written.things)),
            tracks=tuple(dict.fromkeys(agent.name for agent in named)),
            window=draft.window_s,
            viewpoint=written.query.viewpoint.to_dict(),
            query=written.query.to_dict(),
            covariates=(draft.window_s[0], draft.window_s[1] - draft.window_s[0]),
            margin=found.margin,
            confidence=found.confidence,
            value=found.value,
            unit=found.unit,
            metric=scene.metric,
            rules=self._qa.rules,
            image_size=next((r.image_size for r in said if r.image_size is not None), None),
            ego_motion=found.ego_motion,
            object_motion=found.object_motion,
            others=found.others,
            samples=found.samples,
        )
        origins = tuple("truth" if i == written.marked else "model" for i in range(len(written.options)))
        extra = {"written_by": self._asker.endpoint.config.model, "read_by": read_by}
        return Item(candidate, written.options, written.marked, origins, "model", extra=extra)


def _class(agent: Agent) -> str:
    return agent.name if agent.track is None else agent.track.label


def _failing(message: str) -> Callable[[], dict]:
    def fail() -> dict:
        raise Unfinished(message)

    return fail
