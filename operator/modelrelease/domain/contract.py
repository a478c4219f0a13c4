"""The contract between a model and its clients: names, types and shapes of inputs and outputs."""

from __future__ import annotations

from modelrelease.domain.observed import Contract, Tensor


def contract_change(old: Contract, new: Contract) -> str | None:
    """Return a sentence that names the first difference a client would notice, None if there is none."""
    for kind, before, after in (("input", old.inputs, new.inputs), ("output", old.outputs, new.outputs)):
        if (change := _change(kind, before, after)) is not None:
            return change
    if old.batchable and not new.batchable:
        return "the model takes no batches any more"
    return None


def _change(kind: str, before: tuple[Tensor, ...], after: tuple[Tensor, ...]) -> str | None:
    was, now = {t.name: t for t in before}, {t.name: t for t in after}
    if missing := sorted(was.keys() - now.keys()):
        return f"{kind} {missing[0]} of the stable version is gone"
    if kind == "input" and (added := sorted(now.keys() - was.keys())):
        return f"input {added[0]} is new, and today's clients do not send it"
    for name in sorted(was):
        if was[name] != now[name]:
            return f"{kind} {name} was {_told(was[name])} and is {_told(now[name])}"
    return None


def _told(tensor: Tensor) -> str:
    return f"{tensor.datatype}[{','.join(str(size) for size in tensor.shape)}]"
