"""Stack middleware in the order in which a request meets them.

    application = compose(
        RequestIDMiddleware,
        partial(CORSMiddleware, allow_origins=["https://app.example"]),
    )(get_asgi_application())

The first is the outermost, as in Django's ``MIDDLEWARE``. Use :func:`functools.partial` to pass
options. Anything that takes an app and returns one works as a middleware. So does the result of
:func:`compose`, so stacks nest.

:func:`compose` knows the layers of this package. It refuses layers that cannot work together, and
warns about an order that is probably a mistake.
"""

import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from inspect import signature
from itertools import combinations
from typing import Any, NamedTuple, cast

from . import _options as options
from ._async import is_async
from ._names import qualified_name
from .cors import CORSMiddleware, WebSocketOriginMiddleware
from .errors import ConfigurationError, ConfigurationWarning
from .health import HealthMiddleware
from .lifespan import LifespanMiddleware
from .limits import RequestBodyLimitMiddleware, RequestTimeoutMiddleware
from .request_id import RequestIDMiddleware
from .thread_pool import ThreadPoolMiddleware
from .timing import AccessLog, TimingMiddleware
from .trace_context import TraceContextMiddleware
from .types import ASGIApp, Middleware

# Outermost first, each with what it gains by being outside the layers that follow.
_ORDER: tuple[tuple[type, str], ...] = (
    (HealthMiddleware, "probes are not logged, and do not wait for other requests"),
    (RequestIDMiddleware, "everything that the other layers log and send has the ID"),
    (TraceContextMiddleware, "everything that the other layers log has the trace"),
    (TimingMiddleware, "it measures what the client gets"),
    (CORSMiddleware, "a page of another origin can read the refusals of the other layers"),
    (WebSocketOriginMiddleware, "nothing is opened for a refused handshake"),
    (RequestBodyLimitMiddleware, "a refused body takes no thread"),
    (RequestTimeoutMiddleware, "the time that a request waits for a thread counts too"),
    (LifespanMiddleware, "only requests that it lets in get a thread"),
    (ThreadPoolMiddleware, ""),
)


class Layer(NamedTuple):
    """A middleware of this package: its class, its place in the order, and its options."""

    kind: type
    place: int
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.kind.__name__


class Composition:
    """Several middleware as one; made by :func:`compose`."""

    def __init__(
        self, middleware: tuple[Middleware, ...], subject: str = "compose", stacklevel: int = 2
    ) -> None:
        options.check(subject, *map(_problems, middleware))
        self.middleware = middleware
        self._subject = subject
        self._told: set[str] = set()
        self._check((layer for each in middleware for layer in _layers(each)), stacklevel + 2)

    def __call__(self, app: ASGIApp, *others: object) -> ASGIApp:
        # A server calls an app with three arguments, or with only the scope if it takes the app
        # for an ASGI 2 app.
        if others or not callable(app):
            problem = "the result is a middleware, not an app; use compose(...)(app)"
            raise ConfigurationError("compose", [problem])
        return self.around(app, stacklevel=2)

    def around(self, app: ASGIApp, *, stacklevel: int) -> ASGIApp:
        """Return *app* with the middleware around it. Warnings point *stacklevel* frames up."""
        options.check(self._subject, app_problems("app", app))
        errors: list[ConfigurationError] = []
        for wrap in reversed(self.middleware):
            try:
                wrapped = wrap(app)
            except ConfigurationError as error:
                errors.append(error)
            else:
                app = self._checked(wrapped, wrap)
        if len(errors) > 1:
            lines = [line for error in errors for line in str(error).splitlines()]
            raise ConfigurationError(self._subject, lines)
        if errors:
            raise errors[0]
        self._check(built_layers(app), stacklevel + 2)
        return app

    def _checked(self, wrapped: ASGIApp, wrap: object) -> ASGIApp:
        name = qualified_name(wrap)
        if any(True for _ in app_problems(name, wrapped)):
            shown = options.shown(wrapped)
            problem = f"{name} returned {shown}; use a middleware that returns an ASGI app"
            raise ConfigurationError(self._subject, [problem])
        return wrapped

    def _check(self, layers: Iterable[Layer], stacklevel: int) -> None:
        """Check the layers, including those of an app, and warn about each problem once."""
        layers = list(layers)
        options.check(self._subject, errors_in(layers))
        for problem in warnings_about(layers):
            if problem not in self._told:
                self._told.add(problem)
                warnings.warn(
                    f"{self._subject}: {problem}", ConfigurationWarning, stacklevel=stacklevel
                )

    def __repr__(self) -> str:
        return f"compose({', '.join(map(_shown, self.middleware))})"


