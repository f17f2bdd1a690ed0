"""What goes to the driver by itself gives what SQLAlchemy gives."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from monitor.store import driver_reads, statements
from monitor.store.database import Database
from monitor.store.driver_reads import unnamed
from monitor.store.engines import reading, together, writing
from monitor.store.tables import HexId, lease

LEASES = [{"name": name, "holder": name * 2, "expires": at} for at, name in enumerate("abcd")]
ID = "00112233445566778899aabbccddeeff"
SOME = sa.bindparam("some", expanding=True)
L = lease.c
ONE = sa.select(L.holder, L.expires.label("at")).order_by(L.name)
QUESTIONS: list[tuple[Any, dict[str, Any]]] = [
    (ONE, {}),
    (ONE.where(L.name == "b"), {}),
    (ONE.where(L.name == "c"), {}),
    (ONE.where(L.name == "nobody"), {}),
    (ONE.limit(2).offset(1), {}),
    *((ONE.where(L.name.in_(names)), {}) for names in ((), ("a",), ("d", "b"), ("c", "a"))),
    *((ONE.where(L.name.in_(SOME) | L.holder.in_(SOME)), {"some": n}) for n in ([], ["a", "bb"])),
    *((ONE.where(L.name.not_in(SOME), L.expires > -1), {"some": list(n)}) for n in ("", "ab")),
    *(
        (ONE.where(sa.tuple_(L.expires, L.name).in_(pairs)), {})
        for pairs in ([], [(0, "a")], [(2, "c"), (1, "b"), (1, "z")])
    ),
    (sa.text("SELECT name, expires FROM lease WHERE expires > :at ORDER BY name"), {"at": 1}),
    (sa.select(sa.func.max(L.expires), sa.func.count(), sa.literal(True)), {}),
    (sa.select(L.name).where(sa.literal(ID, HexId()) == sa.literal(ID, HexId())), {}),
    (sa.select(sa.literal(ID, HexId()).label("id"), sa.null()), {}),
]


@pytest.fixture
async def leases(store: Database) -> Database:
    async with writing(store.engines) as connection:
        await connection.execute(statements.upsert(lease), LEASES)
    return store


async def test_answers_are_those_of_sqlalchemy(leases: Database) -> None:
    async with reading(leases.engines) as connection:
        wanted = [list(await connection.execute(*question)) for question in QUESTIONS]
    async with together(leases.engines) as transaction:
        for _ in range(2):  # what was kept of a statement is used for the next
            given = [list(await transaction.execute(*question)) for question in QUESTIONS]
            assert [[*map(tuple, rows)] for rows in given] == [[*map(tuple, r)] for r in wanted]
    assert sum(map(bool, wanted)) >= 14
    for rows, others in zip(given, wanted, strict=True):
        assert [row._asdict() for row in rows] == [row._asdict() for row in others]


async def test_rows_are_read_in_every_way(leases: Database) -> None:
    async with together(leases.engines) as transaction:
        found = await transaction.execute(ONE)
        assert [row.at for row in found] == [0, 1, 2, 3]
        assert found.all()[1].holder == "bb"
        assert {**found.all()[1]._mapping} == {"holder": "bb", "at": 1}
        assert found.scalars().all() == ["aa", "bb", "cc", "dd"]
        assert not any(isinstance(row, driver_reads._Row) for row in unnamed(found))
        assert [*map(tuple, unnamed(found))] == list(found)
        assert (found.first(), found.scalar()) == (("aa", 0), "aa")
        nothing = await transaction.execute(ONE.where(L.name == "nobody"))
        assert (nothing.first(), nothing.scalar(), nothing.scalars().all()) == (None, None, [])
        assert (await transaction.execute(ONE.where(L.name == "c"))).one() == ("cc", 2)
        with pytest.raises(ValueError, match="not enough values"):
            nothing.one()


async def test_a_known_statement_takes_its_values_anew_and_misses_none(leases: Database) -> None:
    statement = ONE.where(L.name == sa.bindparam("name"), L.expires < 9)
    async with together(leases.engines) as transaction:
        for name in "abca":
            given = {"name": name}
            assert (await transaction.execute(statement, given)).scalar() == 2 * name
            given["more"] = ""  # it is the caller's
        with pytest.raises(sa.exc.InvalidRequestError, match="'name'"):
            await transaction.execute(statement)
        narrower = statement.where(L.expires > 9)
        assert (await transaction.execute(narrower, {"name": "a"})).scalar() is None


async def test_what_is_kept_of_long_lists_has_a_limit(
    leases: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many lengths there are; and each value is kept once. Of PostgreSQL, which takes an
    array, there is one for a single value and one for more."""
    monkeypatch.setattr(driver_reads, "MOST_VALUES", 100)
    statement = ONE.where(L.name.in_(SOME))
    async with together(leases.engines) as transaction:
        for length in (*range(1, 40), *range(1, 10)):
            some = ["b", *map(str, range(length - 1))]
            assert (await transaction.execute(statement, {"some": some})).one() == ("bb", 1)
    (kept,) = (one for one in leases.engines.statements._prepared.values() if one._lists)
    if not leases.engines.sqlite:
        assert kept._forms.keys() == {(True,), (False,)}
        return
    values = [value for form in kept._forms.values() for value in form.values]
    assert len(kept._forms) > 1
    assert len(values) <= 100
    assert len({id(value) for value in values}) == len(set(values)) <= len(kept._values)


async def test_a_block_is_of_one_moment(leases: Database) -> None:
    async with together(leases.engines) as transaction:
        assert await transaction.scalar(sa.select(sa.func.count()).select_from(lease)) == 4
        async with writing(leases.engines) as connection:
            await connection.execute(sa.delete(lease))
        assert await transaction.scalar(sa.select(sa.func.count()).select_from(lease)) == 4
    async with together(leases.engines) as transaction:
        assert await transaction.scalar(sa.select(sa.func.count()).select_from(lease)) == 0
