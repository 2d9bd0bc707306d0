"""Where a scenario's callbacks go: the receiver's ports, and what the service must know of them."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Struct

from scripts.outside.process import free_ports

from .receiver import ReceiverOrder
from .scenario import Scenario

NARROW: Final = 100
"""So many destinations are ports of one address; more are addresses with `PORTS` ports each."""
PORTS: Final = 4
HANGING_TIMEOUT_SECONDS: Final = 2


class Places(Struct, frozen=True):
    """`urls` to call back in turn, the one that hangs, and the service's settings for them."""

    order: ReceiverOrder
    urls: list[str]
    hanging: str
    allowed: list[str]
    environment: dict[str, str]


def find_places(scenario: Scenario, folder: Path) -> Places:
    """Ports that are free now, and a certificate if there is to be TLS."""
    wide = scenario.destinations > NARROW
    count = PORTS if wide else scenario.destinations
    *ports, spare = free_ports(count + 1)
    hanging = [spare] if scenario.hanging else []
    hosts = ["127.0.0.1"]
    if wide:
        # 127.0.x.y is left alone: other programs of the machine may listen there.
        addresses = scenario.destinations // PORTS
        hosts = [str(ip_address("127.1.0.0") + n) for n in range(1, addresses + 1)]
    scheme = "https" if scenario.tls else "http"
    origins = [f"{scheme}://{host}:{port}" for port in ports for host in hosts]
    environment = {}
    certificate = None
    if scenario.tls:
        certificate = str(folder / "receiver.pem")
        Path(certificate).write_bytes(self_signed(hosts))
        environment["SSL_CERT_FILE"] = certificate
    if hanging:
        environment["DISPATCHER_DELIVERY_TIMEOUT_SECONDS"] = str(HANGING_TIMEOUT_SECONDS)
        environment["DISPATCHER_CONNECT_TIMEOUT_SECONDS"] = "1"
    order = ReceiverOrder(
        ports,
        str(folder / "findings.json"),
        wide=wide,
        certificate=certificate,
        cold=scenario.cold,
        hanging=hanging,
        stamped=scenario.stamped,
        fails_each=scenario.fails_each,
    )
    hangs = [f"http://127.0.0.1:{port}" for port in hanging]
    return Places(
        order,
        [f"{origin}/callbacks" for origin in origins],
        f"{hangs[0]}/callbacks" if hangs else "",
        ["127.0.0.0/8"] if wide else [*origins, *hangs],
        environment,
    )


def self_signed(hosts: list[str]) -> bytes:
    """A certificate for these addresses and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "benchmark")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address(each)) for each in hosts]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