def compose(*middleware: Middleware) -> Composition:
    """Return one middleware that applies *middleware*, the outermost first.

    Raises :class:`ConfigurationError` for anything that is not a middleware, and for layers that
    cannot work together. Warns (:class:`ConfigurationWarning`) about a layer that is given twice,
    an order that is probably a mistake, and an object that two layers should share.
    """
    return Composition(middleware)


def errors_in(layers: Iterable[Layer]) -> Iterator[str]:
    """Yield why *layers*, the outermost first, cannot work together."""
    health, lifespan = _find(layers, HealthMiddleware), _find(layers, LifespanMiddleware)
    if health is None or lifespan is None or health.options.get("readiness") is None:
        return
    if health.options["readiness"] is not lifespan.options.get("readiness"):
        yield (
            "HealthMiddleware has a readiness that LifespanMiddleware does not have, so /readyz"
            " would be 503 forever; use readiness = Readiness(), and pass it to both"
        )


def warnings_about(layers: Iterable[Layer]) -> Iterator[str]:
    """Yield what is probably a mistake in *layers*, the outermost first, although they work."""
    layers = list(layers)
    places = [layer.place for layer in layers]
    for outer, inner in combinations(layers, 2):
        if outer.place == inner.place:
            yield f"{inner.name} appears twice; use it once"
        elif outer.place > inner.place and places.count(inner.place) == 1:
            reason = _ORDER[inner.place][1]
            yield f"{inner.name} is inside {outer.name}; move it outside, so that {reason}"
    timing = _find(layers, TimingMiddleware)
    if timing is not None:
        yield from _logged_twice(timing.options.get("observers", ()))
    lifespan = _find(layers, LifespanMiddleware)
    if lifespan is None:
        return
    health, pool = _find(layers, HealthMiddleware), _find(layers, ThreadPoolMiddleware)
    if health is not None and health.options.get("readiness") is None:
        yield (
            "HealthMiddleware does not have the readiness of LifespanMiddleware, so /readyz would"
            " ignore startup and shutdown; use readiness = Readiness(), and pass it to both"
        )
    contexts = lifespan.options.get("lifespan", ())
    has_contexts = isinstance(contexts, Collection)  # if not, the constructor refuses it
    if has_contexts:
        for name in _repeated(cast("Collection[object]", contexts)):
            yield f"{name} appears twice among the contexts of LifespanMiddleware; use it once"
    if pool is not None and has_contexts and pool.options.get("pool") not in contexts:
        yield (
            "the pool of ThreadPoolMiddleware is not among the contexts of LifespanMiddleware, so"
            " shutdown would not close it; use pool = ThreadPool(), and pass it to both as"
            " pool=pool and lifespan=[pool]"
        )


def _logged_twice(observers: object) -> Iterator[str]:
    if isinstance(observers, Collection):
        listed = cast("Collection[object]", observers)
        loggers = [each.logger_name for each in listed if isinstance(each, AccessLog)]
        for name in {each for each in loggers if loggers.count(each) > 1}:
            yield f"two observers log each request to {name!r}; use one AccessLog()"


def _repeated(contexts: Collection[object]) -> list[str]:
    listed = list(contexts)
    return [
        qualified_name(each)
        for place, each in enumerate(listed)
        if any(each is other for other in listed[:place])
    ]


