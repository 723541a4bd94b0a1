"""deploy/nginx.conf in a real nginx, with the example project behind it on a Unix socket."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from .deployed import Machine, machine
from .missing import program
from .server import HOST, PATIENCE, Server, free_port, serve

pytestmark = pytest.mark.process

MAIN = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@dataclass(frozen=True)
class Site:
    url: str
    plain_url: str
    tls: ssl.SSLContext
    example: Server
    socket: Path

    def client(self, address: str = HOST) -> httpx.Client:
        transport = httpx.HTTPTransport(verify=self.tls, local_address=address)
        return httpx.Client(transport=transport, base_url=self.url, timeout=PATIENCE)

    def lines_of(self, request_id: str) -> list[dict[str, object]]:
        lines = self.example.log_lines(f'asgi_middleware.access.*"{request_id}"')
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def site(production_environment: dict[str, str]) -> Iterator[Site]:
    nginx = program("nginx", "nginx")
    with ExitStack() as stack:
        here = stack.enter_context(machine())
        certificate, key = _certificate(here.folder)
        secure, plain = (stack.enter_context(free_port()) for _ in range(2))
        (here.folder / "site.conf").write_text(
            here.file(
                "nginx.conf",
                **{
                    "listen 80;": f"listen {HOST}:{plain};",
                    "listen 443 ssl;": f"listen {HOST}:{secure} ssl;",
                    "/etc/ssl/certs/example.pem": str(certificate),
                    "/etc/ssl/private/example.key": str(key),
                },
            ),
            encoding="utf-8",
        )
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = here.folder / "nginx.conf"
        configuration.write_text(MAIN.format(folder=here.folder, user=user), encoding="utf-8")

        example = stack.enter_context(_example(here, production_environment))
        example.until(here.listens, "socket for nginx")
        process = subprocess.Popen(
            [nginx, "-c", configuration, "-p", here.folder], stdin=subprocess.DEVNULL
        )
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.terminate)
        _until_it_listens(secure, process)
        yield Site(
            url=f"https://{HOST}:{secure}",
            plain_url=f"http://{HOST}:{plain}",
            tls=ssl.create_default_context(cafile=str(certificate)),
            example=example,
            socket=here.socket,
        )


def test_a_page_passes_through_nginx(site: Site) -> None:
    with site.client() as client:
        response = client.get("/")

    assert response.status_code == 200
    assert "strict-transport-security" in response.headers
    # Django knows that the scheme is https: otherwise it would redirect and set no secure cookie.
    assert "Secure" in response.headers["set-cookie"]


def test_the_app_gets_the_clients_address_and_a_new_request_id_from_nginx(site: Site) -> None:
    with site.client("127.0.0.2") as client:
        # nginx does not pass on what a client claims about itself.
        headers = {"x-forwarded-for": "203.0.113.7", "x-request-id": "forged"}
        request_id = client.get("/status/", headers=headers).headers["x-request-id"]

    [line] = site.lines_of(request_id)
    assert line["client"] == "127.0.0.2"
    assert request_id != "forged"


def test_nginx_redirects_plain_http(site: Site) -> None:
    response = httpx.get(f"{site.plain_url}/notes/?page=2", timeout=PATIENCE)

    assert response.status_code == 301
    assert response.headers["location"] == f"https://{HOST}/notes/?page=2"


def test_a_websocket_passes_through_nginx(site: Site) -> None:
    with connect(
        f"{site.url.replace('https', 'wss')}/ws/echo/",
        ssl=site.tls,
        origin=Origin(site.url),
        open_timeout=PATIENCE,
        proxy=None,
    ) as socket:
        assert json.loads(socket.recv(PATIENCE))["type"] == "welcome"
        socket.send('"hello"')
        assert json.loads(socket.recv(PATIENCE)) == {"type": "echo", "content": "hello"}


def test_nginx_passes_on_each_event_of_a_stream_immediately(site: Site) -> None:
    with site.client() as client, client.stream("GET", "/ticks/") as stream:
        # A buffer would hold the events back until it has kilobytes of them, in about an hour.
        events = (line for line in stream.iter_lines() if line)
        first, second = next(events), next(events)

    assert int(second.removeprefix("data: ")) == int(first.removeprefix("data: ")) + 1


def test_static_files_are_compressed(site: Site) -> None:
    with site.client() as client:
        page = client.get("/").text
        path = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
        response = client.get(path, headers={"accept-encoding": "gzip"})

    assert response.headers["content-encoding"] == "gzip"
    assert "immutable" in response.headers["cache-control"]


LIMITS = [("/notes/", 10_000), ("/notes", 10_000), ("/notesx/", 5_000_000)]


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_nginx_passes_on_the_largest_body_that_the_app_takes(
    site: Site, path: str, limit: int
) -> None:
    with site.client() as client:
        response = client.post(path, content=b"x" * limit)

    assert response.status_code in (301, 403, 404)  # from Django
    assert "x-request-id" in response.headers


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_nginx_refuses_a_body_that_is_a_byte_too_large_for_the_app(
    site: Site, path: str, limit: int
) -> None:
    with site.client() as client:
        refused = [client.post(path, content=b"x" * (limit + 1)) for _ in range(20)]

    # If nginx passed the body on, the app would refuse it midway, and some clients would get a 502.
    assert {response.status_code for response in refused} == {413}
    assert not any("x-request-id" in response.headers for response in refused)


@pytest.mark.parametrize(("path", "limit"), LIMITS)
def test_the_app_itself_refuses_a_body_that_is_a_byte_too_large(
    site: Site, path: str, limit: int
) -> None:
    headers = ("Host: example.org", f"Content-Length: {limit + 1}", "", "")
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(site.socket))
        connection.sendall("\r\n".join((f"POST {path} HTTP/1.1", *headers)).encode())
        response = HTTPResponse(connection)
        response.begin()

        assert response.status == 413
        assert response.read() == b"The request body is larger than this server accepts.\n"


def test_nginx_refuses_requests_for_the_metrics(site: Site) -> None:
    with site.client() as client:
        assert client.get("/metrics").status_code == 403


def _example(here: Machine, environment: dict[str, str]) -> AbstractContextManager[Server]:
    command = (
        *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
        *("--uds", str(here.socket), "--lifespan", "on"),
        *("--proxy-headers", "--forwarded-allow-ips=*"),
    )
    changes = {**environment, "HTTPS": "1"}
    return serve(command, log=here.folder / "log", environment=changes, listening=False)


def _certificate(folder: Path) -> tuple[Path, Path]:
    certificate, key = folder / "example.pem", folder / "example.key"
    subprocess.run(
        [
            *(program("openssl", "openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
            *("-subj", "/CN=example.org", "-days", "1"),
            *("-addext", f"subjectAltName=DNS:example.org,IP:{HOST}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


def _until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            assert process.poll() is None, "nginx has ended"
            assert time.monotonic() < deadline
            time.sleep(0.01)
