"""Reads question sets: our own parquet as items, and every published layout as plain rows."""

from __future__ import annotations

import ast
import csv
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dsr_core.qa.arrow import parquet
from dsr_core.qa.columns import OWN, PUBLISHED, item_of
from dsr_core.qa.item import LETTERS, Item, QaError
from dsr_core.qa.letters import MAX_OPTIONS, index_of, without_letters

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

    @property
    def letter(self) -> str:
        return chr(65 + self.answer_index)


def read_rows(path: str | Path) -> list[QaRow]:
    """Reads a question set in any layout; which one is seen by its suffix and its fields.

    * .parquet: `videoID, type, question, options, answer` (and our own columns where there are any);
    * .json: an object videoID -> list of {Type, Question, A, B, C, D, Correct}; or a list of conversations (also
      packed: lists of them), of ms-swift messages, or of objects with question, options and answer;
    * .jsonl: a line each of the same;
    * .tsv, .csv: of EASI (video, question, options, answer, task_type) or of DSR Suite's evaluation (index, video,
      video_path, candidates as a Python list, question, answer).

    Raises:
        QaError: no such file, a truncated or foreign one; it names the file, the row and the next step.
        DependencyError: pyarrow is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise QaError(f"no question set at {path}; make one with `dsr qa` or give another file")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise QaError(f"{path.name} ends in {path.suffix or 'nothing'}; question sets end in {', '.join(_READERS)}")
    rows = []
    for record in reader(path):
        try:
            rows.append(_row(len(rows), record))
        except (QaError, KeyError, TypeError, ValueError, AttributeError) as error:
            told = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise QaError(
                f"{path.name}, row {len(rows)}: {told}; this row is no question of a known layout (see read_rows):"
                f" {_short(record)}"
            ) from None
    if not rows:
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
    for row in _parquet_rows(path):
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


_READ_TYPES = (
    ("dir_pred", re.compile(r"predict the moving direction of ", re.IGNORECASE)),
    ("dis", re.compile(r"how does the distance between .+ and .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("dir", re.compile(r"how does the direction of .+ to .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("ori", re.compile(r"how does the orientation of .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("spd", re.compile(r"how does the speed of .+ change\??$", re.IGNORECASE | re.DOTALL)),
    ("spd_comp", re.compile(r"compare the speed between .+ and ", re.IGNORECASE | re.DOTALL)),
)
_ABSOLUTE = re.compile(r"\bfrom the perspective of .+? at [\d.]+ ?s,", re.IGNORECASE | re.DOTALL)
_RELATIVE = re.compile(r"\bfollowing the perspective of ", re.IGNORECASE)


def type_read(question: str) -> str:
    """The published type that a question's words show; "non_temp" with a viewpoint alone, else ""."""
    absolute, relative = _ABSOLUTE.search(question), _RELATIVE.search(question)
    if not absolute and not relative:
        return ""
    for short, words in _READ_TYPES:
        if words.search(question):
            return f"{'abs' if absolute else 'rel'}_{short}"
    return "non_temp"


# --- files -> records ------------------------------------------------------------------------------------------------


def _parquet_questions(path: Path) -> Iterator[dict]:
    """Rows with the columns that a `QaRow` has; the others may be many times as large."""
    return _parquet_rows(path, (*PUBLISHED, "scene", "group", "future_from_s", "image_width", "image_height"))


def _parquet_rows(path: Path, columns: tuple[str, ...] | None = None) -> Iterator[dict]:
    pa, pq = parquet()
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            missing = [name for name in PUBLISHED if name not in names]
            if missing:
                raise QaError(
                    f"{path.name} has the columns {', '.join(names[:8])}, not {', '.join(missing)};"
                    f" a question set has {', '.join(PUBLISHED)}"
                )
            for batch in file.iter_batches(columns=[n for n in names if columns is None or n in columns]):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise QaError(f"{path.name} is no whole parquet file ({reason}); fetch or make it again") from None


def _json_rows(path: Path) -> Iterator[dict]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise QaError(f"{path.name} is no whole JSON file ({error}); fetch or make it again") from None
    if isinstance(data, dict):
        for video, entries in data.items():
            if not isinstance(entries, list):
                raise QaError(f"{path.name}: {video!r} has {type(entries).__name__}, not a list of questions")
            for entry in entries:
                yield {"video": video, **entry} if isinstance(entry, dict) else entry
    elif isinstance(data, list):
        yield from _unpacked(data)
    else:
        raise QaError(f"{path.name} holds {type(data).__name__}; a question set is an object or a list")


def _json_lines(path: Path) -> Iterator[dict]:
    number = 0
    with open(path, encoding="utf-8") as file:
        try:
            for line in file:
                number += 1
                if line.strip():
                    yield from _unpacked([json.loads(line)])
        except (ValueError, RecursionError) as error:
            raise QaError(f"{path.name}, line {number}: no whole JSON ({error}); fetch or make it again") from None


def _unpacked(entries: list) -> Iterator[dict]:
    """Entries, and those of packed samples: a list of entries as one."""
    for entry in entries:
        yield from entry if isinstance(entry, list) else [entry]


def _table(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            for row in reader:
                if None in row or None in row.values():
                    raise QaError(
                        f"{path.name}, line {reader.line_num}: {sum(v is not None for v in row.values())} cells for"
                        f" {len(reader.fieldnames)} columns ({', '.join(reader.fieldnames)}); is the row cut off?"
                    )
                yield {k: v for k, v in row.items() if k}
        except (csv.Error, UnicodeDecodeError) as error:
            raise QaError(f"{path.name}, line {reader.line_num}: {error}; fetch or make it again") from None


_READERS: dict[str, Callable[[Path], Iterator[dict]]] = {
    ".parquet": _parquet_questions,
    ".json": _json_rows,
    ".jsonl": _json_lines,
    ".tsv": _table,
    ".csv": _table,
}


def _short(record) -> str:
    text = repr(record)
    return text if len(text) <= 160 else f"{text[:157]}..."
