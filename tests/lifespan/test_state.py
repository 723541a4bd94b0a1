import pytest

from asgi_middleware.lifespan.state import State, merge


def test_adds_what_was_yielded() -> None:
    state: State = {"a": 1}

    merge(state, {"b": 2}, source="two")

    assert state == {"a": 1, "b": 2}


def test_refuses_a_key_that_is_there_and_changes_nothing() -> None:
    state: State = {"a": 1}

    with pytest.raises(ValueError, match="two yields 'a', which is in the state already"):
        merge(state, {"b": 2, "a": 3}, source="two")

    assert state == {"a": 1}
