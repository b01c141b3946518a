"""Methods on which the property tests run."""

from avbalance import registry

METHOD: tuple[str, str] | None = None
"""Kind and `module:Class` of the one method that `pytest --method` names; conftest.py sets it."""


def names(kind: str) -> list[str]:
    """Return all registered methods of a kind, or only the one of `--method`."""
    if METHOD is None:
        return list(registry.registered(kind))
    return [METHOD[1]] if METHOD[0] == kind else []
