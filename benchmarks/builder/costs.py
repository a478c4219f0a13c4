"""What formats gain in time, and what a build costs: time, interruptions, memory."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import builder_memory
from benchmarks.builder import builds, encoder
from benchmarks.builder.builds import Place, command, spec, write_spec
from benchmarks.builder.formats import TRAIN

_FASTEST = {"pass": "fastest"}
_INT8 = {"pass": "quantize"}
_KILLS = 3
#: Layers of 16 MiB: a source of 400 MB.
_LAYERS = 24


def measure_convolutional(place: Place) -> dict[str, float]:
    """The digits' network in every format."""
    return _times(builds.built(spec(TRAIN, _FASTEST, seed=place.seed, gates=[]), place=place, name="conv"))


def measure_encoder(place: Place) -> dict[str, float]:
    """A small transformer encoder in every format."""
    train = {"pass": "train", "parameters": {"epochs": 3, "learningRate": 0.0005}}
    given = encoder.inputs(place.folder, seed=place.seed)
    made = builds.built(spec(train, _FASTEST, seed=place.seed, gates=[], **given), place=place, name="encoder")
    return {
        **_times(made),
        "accuracy": made.value("accuracy"),
        "lost": made.value("accuracy.source") - made.value("accuracy"),
    }


def _times(made: builds.Built) -> dict[str, float]:
    """Median times of one row, as shares of that of FP32, measured turn about in one process."""
    formats: Mapping[str, Any] = made.step("fastest")["record"]["formats"]
    whole = formats["Float32"]["latencyP50Ms"]
    ratios = {name: found["latencyP50Ms"] / whole for name, found in formats.items() if name != "Float32"}
    (chosen,) = made.manifest["choices"].values()
    return {**ratios, "chosen": formats[chosen]["latencyP50Ms"] / whole}


def measure_rebuild(place: Place) -> dict[str, float]:
    """The same command twice, with one cache."""
    file = write_spec(spec(TRAIN, _INT8, seed=place.seed), place=place)
    first, again = (
        command("build", "--spec", file, "--out", place.folder / name, "--cache", place.folder / "cache")
        for name in ("first", "again")
    )
    others = int(first.result["digest"] != again.result["digest"])
    return {"first": first.seconds, "again": again.seconds, "others": others}


def measure_killed(place: Place) -> dict[str, float]:
    """A build that is ended without warning at moments of chance, and started again each time."""
    file = write_spec(spec(TRAIN, _INT8, seed=place.seed), place=place)
    undisturbed = command("build", "--spec", file, "--out", place.folder / "whole", "--cache", place.folder / "one")
    arguments = ("build", "--spec", file, "--out", place.folder / "out", "--cache", place.folder / "two")
    chance = random.Random(place.seed)  # noqa: S311 - moments, no secrets
    kills = sum(builds.killed(*arguments, after=chance.uniform(0.2, 0.7) * undisturbed.seconds) for _ in range(_KILLS))
    others = int(command(*arguments).result["digest"] != undisturbed.result["digest"])
    return {"kills": kills, "others": others}


def measure_whole(place: Place) -> dict[str, float]:
    """All commands from the spec to the report, each in a process of its own, with nothing in the cache."""
    from model_builder import audit

    audits = [{"audit": name} for name in audit.REGISTRY]
    file = write_spec(spec({"pass": "finetune"}, _INT8, seed=place.seed, gates=[], audit=audits), place=place)
    out = place.folder / "out"
    ran = [command("build", "--spec", file, "--out", out, "--cache", place.folder / "cache")]
    ran += [command("sign", out, "--private-key", _key(place))]
    ran += [command("report", out, "--out", place.folder / "report.html")]
    return {"seconds": sum(each.seconds for each in ran)}


def _key(place: Place) -> Path:
    """A fresh key to sign with."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    written = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = place.folder / "key.pem"
    file.write_bytes(written)
    return file


def measure_memory(place: Place) -> dict[str, float]:
    """The most memory that a build of a large model takes, static INT8, audits and all."""
    size = builder_memory.write_inputs(place.folder, layers=_LAYERS)
    document = builder_memory.spec(place.folder, layers=_LAYERS, recipe="quantize")
    peak = max(builder_memory.measure(document, folder=place.folder).values())
    return {"source": size, "peak": peak, "ofLimit": peak / builder_memory.limit(size)}
