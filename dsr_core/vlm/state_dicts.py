"""Weights of files under other names than our modules': read, renamed, and every tensor accounted for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dsr_core.vlm.values import VlmError

_NAMES = ("model.safetensors.index.json", "model.safetensors", "pytorch_model.bin.index.json", "pytorch_model.bin")


@dataclass(frozen=True)
class LoadReport:
    """What became of the tensors of a file.

    Attributes:
        loaded: Name in the file -> names in the module (several where one tensor was split).
        missing: Names of the module that the file does not fill.
        unexpected: Names of the file that the module has no place for.
        misshapen: "name: shape in the file, shape in the module" of those that do not fit.
    """

    loaded: Mapping[str, tuple[str, ...]]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()

    def check(self, what: str) -> LoadReport:
        """Itself, where every tensor has its place.

        Raises:
            VlmError: names of tensors that are missing, unexpected or of another shape, the first ten of each.
        """
        wrong = (("missing", self.missing), ("unexpected", self.unexpected), ("of another shape", self.misshapen))
        told = [f"{len(names)} {kind}: {_some(names)}" for kind, names in wrong if names]
        if told:
            raise VlmError(f"the weights of {what} do not fit ({len(self.loaded)} tensors do); {'; '.join(told)}")
        return self

    def __str__(self) -> str:
        return f"{len(self.loaded)} tensors loaded, {len(self.missing)} missing, {len(self.unexpected)} unexpected"


def renamed(
    state: Mapping[str, Tensor],
    rename: Callable[[str], tuple[str, ...]],
    shapes: Mapping[str, Iterable[int]],
    optional: Iterable[str] = (),
) -> tuple[dict[str, Tensor], LoadReport]:
    """Tensors of a file under the names of a module.

    Args:
        state: Name in the file -> tensor.
        rename: Name in the file -> names in the module; a tensor with several is split into so many along its first
            axis. () for a name that is not known.
        shapes: Name in the module -> shape, for all that it has.
        optional: Names of the module that may be missing.

    Returns:
        Those tensors that fit, and the report.
    """
    out, loaded, unexpected, misshapen = {}, {}, [], []
    for name, tensor in state.items():
        targets = rename(name)
        if not targets or not all(target in shapes for target in targets):
            unexpected.append(name)
            continue
        wanted = tuple(shapes[targets[0]])
        if tuple(tensor.shape) != ((wanted[0] * len(targets), *wanted[1:]) if wanted else ()):
            misshapen.append(f"{name}: {tuple(tensor.shape)}, {' + '.join([str(wanted)] * len(targets))}")
            continue
        if clash := [target for target in targets if target in out]:
            raise VlmError(f"two tensors of the file are {clash[0]}; one of them is {name}")
        loaded[name] = targets
        out.update(zip(targets, tensor.chunk(len(targets)) if len(targets) > 1 else (tensor,), strict=True))
    named = {target for name in state for target in rename(name)}
    missing = [name for name in shapes if name not in named and name not in set(optional)]
    return out, LoadReport(loaded, tuple(missing), tuple(unexpected), tuple(misshapen))


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what a module saves."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """All tensors of a file, or of a checkpoint's folder (one file, or shards with an index), on the CPU.

    Raises:
        VlmError: there are none; the message names what was looked for.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = next((path / name for name in _NAMES if (path / name).is_file()), None)
        if found is None:
            raise VlmError(f"the folder {path} holds none of {', '.join(_NAMES)}")
        path = found
    if not path.is_file():
        raise VlmError(f"there is no file {path}")
    if path.suffix == ".json":
        try:
            shards = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError) as error:
            raise VlmError(f"{path} is no index of shards: {error!r}") from None
        return {name: tensor for shard in shards for name, tensor in read_state_dict(path.parent / shard).items()}
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # safetensors and torch have no common one for a damaged file
        raise VlmError(f"{path} cannot be read: {str(error)[:300]}") from error
    state = state.get("state_dict", state.get("model", state)) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise VlmError(f"{path} holds no tensors by name")
    return state


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