def layers_of(application: ASGIApp) -> list[ASGIApp]:
    """Return the layers of *application*, the outermost first, and the app inside them.

    A layer keeps the app that it wraps in its attribute ``app``, as do all layers of this package.
    """
    layers = [application]
    while (inner := getattr(layers[-1], "app", None)) is not None:
        layers.append(inner)
    return layers


def shown_layers(application: ASGIApp) -> list[str]:
    """Return a line for each layer, with the options that it was given, and one for the app."""
    *layers, app = layers_of(application)
    return [*map(options.brief, layers), qualified_name(app)]


def built_layers(application: ASGIApp) -> Iterator[Layer]:
    """Yield a :class:`Layer` for each layer of this package around an application."""
    for layer in layers_of(application):
        if (place := _place(type(layer))) is not None:
            shared = ("readiness", "lifespan", "pool", "observers")
            has = {name: getattr(layer, name) for name in shared if hasattr(layer, name)}
            yield Layer(type(layer), place, has)


def layer_of(middleware: object) -> Layer | None:
    """Return the :class:`Layer` that a middleware would build; None if it is not one of ours."""
    keywords: dict[str, Any] = {}
    while isinstance(middleware, partial):
        keywords = {**middleware.keywords, **keywords}
        middleware = middleware.func
    if not isinstance(middleware, type) or (place := _place(middleware)) is None:
        return None
    return Layer(middleware, place, keywords)


def _place(kind: type) -> int | None:
    for place, (known, _) in enumerate(_ORDER):
        if issubclass(kind, known):
            return place
    return None


def _layers(middleware: object) -> Iterator[Layer]:
    if isinstance(middleware, Composition):
        for each in middleware.middleware:
            yield from _layers(each)
    elif (layer := layer_of(middleware)) is not None:
        yield layer


def _find(layers: Iterable[Layer], kind: type) -> Layer | None:
    return next((layer for layer in layers if issubclass(layer.kind, kind)), None)


def _shown(middleware: object) -> str:
    layer = layer_of(middleware)
    if layer is None:
        return qualified_name(middleware)
    given = [f"{name}={value!r}" for name, value in layer.options.items()]
    return f"{layer.name}({', '.join(given)})" if given else layer.name


def app_problems(option: str, app: object) -> Iterator[str]:
    """Check that *app* can be called with scope, receive and send."""
    name, way_out = qualified_name(app), "use get_asgi_application()"
    if not callable(app):
        yield f"{option}: {options.shown(app)} cannot be called; {way_out}"
    elif isinstance(app, Composition) or layer_of(app) is not None:
        yield f"{option}: {name} is a middleware, not an app; {way_out}"
    elif isinstance(app, type) and not hasattr(app, "__await__"):  # Starlette's endpoints have it
        yield f"{option}: {name} is a class; use an instance of it"
    elif not options.takes(app, 3):
        if options.takes(app, 0):
            yield f"{option}: {name} is not called; use {name}()"
        else:
            yield f"{option}: {name} cannot be called with scope, receive and send; {way_out}"


def _problems(middleware: object) -> Iterator[str]:
    """Check that *middleware* can be called with an app, and is not an app itself."""
    name = qualified_name(middleware)
    if isinstance(middleware, list | tuple):
        yield "middleware is given one by one, not in a list; use compose(*[...])"
    elif not callable(middleware):
        shown = options.shown(middleware)
        yield f"{shown} cannot be called; use a class or a function that takes an app"
    elif not isinstance(middleware, type) and is_async(middleware):
        yield f"{name} is an app, not a middleware; use compose(...)({name})"
    else:
        try:
            signature(middleware).bind(None)
        except TypeError as error:
            missing = str(error).replace("keyword-only ", "")  # which Python 3.12 adds
            yield f"{name} cannot be called with only an app ({missing}); use partial({name}, ...)"
        except ValueError:
            pass  # a builtin, which does not show its parameters
