"""Personal data in the text fields of the bundle: addresses, numbers of phones, cards, accounts and machines.

Patterns with a check digit are checked, so that a version, a hash or a time is not taken for one. What is found is told
with all but its first characters hidden: a report must not spread what it warns of. Names of people have no pattern.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from model_builder.audit.base import Audit, AuditResult, Subject
from model_builder.decode import Range
from model_builder.gates import Gate
from model_builder.metrics import Metric

_SHOWN, _MOST_TOLD = 3, 20


@dataclass(frozen=True)
class Parameters:
    """What is no finding."""

    allowed: Annotated[tuple[str, ...], Range(0, 100), "texts that may occur, such as the address of the team"] = field(
        default=()
    )


def luhn(text: str) -> bool:
    """The check digit of payment cards (ISO/IEC 7812)."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    total = sum(digits[::2]) + sum(sum(divmod(2 * d, 10)) for d in digits[1::2])
    return 13 <= len(digits) <= 19 and total % 10 == 0


def iban(text: str) -> bool:
    """The check digits of an account (ISO 13616): the rearranged number is 1 modulo 97."""
    packed = re.sub(r"\s", "", text)
    return 15 <= len(packed) <= 34 and int("".join(str(int(c, 36)) for c in packed[4:] + packed[:4])) % 97 == 1


def _address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _phone(text: str) -> bool:
    return 8 <= sum(c.isdigit() for c in text) <= 15


def _any(_: str) -> bool:
    return True


_PATTERNS: Mapping[str, tuple[re.Pattern[str], Callable[[str], bool]]] = {
    "e-mail address": (re.compile(r"\b[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"), _any),
    "bank account": (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), iban),
    "payment card": (re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])"), luhn),
    "phone number": (re.compile(r"(?<![\w.])(?:\+|00)\d{1,3}[ /.-]?(?:\(?\d{1,5}\)?[ /.-]?){2,6}(?![\w.])"), _phone),
    "social security number": (re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"), _any),
    "address of a machine": (re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])"), _address),
}


def search(text: str, *, allowed: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Kind and hidden sample of everything in a text that looks personal."""
    for harmless in allowed:
        text = text.replace(harmless, " ")
    return [
        (kind, found[:_SHOWN] + "***")
        for kind, (pattern, holds) in _PATTERNS.items()
        for found in pattern.findall(text)
        if holds(found)
    ]


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Search the texts of the data, the names of classes, features and groups, and the texts of the bundle."""
    data = subject.data
    groups = [str(value) for values in data.test.groups.values() for value in set(values.tolist())]
    texts = [*subject.texts, *data.texts, *data.notes, *data.classes, *data.columns, *data.vocabulary, *groups]
    hits = [(number, found) for number, text in enumerate(texts) if (found := search(text, allowed=parameters.allowed))]
    told = [
        f"text {number + 1} of {len(texts)} holds what looks like a {kind}: {sample}"
        for number, found in hits[:_MOST_TOLD]
        for kind, sample in found
    ]
    return AuditResult(metrics={"personalData": Metric(len(hits), len(texts))}, messages=tuple(told))


AUDIT = Audit(
    name="personalData",
    summary="searches the text fields of the bundle for personal data",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="personalData", threshold=0),),
)
