"""The passes of a recipe: name -> parameters -> function. A new pass is a new file and a line here."""

from collections.abc import Mapping

from model_builder.passes import distill, fastest, federated, finetune, float16, prune, qat, quantize, train, tune
from model_builder.passes.base import Pass

REGISTRY: Mapping[str, Pass] = {
    entry.name: entry
    for entry in (
        train.PASS,
        finetune.PASS,
        federated.PASS,
        distill.PASS,
        prune.PASS,
        quantize.PASS,
        qat.PASS,
        float16.PASS,
        fastest.PASS,
        tune.PASS,
    )
}
