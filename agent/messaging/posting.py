"""Posting JSON to a service, with its failures told apart: those that may pass, and those that will not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agent.messaging.words import NotificationError, RetryableNotificationError
from agent.protocol.pauses import pause_s

if TYPE_CHECKING:
    from agent.lean_httpx import httpx

TIMEOUT_S = 10.0


async def post(
    client: httpx.AsyncClient, url: str, body: Mapping[str, Any], headers: Mapping[str, str], name: str
) -> httpx.Response:
    """POST `body` as JSON; `name` is the service in messages, which never hold the address: it may be secret.

    Raises RetryableNotificationError when nothing came back, for 429 and 5xx, NotificationError for other errors.
    """
    from agent.lean_httpx import httpx

    try:
        response = await client.post(url, json=dict(body), headers=dict(headers), timeout=TIMEOUT_S)
    except httpx.TimeoutException as error:
        raise RetryableNotificationError(f"{name} did not answer in time") from error
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise NotificationError(f"the address of {name} is not usable; check the configuration") from error
    except httpx.HTTPError as error:
        raise RetryableNotificationError(f"{name} cannot be reached ({type(error).__name__})") from error
    if response.status_code == 429 or response.status_code >= 500:
        wait_s = pause_s(response.status_code, response.headers, b"", time.time())
        raise RetryableNotificationError(f"{name} answered with HTTP {response.status_code}", wait_s)
    if not response.is_success:
        raise NotificationError(f"{name} answered with HTTP {response.status_code}; check its configuration")
    return response
