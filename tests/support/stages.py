"""The stages of a sign-in and of the session that it becomes."""

from __future__ import annotations

from tests.local.aries import Fault
from tests.support.world import Phone, World


def is_pending(world: World) -> Phone:
    phone = world.phone()
    phone.authorize()
    return phone


def is_claimed(world: World) -> Phone:
    phone = world.phone()
    with world.aws.dying_at("CreateSecret"):
        phone.callback(phone.approve(phone.authorize()))
    return phone


def is_issued(world: World) -> Phone:
    phone = world.phone()
    phone.code()
    return phone


def is_failed(world: World) -> Phone:
    phone = world.phone()
    world.aries.faults.append(Fault("server_error"))
    phone.callback(phone.approve(phone.authorize()))
    return phone


def is_active(world: World) -> Phone:
    return world.signed_in()


def is_leased(world: World) -> Phone:
    phone = world.refreshable()
    with world.aws.dying_after("PutSecretValue"):
        phone.refresh()
    return phone


def is_escrowed(world: World) -> Phone:
    phone = world.refreshable()
    with world.aws.failing("PutSecretValue", "throttled"):
        assert phone.refresh().status == 200
    assert "escrow" in phone.row()
    return phone


def is_refreshed(world: World) -> Phone:
    phone = world.refreshable()
    assert phone.refresh().status == 200
    return phone


def is_signed_out(world: World) -> Phone:
    phone = world.signed_in()
    assert phone.revoke().status == 200
    return phone


STAGES = [is_pending, is_claimed, is_issued, is_failed, is_active, is_leased, is_escrowed]
