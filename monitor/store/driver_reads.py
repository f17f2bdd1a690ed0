# SPDX-License-Identifier: Apache-2.0
"""A read transaction whose statements go to the driver by themselves.

SQLAlchemy writes each statement once; what it does for every execution (a context, a cursor, a
switch of greenlets, the lists of values) takes longer than most statements of a page. Here the
text of a statement and the order of its values are kept, for each length of its lists. PostgreSQL
takes a list as one array: a text for each length would be planned for each length, at each
connection. This uses what SQLAlchemy does not promise to keep: its version is fixed, and every
query of a page passes here.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractContextManager
from functools import partial
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import LRUCache

from monitor.store.sqlite_engine import DriverConnection

Rows = tuple[Sequence[str], Sequence[Sequence[Any]]]
"""Names of the columns, and the rows."""
MOST_STATEMENTS, MOST_FORMS = 500, 100
"""That are kept; forms for each statement."""
MOST_OBJECTS = 200
"""Statements that are found again without a look at what they are made of, which takes 40 us: most
are made once, for all pages."""
MOST_VALUES = 20_000
"""Of the forms of a statement together: one for a list of a thousand has as many, and a text of
12 bytes for each."""


class _Row(tuple[Any, ...]):
    """A row, whose columns have names (`_row_type`)."""

    __slots__ = ()
    _fields: tuple[str, ...] = ()

    def _asdict(self) -> dict[str, Any]:
        return dict(zip(self._fields, self, strict=True))

    @property
    def _mapping(self) -> dict[str, Any]:
        return self._asdict()


@functools.lru_cache(maxsize=MOST_STATEMENTS)
def _row_type(names: tuple[str, ...]) -> type[_Row]:
    own = {name: property(itemgetter(n)) for n, name in enumerate(names)}
    return type("Row", (_Row,), {"__slots__": (), "_fields": names, **own})


class _Result:
    """Rows, read as those of SQLAlchemy's Result. Those that are read by `unnamed` or as `scalars`
    get no names: a strip has thousands."""

    def __init__(self, rows: Sequence[Any], named: type[_Row] | None = None) -> None:
        self.unnamed, self._named = rows, named

    @functools.cached_property
    def _rows(self) -> Sequence[Any]:
        if self._named is None:
            return self.unnamed
        return list(map(partial(tuple.__new__, self._named), self.unnamed))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> Sequence[Any]:
        """All of them."""
        return self._rows

    def first(self) -> Any:
        """The first; None where there is none."""
        return next(iter(self._rows), None)

    def one(self) -> Any:
        """The only one."""
        (row,) = self._rows
        return row

    def scalar(self) -> Any:
        """The first value of the first row; None where there is none."""
        return next(iter(self.scalars()), None)

    def scalars(self) -> _Result:
        """The first value of each."""
        return _Result([row[0] for row in self.unnamed])


def unnamed(result: Any) -> Iterable[Any]:
    """The rows of a result, which are only unpacked; of one of SQLAlchemy as they are."""
    return result.unnamed if isinstance(result, _Result) else result


_Value = tuple[str, int, Callable[[Any], Any] | None]


class _Form(NamedTuple):
    """A statement for lists of certain lengths."""

    text: str
    values: Sequence[_Value]
    """For each value its name, its place in a list or -1, and what the driver takes for it."""


def _with_array(text: str, number: int) -> str:
    """A statement of PostgreSQL in which a list of one value is an array."""
    one = re.compile(rf"(NOT )?IN \(\${number}(?:(::[\w ]+))?\)")

    def array(found: re.Match[str]) -> str:
        negated, cast = found.groups()
        return f"{'<> ALL' if negated else '= ANY'} (${number}{cast + '[]' if cast else ''})"

    changed, count = one.subn(array, text)
    assert count
    return changed


def _each(write: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return list(map(write, values))


class _Statement:
    """A statement that SQLAlchemy has written."""

    def __init__(self, compiled: SQLCompiler) -> None:
        assert not compiled.literal_execute_params  # their values would stay in the text
        self._compiled = compiled
        self._lists = {
            compiled.bind_names[parameter]: parameter.type._is_tuple_type
            for parameter in compiled.post_compile_params
        }
        of_values = {name for name, of_tuples in self._lists.items() if not of_tuples}
        self._arrays = of_values if compiled.dialect.name == "postgresql" else set[str]()
        """Lists that the driver takes as they are."""
        self._forms: dict[tuple[int, ...], _Form] = {}
        self._values: dict[_Value, _Value] = {}
        """Those of all forms, each once."""
        columns = compiled._result_columns
        self.names = [column.keyname for column in columns]
        readers = (
            column.type._cached_result_processor(compiled.dialect, None) for column in columns
        )
        self._readers = [(n, reader) for n, reader in enumerate(readers) if reader is not None]

    def bound(self, given: Mapping[str, Any]) -> tuple[str, list[Any]]:
        """The text and its values in order."""
        lengths = tuple(
            len(given[name]) if name not in self._arrays else len(given[name]) == 1
            for name in self._lists
        )
        if (form := self._forms.get(lengths)) is None:
            form = self._form(given)
            kept = len(form.values) + sum(len(each.values) for each in self._forms.values())
            if len(self._forms) == MOST_FORMS or kept > MOST_VALUES:
                self._forms.clear()
                self._values = dict(zip(form.values, form.values, strict=True))
            self._forms[lengths] = form
        flat = {
            name: list(chain.from_iterable(given[name])) if of_tuples else given[name]
            for name, of_tuples in self._lists.items()
        }
        values = [
            (given[name] if place < 0 else flat[name][place], write)
            for name, place, write in form.values
        ]
        return form.text, [value if write is None else write(value) for value, write in values]

    def _form(self, given: Mapping[str, Any]) -> _Form:
        arrays = {name for name in self._arrays if len(given[name]) != 1}
        one_each = {name: [None] for name in arrays}
        state = self._compiled._process_parameters_for_postcompile({**given, **one_each})
        places = {
            expanded: (name, -1 if name in arrays else n)
            for name, some in state.parameter_expansion.items()
            for n, expanded in enumerate(some)
        }
        writers: dict[str, Any] = {**self._compiled._bind_processors, **state.processors}
        text, values = state.statement, list[_Value]()
        for number, expanded in enumerate(state.positiontup or (), 1):
            name, place = places.get(expanded, (expanded, -1))
            write = writers.get(expanded)
            if name in arrays:
                text = _with_array(text, number)
                write = write and partial(_each, write)
            values.append((name, place, write))
        return _Form(text, [self._values.setdefault(one, one) for one in values])

    def read(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """The rows of the driver with the values that the columns' types have."""
        if not self._readers:
            return rows
        changed = [list(row) for row in rows]
        for row in changed:
            for n, reader in self._readers:
                row[n] = reader(row[n])
        return changed


