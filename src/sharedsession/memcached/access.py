"""How memcached servers know this client, and how it knows them: TLS, a user name and a password.

TLS is put around the connected socket here, not by pymemcache's `tls_context`: pymemcache is given an address that has
been looked up already, and would check the certificate against that instead of the host's name; and it would give the
handshake a second time-out.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ..errors import ConfigError

#: How OpenSSL, old and new, calls an answer that is no TLS.
_ANSWERED_WITHOUT_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


@dataclass(frozen=True)
class Access:
    """What a connection needs before its first command."""

    #: For connections over TCP; None: no TLS.
    tls: ssl.SSLContext | None = None
    #: The name, or IP address, that a server's certificate must have. "": see `to`.
    server_name: str = ""
    #: User name for the ASCII protocol's authentication. "": none.
    username: str = ""
    #: Its password.
    password: str = field(default="", repr=False)

    def to(self, address: tuple[str, int] | str) -> Access:
        """Return the access to one node, whose certificate must have its host's name unless another was given."""
        if self.server_name or isinstance(address, str):
            return self
        # RFC 6066 section 3: a server name has no trailing dot. An IPv6 zone (RFC 4007) is this machine's affair.
        return replace(self, server_name=address[0].partition("%")[0].rstrip("."))

    def secure(self, sock: socket.socket, until: float) -> socket.socket:
        """Put TLS around a connected socket; return what to speak through. A unix socket needs none.

        Args:
            sock: belongs to the returned one from now on; closed when this fails.
            until: when the handshake must be done (time.monotonic).

        Raises:
            OSError, ValueError: the server has no valid certificate, refuses this client's, speaks no TLS or is too
                slow.
        """
        if self.tls is None or sock.family == socket.AF_UNIX:
            return sock
        sock.settimeout(max(until - time.monotonic(), 0.001))
        try:
            sock = self.tls.wrap_socket(sock, server_hostname=self.server_name, do_handshake_on_connect=False)
            _shake_hands(sock)
        except BaseException:
            sock.close()
            raise
        return sock

    @property
    def greeting(self) -> bytes:
        """The command that says who this is; "" when nobody asks (protocol.txt, "Authentication")."""
        if not self.username:
            return b""
        payload = f"{self.username} {self.password}".encode("ascii")
        # Any key will do. -1: a server that was started without -Y takes it for a value, and drops it at once.
        return b"set sharedsession:authentication 0 -1 %d\r\n%b\r\n" % (len(payload), payload)


def _shake_hands(sock: ssl.SSLSocket) -> None:
    try:
        sock.do_handshake()
    except TimeoutError:
        raise TimeoutError("the TLS handshake was not answered in time") from None
    except ssl.SSLError as error:
        if error.reason in _ANSWERED_WITHOUT_TLS:
            # So does one with TLS that is at its connection limit, before any handshake.
            raise ConnectionError("it answers without TLS; was it started with -Z, and a large enough -c?") from error
        raise


def client_context(ca: str, certificate: str, key: str) -> ssl.SSLContext:
    """Return a context that checks the servers' certificates and their names, and speaks TLS 1.2 or newer.

    Args:
        ca: PEM file of the authorities that are trusted; "": the system's.
        certificate: PEM file of this client's certificate, and what is between it and its authority; "": none.
        key: PEM file of its private key; "": it is in `certificate`.

    Raises:
        ConfigError: a file cannot be used; the message names the option and the file, never what it holds.
    """
    for option, path in (("tls_ca", ca), ("tls_certificate", certificate), ("tls_key", key)):
        _require_readable(option, path)
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except ssl.SSLError:
        raise ConfigError("tls_ca", f"{ca!r} holds no certificates in PEM form") from None
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    if certificate:
        _load(context, certificate, key)
    return context


def _require_readable(option: str, path: str) -> None:
    try:
        if path:
            with open(path, "rb"):
                pass
    except (OSError, ValueError) as error:
        raise ConfigError(option, f"{path!r} cannot be read: {getattr(error, 'strerror', error)}") from None


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        # Without a password OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(certificate, key or None, password=str)
    except (ssl.SSLError, ValueError) as error:
        if not _is_certificate(certificate):
            raise ConfigError("tls_certificate", f"{certificate!r} holds no certificate in PEM form") from None
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            raise ConfigError("tls_key", f"{key or certificate!r} holds another certificate's key") from None
        problem = f"{key or certificate!r} holds no private key in PEM form that needs no passphrase"
        raise ConfigError("tls_key", problem) from None


def _is_certificate(path: str) -> bool:
    with suppress(ssl.SSLError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        return True
    return False
