"""The whole stack around an application, in one call.

    application = stack(
        get_asgi_application(),
        cors=CORSPolicy(allow_origins=["https://app.example"]),
    )

From the outside in: health, request ID, timing with an access log, CORS, WebSocket origins,
limits, lifespan with a drain, thread pool. Layers that must share an object get the same one.
``print(application)`` shows them all.
"""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from . import _options as options
from ._django import allowed_hosts
from ._names import qualified_name
from .composition import Composition, Layer, app_problems, layer_of, layers_of, shown_layers
from .cors import CORSMiddleware, CORSPolicy, WebSocketOriginMiddleware
from .errors import ConfigurationError, ConfigurationWarning
from .health import Check, HealthMiddleware
from .lifespan import Drain, LifespanMiddleware
from .lifespan.contexts import ContextFactory
from .lifespan.registered import registered_contexts
from .limits import RequestBodyLimitMiddleware, RequestTimeoutMiddleware
from .readiness import Readiness
from .request_id import RequestIDMiddleware
from .thread_pool import ThreadPool, ThreadPoolMiddleware
from .timing import AccessLog, RequestTiming, TimingMiddleware
from .timing.observer import Observer, ObserverFunction
from .trace_context import TraceContextMiddleware
from .types import ASGIApp, Middleware, Receive, Scope, Send


