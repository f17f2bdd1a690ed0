from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from monitor.web.site import Site
from tests.monitor.web.browsing import served
from tests.world.browser import Browser, Tab, chromium
from tests.world.site import Client, client, make_file, opened


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The filled store, made once a session."""
    return make_file(tmp_path_factory.mktemp("site") / "world.sqlite")


@pytest.fixture
async def site(world: Path, tmp_path: Path) -> AsyncIterator[Site]:
    async with opened(world, tmp_path) as made:
        yield made


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[Site]:
    """A store in which nothing was ever written."""
    async with opened(None, tmp_path) as made:
        yield made


@pytest.fixture
async def web(site: Site) -> AsyncIterator[Client]:
    async with client(site) as made:
        yield made


@pytest.fixture
def world_file(world: Path) -> Path:
    """The filled file, where the name `world` is taken."""
    return world


@pytest.fixture(scope="module")
def address(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The application over the filled store, for a browser."""
    with served(world, tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def tab(browser: Browser) -> Iterator[Tab]:
    with browser.tab() as made:
        yield made
