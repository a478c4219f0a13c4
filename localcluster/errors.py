"""The one exception that reaches the person at the terminal, as one sentence."""


class ClusterError(Exception):
    """Something the user can act on; its text says what happened and what to do."""
