"""Fields of `Config` that several keys make together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import attrs

from amqp_broker.config import (
    MANAGEMENT_TLS_PORT,
    METRICS_TLS_PORT,
    AuthEntry,
    Certificate,
    DefaultUser,
    HttpAuth,
    HttpsDefinitions,
    HttpsPort,
    OAuth,
    TlsOptions,
)
from amqp_broker.configuration.errors import ConfigError

Collected = Mapping[tuple[str, ...], Any]
"""What a field was given: by the name of the key's row, followed by the words its `*` stood for."""


_PERMISSIONS: Final = ("configure", "write", "read")


def _default_permissions(before: tuple[str, str, str], given: Collected) -> tuple[str, ...]:
    return tuple(
        given.get((f"default_permissions.{name}",), old) for name, old in zip(_PERMISSIONS, before, strict=True)
    )


def _default_users(_before: object, given: Collected) -> tuple[DefaultUser, ...]:
    made: dict[str, DefaultUser] = {}
    for (key, name), value in given.items():
        user = made.get(name) or DefaultUser(name=name)
        field = key.rpartition(".")[2]
        if field in _PERMISSIONS:
            place = _PERMISSIONS.index(field)
            field, value = "permissions", (*user.permissions[:place], value, *user.permissions[place + 1 :])
        made[name] = attrs.evolve(user, **{field: value})
    return tuple(made.values())


def _definitions(_before: object, given: Collected) -> Path | HttpsDefinitions | None:
    options: dict[str, Any] = {name: value for (name,), value in given.items()}
    backend, url = options.pop("definitions.import_backend", None), options.pop("definitions.https.url", None)
    ca, verify = options.pop("definitions.tls.cacertfile", None), options.pop("definitions.tls.verify", "verify_peer")
    path = next(reversed(options.values()), None)
    if backend == "https" and url is None:
        raise ConfigError("definitions.import_backend = https needs definitions.https.url")
    if url is None or (path is not None and backend != "https"):
        return path
    return HttpsDefinitions(url=url, ca=ca, verify_peer=verify == "verify_peer")


def _loopback_users(before: frozenset[str], given: Collected) -> frozenset[str]:
    """`loopback_users = none` forgets the default; what is said of single users then counts."""
    named = {words[1]: is_one for words, is_one in given.items() if len(words) == 2}
    kept = frozenset[str]() if ("loopback_users",) in given else before
    return (kept | {name for name, is_one in named.items() if is_one}) - {
        name for name, is_one in named.items() if not is_one
    }


def _origins(_before: object, given: Collected) -> tuple[str, ...]:
    return tuple(origin for words, origin in given.items() if len(words) == 2)


def _tags(_before: object, given: Collected) -> tuple[str, ...]:
    return tuple(words[1] for words, is_set in given.items() if is_set)


def _category_levels(_before: object, given: Collected) -> dict[str, str]:
    return {name.split(".")[1]: level for (name,), level in given.items()}


def _tls(_before: object, given: Collected) -> TlsOptions | None:
    if not any(name.startswith("ssl_options.") for name, *_ in given):
        return None
    login = {name.removeprefix("ssl_cert_"): value for (name, *_), value in given.items()}
    login_from = login.get("login_from")
    return attrs.evolve(
        _tls_options("ssl_options", given),
        login_from=login_from and login_from.replace("alt_name", "alternative_name"),
        login_san_type=login.get("login_san_type", "dns"),
        login_san_index=login.get("login_san_index", 0),
    )


def _management_tls(_before: object, given: Collected) -> HttpsPort:
    return _https_port("management.ssl", given, MANAGEMENT_TLS_PORT)


def _metrics_tls(_before: object, given: Collected) -> HttpsPort:
    return _https_port("prometheus.ssl", given, METRICS_TLS_PORT)


def _https_port(prefix: str, given: Collected, default_port: int) -> HttpsPort:
    return HttpsPort(
        tls=_tls_options(prefix, given),
        port=given.get((f"{prefix}.port",), default_port),
        host=given.get((f"{prefix}.ip",)),
    )


def _tls_options(prefix: str, given: Collected) -> TlsOptions:
    """What the keys below a prefix say of certificates and versions. Raises ConfigError: there is no certificate."""
    options = {name.removeprefix(f"{prefix}."): value for (name, *_), value in given.items()}
    chain = options.get("certfile")
    if chain is None:
        raise ConfigError(f"{prefix}.* need {prefix}.certfile, the certificate to show")
    versions = sorted(value for (name, *_), value in given.items() if name == f"{prefix}.versions.*")
    ciphers = [value for (name, *_), value in given.items() if name == f"{prefix}.ciphers.*"]
    return TlsOptions(
        certificates=(Certificate(chain=chain, key=options.get("keyfile"), key_password=options.get("password")),),
        ca=options.get("cacertfile"),
        verify_peer=options.get("verify") == "verify_peer",
        fail_if_no_peer_cert=options.get("fail_if_no_peer_cert", False),
        min_version=versions[0] if versions else "1.2",
        max_version=versions[-1] if versions else "1.3",
        ciphers=":".join(ciphers) or None,
    )


