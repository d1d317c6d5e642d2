"""Certificate authorities and the files they write, for tests of TLS."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme

from amqp_broker.config import Certificate, TlsOptions


class Authority:
    """A CA and a directory full of its files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ca = trustme.CA()
        self.ca_file = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca_file)

    def server(self, host: str = "localhost", name: str = "server", *, sni: bool = False) -> Certificate:
        """A server's certificate and key; a second one of the same name overwrites the first."""
        leaf = self._ca.issue_cert(host, "127.0.0.1", "::1")
        chain, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return Certificate(chain=chain, key=key, host=host if sni else "")

    def options(self, **others: object) -> TlsOptions:
        return TlsOptions(certificates=(self.server(),), ca=self.ca_file, **others)  # type: ignore[arg-type]

    def client_file(self, common_name: str, *, organization: str | None = None, email: str = "app@example.org") -> Path:
        """A client's certificate and key in one file."""
        leaf = self._ca.issue_cert(email, common_name=common_name, organization_name=organization)
        path = self.directory / f"{common_name}.client.pem"
        leaf.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def client_context(self, certificate: Path | None = None) -> ssl.SSLContext:
        """How a client of this authority's servers speaks TLS."""
        context = ssl.create_default_context()
        self._ca.configure_trust(context)
        if certificate is not None:
            context.load_cert_chain(certificate)
        return context
