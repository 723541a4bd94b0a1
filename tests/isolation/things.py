"""Things that live on a thread, or on a thread's connection to the database.

Each class is one kind of thing. An object of it is one owner's use of the thing: what is
set goes to the thread or to the connection, and what is read comes from there.
"""

import decimal
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any, ClassVar

from asgiref.local import Local
from django.core.signals import request_finished, request_started
from django.db import connection as current_connection
from django.db import models, transaction

ANN, BEN, NONE = "ann", "ben", "none"

# Django passes every attribute on to the connection of the thread.
connection: Any = current_connection

# Enough rows to be read one by one.
_ROWS = 100
_TABLES = f"""
CREATE TABLE notes (id integer PRIMARY KEY, owner text NOT NULL);
INSERT INTO notes
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {_ROWS})
    SELECT 2 * n, '{ANN}' FROM numbers UNION ALL SELECT 2 * n + 1, '{BEN}' FROM numbers;
CREATE TABLE written (owner text NOT NULL);
"""
# A tenant has a table on SQLite, and a schema on PostgreSQL.
SQLITE_TABLES = _TABLES + "".join(
    f"CREATE TABLE {name}_tenant AS SELECT '{name}' AS owner;" for name in (ANN, BEN, NONE)
)
POSTGRESQL_TABLES = _TABLES + "".join(
    f"CREATE SCHEMA {name}; CREATE TABLE {name}.tenant AS SELECT '{name}' AS owner;"
    for name in (ANN, BEN, NONE)
)


class Thing(ABC):
    """One owner's use of a thing."""

    name: ClassVar[str]
    # If so, the thing goes when the connection is closed.
    on_connection: ClassVar[bool] = True

    @abstractmethod
    def set(self, owner: str) -> None:
        """Put the owner's name there."""

    @abstractmethod
    def read(self) -> str:
        """Return the name that is there."""

    def end(self) -> None:  # noqa: B027 -- most have nothing to do
        """Do what the owner does last."""

    def visit(self, owner: str) -> str:
        """Use the thing as *owner* in one short request, without tidying up."""
        self.set(owner)
        return self.read()

    @classmethod
    def installed(cls) -> AbstractContextManager[object]:
        """Return a context in which the thing works."""
        return nullcontext()


def value_of(query: str, *parameters: object) -> Any:
    """Return the only value of the only row, None without a row."""
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        row = cursor.fetchone()
    return row[0] if row else None


