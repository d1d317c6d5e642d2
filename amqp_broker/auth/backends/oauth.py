"""Users who bring a token: OAuth 2 with JWT, as RabbitMQ's `rabbit_auth_backend_oauth2` reads it.

The token comes as the password. Its signature is checked with keys from files or from a JWKS endpoint, which is asked
when a token names a key that is not known, and not more often than every `JWKS_PAUSE_S`. What its scopes allow is
known from then on; when it expires the connection is closed, unless `connection.update-secret` brought another.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jwt

from amqp_broker.auth.backend import Credentials, Decide, Identify, Identity, Resource, Topic
from amqp_broker.auth.backends.scopes import Scopes, parse_scopes
from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.auth.fetching import Fetch, Request, Response
from amqp_broker.auth.users import Peer
from amqp_broker.config import OAuth

log = logging.getLogger(__name__)

JWKS_PAUSE_S: Final = 10.0

ALGORITHMS: Final = frozenset(
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
)
"""Asymmetric ones: with a public key no one can sign."""

SYMMETRIC: Final = frozenset(["HS256", "HS384", "HS512"])

_SIGNATURE_ONLY: Final = {
    "verify_signature": True,
    **dict.fromkeys(["verify_aud", "verify_exp", "verify_iat", "verify_iss", "verify_jti", "verify_nbf"], False),
    "verify_sub": False,
}


class _RefusedError(Exception):
    """A token is worth nothing; the text is for the log, and has nothing of the token in it."""


class OAuthBackend:
    """Tokens as the configuration wants them.

    Raises:
        AuthConfigError: a key can't be used.
    """

    checks_topics = True

    def __init__(self, options: OAuth, fetch: Fetch, now: Callable[[], float]) -> None:
        self._options = options
        self._fetch = fetch
        self._now = now
        self._configured = {key_id: _key_in(path) for key_id, path in options.signing_keys}
        self._published: dict[str, jwt.PyJWK] = {}
        self._asked_at = float("-inf")
        self._waiting: list[Callable[[], None]] = []
        """What goes on when the JWKS endpoint has answered."""

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        if credentials.password is None:
            done(None)
        else:
            self._identify(credentials.password, done)

    def may_open(self, identity: Identity, vhost: str, _peer: Peer, done: Decide) -> None:
        done(_scopes_of(identity).allow_vhost(vhost))

    def may_access(self, identity: Identity, resource: Resource, done: Decide) -> None:
        done(_scopes_of(identity).allow(resource.access, resource.vhost, resource.name))

    def may_use_key(self, identity: Identity, topic: Topic, done: Decide) -> None:
        done(_scopes_of(identity).allow_key(topic.access, topic.vhost, topic.exchange, topic.routing_key))

    def renew(self, identity: Identity, secret: bytes, done: Identify) -> None:
        """Take a new token, which has to be the same user's."""

        def identified(renewed: Identity | None) -> None:
            done(renewed if renewed is not None and renewed.name == identity.name else None)

        self._identify(secret, identified)

    def _identify(self, token: bytes, done: Identify) -> None:
        try:
            key_id = str(jwt.get_unverified_header(token).get("kid", ""))
        except jwt.PyJWTError:
            done(None)  # a password, perhaps, that another backend knows
            return
        if self._key(key_id) is not None or not self._options.jwks_url:
            done(self._checked(token, key_id))
            return
        self._ask_for_keys(lambda: done(self._checked(token, key_id)))

    def _key(self, key_id: str) -> jwt.PyJWK | None:
        key_id = key_id or self._options.default_key
        return self._configured.get(key_id) or self._published.get(key_id)

    def _checked(self, token: bytes, key_id: str) -> Identity | None:
        try:
            return self._identity_in(self._claims_in(token, key_id))
        except _RefusedError as refusal:
            log.warning("auth: a token was refused: %s", refusal)
        except jwt.PyJWTError as error:
            log.warning("auth: a token was refused: %s", type(error).__name__)
        return None

    def _claims_in(self, token: bytes, key_id: str) -> Mapping[str, Any]:
        key = self._key(key_id)
        if key is None:
            raise _RefusedError("it is signed with a key that is not known")
        if key.algorithm_name not in (SYMMETRIC if key.key_type == "oct" else ALGORITHMS):
            raise _RefusedError("its key is for an algorithm that is not accepted")
        allowed = self._options.algorithms
        algorithms = SYMMETRIC if key.key_type == "oct" else ALGORITHMS
        chosen = sorted(algorithms if allowed is None else algorithms & set(allowed))
        # Its type wants every option; the others have their defaults.
        claims: dict[str, Any] = jwt.decode(token, key.key, algorithms=chosen, options=_SIGNATURE_ONLY)  # type: ignore[arg-type]
        return claims

    def _identity_in(self, claims: Mapping[str, Any]) -> Identity:
        options, now = self._options, self._now()
        expires_at, not_before = claims.get("exp"), claims.get("nbf")
        if expires_at is None:
            if options.require_expiry:
                raise _RefusedError("it has no exp")
        elif not _is_number(expires_at) or expires_at <= now:
            raise _RefusedError("it has expired")
        if not_before is not None and (not _is_number(not_before) or not_before > now):
            raise _RefusedError("it is not valid yet")
        if options.verify_audience and options.resource_server_id not in _words(claims.get("aud")):
            raise _RefusedError(f"its aud does not name {options.resource_server_id!r}")
        if options.issuer is not None and claims.get("iss") != options.issuer:
            raise _RefusedError("it is of another issuer")
        name = next((claims[claim] for claim in options.username_claims if isinstance(claims.get(claim), str)), "")
        if not name:
            raise _RefusedError(f"it has none of {', '.join(options.username_claims)}")
        scopes = parse_scopes(self._scopes_in(claims), options.scope_prefix_or_default)
        return Identity(name, scopes.tags, self, None if expires_at is None else float(expires_at), scopes)

    def _scopes_in(self, claims: Mapping[str, Any]) -> list[str]:
        scopes = _words(claims.get("scope"))
        if self._options.additional_scopes_key is not None:
            scopes += _words(claims.get(self._options.additional_scopes_key))
        aliases = dict(self._options.scope_aliases)
        return [word for scope in scopes for word in aliases.get(scope, scope).split()]

    # Keys

    def _ask_for_keys(self, then: Callable[[], None]) -> None:
        """Ask the JWKS endpoint; if that was done just now, its answer stands."""
        if self._waiting:
            self._waiting.append(then)
            return
        if self._now() < self._asked_at + JWKS_PAUSE_S:
            then()
            return
        self._asked_at = self._now()
        self._waiting.append(then)
        self._fetch(Request("GET", self._options.jwks_url, ca=self._options.ca), self._keys_fetched)

    def _keys_fetched(self, response: Response | None) -> None:
        if response is None or response.status != 200:
            log.warning("auth: no keys from %s", self._options.jwks_url)
        else:
            try:
                published = _keys_in(response.body)
            except ValueError as error:
                log.warning("auth: what came from %s is no set of keys: %s", self._options.jwks_url, error)
            else:
                self._published = published
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then()


