"""Both event loops, senders that are closed, names without DNS, certificates made on the spot."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dispatcher.adapters.resolver import LookupFailed, NameResolver
from dispatcher.adapters.sender import AiohttpSender, NarrowSender, SenderTerms
from dispatcher.core.addresses import Policy
from dispatcher.ports.sender import Callout
from dispatcher.ports.system import Clock
from dispatcher.testing.clock import ManualClock


# Optional, since older releases of pytest-asyncio don't call it: then asyncio's own loop alone.
@pytest.hookimpl(optionalhook=True)
def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


DEV = Policy(dev=True)
QUICK = SenderTerms(total_seconds=0.2, connect_seconds=0.15)
# What is idle stays open, so that a connection that ends was ended for another reason.
PATIENT = SenderTerms(total_seconds=10.0, idle_seconds=1_000.0)

HEADERS = (
    ("content-type", "application/json"),
    ("webhook-id", "evt_01890000000070008000000000000000"),
    ("user-agent", "dispatcher/test"),
)


def callout(url: str, body: bytes = b'{"id":"evt_1"}', caller_id: str = "caller_1") -> Callout:
    return Callout(url=url, headers=HEADERS, body=body, caller_id=caller_id)


class Names:
    """A resolver that answers from a list a name: one after the other, the last one again."""

    def __init__(self, **answers: list[tuple[str, ...]]) -> None:
        self._answers = {host.replace("_", "."): list(found) for host, found in answers.items()}
        self.asked: list[str] = []

    async def addresses(self, host: str, caller_id: str) -> tuple[str, ...]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if answers is None:
            raise LookupFailed("Name or service not known")
        return answers.pop(0) if len(answers) > 1 else answers[0]


AnySender = AiohttpSender | NarrowSender
MakeSender = Callable[..., AnySender]

# Both pass the same suite; a test which is of one of them alone asks for its name.
SENDERS: Mapping[str, type[AiohttpSender | NarrowSender]] = {
    "aiohttp": AiohttpSender,
    "narrow": NarrowSender,
}


@pytest.fixture(params=list(SENDERS))
def sender_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def make_sender(sender_name: str) -> AsyncIterator[MakeSender]:
    made: list[AnySender] = []

    def make(
        policy: Policy = DEV,
        terms: SenderTerms = PATIENT,
        resolver: NameResolver | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        clock: Clock | None = None,
    ) -> AnySender:
        kind = SENDERS[sender_name]
        sender = kind(policy, terms, clock or ManualClock(), resolver, tls=tls)
        made.append(sender)
        return sender

    yield make
    for sender in made:
        await sender.close()


@pytest.fixture
def sender(make_sender: MakeSender) -> AnySender:
    return make_sender()


class Authority:
    """A certificate authority of a test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of a test")])
        self.certificate = self._build(self._name, self._key, authority=True).sign(
            self._key, hashes.SHA256()
        )

    def trusted(self) -> ssl.SSLContext:
        """What a client uses that trusts this authority alone."""
        pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        return ssl.create_default_context(cadata=pem)

    def server(
        self, *names: str, expired: bool = False, selfsigned: bool = False
    ) -> ssl.SSLContext:
        """What a server uses that has a certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver of a test")])
        alternatives = x509.SubjectAlternativeName(
            [
                x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
                for host in names
            ]
        )
        builder = self._build(name, key, expired=expired, issued=not selfsigned)
        signed = builder.add_extension(alternatives, critical=False).sign(
            key if selfsigned else self._key, hashes.SHA256()
        )
        path = self._folder / f"{names[0]}-{expired}-{selfsigned}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        *,
        authority: bool = False,
        expired: bool = False,
        issued: bool = True,
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name if issued else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(now + timedelta(days=-1 if expired else 1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(
                    self._key.public_key() if issued else key.public_key()
                ),
                critical=False,
            )
            # RFC 5280 asks for these, and Python 3.13 and later refuse an authority without.
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.KeyUsage(
                    digital_signature=True,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    key_agreement=False,
                    key_cert_sign=authority,
                    crl_sign=authority,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
        )


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))
