"""Classify failed requests by what to do next.

`unavailable`: the server is down or overloaded; the request waits and the attempt does not count. `again`: retry, and count the
attempt. `refused`: this request can never succeed. `fatal`: no request can.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from self_instruct.engines.base import Usage
from self_instruct.engines.server.answers import SHOWN, BadAnswer, error_message
from self_instruct.engines.server.client import Redirected
from self_instruct.engines.server.servers import retry_after

_UNREACHED = ("ConnectError", "ConnectTimeout", "PoolTimeout")
_UNAVAILABLE = (429, 502, 503, 504, 529)
_AGAIN = (404, 408, 409, 425)


@dataclass(frozen=True)
class Fault:
    """A failed attempt. `retry_after` is in seconds; `usage` holds the tokens it cost.

    `overload` says that fewer requests should be sent at a time.
    """

    kind: Literal["unavailable", "again", "refused", "fatal"]
    message: str
    retry_after: float | None = None
    overload: bool = False
    usage: Usage | None = None
    status: int | None = None


def fault_of(error: Exception, timeout: float, hide: Callable[[str], str]) -> Fault:
    """Return the fault for an exception from the client or from reading the answer. `hide` removes the key from a text.

    Any other exception that a server causes in a library counts as a failed attempt, too.
    """
    import openai

    if isinstance(error, BadAnswer):
        return Fault("again", hide(str(error)), usage=error.usage)
    if isinstance(error, openai.APIStatusError):
        return _of_status(error, hide)
    if isinstance(error, openai.APIConnectionError):
        return _of_connection(error, timeout, hide)
    if isinstance(error, TimeoutError):
        return _timed_out(timeout)
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, Redirected):
        refusal = f"{error}, which is refused; give the address that answers as --api_base"
    else:
        refusal = f"it cannot be sent ({what})" if isinstance(error, UnicodeError) else ""
    return Fault(
        "refused" if refusal else "again", hide(refusal or f"the answer cannot be read ({what})")[: 2 * SHOWN]
    )


def _of_connection(error: Any, timeout: float, hide: Callable[[str], str]) -> Fault:
    import openai

    cause = error.__cause__ or error
    reason = hide(f"{type(cause).__name__}: {cause}")[:SHOWN]
    # The transport reports a refused connection as a time-out, too.
    if type(cause).__name__ in _UNREACHED:
        return Fault("unavailable", f"it cannot be reached ({reason})")
    if isinstance(error, openai.APITimeoutError):
        return _timed_out(timeout)
    return Fault("again", f"the connection was cut ({reason})", overload=True)


def _timed_out(timeout: float) -> Fault:
    return Fault("again", f"no answer within {timeout:g} seconds", overload=True)


def _of_status(error: Any, hide: Callable[[str], str]) -> Fault:
    status, said = error.status_code, error_message(error.response.content, hide)
    message = f"status {status}: {said}"
    if status == 429 and "insufficient_quota" in str(error.body):
        return Fault("fatal", f"the account has no quota left ({message})", status=status)
    if status in (401, 403):
        return Fault("fatal", f"the server does not accept the key ({message})", status=status)
    if status in _UNAVAILABLE:
        return Fault(
            "unavailable", message, retry_after(error.response.headers.get("retry-after")), True, status=status
        )
    if status >= 500 or status in _AGAIN:
        return Fault("again", message, retry_after(error.response.headers.get("retry-after")), status=status)
    return Fault("refused", message, status=status)
