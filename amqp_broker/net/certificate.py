"""Which user a client's certificate names, in RabbitMQ's ways of reading it (rule 1.9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

from amqp_broker.config import TlsOptions

_SHORT_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "emailAddress": "EMAILADDRESS",
    "generationQualifier": "GENERATIONQUALIFIER",
    "givenName": "GIVENNAME",
    "initials": "INITIALS",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "pseudonym": "PSEUDONYM",
    "serialNumber": "SERIALNUMBER",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "surname": "SN",
    "title": "TITLE",
    "userId": "UID",
}

_SAN_TYPES: Final = {"dns": "DNS", "ip": "IP Address", "email": "email", "uri": "URI"}

Name = tuple[tuple[tuple[str, str], ...], ...]


def user_in(certificate: Mapping[str, object], options: TlsOptions) -> str:
    """The user a verified certificate names; empty when what is looked for is not in it, or nothing is.

    Args:
        certificate: as `ssl.SSLObject.getpeercert` gives it.
        options: where to look.
    """
    if options.login_from is None:
        return ""
    subject = cast(Name, certificate.get("subject", ()))
    if options.login_from == "distinguished_name":
        return distinguished_name(subject)
    if options.login_from == "common_name":
        return ",".join(value for names in subject for kind, value in names if kind == "commonName")
    wanted = _SAN_TYPES[options.login_san_type]
    alternatives = cast("tuple[tuple[str, str], ...]", certificate.get("subjectAltName", ()))
    found = [value for kind, value in alternatives if kind == wanted]
    return found[options.login_san_index] if options.login_san_index < len(found) else ""


def distinguished_name(subject: Name) -> str:
    """Spell a subject as RFC 4514 does, the last part first: `CN=app,O=client`."""
    parts = (
        "+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in names) for names in subject
    )
    return ",".join(reversed(list(parts)))


def _escaped(value: str) -> str:
    """RFC 4514, section 2.4."""
    escaped = "".join("\\" + letter if letter in '"+,;<>\\' else letter for letter in value)
    if escaped[:1] in (" ", "#"):
        escaped = "\\" + escaped
    if escaped.endswith(" ") and len(value) > 1:
        escaped = escaped[:-1] + "\\ "
    return escaped
