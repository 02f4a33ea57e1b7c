"""The error tree: what an application can catch, and what a client may see of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import HTTPException, ServiceUnavailable

from sharedsession import errors
from sharedsession.errors import (
    RETRY_AFTER,
    ConfigError,
    HeadersSentError,
    SessionTooLargeError,
    SharedSessionError,
    StoreError,
    StoreUnavailableError,
)


def test_everything_raised_has_one_root() -> None:
    """`except SharedSessionError` catches every error of this library."""
    found = [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, Exception) and item.__module__ == errors.__name__
    ]
    assert len(found) >= 6
    assert all(issubclass(item, SharedSessionError) for item in found)


@pytest.mark.parametrize(
    ("error", "parents"),
    [
        (ConfigError("copies", "0 is wrong"), (ValueError,)),
        (HeadersSentError("too late"), (RuntimeError,)),
        (StoreUnavailableError("cannot read"), (StoreError, ServiceUnavailable, HTTPException)),
        (SessionTooLargeError(5, "n1"), (StoreError,)),
    ],
)
def test_errors_are_what_others_expect(error: Exception, parents: tuple[type[Exception], ...]) -> None:
    """Each error is also the built-in or werkzeug error that general code catches."""
    assert isinstance(error, parents)


def test_a_config_error_names_its_option() -> None:
    """The message begins with the option, which is also an attribute."""
    error = ConfigError("copies", "0 is not a whole number from 1 to 16")
    assert str(error) == "copies: 0 is not a whole number from 1 to 16"
    assert error.option == "copies"


def test_too_large_says_how_large_and_where() -> None:
    """Size and node are in the message and are attributes; what to do is in the message."""
    error = SessionTooLargeError(1_048_577, "n1")
    assert (error.size, error.node) == (1_048_577, "n1")
    assert "1048577" in str(error)
    assert "n1" in str(error)
    assert "-I" in str(error)


def test_too_large_is_not_an_outage() -> None:
    """A refused value is no reason for 503: trying again would not help."""
    assert not issubclass(SessionTooLargeError, HTTPException)


def test_unavailable_is_a_503_with_retry_after() -> None:
    """Flask and werkzeug answer 503 with Retry-After by themselves."""
    response = StoreUnavailableError("cannot read the session").get_response()
    assert response.status_code == 503
    assert response.headers["Retry-After"] == str(RETRY_AFTER)
    assert RETRY_AFTER >= 1


@given(
    st.text("\u4e00\u4e01", min_size=1), st.dictionaries(st.text("\u4e02", min_size=1), st.text("\u4e03", min_size=1))
)
def test_the_client_sees_a_fixed_sentence(reason: str, causes: dict[str, str]) -> None:
    """Neither node names nor causes nor the reason are in the answer; all of them are in the log's text."""
    error = StoreUnavailableError(reason, causes)
    body = error.get_response().get_data(as_text=True)
    assert "temporarily unavailable" in body
    assert body == StoreUnavailableError("another").get_response().get_data(as_text=True)
    assert error.description == StoreUnavailableError.description
    for hidden in (reason, *causes, *causes.values()):
        assert hidden not in body
        assert hidden not in error.description
        assert hidden in str(error)


def test_evidence_is_kept() -> None:
    """The reason and each node's failure are attributes, independent of what the caller does to its dict."""
    causes = {"n1": "timed out", "n2": "refused"}
    error = StoreUnavailableError("cannot read", causes)
    causes.clear()
    assert error.reason == "cannot read"
    assert error.causes == {"n1": "timed out", "n2": "refused"}
    assert str(error) == "cannot read (n1: timed out, n2: refused)"
    assert str(StoreUnavailableError("cannot read")) == "cannot read"
    assert StoreUnavailableError("cannot read").causes == {}