def names_of(query: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return "+".join(name for (name,) in cursor.fetchall()) or NONE


def execute(statement: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


# --- on the thread ---

_local = threading.local()
_critical: Any = Local(thread_critical=True)


class ThreadLocal(Thing):
    name = "threading.local"
    on_connection = False

    def set(self, owner: str) -> None:
        _local.owner = owner

    def read(self) -> str:
        return getattr(_local, "owner", NONE)


class CriticalLocal(Thing):
    name = "Local(thread_critical=True)"
    on_connection = False

    def set(self, owner: str) -> None:
        _critical.owner = owner

    def read(self) -> str:
        return str(getattr(_critical, "owner", NONE))


class DecimalContext(Thing):
    """Once thread-local, today a context variable: each task has its own."""

    name = "decimal context"
    on_connection = False
    _precisions: ClassVar = {ANN: 11, BEN: 22}

    def set(self, owner: str) -> None:
        decimal.getcontext().prec = self._precisions[owner]

    def read(self) -> str:
        names = {precision: owner for owner, precision in self._precisions.items()}
        return names.get(decimal.getcontext().prec, NONE)


class Audit(Thing):
    """Names that are collected from the start of a request to its end."""

    name = "audit"
    on_connection = False
    reports: ClassVar[list[list[str]]] = []
    _collected: ClassVar = threading.local()

    def set(self, owner: str) -> None:
        self._entries().append(owner)

    def read(self) -> str:
        return "+".join(self._entries()) or NONE

    @classmethod
    @contextmanager
    def installed(cls) -> Generator[None]:
        cls.reports.clear()
        request_started.connect(cls._start)
        request_finished.connect(cls._finish)
        try:
            yield
        finally:
            request_started.disconnect(cls._start)
            request_finished.disconnect(cls._finish)

    @classmethod
    def _entries(cls) -> list[str]:
        if not hasattr(cls._collected, "entries"):
            cls._collected.entries = []
        entries: list[str] = cls._collected.entries
        return entries

    @classmethod
    def _start(cls, **_: object) -> None:
        cls._collected.entries = []

    @classmethod
    def _finish(cls, **_: object) -> None:
        cls.reports.append(cls._entries())


# --- on the connection ---


class Attribute(Thing):
    name = "connection.tenant"

    def set(self, owner: str) -> None:
        connection.tenant = owner

    def read(self) -> str:
        return str(getattr(connection, "tenant", NONE))


class Schema(Thing):
    """What django-tenants does: the name is an attribute, and each cursor follows it."""

    name = "set_schema"

    def set(self, owner: str) -> None:
        connection.schema_name = owner

    def read(self) -> str:
        schema = getattr(connection, "schema_name", NONE)
        if connection.vendor == "postgresql":
            execute(f"SET search_path TO {schema}")
            return str(value_of("SELECT owner FROM tenant"))
        return str(value_of(f"SELECT owner FROM {schema}_tenant"))


class ExecuteWrapper(Thing):
    """A wrapper that puts its owner into the query; the last wrapper wins."""

    name = "execute wrapper"

    def set(self, owner: str) -> None:
        def wrapper(
            execute: Callable[..., object], sql: str, params: Any, many: bool, context: object
        ) -> object:
            return execute(f"SELECT '{owner}'", params, many, context)

        connection.execute_wrappers.append(wrapper)

    def read(self) -> str:
        return str(value_of(f"SELECT '{NONE}'"))


class DebugCursor(Thing):
    """Queries that are logged because somebody wants to look at them."""

    name = "force_debug_cursor"

    def set(self, owner: str) -> None:
        connection.force_debug_cursor = True
        value_of(f"SELECT '{owner}'")

    def read(self) -> str:
        if not connection.force_debug_cursor:
            return NONE
        logged = [query["sql"] for query in connection.queries]
        return "+".join(sql.removeprefix("SELECT ").strip("'") for sql in logged) or "nothing"


class TemporaryTable(Thing):
    name = "temporary table"

    def set(self, owner: str) -> None:
        execute("CREATE TEMPORARY TABLE IF NOT EXISTS scratch (owner text)")
        execute("DELETE FROM scratch")
        execute("INSERT INTO scratch VALUES (%s)", owner)

    def read(self) -> str:
        if connection.vendor == "postgresql":
            exists = value_of("SELECT to_regclass('pg_temp.scratch') IS NOT NULL")
        else:
            exists = value_of("SELECT count(*) FROM sqlite_temp_master WHERE name = 'scratch'")
        return str(value_of("SELECT owner FROM scratch")) if exists else NONE


class OpenCursor(Thing):
    name = "open cursor"
    _cursor: Any = None

    def set(self, owner: str) -> None:
        # On PostgreSQL, a server-side cursor.
        self._cursor = connection.chunked_cursor()
        self._cursor.itersize = 1
        self._cursor.execute("SELECT owner FROM notes WHERE owner = %s", [owner])

    def read(self) -> str:
        row = self._cursor.fetchone()
        return row[0] if row else "no row"


class Note(models.Model):
    owner: Any = models.TextField()

    class Meta:
        app_label = "isolation"
        db_table = "notes"
        managed = False


class RowIterator(Thing):
    """What ``aiterator(chunk_size=5)`` does in its thread, slice by slice."""

    name = "server-side iterator"
    _rows: Iterator[Any] | None = None

    def set(self, owner: str) -> None:
        notes: Any = Note
        self._rows = notes.objects.filter(owner=owner).iterator(chunk_size=5)

    def read(self) -> str:
        assert self._rows is not None
        owners = [note.owner for note in islice(self._rows, 5)]
        return owners[0] if owners and owners == owners[:1] * 5 else f"{owners}"

    def end(self) -> None:
        # Read to the last row; a half-read iterator would complain when it is collected.
        assert self._rows is not None
        for _ in self._rows:
            pass

    def visit(self, owner: str) -> str:
        seen = super().visit(owner)
        self.end()
        return seen


class Atomic(Thing):
    """An atomic block over several calls, which is rolled back at its end."""

    name = "atomic"
    _atomic: Any = None

    def set(self, owner: str) -> None:
        self._atomic = transaction.atomic()
        self._atomic.__enter__()
        execute("INSERT INTO written VALUES (%s)", owner)

    def read(self) -> str:
        names = names_of("SELECT owner FROM written ORDER BY owner")
        return names if connection.in_atomic_block else f"{names}, not in a transaction"

    def end(self) -> None:
        transaction.set_rollback(True)
        self._atomic.__exit__(None, None, None)

    def visit(self, owner: str) -> str:
        if connection.vendor == "sqlite":
            # SQLite allows only one writer at a time.
            inside, names = connection.in_atomic_block, names_of("SELECT owner FROM written")
            return owner if (inside, names) == (False, NONE) else f"{names}, {inside=}"
        self.set(owner)
        seen = self.read()
        self.end()
        return seen


# --- on a connection to PostgreSQL ---


class SetVariable(Thing):
    name = "SET"

    def set(self, owner: str) -> None:
        execute(f"SET app.owner = '{owner}'")

    def read(self) -> str:
        return value_of("SELECT current_setting('app.owner', true)") or NONE


class SetConfig(Thing):
    name = "set_config"

    def set(self, owner: str) -> None:
        execute("SELECT set_config('search_path', %s, false)", owner)

    def read(self) -> str:
        name = value_of("SELECT current_setting('search_path')")
        return name if name in (ANN, BEN) else NONE


class AdvisoryLock(Thing):
    """A shared lock, which several owners may hold; its number tells whose it is."""

    name = "advisory lock"
    _numbers: ClassVar = {ANN: 11, BEN: 22}

    def set(self, owner: str) -> None:
        execute("SELECT pg_advisory_unlock_all()")
        execute("SELECT pg_advisory_lock_shared(%s)", self._numbers[owner])

    def read(self) -> str:
        query = "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        names = {number: owner for owner, number in self._numbers.items()}
        with connection.cursor() as cursor:
            cursor.execute(query)
            return "+".join(names[number] for (number,) in cursor.fetchall()) or NONE
