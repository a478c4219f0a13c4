"""The processes that `torchrun` started for one build, and how they talk.

Process 0 builds, and alone writes cache, checkpoints, artifact and progress. What the processes say to each other is
bytes, JSON and tensors, never a pickle. Every method of `Group` that talks is called by all processes at the same
point, and does nothing where there is only one.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import errors
from model_builder.errors import BadSpec, BuildError
from model_builder.trouble import translated

if TYPE_CHECKING:
    import torch

#: The others wait for process 0 through all that it does alone. Whoever dies is noticed at once, by `torchrun` as well.
_PATIENCE = datetime.timedelta(days=7)
#: Note on an error that all processes have heard of: nobody waits to be told.
_AGREED = "all processes of this build end what they were doing with this error"


@dataclass(frozen=True)
class Group:
    """All processes of a build, as one of them sees it."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that builds and writes."""
        return self.rank == 0

    # --- from the first process to all ---

    def shared(self, content: bytes | None) -> bytes:
        """What the first process gives; the others give None. BuildError if a process is gone."""
        import torch
        from torch import distributed

        if self.size == 1:
            assert content is not None
            return content
        with _connected():
            length = torch.tensor([len(content or b"")])
            distributed.broadcast(length, src=0)
            whole = torch.empty(int(length), dtype=torch.uint8)
            if content:
                whole.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
            distributed.broadcast(whole, src=0)
        return content if content is not None else whole.numpy().tobytes()

    def told(self, order: Mapping[str, Any] | None) -> dict[str, Any]:
        """As `shared`, for JSON."""
        whole: dict[str, Any] = json.loads(self.shared(None if order is None else json.dumps(order).encode()))
        return whole

    def state(self, load: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        """The tensors and plain values that the first process loads; the others load nothing."""
        import torch

        if self.size == 1:
            return load()
        stream = io.BytesIO()
        if self.first:
            torch.save(load(), stream)
        content = self.shared(stream.getvalue() if self.first else None)
        found: dict[str, Any] | None = torch.load(io.BytesIO(content), weights_only=True)
        return found

    def number(self, ask: Callable[[], float], *, place: Path) -> float:
        """What the first process finds; with its failure, if it fails, on all. `place` as in `trouble.translated`."""
        import torch
        from torch import distributed

        value = float("nan")
        with self.together(place):
            if self.first:
                value = ask()
        if self.size > 1:
            whole = torch.tensor([value], dtype=torch.float64)
            with _connected():
                distributed.broadcast(whole, src=0)
            value = float(whole)
        return value

    # --- from all to all ---

    @contextlib.contextmanager
    def together(self, place: Path) -> Iterator[None]:
        """Go on when all have done what is within; what one process failed with is raised on all.

        Whoever fails says so at its end. The others hear of it where they agree next, be it within.
        """
        error = None
        try:
            with translated(place):
                yield
        except BuildError as failure:
            if self.agreed(failure):
                raise
            error = failure
        self.agree(error)

    def agreed(self, error: BuildError) -> bool:
        """Whether all processes raise this error, or one that says the same."""
        return self.size > 1 and _AGREED in getattr(error, "__notes__", ())

    def agree(self, error: BuildError | None) -> None:
        """Raise what this process, or else the first one that did, failed with; if none did, nothing."""
        import torch

        if self.size > 1 and self.add(torch.tensor([0.0 if error is None else 1.0])).item():
            told = None if error is None else {"kind": type(error).__name__, "reason": error.reason, "text": str(error)}
            failures = [json.loads(bytes(text.tolist())) for text in self.gathered(_text(json.dumps(told)))]
            rank, found = next((rank, failure) for rank, failure in enumerate(failures) if failure is not None)
            error = error or _rebuilt(found, rank=rank)
            error.add_note(_AGREED)
        if error is not None:
            raise error

    def add(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        from torch import distributed

        if self.size > 1:
            with _connected():
                distributed.all_reduce(tensor)
        return tensor

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """The vectors of all processes, which may differ in length."""
        import torch
        from torch import distributed

        if self.size == 1:
            return [tensor]
        lengths = torch.zeros(self.size, dtype=torch.int64)
        lengths[self.rank] = len(tensor)
        self.add(lengths)
        padded = torch.zeros(int(lengths.max()), dtype=tensor.dtype)
        padded[: len(tensor)] = tensor
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _connected():
            distributed.all_gather(parts, padded)
        return [part[: int(length)] for part, length in zip(parts, lengths, strict=True)]

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter], *, place: Path) -> None:
        """Every parameter gets the sum of its gradients; one that no process has a gradient of stays without."""
        import torch

        if self.size == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        known = self.add(torch.tensor([0.0 if p.grad is None else 1.0 for p in learning]))
        used = [parameter for parameter, count in zip(learning, known.tolist(), strict=True) if count]
        if not used:
            return
        with self.together(place):
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in used])
        for parameter, part in zip(used, torch.split(self.add(flat), [p.numel() for p in used]), strict=True):
            parameter.grad = part.reshape(parameter.shape).clone()


ALONE = Group()


def join() -> Group:
    """The group that torchrun's environment tells of; only this process where it tells of none.

    Gloo carries tensors of the CPU, which is where the passes train; NCCL those of a GPU, where there is one.

    Raises:
        BadSpec: the environment is not torchrun's.
        BuildError: the others can't be reached.
    """
    size = _number("WORLD_SIZE", default=1)
    if size == 1:
        return ALONE
    import torch

    # Its defaults are the group of the moment: read later, they would hold it for ever, and `leave` would not end it.
    import torch.distributed.nn.functional
    from torch import distributed

    rank = _number("RANK", default=None)
    with _connected():
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, rank=rank, world_size=size, timeout=_PATIENCE)
    return Group(rank=rank, size=size)


def leave(group: Group) -> None:
    """End the threads of the group, before the interpreter ends; nothing of it can be called afterwards.

    They drop tensors, for which they need the interpreter. One that is late for that is ended by Python in the middle
    of C++ code, and takes the process with it: SIGABRT in place of the exit code.
    """
    if group.size > 1:
        from torch import distributed

        distributed.destroy_process_group()


def _number(name: str, *, default: int | None) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise BadSpec(f"the environment variable {name} is {text!r}; torchrun sets it to a whole number: start it anew")
    return int(text)


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())[:200]
        raise BuildError(
            f"a process of this build is gone or can't be reached ({text}): its own log says why; 137 is the kernel's"
        ) from error


def _text(text: str) -> torch.Tensor:
    import torch

    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def _rebuilt(told: Mapping[str, str], *, rank: int) -> BuildError:
    """The failure of another process, as its own kind."""
    kind: Callable[..., BuildError] = getattr(errors, told["kind"])
    text = f"{told['text']} (process {rank})"
    return kind(text) if told["reason"] == told["kind"] else kind(text, reason=told["reason"])
