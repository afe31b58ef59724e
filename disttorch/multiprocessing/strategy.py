"""How tensors travel between processes. There is one way; its settings are kept so that programs can ask for it."""


def get_all_sharing_strategies() -> set[str]:
    """The ways of sharing memory that there are here: one."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """ "file_descriptor": an open file without a name is handed over, so nothing is left behind."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """ "file_descriptor", or "file_system", which is answered with the same. AssertionError for other names."""
    assert new_strategy in {"file_descriptor", "file_system"}, f"invalid sharing strategy: {new_strategy!r}"
