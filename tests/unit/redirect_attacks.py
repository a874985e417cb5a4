"""Redirect URIs of attackers, made from a registered one by rules: a corpus of thousands.

The rules follow PortSwigger's and OWASP's lists of URL validation bypasses, RFC 9700 section 4.1 and reports of servers
that matched patterns, prefixes or parsed parts. Every rule changes the URI, and changes more than a loopback port. A
rule may make another text that passes, such as a loopback URI with a slash for its empty path. `corpus` leaves these
out.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from itertools import chain
from urllib.parse import quote, unquote

EVIL = "evil.example"
# Programs between an app and its browser may read these as an ASCII character, or drop them (UTS 46, NFKC, fonts).
LOOK_ALIKES = {
    "a": "\u0430\uff41\u24d0\u00e0\u0251",
    "c": "\u0441\uff43\u217d",
    "e": "\u0435\uff45\u212f\u00e9",
    "i": "\u0456\uff49\u0131\u2139",
    "k": "\u212a\u043a",
    "l": "\u217c\uff4c\u04cf1I|",
    "m": "\u217f\uff4d",
    "o": "\u043e\uff4f\u03bf0\u00ba",
    "p": "\u0440\uff50",
    "s": "\u0455\uff53\u017f",
    "x": "\u0445\uff58\u2179",
    "1": "\uff11\u00b9\u2460\u0661l",
    "0": "\uff10\u2070\u0660o",
    ".": "\u3002\uff0e\uff61\u2024",
    "/": "\uff0f\u2044\u2215\u29f8\\",
    ":": "\uff1a\u2236\ua789",
    "?": "\uff1f\u037e",
    "-": "\u2010\u2011\u2212\uff0d",
}
INVISIBLE = "\t\n\r\0\x0b\x0c\x1f \x7f\x85\xa0\xad\u034f\u180e\u200b\u200c\u200d\u200e\u202e\u2028\u2029\u2060\ufeff"
SCHEMES = (
    *("http", "https", "HTTPS", "httpS", "ftp", "file", "ws", "wss", "javascript", "JavaScript", "data", "vbscript"),
    *("blob", "about", "view-source", "feed", "jar", "intent", "content", "filesystem", "mailto", "tel", "x"),
)
APPENDED = (
    *("/", "//", "/.", "/..", "/./", "/../", "/../evil", "/..;/evil", "/%2e%2e/evil", "/%252e%252e/evil", "/..%2fevil"),
    *(
        "\\",
        "\\..\\evil",
        "%5c",
        "%2f",
        "%00",
        "%0a",
        "%0d%0aset-cookie:a=b",
        "%20",
        "%09",
        "%23",
        "%3f",
        "+",
        "%",
        "%2",
    ),
    *(".", "..", "~", "*", ";", ";x=1", ",", "!", "'", '"', "<", ">", "`", "|", "^", "{", "}", "(", ")", "$", "=", "&"),
    *("?", "?x=1", "?code=stolen", "&x=1", "#", "#x", "#/", "?#", f"#@{EVIL}/", f"@{EVIL}", f"@{EVIL}/", f".{EVIL}"),
    *(f".{EVIL}/callback", f"%2e{EVIL}", f"//{EVIL}", f"\\{EVIL}", f"?next=https://{EVIL}/", f"&redirect_uri={EVIL}"),
    *("evil", "%65vil", ".html", ".json", "/index", "x", "1"),
)
PREPENDED = (
    *(
        "/",
        "//",
        "///",
        "\\",
        "\\\\",
        "/\\",
        ".",
        "..",
        "x",
        "x:",
        "?",
        "#",
        "@",
        "*",
        "'",
        '"',
        "<",
        "(",
        "url=",
        "URL:",
    ),
    *(f"https://{EVIL}/", f"https://{EVIL}/?u=", f"https://{EVIL}#", f"https://{EVIL}@", f"//{EVIL}/", f"{EVIL}/"),
    *(f"https://{EVIL}\\@", "javascript:", "javascript://", "javascript:alert(1)//", "data:text/html,", "view-source:"),
    *("blob:", "feed:", "intent:", "filesystem:", "jar:", "https:", "http:", "%68ttps://"),
)
# These go between the scheme and the host.
IN_FRONT_OF_HOST = (
    *("user@", "user:password@", "@", ":@", "%40", "user%40", f"{EVIL}@", f"{EVIL}:443@", f"{EVIL}#@", f"{EVIL}?@"),
    *(f"{EVIL}\\@", f"{EVIL}/@", f"{EVIL}%00@", f"{EVIL}%23@", f"{EVIL}&@", f"{EVIL} @", f"{EVIL}\t@", f"{EVIL};@"),
    *("/", "//", "\\", "\\\\", "evil", "evil-", "evil.", "x.", ".", "..", "%2e", "*.", "www.", "xn--", "[", "-", "_"),
)
# These go behind the host, before a port, a path or a query.
BEHIND_HOST = (
    *(
        ".",
        "..",
        f".{EVIL}",
        f"-{EVIL}",
        f"{EVIL}",
        "evil",
        "%2e",
        f"%2e{EVIL}",
        f"@{EVIL}",
        f":80@{EVIL}",
        f"#.{EVIL}",
    ),
    *(f"?.{EVIL}", f"\\.{EVIL}", f"\\@{EVIL}", f"%00.{EVIL}", f"%0a.{EVIL}", f"%23.{EVIL}", f"%2f.{EVIL}", f";.{EVIL}"),
    *(
        f"\t.{EVIL}",
        f" .{EVIL}",
        f",{EVIL}",
        f"&{EVIL}",
        "/.",
        "/./",
        "/x/..",
        "//",
        "/",
        "\\",
        "]",
        "%",
        "%00",
        "_",
        "*",
    ),
    *(":", ":0", ":00", ":-1", ":+80", ":080", ":65536", ":99999", ":4294967376", ":80:80", ":80 ", ": 80", ":0x50"),
    *(":8e1", ":\u0668\u0660", ":\uff18\uff10", ":80.", ":80.evil", ":80\\", ":http", ":*", ":80,443"),
)
# Other names of this machine, and names easily taken for one.
HOSTS_LIKE_LOOPBACK = (
    *("127.0.0.2", "127.1", "127.0.1", "127.00.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "0"),
    *(".".join("0000"), "127.0.0.1.", "127.0.0.1.nip.io", "127.0.0.1.evil.example", "LOCALHOST", "Localhost"),
    *("localhost.", "localhost.evil.example", "localhost6", "ip6-localhost", "localhost.localdomain", "evil.localhost"),
    *("[::]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::01]", "[::1%25lo]", "[::1%lo0]", "[::127.0.0.1]"),
    *(
        "[::1].evil.example",
        "[::1",
        "::1]",
        "::1",
        "[[::1]]",
        "[::1]]",
        "[::1]1",
        "169.254.169.254",
        "10.0.0.1",
        "localtest.me",
    ),
    *(
        "[::ffff:127.0.0.1]",
        "\u2460\u2461\u2466.0.0.1",
        "127\u30020\u30020\u30021",
        "\uff11\uff12\uff17.0.0.1",
        "%6cocalhost",
    ),
)


def attacks_on(uri: str) -> Iterator[str]:
    """Yield the results of all rules for one registered URI."""
    scheme, rest = uri.split(":", 1)
    start, end = _host_of(uri)
    for rule in (_encodings, _cases, _characters, _look_alikes, _invisible, _wholes):
        yield from rule(uri)
    yield from (uri + text for text in APPENDED)
    yield from (text + uri for text in PREPENDED)
    yield from (f"{other}:{rest}" for other in SCHEMES if other != scheme)
    yield from (scheme + separator + rest for separator in ("", "::", "%3a", ";", ":\t", ": ", ":/", "://", ":\\"))
    if start < end:
        yield from (uri[:start] + text + uri[start:] for text in IN_FRONT_OF_HOST)
        yield from (uri[:end] + text + uri[end:] for text in BEHIND_HOST)
        yield from (uri[:start] + host + uri[end:] for host in (EVIL, "", "*", *HOSTS_LIKE_LOOPBACK))
        yield from (uri.replace("://", separator, 1) for separator in (":/", ":", ":///", ":\\\\", ":/\\", "//", "/"))


def _host_of(uri: str) -> tuple[int, int]:
    """Return the begin and end of the host, or an empty range if the URI has none."""
    if "://" not in uri:
        return 0, 0
    start = uri.index("://") + 3
    if uri[start] == "[":
        return start, uri.index("]") + 1
    return start, min(at for mark in ":/?" if (at := (uri + mark).find(mark, start)) > 0)


def _encodings(uri: str) -> Iterator[str]:
    for at, character in enumerate(uri):
        plain = f"{ord(character):02x}"
        for written in (f"%{plain}", f"%25{plain}", f"%u00{plain}", f"\\u00{plain}", f"&#x{plain};", f"\\x{plain}"):
            yield uri[:at] + written + uri[at + 1 :]
    yield from (quote(uri, safe=""), quote(quote(uri, safe=""), safe=""), quote(uri, safe=":"), unquote(uri) + "%")
    yield from (json.dumps(uri), f"<{uri}>", f"[{uri}]", uri.encode("utf-16-le").decode("latin-1"))


def _cases(uri: str) -> Iterator[str]:
    yield from (uri.upper(), uri.title(), uri.swapcase())
    yield from (uri[:at] + uri[at].swapcase() + uri[at + 1 :] for at in range(len(uri)) if uri[at].isalpha())


def _characters(uri: str) -> Iterator[str]:
    for at in range(len(uri)):
        yield uri[:at] + uri[at + 1 :]
        yield uri[:at] + uri[at] + uri[at:]
        yield uri[:at]
        yield uri[:at] + "*" + uri[at + 1 :]
        yield uri[:at] + "." + uri[at + 1 :]


def _look_alikes(uri: str) -> Iterator[str]:
    for at, character in enumerate(uri):
        for other in LOOK_ALIKES.get(character, ""):
            yield uri[:at] + other + uri[at + 1 :]
    yield "".join(chr(ord(character) + 0xFEE0) for character in uri)
    yield unicodedata.normalize("NFD", uri.replace("a", "\u00e1", 1))


def _invisible(uri: str) -> Iterator[str]:
    for at in range(len(uri) + 1):
        yield from (uri[:at] + character + uri[at:] for character in INVISIBLE)


def _wholes(uri: str) -> Iterator[str]:
    yield from (
        uri + uri,
        f"{uri} {uri}",
        f"{uri},{uri}",
        f"{uri}\n{uri}",
        f"{uri};{uri}",
        uri[::-1],
        uri.strip("htps:"),
    )


def corpus(registered: tuple[str, ...], passes: Callable[[str], bool]) -> list[str]:
    """Return all attacks on all registered URIs, each once, except texts that pass by the rule's own words."""
    made = dict.fromkeys(chain.from_iterable(attacks_on(uri) for uri in registered))
    return [uri for uri in made if not passes(uri)]
