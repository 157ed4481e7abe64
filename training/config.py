"""TrainConfig: all settings of a training run, from a YAML file and `key=value` words; every default is here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from dsr_core.vlm.config import GeometryConfig
from dsr_core.vlm.frames_cache import FrameConfig
from dsr_core.vlm.prompts import PromptConfig
from training.settings import TrainingError, flat, made, put

#: What is trained: adapters of the language model, or all of it, each with the geometry module; or that alone.
TRAINS = ("lora", "full", "geometry")
DTYPES = ("float32", "bfloat16")
#: Settings that do not change what is learned: a run may go on with others.
_FREE = ("out", "log_every", "save_every", "keep", "tensorboard", "evaluation", "resume", "stop_after")
_FREE_DATA = ("cache", "disk_gb", "memory_gb", "workers", "held_out", "held_out_limit", "allow_shared_scenes")


@dataclass(frozen=True)
class DataConfig:
    """What is learned from.

    Attributes:
        train, held_out: Question sets: parquet of `dsr qa`, or any layout that it writes or DSR-Train has. Scenes of
            one must not be in the other unless `allow_shared_scenes` says so.
        scenes, videos, recordings, sequence, detections: Where their recordings are (`dsr_core.vlm.recordings.Places`).
        cache: Folder of decoded frames, scenes of recordings, and geometry tokens; runs may share it.
        disk_gb: Bound of the frames on disk, and again of the tokens. memory_gb: Of each in memory.
        limit, held_out_limit: At most so many rows, drawn by the run's seed.
        hide_future: Whether frames and scene end where a question's future begins.
        workers: Threads that prepare batches while others are computed.
    """

    train: Sequence[str] = ()
    held_out: Sequence[str] = ()
    scenes: str | None = None
    videos: str | None = None
    recordings: Sequence[str] = ()
    sequence: str | None = None
    detections: str | None = None
    cache: str = "~/.cache/dsr_ros/vlm"
    disk_gb: float = 50.0
    memory_gb: float = 1.0
    limit: int | None = None
    held_out_limit: int | None = None
    hide_future: bool = True
    allow_shared_scenes: bool = False
    workers: int = 2


@dataclass(frozen=True)
class BaseConfig:
    """A base of random weights, in place of a checkpoint.

    Attributes:
        config: Configuration of transformers, with its `model_type`. tokenizer: Folder or hub name.
    """

    config: dict
    tokenizer: str


@dataclass(frozen=True)
class LoraConfig:
    """Adapters of the language model. `layers`: Its linear layers that get one, by their short names."""

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    layers: Sequence[str] = ("q", "k", "v", "o", "gate", "up", "down")


@dataclass(frozen=True)
class BatchConfig:
    """How many rows a step sees.

    Attributes:
        tokens: Tokens of a micro-batch, with its padding; rows of like length stand together. A longer row is a
            micro-batch of its own.
        rows: Most rows of a micro-batch; None: as the tokens allow.
        pool: Micro-batches' worth of rows that are sorted by length at once. More leave less padding; fewer mix better,
            where questions of one kind have one length: 1 sorts nothing.
        micro_batches: Of a step, over all processes: the same run on 1, 2 or 4 of them where it divides.
    """

    tokens: int = 8192
    rows: int | None = None
    pool: int = 50
    micro_batches: int = 8


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW; the learning rate rises linearly, then falls as a cosine.

    Attributes:
        lr: Highest rate of the language model's parameters. geometry_lr: Of the geometry module's.
        warmup: Steps of the rise, as a share of all. floor: Last rate, as a share of the highest.
        weight_decay: Of matrices. betas, eps: Of AdamW.
        clip: Longest gradient.
    """

    lr: float = 1e-4
    geometry_lr: float = 3e-4
    warmup: float = 0.03
    floor: float = 0.0
    weight_decay: float = 0.01
    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float = 1.0


