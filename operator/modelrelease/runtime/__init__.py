"""The process around the decisions: cache, queue, workers, observing, applying."""
