"""The settings of django-cors-headers, as options of :class:`CORSMiddleware`."""

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from .. import _options as options
from ..errors import ConfigurationWarning
from .options import CORSPolicy, policy_problems

# Each option with its setting, the setting's former name, and its default.
_SETTINGS: dict[str, tuple[str, str, object]] = {
    "allow_origins": ("CORS_ALLOWED_ORIGINS", "CORS_ORIGIN_WHITELIST", []),
    "allow_origin_regex": ("CORS_ALLOWED_ORIGIN_REGEXES", "CORS_ORIGIN_REGEX_WHITELIST", []),
    "allow_methods": (
        "CORS_ALLOW_METHODS",
        "",
        ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"],
    ),
    "allow_headers": (
        "CORS_ALLOW_HEADERS",
        "",
        [
            *("accept", "authorization", "content-type"),
            *("user-agent", "x-csrftoken", "x-requested-with"),
        ],
    ),
    "allow_credentials": ("CORS_ALLOW_CREDENTIALS", "", False),
    "allow_private_network": ("CORS_ALLOW_PRIVATE_NETWORK", "", False),
    "expose_headers": ("CORS_EXPOSE_HEADERS", "", []),
    "max_age": ("CORS_PREFLIGHT_MAX_AGE", "", 86_400),
}
_ALL_ORIGINS = ("CORS_ALLOW_ALL_ORIGINS", "CORS_ORIGIN_ALLOW_ALL", False)
_URLS = ("CORS_URLS_REGEX", "", "^.*$")

_EVERY_URL = frozenset({"^.*$", ".*", "^.*", "^/.*$", "^/", ""})
_PREFIX = re.compile(r"\^?(?P<path>/[A-Za-z0-9_/-]*[A-Za-z0-9_-]/)(?:\.\*\$?)?")


def cors_options(settings: object) -> dict[str, Any]:
    """Return the options of ``CORSMiddleware`` that match the settings of django-cors-headers.

        partial(CORSMiddleware, **cors_options(settings))

    A missing setting has the default of that package. Raises :class:`ConfigurationError` for
    settings that cannot work or would let every site act as its visitors, and for a
    ``CORS_URLS_REGEX`` that is not a prefix such as ``^/api/.*$``. Warns if that package's
    middleware is still in ``MIDDLEWARE``.
    """
    policy = {option: _read(settings, *setting) for option, setting in _SETTINGS.items()}
    all_origins, urls = _read(settings, *_ALL_ORIGINS), _source(_read(settings, *_URLS))
    wrong_regexes = list(_regexes_problems(policy["allow_origin_regex"]))
    policy["allow_origin_regex"] = None if wrong_regexes else policy["allow_origin_regex"] or None
    checked = {**policy, "allow_origin_func": None}
    if all_origins is True:
        checked["allow_origins"] = ()  # the list is ignored
    options.check(
        "cors_options",
        wrong_regexes,
        _all_origins_problems(all_origins, policy["allow_credentials"]),
        map(_with_settings, policy_problems(checked)),
        _star_problems(checked),
        _urls_problems(urls),
    )
    for layer in getattr(settings, "MIDDLEWARE", ()):
        if str(layer).startswith("corsheaders."):
            warnings.warn(
                f"cors_options: {layer!r} is still in MIDDLEWARE, and allows what its own settings"
                " allow, whatever CORSMiddleware refuses; remove it",
                ConfigurationWarning,
                stacklevel=2,
            )
    policy["allow_origins"] = ["*"] if all_origins else list(policy["allow_origins"])
    prefix = _PREFIX.fullmatch(urls)
    return policy if prefix is None else {"policies": {prefix["path"]: CORSPolicy(**policy)}}


def _read(settings: object, name: str, former: str, default: object) -> Any:
    return getattr(settings, name, getattr(settings, former, default) if former else default)


def _source(regex: Any) -> Any:
    """Return the text of a compiled regex without flags; return anything else as it is."""
    is_plain = getattr(regex, "flags", None) == re.compile("").flags
    return regex.pattern if is_plain else regex


def _regexes_problems(regexes: object) -> Iterator[str]:
    # policy_problems() checks each regex. A single string is not split at commas: a regex may
    # contain one.
    example = [r"https://a\.example"]
    if isinstance(regexes, str):
        parts = options.split(regexes) if regexes.lstrip().startswith(('["', "['")) else [regexes]
        yield (
            f"CORS_ALLOWED_ORIGIN_REGEXES: {options.shown(regexes)} is one string; use {parts!r}"
        )
    elif isinstance(regexes, list | tuple | set | frozenset):
        listed = cast("Collection[object]", regexes)
        sources = [getattr(regex, "pattern", regex) for regex in listed]
        yield from options.strings("CORS_ALLOWED_ORIGIN_REGEXES", sources, example)
    else:
        yield from options.strings("CORS_ALLOWED_ORIGIN_REGEXES", regexes, example)


def _with_settings(problem: str) -> str:
    """Return *problem* with the names of the settings instead of those of the options."""
    for option, (setting, _, _) in _SETTINGS.items():
        problem = re.sub(rf"\b{option}(?=[:=])", setting, problem)
    return problem


def _all_origins_problems(all_origins: object, credentials: object) -> Iterator[str]:
    yield from options.boolean("CORS_ALLOW_ALL_ORIGINS", all_origins)
    if all_origins is True and credentials is True:
        yield (
            "CORS_ALLOW_ALL_ORIGINS: True cannot be combined with CORS_ALLOW_CREDENTIALS=True"
            " because every site could act as its visitors; use False and list the origins of your"
            " own pages in CORS_ALLOWED_ORIGINS"
        )


def _star_problems(policy: Mapping[str, Any]) -> Iterator[str]:
    origins = policy["allow_origins"]
    is_list = isinstance(origins, list | tuple | set)
    # In this setting, '*' matches nothing. With credentials, policy_problems() refuses it already.
    if is_list and "*" in origins and policy["allow_credentials"] is not True:
        yield (
            "CORS_ALLOWED_ORIGINS: '*' is not an origin; use the list without it, or"
            " CORS_ALLOW_ALL_ORIGINS=True"
        )


def _urls_problems(urls: object) -> Iterator[str]:
    is_known = isinstance(urls, str) and (urls in _EVERY_URL or _PREFIX.fullmatch(urls))
    if not is_known:
        yield (
            f"CORS_URLS_REGEX: {options.shown(urls)} is not a single prefix; use '^/api/.*$' or the"
            " option policies of CORSMiddleware"
        )
