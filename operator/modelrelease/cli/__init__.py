"""The `modelrelease` command: what is it doing, why, what is it waiting for, and how do I stop it.

`release`, `clocks`, `view`, `verbs` and `rules` are pure; `cluster` talks to the API server;
`main` reads the command line. Whatever is slow to import is imported where it is used.
"""
