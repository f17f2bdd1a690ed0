"""What `open_database` gives fits the ports that the rest of the monitor is written against."""

from __future__ import annotations

import inspect

import pytest

from monitor.store.base import ConclusionStore, FactStore, Registry
from monitor.store.database import Database


def facts_of(database: Database) -> FactStore:
    return database.facts


def conclusions_of(database: Database) -> ConclusionStore:
    return database.conclusions


def registry_of(database: Database) -> Registry:
    return database.registry


@pytest.mark.parametrize(
    ("port", "fit"),
    [(FactStore, facts_of), (ConclusionStore, conclusions_of), (Registry, registry_of)],
)
async def test_the_store_has_every_method_of_the_port(
    store: Database, port: type, fit: object
) -> None:
    assert callable(fit)
    made = fit(store)
    wanted = {name: method for name, method in vars(port).items() if inspect.isfunction(method)}
    wanted = {name: method for name, method in wanted.items() if not name.startswith("_")}
    assert wanted
    for name, method in wanted.items():
        parameters = inspect.signature(getattr(type(made), name)).parameters
        assert list(parameters) == list(inspect.signature(method).parameters), name