def _cluster_tls(_before: object, given: Collected) -> TlsOptions:
    """Both sides are brokers, which speak the latest version."""
    options = {name.rpartition(".")[2]: value for (name,), value in given.items()}
    for needed in ("cacertfile", "certfile"):
        if needed not in options:
            raise ConfigError(f"TLS between nodes needs amqp_broker.cluster_tls.{needed}")
    certificate = Certificate(
        chain=options["certfile"], key=options.get("keyfile"), key_password=options.get("password")
    )
    return TlsOptions(certificates=(certificate,), ca=options["cacertfile"], min_version="1.3")


def _mechanisms(_before: object, given: Collected) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given["auth_mechanisms.*", number] for number in _numbers(given)))


def _auth_backends(_before: object, given: Collected) -> tuple[AuthEntry, ...]:
    entries = []
    for number in _numbers(given):
        both = given.get(("auth_backends.*", number))
        authn = given.get(("auth_backends.*.authn", number), both)
        if authn is None:
            raise ConfigError(f"auth_backends.{number}.authz needs auth_backends.{number}.authn")
        entries.append(AuthEntry(authn, given.get(("auth_backends.*.authz", number))))
    return tuple(entries)


_HTTP_FIELDS: Final = {
    "auth_http.http_method": "method",
    "auth_http.request_timeout": "timeout_s",
    "auth_http.ssl_options.cacertfile": "ca",
    "auth_cache.cache_ttl": "cache_ttl_s",
}
_HTTP_PATHS: Final = ("user_path", "vhost_path", "resource_path", "topic_path")


def _auth_http(_before: object, given: Collected) -> HttpAuth | None:
    options = {_HTTP_FIELDS.get(name, name.removeprefix("auth_http.")): value for (name,), value in given.items()}
    if set(options) == {"cache_ttl_s"}:
        return None  # nothing to remember the answers of
    missing = [path for path in _HTTP_PATHS if path not in options]
    if missing:
        raise ConfigError(f"auth_http needs {', '.join(f'auth_http.{path}' for path in missing)}")
    return HttpAuth(**options)


_OAUTH_FIELDS: Final = {
    "verify_aud": "verify_audience",
    "https.cacertfile": "ca",
}


def _auth_oauth2(_before: object, given: Collected) -> OAuth:
    plain = {name.removeprefix("auth_oauth2."): value for (name, *words), value in given.items() if not words}
    options: dict[str, Any] = {_OAUTH_FIELDS.get(name, name): value for name, value in plain.items()}
    if "resource_server_id" not in options:
        raise ConfigError("auth_oauth2 needs auth_oauth2.resource_server_id")

    def listed(name: str) -> list[tuple[str, Any]]:
        return [(words[1], value) for words, value in given.items() if words[0] == f"auth_oauth2.{name}.*"]

    claims = tuple(value for _, value in listed("preferred_username_claims"))
    options |= {"username_claims": claims} if claims else {}
    return OAuth(
        signing_keys=tuple(listed("signing_keys")),
        scope_aliases=tuple(listed("scope_aliases")),
        algorithms=tuple(value for _, value in listed("algorithms")) or None,
        **options,
    )


def _numbers(given: Collected) -> list[str]:
    """What stood for the first `*`, as numbers are ordered."""
    return sorted({words[1] for words in given}, key=lambda word: (len(word), word))


class Gathered(NamedTuple):
    """A field that several keys make together: a name for all of them, and the way from default and given to value."""

    name: str
    make: Callable[[Any, Collected], object]


GATHERED: Final[Mapping[str, Gathered]] = {
    "default_permissions": Gathered("default_permissions.*", _default_permissions),
    "default_users": Gathered("default_users.*", _default_users),
    "load_definitions": Gathered("load_definitions", _definitions),
    "loopback_users": Gathered("loopback_users.*", _loopback_users),
    "management_cors_origins": Gathered("management.cors.allow_origins.*", _origins),
    "default_user_tags": Gathered("default_user_tags.*", _tags),
    "auth_mechanisms": Gathered("auth_mechanisms.*", _mechanisms),
    "auth_backends": Gathered("auth_backends.*", _auth_backends),
    "auth_http": Gathered("auth_http.*", _auth_http),
    "auth_oauth2": Gathered("auth_oauth2.*", _auth_oauth2),
    "cluster_tls": Gathered("amqp_broker.cluster_tls.*", _cluster_tls),
    "tls": Gathered("ssl_options.*", _tls),
    "management_tls": Gathered("management.ssl.*", _management_tls),
    "metrics_tls": Gathered("prometheus.ssl.*", _metrics_tls),
    "log.category_levels": Gathered("log.*.level", _category_levels),
}
