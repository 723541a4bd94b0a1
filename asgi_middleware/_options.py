"""Whether an option can work: one check and one wording for every layer.

Each check yields a sentence for each problem: the option, its value, and a way out that works.
A constructor passes its checks to :func:`check`, which raises all problems together:

    check(
        "TimingMiddleware",
        options.boolean("debug", debug),
        options.seconds("slow_threshold", slow_threshold, optional=True),
    )
"""

import ast
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import partial
from inspect import signature
from typing import Any, cast

from ._async import is_async
from ._headers import is_token
from ._names import qualified_name
from .errors import ConfigurationError

Problems = Iterable[str]


def check(subject: str, *problems: Problems) -> None:
    """Raise one :class:`ConfigurationError` with all problems, if there are any."""
    found = [problem for each in problems for problem in each]
    if found:
        raise ConfigurationError(subject, found)


def boolean(option: str, value: object) -> Iterator[str]:
    """Check a bool: a string such as "false" is refused because it would count as true."""
    if isinstance(value, bool):
        return
    text = str(value).strip().lower()
    if text in ("true", "yes", "on", "1"):
        way_out = "use True"
    elif text in ("false", "no", "off", "0", "none", ""):
        way_out = "use False"
    else:
        way_out = "use True or False"
    yield f"{option}: {shown(value)} is {kind(value)}; {way_out}"


def strings(
    option: str,
    value: object,
    example: Collection[str],
    *,
    optional: bool = False,
    each: Callable[[str, str], Problems] | None = None,
) -> Iterator[str]:
    """Check a collection of strings; a single string or a mapping is refused.

    *each* checks one of the strings: it is called with the option and the string.
    """
    if value is None and optional:
        return
    given = shown(value)
    if isinstance(value, str):
        parts: Collection[str] = split(value)
        if each is not None and any(True for part in parts for _ in each(option, part)):
            parts = example
        yield f"{option}: {given} is one string; use {parts!r}"
    elif isinstance(value, bytes | Mapping) or not isinstance(value, Collection):
        yield f"{option}: {given} is not a list; use {example!r}{_or_none(optional)}"
    elif [str(element).strip() for element in cast("Collection[object]", value)] == [""]:
        yield f"{option}: {given} is what an empty string splits into; use []"
    else:
        first = next(iter(example))
        for element in cast("Collection[object]", value):
            if not isinstance(element, str):
                yield f"{option}: {shown(element)} is not a string; use {first!r}"
            elif each is not None and (found := list(each(option, element))):
                yield from _unsplit(option, element, each) or found


def _unsplit(option: str, element: str, each: Callable[[str, str], Problems]) -> list[str]:
    """Return the problem with *element* if it is a list in one string, as from the environment."""
    parts = split(element) if re.search(r"[,;\n'\"(\[{]", element) else [element]
    if parts == [element] or any(True for part in parts for _ in each(option, part)):
        return []
    fault = "is a list in one string" if len(parts) > 1 else "has quotes or brackets around it"
    return [f"{option}: {shown(element)} {fault}; use {', '.join(map(repr, parts))}"]