@dataclass(frozen=True)
class EvaluationConfig:
    """How the held-out set is asked.

    Attributes:
        every: Steps between two evaluations; None: at the end alone.
        batch: Rows at once.
        controls: Whether the same model is also asked blind and with the geometry of other rows.
    """

    every: int | None = None
    batch: int = 8
    controls: bool = True


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        base: Checkpoint that is trained, a folder or a hub name; or {config, tokenizer}: random weights.
        out: Folder of the run.
        data, frames, geometry, prompt, lora, batch, optimizer, evaluation: See there; frames = null shows none.
        trains: One of `TRAINS`. vision: Whether "full" trains the vision tower, too.
        blind: Trains without frames and geometry: what the text alone teaches.
        epochs: Times that all rows are seen; steps: So many steps instead.
        dtype: Of frozen weights, and of computing with trained ones.
        attention: Implementation of transformers. gradient_checkpointing: Less memory for more time.
        tf32: Whether NVIDIA GPUs may multiply float32 matrices with 10 bits of mantissa: faster, and no longer full
            precision in the geometry module.
        max_tokens: Longer rows are left out.
        seed: Of everything that is drawn.
        log_every, save_every: Steps between lines of the log, and between checkpoints. keep: Checkpoints kept.
        tensorboard: Whether its files are written, too.
        resume: Whether a run in `out` goes on; false begins anew.
        stop_after: Stops after so many steps as a signal would, to be continued; None: never.
    """

    base: str | BaseConfig
    out: str
    data: DataConfig = field(default_factory=DataConfig)
    frames: FrameConfig | None = field(default_factory=FrameConfig)
    geometry: GeometryConfig = field(default_factory=GeometryConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    trains: str = "lora"
    vision: bool = False
    lora: LoraConfig = field(default_factory=LoraConfig)
    batch: BatchConfig = field(default_factory=BatchConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    blind: bool = False
    epochs: float = 1.0
    steps: int | None = None
    dtype: str = "bfloat16"
    attention: str = "sdpa"
    gradient_checkpointing: bool = False
    tf32: bool = False
    max_tokens: int = 8192
    seed: int = 0
    log_every: int = 1
    save_every: int = 200
    keep: int = 2
    tensorboard: bool = True
    resume: bool = True
    stop_after: int | None = None

    def __post_init__(self):
        for name, known in (("trains", TRAINS), ("dtype", DTYPES)):
            if getattr(self, name) not in known:
                raise TrainingError(f"{name} = {getattr(self, name)!r} is not known; known: {', '.join(known)}")
        if self.trains == "geometry" and self.geometry.mode == "none":
            raise TrainingError("trains = geometry has nothing to train where the geometry's mode is none")
        at_least_one = {
            "steps": self.steps, "log_every": self.log_every, "save_every": self.save_every, "keep": self.keep,
            "max_tokens": self.max_tokens, "batch.tokens": self.batch.tokens, "batch.rows": self.batch.rows,
            "batch.pool": self.batch.pool,
            "batch.micro_batches": self.batch.micro_batches, "lora.rank": self.lora.rank,
            "evaluation.every": self.evaluation.every, "evaluation.batch": self.evaluation.batch,
            "data.limit": self.data.limit, "data.held_out_limit": self.data.held_out_limit,
            "stop_after": self.stop_after,
        }  # fmt: skip
        for name, value in at_least_one.items():
            if value is not None and value < 1:
                raise TrainingError(f"{name} = {value} must be at least 1")
        o = self.optimizer
        if not (self.epochs > 0 and o.lr >= 0 and o.geometry_lr >= 0 and o.clip > 0 and self.data.workers >= 0):
            raise TrainingError(
                f"epochs = {self.epochs} and clip = {o.clip} must be positive; lr = {o.lr}, geometry_lr ="
                f" {o.geometry_lr} and workers = {self.data.workers} not negative"
            )
        if not (0.0 <= o.warmup < 1.0 and 0.0 <= o.floor <= 1.0):
            raise TrainingError(f"warmup = {o.warmup} and floor = {o.floor} are shares between 0 and 1")

    def to_dict(self) -> dict:
        """All settings as JSON values."""
        return json.loads(json.dumps(asdict(self)))

    def decisive(self) -> dict:
        """The settings that decide what is learned, flat: "optimizer.lr" -> value."""
        told = {name: value for name, value in self.to_dict().items() if name not in _FREE}
        told["data"] = {name: value for name, value in told["data"].items() if name not in _FREE_DATA}
        return dict(flat(told))

    def save(self, path: str | Path) -> None:
        """Writes the settings as YAML."""
        Path(path).write_text(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True), encoding="utf-8")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """A run's settings.

    Args:
        path: YAML file, or the name of one in `training/configs`.
        overrides: "key=value" words, the key with dots ("optimizer.lr=1e-5"), the value as YAML.

    Raises:
        TrainingError: no such file, no YAML, an unknown setting, or a value that is none for it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        ours = Path(__file__).parent / "configs"
        file = ours / f"{file.name.removesuffix('.yaml')}.yaml"
        if not file.is_file() or Path(path).name != str(path):
            known = ", ".join(sorted(p.stem for p in ours.glob("*.yaml") if not p.stem.startswith("accelerate")))
            raise TrainingError(f"there is no file {path}; configurations that come along: {known}")
    try:
        told = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TrainingError(f"{file} is no YAML ({str(error).splitlines()[0]})") from None
    if not isinstance(told, dict):
        raise TrainingError(f"{file} must hold settings, a name and a value a line")
    for word in overrides:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise TrainingError(f"{word!r} is no setting; give key=value, as in optimizer.lr=1e-5")
        try:
            put(told, name.split("."), yaml.safe_load(value))
        except yaml.YAMLError:
            raise TrainingError(f"{word!r}: the value is no YAML") from None
    return config_from(told)


def config_from(told: Mapping) -> TrainConfig:
    """Settings from a mapping as YAML gives it.

    Raises:
        TrainingError: an unknown setting, or a value that is none for it.
    """
    return made(TrainConfig, told, "")
