"""The measuring of a classifier and its source, under the name it had before there was more to measure."""

from model_builder.evaluation import measure

__all__ = ["measure"]
