"""What a session shares of the outside is made when it is asked for, and closed if it was made."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import Config, MessagingConfig
from agent.core.services import Services
from agent.hub.account import HubAccount
from agent.web.errors import WebError
from agent.web.exchange import WebRequest
from agent.web.reach import Reach


def services_in(directory: Path, config: Config | None = None) -> Services:
    return Services(config or Config(), HubAccount(None, {}), {}, directory / "state", directory / "cache")


async def test_nothing_is_made_and_nothing_written_before_it_is_asked_for(tmp_path: Path) -> None:
    place = tmp_path / "place"
    services = services_in(place)
    assert services.destinations == {}
    await services.close()
    assert not place.exists()


async def test_each_is_made_once_and_a_place_is_the_one_of_its_name(tmp_path: Path) -> None:
    services = services_in(tmp_path)
    assert services.web is services.web
    for name, place in services.backends.items():
        assert place.name == name
        assert services.backends[name] is place
    assert "docker" not in services.backends
    assert services.backends.get("docker") is None
    await services.close()


async def test_what_was_made_is_closed(tmp_path: Path) -> None:
    services = services_in(tmp_path, Config(messaging=MessagingConfig(enabled=True)))
    web = services.web
    await services.close()
    with pytest.raises(WebError, match="The program is ending"):
        await web.ask(WebRequest("http://127.0.0.1:9/", Reach()))