def split(text: str) -> list[str]:
    """Return the list that *text* was meant to be: separated, quoted or as JSON."""
    text = text.strip()
    try:
        listed: object = ast.literal_eval(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        listed = None
    if isinstance(listed, str):
        return [listed]
    if isinstance(listed, list | tuple | set):
        members = cast("Collection[object]", listed)
        return [str(each) for each in members]
    separated = re.split(r"[,;\n]" if re.search(r"[,;\n]", text) else r"\s", text)
    return [part for each in separated if (part := _bare(each.strip()))]


def _bare(text: str) -> str:
    """Return *text* without the quotes and unpaired brackets around it."""
    bare = text.strip("'\"(){}")
    return bare.strip("[]'\"") if bare.count("[") != bare.count("]") else bare


def function(
    option: str,
    value: object,
    example: str,
    *,
    optional: bool = False,
    may_be_async: bool = False,
    arguments: int | None = None,
) -> Iterator[str]:
    """Check a function that is called while serving; *example* names or describes one."""
    if value is None and optional:
        return
    if not callable(value):
        yield f"{option}: {shown(value)} cannot be called; use {example}{_or_none(optional)}"
    elif not may_be_async and is_async(value):
        yield f"{option}: {shown(value)} is async, but must be a plain function; use {example}"
    elif arguments is not None and not takes(value, arguments):
        yield f"{option}: {shown(value)} takes the wrong arguments; use {example}"


def takes(function: Callable[..., object], number: int) -> bool:
    """Tell whether *function* can be called with *number* positional arguments."""
    try:
        # Not the signature of what it wraps, which may differ: Channels' as_asgi() wraps a class.
        signature(function, follow_wrapped=False).bind(*[None] * number)
    except TypeError:
        return False
    except ValueError:
        pass  # a builtin, which does not show its parameters
    return True


def number(
    option: str,
    value: object,
    unit: str,
    *,
    optional: bool = False,
    zero: bool = False,
    example: float = 1.0,
) -> Iterator[str]:
    """Check a finite number of *unit* that is above 0 or, with *zero*, at or above 0."""
    if value is None and optional:
        return
    given = _number(value)
    if given is None or not (given >= 0 if zero else given > 0) or given == math.inf:
        least = "at or above 0" if zero else "above 0"
        yield (
            f"{option}: {shown(value)} is not a number of {unit} {least};"
            f" use {example!r}{_or_none(optional)}"
        )


seconds = partial(number, unit="seconds")


def whole_number(
    option: str,
    value: object,
    lowest: int,
    highest: int | None = None,
    *,
    example: int,
    optional: bool = False,
) -> Iterator[str]:
    """Check an integer between *lowest* and *highest*."""
    if value is None and optional:
        return
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < lowest or (highest is not None and value > highest):  # type: ignore[operator]
        span = f"at or above {lowest}" if highest is None else f"from {lowest} to {highest}"
        yield (
            f"{option}: {shown(value)} is not a whole number {span};"
            f" use {example!r}{_or_none(optional)}"
        )


def text(option: str, value: object, example: str) -> Iterator[str]:
    """Check a string that is not empty."""
    if not isinstance(value, str) or not value:
        yield f"{option}: {shown(value)} is not a name; use {example!r}"


def path(option: str, value: object, example: str, *, asterisk: bool = False) -> Iterator[str]:
    """Check a path, which must start with a slash; with *asterisk*, it may end with an asterisk."""
    if not isinstance(value, str):
        yield f"{option}: {shown(value)} is not a path; use {example!r}"
        return
    start, found, end = value.partition("*")
    way_out = f"/{start.removeprefix('/')}{'*' if asterisk and found else ''}"
    if not value.startswith("/"):
        yield f"{option}: {shown(value)} does not start with a slash; use {way_out!r}"
    elif found and not asterisk:
        yield f"{option}: {shown(value)} has an asterisk, which means nothing here; use {way_out!r}"
    elif end:
        yield f"{option}: {shown(value)} has an asterisk before its end; use {way_out!r}"


def paths(option: str, value: object, example: Collection[str]) -> Iterator[str]:
    """Check the paths for a ``Paths``; each may end with an asterisk."""
    problems = list(strings(option, value, example))
    yield from problems
    if not problems:
        for each in cast("Collection[str]", value):
            yield from path(option, each, next(iter(example)), asterisk=True)


def header_name(option: str, value: object, example: str) -> Iterator[str]:
    """Check the name of a header (RFC 9110, section 5.1)."""
    if not isinstance(value, str) or not value.isascii() or not is_token(value.encode()):
        yield f"{option}: {shown(value)} is not a valid header name; use {example!r}"


def mapping(option: str, value: object, example: str, *, optional: bool = False) -> Iterator[str]:
    """Check a mapping; *example* shows one."""
    if value is None and optional:
        return
    if not isinstance(value, Mapping):
        yield f"{option}: {shown(value)} is not a dict; use {example}{_or_none(optional)}"


def instance(
    option: str, value: object, kind_wanted: type[Any], example: str, *, optional: bool = False
) -> Iterator[str]:
    """Check an instance of *kind_wanted*; the usual mistake is to pass a class instead."""
    if (value is None and optional) or isinstance(value, kind_wanted):
        return
    if isinstance(value, type):
        yield f"{option}: {value.__name__} is a class; use {example}{_or_none(optional)}"
    else:
        name = kind_wanted.__name__
        yield f"{option}: {shown(value)} is not a {name}; use {example}{_or_none(optional)}"


def choice(option: str, value: object, choices: Collection[str]) -> Iterator[str]:
    """Check that *value* is one of a few words."""
    if value not in choices:
        *most, last = map(repr, choices)
        yield f"{option}: {shown(value)} is not known; use {', '.join(most)} or {last}"


def repr_of(layer: object, **values: object) -> str:
    """Return the call that builds *layer*, for its ``__repr__``; functions are shown by name."""
    if _briefly.get():
        values = {k: v for k, v in values.items() if not _is_default(layer, k, v)}
    arguments = [f"{option}={_by_name(value)}" for option, value in values.items()]
    return f"{type(layer).__name__}({', '.join(arguments)})"


# Whether repr_of() leaves out options that have their defaults.
_briefly = ContextVar("_briefly", default=False)


def brief(layer: object) -> str:
    """Return a layer's ``repr`` without the options that have their defaults."""
    if type(layer).__repr__ is object.__repr__:  # from another package
        return qualified_name(layer)
    token = _briefly.set(True)
    try:
        return repr(layer)
    finally:
        _briefly.reset(token)


def _is_default(layer: object, option: str, value: object) -> bool:
    parameter = signature(type(layer)).parameters.get(option)
    if parameter is None:
        return False
    default: object = parameter.default
    return value == default or (default in _EMPTY and value in _EMPTY)


_EMPTY: tuple[object, ...] = ((), [], {}, None)


def _by_name(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_by_name, cast('list[object]', value)))}]"
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return f"{{{', '.join(f'{key!r}: {_by_name(each)}' for key, each in items)}}}"
    return getattr(value, "__name__", None) or repr(value)


def shown(value: object) -> str:
    """Return the ``repr`` of *value* for a message, cut if it is long."""
    written = repr(value)
    return written if len(written) <= 200 else f"{written[:197]}..."


def kind(value: object) -> str:
    """Return what *value* is, in words."""
    match value:
        case str():
            return "a string"
        case bytes():
            return "a string of bytes"
        case int() | float():
            return "a number"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case _:
            return "not a bool"


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return cast("float", value) if is_number and value == value else None


def _or_none(optional: bool) -> str:
    return " or None" if optional else ""
