"""Reads question sets: our own parquet as items, and every published layout as plain rows."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from dsr_core.qa.files.columns import OWN, item_of
from dsr_core.qa.files.layouts import LAYOUTS, parquet_rows
from dsr_core.qa.files.letters import MAX_OPTIONS, index_of, without_letters
from dsr_core.qa.files.read_types import type_read
from dsr_core.qa.item import LETTERS, Item, QaError

_VIDEO_SUFFIX = re.compile(r"\.(?:mp4|webm|mkv|avi|mov)$", re.IGNORECASE)


@dataclass(frozen=True)
class QaRow:
    """A question as any layout has it.

    Attributes:
        index: Its number in the file, from 0.
        video_id: Name of its video without folder and suffix.
        type: Its type; read off the question's words where the layout has none, "" where they tell nothing.
        question: Its text.
        options: Texts without letters.
        answer_index: Which of them is true.
        scene, group: Our own columns; "" where the file has none.
        future_from_s: Second from which the video must be hidden, or None where the file does not say.
        image_size: (width, height) that boxes refer to, or None where the file does not say.
        window: (start, end) in seconds that it is about, or None where the file does not say.
    """

    index: int
    video_id: str
    type: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    scene: str = ""
    group: str = ""
    future_from_s: float | None = None
    image_size: tuple[int, int] | None = None
    window: tuple[float, float] | None = None

    @property
    def letter(self) -> str:
        return chr(65 + self.answer_index)


def read_rows(path: str | Path, faults: dict[int, str] | None = None) -> list[QaRow]:
    """Reads a question set in any layout; which one is seen by its suffix and its fields.

    * .parquet: `videoID, type, question, options, answer` (and our own columns where there are any);
    * .json: an object videoID -> list of {Type, Question, A, B, C, D, Correct}; or a list of conversations (also
      packed: lists of them), of ms-swift messages, or of objects with question, options and answer;
    * .jsonl: a line each of the same;
    * .tsv, .csv: of EASI (video, question, options, answer, task_type) or of DSR Suite's evaluation (index, video,
      video_path, candidates as a Python list, question, answer).

    Args:
        path: The file.
        faults: Where given, a row that is no question is left out and told here, its number -> why; the others keep
            their numbers.

    Raises:
        QaError: no such file, a truncated or foreign one; it names the file, the row and the next step.
        DependencyError: pyarrow is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise QaError(f"no question set at {path}; make one with `dsr qa` or give another file")
    reader = LAYOUTS.get(path.suffix.lower())
    if reader is None:
        raise QaError(f"{path.name} ends in {path.suffix or 'nothing'}; question sets end in {', '.join(LAYOUTS)}")
    rows = []
    for index, record in enumerate(reader(path)):
        try:
            rows.append(_row(index, record))
        except (QaError, KeyError, TypeError, ValueError, AttributeError) as error:
            told = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            if faults is not None:
                faults[index] = told
                continue
            raise QaError(
                f"{path.name}, row {index}: {told}; this row is no question of a known layout (see read_rows):"
                f" {_short(record)}"
            ) from None
    if not rows and not faults:
        raise QaError(f"{path.name} holds no question; was it written to its end?")
    return rows


def read_items(path: str | Path) -> list[Item]:
    """Reads a parquet file of `write_items` with all that its items hold.

    Raises:
        QaError: not such a file (then `read_rows` may read it), or a truncated one.
    """
    path = Path(path)
    if not path.is_file():
        raise QaError(f"no question set at {path}; make one with `dsr qa`")
    items = []
    for row in parquet_rows(path):
        missing = [name for name in OWN if name not in row]
        if missing:
            raise QaError(
                f"{path.name} lacks {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}: it was not written by"
                " `dsr qa` of this version; read it as plain rows, or make it again"
            )
        try:
            options = tuple(option.partition(". ")[2] for option in row["options"])
            items.append(item_of(row, options, LETTERS.index(row["answer"])))
        except (QaError, TypeError, ValueError, IndexError) as error:
            raise QaError(f"{path.name}, row {len(items)}: {error}; make the file again") from None
    return items