class Stack:
    """An application with its layers around it; made by :func:`stack`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    @property
    def layers(self) -> list[ASGIApp]:
        """The layers, the outermost first; the last one is the application itself."""
        return layers_of(self.app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)

    def __repr__(self) -> str:
        return "\n".join(shown_layers(self.app))


def stack(
    app: ASGIApp,
    *,
    health: Middleware | None = HealthMiddleware,
    checks: Mapping[str, Check] | None = None,
    request_id: Middleware | None = RequestIDMiddleware,
    timing: Middleware | None = TimingMiddleware,
    observers: Sequence[Observer | ObserverFunction] | None = None,
    server_timing: bool | Callable[[RequestTiming], object] | None = None,
    slow_threshold: float | None = None,
    cors: CORSPolicy | Mapping[str, CORSPolicy | None] | Middleware | None = None,
    websocket_origins: Sequence[str] | Middleware | None = ("same-origin",),
    max_body_size: int | Middleware | None = None,
    request_timeout: float | Middleware | None = None,
    lifespan: Sequence[ContextFactory] | Middleware | None = (),
    drain: Drain | type[Drain] | None = Drain,
    pool: ThreadPool | type[ThreadPool] | Middleware | None = ThreadPool,
) -> Stack:
    """Return *app* with the layers of this package around it, each in its place.

    * ``cors``: a policy for all paths, or ``{"/api/": CORSPolicy(...), "/admin/": None}``.
    * ``websocket_origins``: whose pages may open WebSockets, as for
      :class:`WebSocketOriginMiddleware`. Around Django, ``ALLOWED_HOSTS`` applies too.
    * ``max_body_size``: bytes, as for :class:`RequestBodyLimitMiddleware`; ``request_timeout``:
      seconds, as for :class:`RequestTimeoutMiddleware`.
    * ``lifespan``: the contexts to open at startup, in this order, after the pool and those that
      apps have registered with :func:`register_lifespan`.
    * ``drain``: a :class:`Drain` with other times, or None.
    * ``pool``: a :class:`ThreadPool` of another size, or None.
    * ``checks``: what ``/readyz`` checks, as for :class:`HealthMiddleware`.
    * ``observers``: observers that get the record of each request, besides an access log. If one
      of them is an :class:`AccessLog`, it replaces the default one.
    * ``server_timing``, ``slow_threshold``: as for :class:`TimingMiddleware`.

    None leaves a layer out. A layer with other options replaces the default one, and still gets
    what it shares with others: ``request_id=partial(RequestIDMiddleware, trusted=False)``.
    For another order, use :func:`compose`.

    Raises :class:`ConfigurationError` for options that cannot work, and for options whose layer
    is left out.
    """
    readiness = None
    if lifespan is not None:  # otherwise nothing would set it
        readiness = _given(health, "readiness") or _given(lifespan, "readiness") or Readiness()
    registered = registered_contexts()
    if registered and lifespan is None:
        names = ", ".join(map(qualified_name, registered))
        warnings.warn(
            f"stack: nothing opens {names}, which apps have registered; use lifespan=[]",
            ConfigurationWarning,
            stacklevel=2,
        )
    threads = _threads(pool)
    default_drain = Drain() if drain is Drain else None
    parts = (
        _Part("health", HealthMiddleware, health, {"readiness": readiness}, {"checks": checks}),
        _Part("request_id", RequestIDMiddleware, request_id),
        _Part(
            *("timing", TimingMiddleware, timing),
            {} if observers else {"observers": [_access_log()]},
            {
                "observers": _with_access_log(observers) if observers else None,
                "server_timing": server_timing,
                "slow_threshold": slow_threshold,
            },
        ),
        _Part("cors", CORSMiddleware, _from_policy(cors)),
        _Part(
            *("websocket_origins", WebSocketOriginMiddleware, _from_origins(websocket_origins)),
            {"allowed_hosts": allowed_hosts()},
        ),
        _Part("max_body_size", RequestBodyLimitMiddleware, _from_size(max_body_size)),
        _Part("request_timeout", RequestTimeoutMiddleware, _from_seconds(request_timeout)),
        _Part(
            *("lifespan", LifespanMiddleware, _from_contexts(lifespan, threads, registered)),
            {"readiness": readiness, "drain": default_drain, **_time_for(drain)},
            {"drain": None if drain is Drain else drain},
        ),
        _Part("pool", ThreadPoolMiddleware, _from_pool(pool, threads)),
    )
    options.check(
        "stack",
        _app_problems(app),
        *(part.problems() for part in parts),
        _policy_problems(cors),
        _pool_problems(checks, lifespan, threads),
    )
    for problem in _unlikely(websocket_origins):
        warnings.warn(f"stack: {problem}", ConfigurationWarning, stacklevel=2)
    layers = tuple(part.layer() for part in parts if part.given is not None)
    try:
        return Stack(Composition(layers, "stack").around(app, stacklevel=2))
    except ConfigurationError as error:
        problems = [_in_terms_of_stack(line, parts) for line in str(error).splitlines()]
        raise ConfigurationError("stack", problems) from None


# What to suggest for an option that also takes something simpler than a layer.
_WANTED = {"cors": "CORSPolicy(allow_origins=['https://app.example'])", "pool": "ThreadPool()"}


# The options of layers that an option of stack() sets.
_STANDING_FOR = {
    ("cors", "policies"): "cors",
    ("websocket_origins", "allow_origins"): "websocket_origins",
    ("websocket_origins", "allowed_hosts"): "ALLOWED_HOSTS",
    ("max_body_size", "max_body_size"): "max_body_size",
    ("request_timeout", "timeout"): "request_timeout",
    ("lifespan", "lifespan"): "lifespan",
}


class _Part(NamedTuple):
    """What :func:`stack` was given for one layer."""

    option: str
    kind: type
    given: object
    """A middleware; None leaves the layer out."""
    shared: Mapping[str, object] = {}
    """The options that the layer gets unless it has them already."""
    own: Mapping[str, object] = {}
    """The options of :func:`stack` for this layer; None means that an option is not given."""

    def layer(self) -> Middleware:
        known = self._known()
        if known is None:
            return cast("Middleware", self.given)
        shared = {name: each for name, each in self.shared.items() if name not in known.options}
        return partial(cast("Any", self.given), **{**shared, **self._given_options()})

    def problems(self) -> Iterator[str]:
        if self.given is not None:
            yield from self._misplaced()
        name, known = self.kind.__name__, self._known()
        for option, value in self._given_options().items():
            shown = f"{option}: {options.shown(value)}"
            if self.given is None:
                yield f"{shown} has no effect because {self.option} is None; use {option}=None"
            elif known is None:
                yield (
                    f"{shown} does not reach {qualified_name(self.given)}, which replaces {name};"
                    " use None, and pass it the option yourself"
                )
            elif option in known.options:
                yield f"{shown} is also set in {self.option}; use None"

    def _misplaced(self) -> Iterator[str]:
        """Yield the problem if what was given is not a middleware for this place."""
        name, known, other = self.kind.__name__, self._known(), layer_of(self.given)
        wanted = _WANTED.get(self.option, name)
        if not callable(self.given):
            yield f"{self.option}: {options.shown(self.given)} is not a layer; use {wanted} or None"
        elif self.given is CORSPolicy:
            yield f"{self.option}: CORSPolicy is a class; use {wanted}"
        elif isinstance(self.given, self.kind):
            yield f"{self.option}: a {name} already has an app; use {name}, or partial({name}, ...)"
        elif known is None and other is not None and other.kind is not TraceContextMiddleware:
            yield f"{self.option}: {other.name} is another layer; use {wanted} or None"
        elif known is None and self.kind is LifespanMiddleware:
            context = qualified_name(self.given)
            yield f"lifespan: {context} is not in a list; use [{context}]"

    def option_for(self, name: str) -> str | None:
        """Return the option of :func:`stack` that option *name* of the layer comes from."""
        return name if name in self.own else _STANDING_FOR.get((self.option, name))

    def _known(self) -> Layer | None:
        known = layer_of(self.given)
        return known if known is not None and issubclass(known.kind, self.kind) else None

    def _given_options(self) -> dict[str, object]:
        return {name: value for name, value in self.own.items() if value is not None}


def _in_terms_of_stack(line: str, parts: Iterable[_Part]) -> str:
    """Return the problem of a layer in terms of the options of :func:`stack`."""
    line = line.removeprefix("stack: ")
    subject, _, problem = line.partition(": ")
    option, _, fault = problem.partition(": ")
    for part in parts:
        if part.kind.__name__ == subject and (ours := part.option_for(option)) is not None:
            return f"{ours}: {fault}"
    return line


def _given(layer: object, option: str) -> Any:
    known = layer_of(layer)
    return None if known is None else known.options.get(option)


def _app_problems(app: object) -> Iterator[str]:
    yield from app_problems("app", app)
    for layer in layers_of(cast("Any", app)):
        if isinstance(layer, Stack):
            yield "app: it already has a stack around it; use stack() once"
        elif type(layer).__name__ == "DaphneLifespan":  # importing it would need Daphne
            yield "app: DaphneLifespan must be outermost; use DaphneLifespan(stack(app))"


def _policy_problems(cors: object) -> Iterator[str]:
    """Check the policy of ``/``; CORSMiddleware checks the policies of other paths."""
    if isinstance(cors, Mapping):
        every = cast("Mapping[object, object]", cors).get("/")
        yield from options.instance("cors", every, CORSPolicy, _WANTED["cors"], optional=True)


def _pool_problems(checks: object, contexts: object, pool: object) -> Iterator[str]:
    """Check that a pool in another option is the one that serves requests."""
    if isinstance(checks, Mapping):
        for name, check in cast("Mapping[object, object]", checks).items():
            of = getattr(check, "__self__", None)
            if isinstance(of, ThreadPool) and of is not pool:
                yield f"checks: {name!r} asks a pool that serves no requests; use pool=pool too"
    if isinstance(contexts, list | tuple) and isinstance(pool, ThreadPool):
        for each in cast("Sequence[object]", contexts):
            if each is not pool and (isinstance(each, ThreadPool) or each is ThreadPool):
                shown = options.shown(each)
                yield f"lifespan: {shown} serves no requests; use pool=pool instead"


def _unlikely(websocket_origins: object) -> Iterator[str]:
    if isinstance(websocket_origins, list | tuple) and not websocket_origins:
        yield "websocket_origins: [] lets nobody in; use ['same-origin'], or None for no guard"


def _from_policy(cors: object) -> object:
    if isinstance(cors, CORSPolicy):
        return partial(CORSMiddleware, **vars(cors))
    if not isinstance(cors, Mapping):
        return cors
    policies = cast("Mapping[object, object]", cors)
    below = {path: policy for path, policy in policies.items() if path != "/"}
    every = policies.get("/")
    others = vars(every) if isinstance(every, CORSPolicy) else {}
    return partial(CORSMiddleware, **others, policies=cast("Any", below))


def _from_origins(origins: object) -> object:
    if callable(origins) or origins is None:
        return origins
    return partial(WebSocketOriginMiddleware, allow_origins=cast("Any", origins))


def _from_size(limit: object) -> object:
    if callable(limit) or limit is None:
        return limit
    return partial(RequestBodyLimitMiddleware, max_body_size=cast("Any", limit))


def _from_seconds(timeout: object) -> object:
    if callable(timeout) or timeout is None:
        return timeout
    return partial(RequestTimeoutMiddleware, timeout=cast("Any", timeout))


def _threads(pool: object) -> object:
    """Return the pool of the stack, even if a layer of ours has it; otherwise what was given."""
    known = layer_of(pool)
    if known is not None and issubclass(known.kind, ThreadPoolMiddleware):
        return known.options.get("pool") or ThreadPool()
    kind = cast("Any", pool)
    return kind() if isinstance(kind, type) and issubclass(kind, ThreadPool) else pool


def _from_pool(pool: object, threads: object) -> object:
    if not isinstance(threads, ThreadPool):
        return pool
    layer = ThreadPoolMiddleware if layer_of(pool) is None else pool
    return partial(cast("Any", layer), pool=threads)


def _from_contexts(
    lifespan: object, pool: object, registered: Sequence[ContextFactory] = ()
) -> object:
    """Return the layer, whose first contexts are the pool and what apps have registered."""
    layer = layer_of(lifespan)
    if layer is None:
        if lifespan is None or callable(lifespan):
            return lifespan
        contexts, lifespan = lifespan, LifespanMiddleware
    else:
        contexts = layer.options.get("lifespan", ())
    if isinstance(contexts, list | tuple):
        listed = list(cast("Sequence[object]", contexts))
        if isinstance(pool, ThreadPool) and pool not in listed:
            listed.insert(0, pool)
        place = listed.index(pool) + 1 if pool in listed else 0
        listed[place:place] = [each for each in registered if each not in listed]
        contexts = listed
    return partial(cast("Any", lifespan), lifespan=contexts)


def _time_for(drain: object) -> dict[str, object]:
    """Return a ``shutdown_timeout`` if the default does not leave *drain* the time it needs."""
    needed = drain.grace + 10 if isinstance(drain, Drain) else 0
    return {"shutdown_timeout": needed} if needed > 20 else {}


def _with_access_log(
    observers: Sequence[Observer | ObserverFunction],
) -> Sequence[Observer | ObserverFunction]:
    if not isinstance(observers, list | tuple) or any(isinstance(o, AccessLog) for o in observers):
        return observers
    return [_access_log(), *observers]


def _access_log() -> AccessLog:
    """Return an access log; if logging is not configured at all, its lines go to stderr."""
    logger = logging.getLogger("asgi_middleware.access")
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    return AccessLog()