def _keys_in(document: bytes) -> dict[str, jwt.PyJWK]:
    """Read a JWKS document; keys that can't sign tokens are passed over. Raises ValueError."""
    content = json.loads(document)
    keys = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(keys, list):
        raise ValueError("no member 'keys'")
    found: dict[str, jwt.PyJWK] = {}
    for key in keys:
        # A secret that is published is none.
        if isinstance(key, dict) and key.get("kty") != "oct" and key.get("use", "sig") == "sig":
            try:
                found[str(key.get("kid", ""))] = jwt.PyJWK(key)
            except jwt.PyJWTError:
                continue
    return found


def _key_in(path: Path) -> jwt.PyJWK:
    """Read a key file: a public key in PEM form, or a JWK. Raises AuthConfigError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AuthConfigError(f"can't read {path}: {error.strerror}") from None
    try:
        return jwt.PyJWK(json.loads(content) if content.lstrip().startswith(b"{") else _jwk_of(content))
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise AuthConfigError(f"no public key in PEM form and no JWK in {path} ({type(error).__name__})") from None


def _jwk_of(pem: bytes) -> dict[str, Any]:
    """A public key in PEM form as a JWK, whatever kind of key it is. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(pem)
    if isinstance(key, rsa.RSAPublicKey):
        return jwt.algorithms.RSAAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return jwt.algorithms.OKPAlgorithm.to_jwk(key, as_dict=True)
    raise ValueError("a kind of key that signs no tokens")


def _scopes_of(identity: Identity) -> Scopes:
    """What a token of ours allows; nothing for one whom another backend let in."""
    return identity.grants if isinstance(identity.grants, Scopes) else Scopes((), frozenset())


def _words(claim: object) -> list[str]:
    """A claim that is a list of strings, or one string with spaces between."""
    if isinstance(claim, str):
        return claim.split()
    return [word for word in claim if isinstance(word, str)] if isinstance(claim, list) else []


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
