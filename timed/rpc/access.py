"""From the configuration to accounts and transport: who may call, and over what."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL, crypto
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from timed.errors import ConfigError
from timed.net.adopted import adopt
from timed.peer.location import is_loopback
from timed.rpc.auth import Account
from timed.rpc.authfile import read_auth_file
from timed.rpc.credentials import ROLES, Secret
from timed.rpc.method import ADMIN
from timed.rpc.site import BoundedSite
from timed.rpc.table import METHODS

if TYPE_CHECKING:
    from timed.app.config import Config
    from timed.app.schema import RPCSection


def secrets_of(config: Config) -> tuple[Secret, ...]:
    """Those of `rpc.auth` and of `rpc.auth_file` as it is now; ConfigError for what cannot be used."""
    secrets = config.settings.rpc.auth
    if config.auth_file is None:
        return secrets
    known = {secret.user for secret in secrets}
    found = read_auth_file(config.auth_file)
    for secret in found:
        if secret.user in known:
            raise ConfigError(
                f"{config.auth_file} names {secret.user!r}, who is in rpc.auth, too.", "Remove one of them."
            )
    return secrets + found


def accounts(settings: RPCSection, secrets: Sequence[Secret]) -> list[Account]:
    """The accounts with what they may do; ConfigError for a role or a list of nobody, or of an unknown method."""
    users = {secret.user for secret in secrets}
    for name, given in (("roles", settings.roles), ("whitelist", settings.whitelist)):
        for user in given:
            if user not in users:
                raise ConfigError(
                    f"rpc.{name} names {user!r}, who is neither in rpc.auth nor in rpc.auth_file.",
                    _near(user, users),
                )
    for user, methods in settings.whitelist.items():
        for method in methods:
            if method not in METHODS:
                raise ConfigError(
                    f"rpc.whitelist allows {user!r} the method {method!r}, which is not there.",
                    "timed-cli help lists the methods.",
                )
    return [
        Account(secret, ROLES[settings.roles.get(secret.user, ADMIN)], _methods(settings, secret.user))
        for secret in secrets
    ]


def check_exposure(settings: RPCSection, secrets: Sequence[Secret]) -> None:
    """ConfigError for a port that others can reach without TLS, or that nobody from there could use."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise ConfigError("rpc.tls_certificate and rpc.tls_key go together.", "Set both, or neither.")
    if is_loopback(settings.host):
        return
    if not settings.tls_certificate:
        raise ConfigError(
            f"rpc.host {settings.host} can be reached from elsewhere, and passwords would go there in the clear.",
            "Set rpc.tls_certificate and rpc.tls_key, or leave rpc.host at 127.0.0.1 behind a proxy with TLS.",
        )
    if not secrets:
        raise ConfigError(
            f"rpc.host {settings.host} can be reached from elsewhere, and there is no account for it.",
            "Make one with timed-cli rpcauth USER.",
        )


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The TLS side of a port: each new connection gets the certificate that was read last."""

    def __init__(self, files: tuple[Path, Path]) -> None:
        """ConfigError names the file at fault."""
        self._files = files
        self._options, self.valid_until = _read_certificate(*files)

    def serverConnectionForTLS(self, tlsProtocol: object) -> SSL.Connection:  # noqa: N803 - Twisted's names
        return SSL.Connection(self._options.getContext(), None)

    def reload(self) -> str:
        """Until when the certificate is good that is in force now; ConfigError, and it is the one before."""
        self._options, self.valid_until = _read_certificate(*self._files)
        return f"a certificate that is valid until {self.valid_until}"


def tls(config: Config) -> ServerTls | None:
    """The TLS side of the RPC's port, None for plain HTTP; ConfigError names the file at fault."""
    return None if config.tls_files is None else ServerTls(config.tls_files)


def _read_certificate(certificate: Path, key: Path) -> tuple[CertificateOptions, str]:
    """What a connection needs, and the certificate's last moment."""
    chain = [_certificate(block) for block in _blocks(certificate, "tls_certificate")]
    try:
        # With a word for one that is encrypted, be it none: else OpenSSL asks at the terminal, and all waits for that.
        secret = crypto.load_privatekey(crypto.FILETYPE_PEM, _read(key, "tls_key"), b"")
        options = CertificateOptions(
            privateKey=secret, certificate=chain[0], extraCertChain=chain[1:],
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )  # fmt: skip
        options.getContext().check_privatekey()
    except (SSL.Error, crypto.Error, ValueError, TypeError) as error:
        raise ConfigError(
            f"rpc.tls_key {key} is no unencrypted key of {certificate}.",
            "Give the PEM file of the key that the certificate was made for.",
        ) from error
    return options, chain[0].to_cryptography().not_valid_after_utc.isoformat().replace("+00:00", "Z")


def listen(
    reactor: Any,
    site: BoundedSite,
    host: str,
    port: int,
    key: str,
    options: ServerTls | None = None,
    given: socket.socket | None = None,
) -> IListeningPort:
    """A listening port; ConfigError, naming the configuration's `key`, when it cannot be had.

    `given` listens there already; it is closed, and its port is kept in use.
    """
    try:
        listening: IListeningPort
        if given is not None:
            factory = site if options is None else TLSMemoryBIOFactory(options, False, site)
            return adopt(reactor, given, factory)
        if options is None:
            listening = reactor.listenTCP(port, site, backlog=BACKLOG, interface=host)
        else:
            listening = reactor.listenSSL(port, site, options, backlog=BACKLOG, interface=host)
    except CannotListenError as error:
        raise ConfigError(
            f"cannot listen on {host} port {port}: {error.socketError}.", f"Choose another with {key}."
        ) from error
    return listening


BACKLOG = 4_096
"""Connections that the system accepts for us meanwhile: a thousand clients may come at once."""


def _methods(settings: RPCSection, user: str) -> frozenset[str] | None:
    methods = settings.whitelist.get(user)
    return None if methods is None else frozenset(methods)


def _near(user: str, users: Iterable[str]) -> str:
    known = ", ".join(sorted(users))
    return f"It has: {known}." if known else f"Make an account with timed-cli rpcauth {user}."


def _read(path: Path, key: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"rpc.{key}: cannot read {path}: {error.strerror}.",
            "Give a PEM file that the node's user may read.",
        ) from error


_BEGIN = b"-----BEGIN CERTIFICATE-----"


def _blocks(path: Path, key: str) -> Sequence[bytes]:
    blocks = [_BEGIN + block for block in _read(path, key).split(_BEGIN)[1:]]
    if not blocks:
        raise ConfigError(
            f"rpc.{key}: {path} holds no PEM certificate.", "Give the certificate, then its chain."
        )
    return blocks


def _certificate(block: bytes) -> crypto.X509:
    try:
        return crypto.load_certificate(crypto.FILETYPE_PEM, block)
    except crypto.Error as error:
        raise ConfigError(
            "rpc.tls_certificate holds something that is no certificate.", "Give it in PEM."
        ) from error
