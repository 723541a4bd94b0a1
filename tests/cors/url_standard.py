"""How Node writes origins by the URL standard: an oracle that is not our own code.

    python -m tests.cors.url_standard

writes the table again with your Node. Machines without Node use the table.
https://url.spec.whatwg.org/#host-serializing
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from random import Random

TABLE = Path(__file__).with_suffix(".json")

_SCHEMES = (
    *("http", "https", "ws", "wss", "ftp", "file", "app", "capacitor", "ionic", "tauri"),
    *("chrome-extension", "moz-extension", "safari-web-extension", "HTTPS", "x.y+z-1", "1a"),
)
_HOSTS = (
    *("a", "b.example", "A", "localhost", ".", "..", "-", "a-", "_x", "~", "!", "'", '"', "$"),
    *("(", "+", ";", "=", "{", "`", "&", "^", "|", "<", "\\", "@", ",", "%41", "%", "a b", "\t"),
    *("1", "0x1", "0x", "0", "09", "1.2.3.4", "127.1", "255.255.255.256", "a.1", "1.", "256"),
    *("[::1]", "[::ffff:c000:201]", "[::ffff:192.0.2.1]", "[1:0:0:2::3]", "[0:0:1:0:0:1:0:0]"),
    *("[FE80::1]", "[::1%25lo]", "[::g]", "[1:2:3:4:5:6:7:8]", "[1::3:4:5:6:7:8]", "[::10:0:0]"),
    *("münchen", "straße", "MÜNCHEN", "STRAẞE", "İ", "ﬁ", "日本", "é", "ς", "xn--mnchen-3ya"),
)
_PORTS = ("", "", ":80", ":443", ":21", ":0", ":8080", ":080", ":65535", ":65536", ":", ":x")
_TAILS = ("", "", "", "", "/", "/p", "?q", "#f")

_SCRIPT = """
    const written = (text) => {
        try { const url = new URL(text); return `${url.protocol}//${url.host}`; }
        catch { return null; }
    };
    const texts = JSON.parse(require("fs").readFileSync(0));
    console.log(JSON.stringify(texts.map(written)));
"""


def generated(count: int) -> list[str]:
    """Return the same texts at each call. They look like origins, and many of them are invalid."""
    random = Random(1)
    texts: dict[str, None] = {}
    while len(texts) < count:
        if random.random() < 0.1:
            pieces = [random.choice(("0", "0", "0", "1", "ab", "ffff")) for _ in range(8)]
            texts[f"http://[{':'.join(pieces)}]"] = None
        host = "".join(random.choice(_HOSTS) for _ in range(random.choice((0, 1, 1, 1, 2, 2, 3))))
        texts[
            f"{random.choice(_SCHEMES)}://{host}{random.choice(_PORTS)}{random.choice(_TAILS)}"
        ] = None
    return list(texts)


def letters() -> list[str]:
    """Return an origin for each lower-case letter from U+0080 to U+2E7F."""
    return [f"https://b{chr(n)}a.example" for n in range(0x80, 0x2E80) if chr(n).islower()]


def written_by_node(texts: Sequence[str]) -> dict[str, str | None]:
    """Return how one Node process writes each text, or None if it is not a URL."""
    node = shutil.which("node")
    assert node is not None
    run = subprocess.run(
        [node, "-e", _SCRIPT],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return dict(zip(texts, json.loads(run.stdout), strict=True))


def table() -> dict[str, str | None]:
    """Return how Node wrote some of the generated texts."""
    written: dict[str, str | None] = json.loads(TABLE.read_text(encoding="utf-8"))
    return written


if __name__ == "__main__":
    rows = written_by_node([*generated(800), *letters()[::8]])
    lines = ",\n".join(f"{json.dumps(text)}: {json.dumps(rows[text])}" for text in rows)
    TABLE.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