# --- one record -> one row -------------------------------------------------------------------------------------------


def _row(index: int, record) -> QaRow:
    if not isinstance(record, dict):
        raise QaError(f"a question is an object, not {type(record).__name__}")
    if "conversations" in record:
        said = {m.get("from", m.get("role")): m.get("value", m.get("content")) for m in record["conversations"]}
        question, options, answer = *_of_prompt(said["human"]), said["gpt"]
        video = record.get("video")
    elif "messages" in record:
        said = {m["role"]: m["content"] for m in record["messages"]}
        question, options = _of_prompt(said["user"])
        solution = record.get("solution") or [{}]
        answer = solution[0].get("answer", said.get("assistant"))
        video = record.get("videos")
    else:
        lower = {str(k).lower(): v for k, v in record.items()}
        question, video = lower["question"], lower.get("videoid", lower.get("video"))
        options = lower.get("options", lower.get("candidates"))
        if options is None:
            options = [lower[letter] for letter in "abcd" if lower.get(letter) is not None]
        answer = lower["answer"] if "answer" in lower else lower["correct"]
    if not isinstance(question, str) or not question.strip():
        raise QaError(f"the question {question!r} is empty or no text")
    options = without_letters(_listed(options))
    if not 2 <= len(options) <= MAX_OPTIONS or not all(options):
        raise QaError(f"there must be 2 to {MAX_OPTIONS} options with text, not {list(options)}")
    type_ = record.get("type", record.get("Type", record.get("task_type")))
    if type_ is None:
        # A file of the published generator names the types of templates alone.
        type_ = "non_temp" if "Correct" in record else type_read(question)
    size = record.get("image_width"), record.get("image_height")
    window = record.get("start_s"), record.get("end_s")
    return QaRow(
        index,
        _video_id(video),
        str(type_),
        question.strip(),
        options,
        index_of(answer, options),
        record.get("scene") or "",
        record.get("group") or "",
        record.get("future_from_s"),
        size if all(size) else None,
        None if None in window else (float(window[0]), float(window[1])),
    )


def _video_id(video) -> str:
    """ "clips/abc_0.mp4" -> "abc_0"; of several videos the first one."""
    if isinstance(video, (list, tuple)):
        video = video[0] if video else None
    if not isinstance(video, str) or not video:
        raise QaError(f"the video {video!r} is no name")
    return _VIDEO_SUFFIX.sub("", video.replace("\\", "/").rsplit("/", 1)[-1])


def _listed(options) -> list[str]:
    """Options of a cell: a list, a Python or JSON list as text (never evaluated), or a line each."""
    if isinstance(options, str):
        text = options.strip()
        if text[:1] in "[(":
            try:
                options = ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                try:
                    options = json.loads(text)
                except (ValueError, RecursionError):
                    raise QaError(f"the options {text[:60]!r} are no list; is the row cut off?") from None
        else:
            options = text.splitlines()
    if isinstance(options, dict):
        options = [options[k] for k in sorted(options)]
    if not isinstance(options, (list, tuple)) or not all(isinstance(o, (str, int, float)) for o in options):
        raise QaError(f"the options {options!r} are no list of texts")
    return [str(o) for o in options]


def _of_prompt(text: str) -> tuple[str, list[str]]:
    """ "<video>\\nQuestion\\nOptions:\\nA …\\nB …" -> the question and its options."""
    if not isinstance(text, str):
        raise QaError(f"a prompt is a text, not {type(text).__name__}")
    body = re.sub(r"^(?:\s*<(?:video|image)>\s*)+", "", text)
    question, found, options = body.rpartition("\nOptions:\n")
    if not found:
        raise QaError("the prompt has no line 'Options:'")
    return question.strip(), [line for line in options.splitlines() if line.strip()]


def _short(record) -> str:
    text = repr(record)
    return text if len(text) <= 160 else f"{text[:157]}..."