class DriverTransaction:
    """One read transaction, which queries take for an AsyncConnection. `fetch` executes a text with
    values at the driver."""

    def __init__(
        self,
        dialect: sa.Dialect,
        fetch: Callable[[str, list[Any]], Any],
        known: Statements,
        watching: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> None:
        self.dialect = dialect
        self.watching = watching
        """A block in which its statements end with the current task."""
        self._fetch, self._known = fetch, known
        self._once: dict[sa.Executable, _Result] = {}

    async def execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None, /
    ) -> _Result:
        """Execute a statement and fetch its rows."""
        written, given = self._known.written(self.dialect, statement, parameters or {})
        names, rows = await self._fetch(*written.bound(given))
        return _Result(written.read(rows), _row_type(tuple(written.names or names)))

    async def scalar(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | None = None, /
    ) -> Any:
        """The first value of the first row; None where there is no row."""
        return (await self.execute(statement, parameters)).scalar()

    async def once(self, statement: sa.Executable) -> _Result:
        """Execute a statement without values, or find again the rows that it had."""
        if (found := self._once.get(statement)) is None:
            found = self._once[statement] = await self.execute(statement)
        return found


async def once(connection: Any, statement: sa.Executable) -> Any:
    """The rows of a statement that many requests execute, which all see the same where they have
    one transaction."""
    shared = isinstance(connection, DriverTransaction)
    return await (connection.once(statement) if shared else connection.execute(statement))


class Statements:
    """What SQLAlchemy has written for one database."""

    def __init__(self) -> None:
        self._written = LRUCache[Any, SQLCompiler](MOST_STATEMENTS)
        self._prepared = LRUCache[SQLCompiler, _Statement](MOST_STATEMENTS)
        self._known = LRUCache[int, _Known](MOST_OBJECTS)
        """By the identity of a statement."""

    def written(
        self, dialect: sa.Dialect, statement: Any, given: Mapping[str, Any]
    ) -> tuple[_Statement, Mapping[str, Any]]:
        """A statement and all its values by name, those within it included."""
        known = self._known.get(id(statement))
        if known is not None and known.values.keys() >= given.keys() == known.given:
            return known.prepared, {**known.values, **given}
        compiled, extracted, collected, _ = statement._compile_w_cache(
            dialect, compiled_cache=self._written, column_keys=sorted(given)
        )
        if (prepared := self._prepared.get(compiled)) is None:
            prepared = self._prepared[compiled] = _Statement(compiled)
        values = compiled.construct_params(
            given,
            extracted_parameters=extracted,
            escape_names=False,
            _collected_params=collected,
        )
        self._known[id(statement)] = _Known(statement, prepared, frozenset(given), values)
        return prepared, values


class _Known(NamedTuple):
    """A statement that was executed."""

    statement: Any
    """Held, so that no other one gets its identity."""
    prepared: _Statement
    given: Collection[str]
    """Names of the values that it was given; those that are given next replace them."""
    values: Mapping[str, Any]


@contextlib.asynccontextmanager
async def driver_reading(
    connection: AsyncConnection, known: Statements
) -> AsyncIterator[DriverTransaction]:
    """A transaction over a connection in which nothing was executed, and nothing else is."""
    raw = (await connection.get_raw_connection()).driver_connection
    if isinstance(raw, DriverConnection):
        await raw.fetch_all("BEGIN")
        # Whoever gives the connection back rolls back.
        yield DriverTransaction(connection.dialect, raw.fetch_all, known, raw.watch.watching)
        return
    assert raw is not None

    async def fetch(text: str, values: Sequence[Any]) -> Rows:
        rows = await raw.fetch(text, *values)
        return (list(rows[0].keys()) if rows else [""]), rows

    async with raw.transaction(isolation="repeatable_read", readonly=True):
        yield DriverTransaction(connection.dialect, fetch, known)
