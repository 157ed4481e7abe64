"""The values that flow through question making: a Candidate is a question with its true answer, an Item has options."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsr_core.errors import DsrError

LETTERS = ("A", "B", "C", "D")
#: The published types: {absolute, relative viewpoint} x {distance, direction, ...}, and free-form.
TEMPLATE_TYPES = tuple(
    f"{mode}_{what}" for mode in ("abs", "rel") for what in ("dis", "dir", "ori", "spd", "spd_comp", "dir_pred")
)
DSR_TYPES = (*TEMPLATE_TYPES, "non_temp")


class QaError(DsrError):
    """Questions cannot be made, read or written."""


@dataclass(frozen=True)
class Candidate:
    """A question about a scene with its true answer, before it has options.

    Attributes:
        scene: Name of the recording; questions of one scene stay together when a set is split.
        video_id: Name of its video, without suffix ("" where it has none).
        type: One of `DSR_TYPES`, or a task of MLLM-4D.
        kind: Kind of the query (`dsr_core.reasoning.vocabulary`).
        question: The question as it is asked.
        answer: The true answer in the words of the set's style, without a letter.
        labels: Labels of the states behind the answer.
        viewer: Class of the viewer ("camera", "car").
        things: Classes of the things asked about, in the question's order.
        tracks: Ids of all tracks that the question names, the viewer's first where it is a track.
        window: (start, end) in seconds.
        viewpoint: {"agent", "mode", "at"} as a query has it.
        query: The typed query (`Query.to_dict`) that gives the answer.
        covariates: Numbers that a reader of the question alone sees (times, lengths, boxes as parts of the image), in a
            fixed order for each type; options are matched on them.
        margin: Distance of the weakest decision from its threshold, in the kind's unit, or None.
        confidence: Probability that the answer is right.
        value: Number behind a numeric answer, or None.
        unit: Its unit, or None.
        metric: Whether the scene is in metres.
        rules: "robust" or "dsr".
        image_size: (width, height) that the boxes in the question refer to, or None.
        future_from_s: Second from which the video must be hidden for the question to be fair, or None.
        ego_motion, object_motion: "moving", "still" or None.
        others: For each state the label it would have if its weakest decision fell the other way (`Finding.others`).
        samples: Number of samples of the recording that the answer rests on, 0 where not known.
        spatial_states: {"camera_center", "object_center"}, each two points [x, y, z] (start, end) or None, in metres in
            the camera's frame at the start (x right, y down, z forward); None where the style has none.
    """

    scene: str
    video_id: str
    type: str
    kind: str
    question: str
    answer: str
    labels: tuple[str, ...]
    viewer: str
    things: tuple[str, ...]
    tracks: tuple[str, ...]
    window: tuple[float, float]
    viewpoint: dict
    query: dict
    covariates: tuple[float, ...] = ()
    margin: float | None = None
    confidence: float = 1.0
    value: float | None = None
    unit: str | None = None
    metric: bool = True
    rules: str = "robust"
    image_size: tuple[int, int] | None = None
    future_from_s: float | None = None
    ego_motion: str | None = None
    object_motion: str | None = None
    others: tuple[str, ...] = ()
    samples: int = 0
    spatial_states: dict | None = None

    @property
    def stratum(self) -> tuple[str, ...]:
        """What prior knowledge goes by: type, viewer and classes. Options are matched within a stratum."""
        return (self.type, self.viewer, *self.things)


@dataclass(frozen=True)
class Item:
    """A multiple-choice question.

    Attributes:
        candidate: The question and its true answer.
        options: Four texts without letters.
        answer_index: Which of them is true.
        origins: Where each option comes from: "truth", "other_object", "other_window", "other_viewpoint", "mirrored",
            "reversed", "near_miss", "noise", "numeric", "model"; more than one joined by "+".
        distractors: Style of the options, "physical", "dsr", or "model" (free-form questions).
        group: Name of the group of items that share their options ("" for none).
    """

    candidate: Candidate
    options: tuple[str, ...]
    answer_index: int
    origins: tuple[str, ...] = ()
    distractors: str = "physical"
    group: str = ""
    extra: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(set(self.options)) != len(self.options) or len(self.options) > len(LETTERS):
            raise QaError(f"options must be at most {len(LETTERS)} different texts, not {self.options}")
        if not 0 <= self.answer_index < len(self.options) or self.options[self.answer_index] != self.candidate.answer:
            raise QaError(f"option {self.answer_index} of {self.options} is not the answer {self.candidate.answer!r}")

    @property
    def letter(self) -> str:
        return LETTERS[self.answer_index]
