"""Users and their limits: list, show, put, delete."""

from __future__ import annotations

from amqp_broker.administration.users import (
    clear_user_limits,
    delete_user,
    find_user,
    list_users,
    put_user,
    set_user_limits,
    user_item,
    user_limits,
)
from amqp_broker.auth.passwords import HashAlgorithm, InvalidHashError, PasswordHash
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import NOT_YOURS, Call
from amqp_broker.management.errors import bad_request, keys_missing, not_authorised
from amqp_broker.management.listing import Listing
from amqp_broker.management.replies import NO_CONTENT, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes

routes = Routes()

PROTECTED = "protected"
"""The tag of users that can't be changed over HTTP."""


@routes.get("users", Needs.ADMINISTRATOR)
def list_all(call: Call) -> Listing:
    """All users."""
    return Listing((dict(item) for item in list_users(call.broker)), is_paged=True)


@routes.get("users/without-permissions", Needs.ADMINISTRATOR)
def list_without_permissions(call: Call) -> Listing:
    """The users who may enter no vhost."""
    users = sorted(call.broker.users, key=lambda user: user.name)
    return Listing({**user_item(user)} for user in users if not user.permissions)


@routes.post("users/bulk-delete", Needs.ADMINISTRATOR)
def delete_users(call: Call) -> Reply:
    """Delete several users; those who aren't there are no matter."""
    call.require("users")
    names = call.words("users")
    there = [name for name in dict.fromkeys(names) if call.broker.users.get(name) is not None]
    for name in there:
        _refuse_protected(call, name)
    for name in there:
        delete_user(call.broker, name, by=call.user.name)
    return NO_CONTENT


@routes.get("users/{user}", Needs.ADMINISTRATOR)
def show_user(call: Call) -> Record:
    """One user."""
    return {**user_item(find_user(call.broker, call.path["user"]))}


@routes.put("users/{user}", Needs.ADMINISTRATOR)
def put(call: Call) -> Reply:
    """Add a user, or give one another password and other tags."""
    name = call.path["user"]
    _refuse_protected(call, name)
    if call.fields.get("tags") is None:
        raise bad_request("tags_not_present")
    return created_or_changed(put_user(call.broker, name, _password(call), call.words("tags"), by=call.user.name))


@routes.delete("users/{user}", Needs.ADMINISTRATOR)
def remove(call: Call) -> Reply:
    """Delete a user, and close all connections this user has."""
    _refuse_protected(call, call.path["user"])
    delete_user(call.broker, call.path["user"], by=call.user.name)
    return NO_CONTENT


@routes.get("user-limits", Needs.ADMINISTRATOR)
def list_limits(call: Call) -> Listing:
    """The limits of all users that have some."""
    names = sorted(user.name for user in call.broker.users)
    return Listing(record for name in names for record in _limits_of(call, name))


@routes.get("user-limits/{user}")
def show_limits(call: Call) -> Listing:
    """The limits of a user; of others for who monitors."""
    if call.path["user"] != call.user.name and not call.user.is_a(Needs.MONITORING):
        raise not_authorised(NOT_YOURS)
    return Listing(_limits_of(call, call.path["user"]))


@routes.put("user-limits/{user}/{limit}", Needs.ADMINISTRATOR)
def set_limit(call: Call) -> Reply:
    """Set a limit of a user; a negative one is none."""
    if call.fields.get("value") is None:
        raise keys_missing(["value"])
    limits = {call.path["limit"]: call.number("value")}
    set_user_limits(call.broker, call.path["user"], {**limits}, by=call.user.name)
    return NO_CONTENT


@routes.delete("user-limits/{user}/{limit}", Needs.ADMINISTRATOR)
def clear_limit(call: Call) -> Reply:
    """Remove a limit of a user."""
    clear_user_limits(call.broker, call.path["user"], call.path["limit"], by=call.user.name)
    return NO_CONTENT


def _limits_of(call: Call, name: str) -> list[Record]:
    limits = user_limits(find_user(call.broker, name))
    return [{"user": name, "value": limits}] if limits else []


def _password(call: Call) -> str | PasswordHash:
    """The password of a user to be put; without any, nobody can log in with one. Raises ApiError 400."""
    password, hashed = call.fields.get("password"), call.fields.get("password_hash")
    if password is not None and hashed is not None:
        raise bad_request("both_password_and_password_hash_are_set")
    if password is not None:
        return call.text("password")
    algorithm = call.text("hashing_algorithm", str(HashAlgorithm.SHA256))
    if algorithm not in list(HashAlgorithm):
        raise bad_request(f"unknown hashing algorithm '{algorithm}'")
    try:
        return PasswordHash.from_text(call.text("password_hash", ""), HashAlgorithm(algorithm))
    except InvalidHashError:
        raise bad_request("password_hash cannot be decoded") from None


def _refuse_protected(call: Call, name: str) -> None:
    user = call.broker.users.get(name)
    if user is not None and PROTECTED in user.tags:
        raise bad_request(f"user '{name}' is protected and cannot be changed over HTTP")
