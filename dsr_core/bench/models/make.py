"""A model from its name on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsr_core.bench.models.base import Model
from dsr_core.bench.row import BenchError, Row
from dsr_core.endpoint import EndpointConfig
from dsr_core.qa.asking.asking import AskingConfig

FORMS = "openai:URL#NAME, hf:FOLDER_OR_NAME, vlm:FOLDER, geometry[:dsr|:robust], random[:SEED] or majority:FILE"


@dataclass(frozen=True)
class ModelOptions:
    """What models need beside their names.

    Attributes:
        scenes: Folder of scenes, for the geometry engine and for models that read them.
        timeout_s: Longest wait for a reply of an endpoint. asking: Its tries, concurrency, prices and budget.
        batch_size, device: Of a checkpoint.
        seed: Of everything that is drawn.
        rules: Of the geometry engine where its name tells none.
    """

    scenes: str | None = None
    timeout_s: float = 120.0
    asking: AskingConfig = field(default_factory=AskingConfig)
    batch_size: int = 1
    device: str | None = None
    seed: int = 0
    rules: str = "dsr"


def make_model(name: str, options: ModelOptions, read: Callable[[Path], Sequence[Row]]) -> Model:
    """The model of a name in one of `FORMS`.

    Args:
        name: The name. options: What it needs. read: The task's reader, for a prior from another file.

    Raises:
        DsrError: there is no such model, or it cannot be used here.
    """
    kind, _, rest = name.partition(":")
    if kind == "openai":
        from dsr_core.bench.models.endpoint import EndpointModel

        url, _, model = rest.partition("#")
        config = EndpointConfig.from_environment(url, model, timeout_s=options.timeout_s)
        if config is None:
            raise BenchError(f"{name!r} names no endpoint; give openai:http://host:port/v1#NAME")
        return EndpointModel(config, options.asking)
    if kind == "hf" and rest:
        from dsr_core.bench.models.checkpoint import CheckpointModel

        return CheckpointModel(rest, options.batch_size, options.device, options.seed)
    if kind == "vlm" and rest:
        from dsr_core.bench.models.vlm import VlmModel

        return VlmModel(rest, options.scenes, options.batch_size, options.device)
    if kind == "geometry":
        from dsr_core.bench.models.geometry import GeometryModel

        if not options.scenes:
            raise BenchError("the geometry engine needs --scenes DIR, which holds VIDEO.scene.npz for each video")
        return GeometryModel(options.scenes, rest or options.rules)
    if kind == "random":
        from dsr_core.bench.models.baselines import RandomModel

        if rest and not rest.isdigit():
            raise BenchError(f"{name!r}: the seed must be a whole number")
        return RandomModel(int(rest) if rest else options.seed)
    if kind == "majority":
        from dsr_core.bench.models.baselines import MajorityModel
        from dsr_core.bench.result import sha256_of

        if not rest:
            raise BenchError("majority needs other questions to learn from: majority:FILE, such as a training set")
        return MajorityModel(read(Path(rest)), Path(rest).name, sha256_of(Path(rest)))
    raise BenchError(f"there is no model {name!r}; give {FORMS}")
