"""What the hosts of a tier say to each other over HTTP, signed with the tier's
secret: written from docs/WIRE.md, not from the code under test.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import pathlib
import secrets
import struct
import urllib.parse
from typing import TYPE_CHECKING, Any

from .errors import LabError

if TYPE_CHECKING:
    from .hosts import Host

_NAMES = ("caller", "session", "count", "nonce")


def _field(value: str) -> str:
    return f"{len(value.encode())}:{value}\n"


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & (1 << 64) - 1


def siphash13(key: bytes, message: bytes) -> int:
    """SipHash-1-3 (Aumasson and Bernstein, 2012)."""
    k0, k1 = struct.unpack("<2Q", key)
    v = [k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d,
         k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573]

    def half(a: int, b: int, bits: int) -> None:
        v[a] = (v[a] + v[b]) & (1 << 64) - 1
        v[b] = _rotate(v[b], bits) ^ v[a]

    def sip_round() -> None:
        half(0, 1, 13)
        v[0] = _rotate(v[0], 32)
        half(2, 3, 16)
        half(0, 3, 21)
        half(2, 1, 17)
        v[2] = _rotate(v[2], 32)

    whole = len(message) // 8 * 8
    last = message[whole:].ljust(7, b"\0") + bytes([len(message) & 0xff])
    for at in range(0, whole + 8, 8):
        word = struct.unpack("<Q", (message[:whole] + last)[at:at + 8])[0]
        v[3] ^= word
        sip_round()
        v[0] ^= word
    v[2] ^= 0xff
    for _ in range(3):
        sip_round()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def derive(secret: bytes, label: str) -> bytes:
    return hmac.new(secret, label.encode(), hashlib.sha256).digest()


def flow_hash(key_file: pathlib.Path, client: tuple[str, int],
              service: tuple[str, int]) -> int:
    """What rows, slots and reports of a flow are derived from."""
    key = derive(key_file.read_bytes().strip(), "fairlead hash key 1")[:16]
    ends = [ipaddress.ip_address(host) for host, _ in (client, service)]
    ports = struct.pack("!2H", client[1], service[1])
    return siphash13(key, ends[0].packed + ends[1].packed + ports)


def flow_row(hash_: int, rows: int) -> int:
    """Requires: `rows` is a power of two."""
    return (hash_ >> 48) & (rows - 1)


class Caller:
    """Asks agents from the namespace of `host`."""

    def __init__(self, host: Host, key_file: pathlib.Path,
                 name: str = "test"):
        self._host = host
        self._key = derive(key_file.read_bytes().strip(),
                           "fairlead mac key 1")
        self._name = name
        self._sessions: dict[str, tuple[str, int]] = {}

    def call(self, authority: str, target: str, *,
             body: object = None) -> tuple[int, dict[str, Any]]:
        """Status and answer of GET, or of PUT if there is a body."""
        for _ in range(2):
            status, headers, answer, mac = self._exchange(authority, target,
                                                          body)
            self._check(status, headers, answer, mac)
            if status != 401:
                break
            self._sessions[authority] = (headers["fairlead-session"],
                                         int(headers["fairlead-count"]))
        return status, json.loads(answer)

    def sign(self, authority: str, target: str, method: str,
             body: str) -> dict[str, str]:
        session, count = self._sessions.get(authority, ("", 0))
        self._sessions[authority] = session, count + 1
        headers = {"caller": self._name, "session": session,
                   "count": str(count + 1), "nonce": secrets.token_hex(16)}
        parts = urllib.parse.urlsplit(target)
        query = sorted(urllib.parse.parse_qsl(parts.query))
        text = "fairlead request 1\n" + _field(method) + _field(parts.path)
        text += f"{len(query)}\n"
        text += "".join(_field(word) for pair in query for word in pair)
        text += "".join(_field(headers[name]) for name in _NAMES)
        text += _field(hashlib.sha256(body.encode()).hexdigest())
        headers["mac"] = self._mac(text)
        return {f"fairlead-{name}": value for name, value in headers.items()}

    def _exchange(self, authority: str, target: str, body: object
                  ) -> tuple[int, dict[str, str], str, str]:
        method = "GET" if body is None else "PUT"
        text = body if isinstance(body, str) else json.dumps(body)
        text = "" if body is None else text
        signed = self.sign(authority, target, method, text)
        words = ["curl", "-s", "-g", "-i", "-m10", "-X", method,
                 f"http://{authority}{target}"]
        for name, value in signed.items():
            # An empty header is written with a semicolon.
            words += ["-H", f"{name}: {value}" if value else f"{name};"]
        if body is not None:
            # It may be longer than a command line.
            path = self._host.directory / "request.json"
            path.write_text(text)
            words += ["--data-binary", f"@{path}"]
        head, _, answer = self._host.run(*words).stdout.partition("\n\n")
        lines = head.splitlines()
        headers = {name.lower(): value.strip() for name, _, value in
                   (line.partition(":") for line in lines[1:])}
        return int(lines[0].split()[1]), headers, answer, signed["fairlead-mac"]

    def _check(self, status: int, headers: dict[str, str], answer: str,
               request_mac: str) -> None:
        text = "fairlead response 1\n" + _field(str(status))
        text += _field(request_mac)
        text += _field(headers.get("fairlead-session", ""))
        text += _field(headers.get("fairlead-count", ""))
        text += _field(hashlib.sha256(answer.encode()).hexdigest())
        if headers.get("fairlead-mac") != self._mac(text):
            raise LabError(f"the answer (HTTP {status}) is not signed as "
                           f"docs/WIRE.md says: {answer[:200]}")

    def _mac(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()
