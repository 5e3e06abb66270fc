"""Whether a run failed because a server that judges or reads is away: no fault of the run, so it waits."""

from __future__ import annotations

import httpx2

from taskmem_train.nightly.settings import NightlyConfig

LOOK_S = 10.0  # for an answer of any kind
_AWAY = {502, 503, 504}  # what a proxy answers while the server behind it is away


def away(error: Exception, config: NightlyConfig) -> str:
    """Which endpoint of a run that failed is away, in a sentence; "" where none is.

    What asks a judge notes a lost reply and goes on, so the error alone does not tell: the servers are looked
    for. config: that of the run.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx2.TransportError):
            return f"an endpoint was not reached ({_short(error)}); start its server"
        cause = cause.__cause__
    for role, url in (("judge", config.judge_url), ("reader", config.reader_url)):
        if url and (why := _looked_for(url)):
            return f"the {role} at {url} is away ({why}); start its server ({_short(error)})"
    return ""


def _looked_for(url: str) -> str:
    """Why there is no server, "" where there is one, whatever it answers."""
    try:
        status = httpx2.get(f"{url.strip().rstrip('/')}/models", timeout=LOOK_S).status_code
    except httpx2.TransportError as error:
        return str(error) or type(error).__name__
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError):  # a URL that is none: the run's own error says
        return ""
    return f"it answers {status}" if status in _AWAY else ""


def _short(error: Exception) -> str:
    return f"{' '.join(str(error).split()) or type(error).__name__:.200}"
