"""A vault as the backup service shows it → why it cannot take a full-ECS image.

What is asked beforehand can prove a vault wrong, and never right: how much room an image takes is shown nowhere. So
only what is known to fail counts, and what is not said, or in words that nobody documented, is no reason. Source: user
guide of IMS, accepting a full-ECS image; API reference of CBR, vaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from worker.errors import Cause

_TYPES: Final = {"backup", "hybrid", ""}
_STATES: Final = {
    "lock": "it is locked",
    "frozen": "it is frozen, as it is when the account is in arrears",
    "deleting": "it is being deleted",
    "error": "it is in an error state",
}
_MB: Final = 1024


@dataclass(frozen=True, slots=True)
class Vault:
    """What was said of a vault: words are empty, and numbers None, where nothing was said.

    `size` is in GB and `used` in MB, as the service has it; one that `expands` by itself is never full.
    """

    object_type: str = ""
    protect_type: str = ""
    status: str = ""
    size: float | None = None
    used: float | None = None
    expands: bool = False


@dataclass(frozen=True, slots=True)
class VaultsRead:
    """Of the vaults that a plan would use, by id, why those cannot be used that cannot.

    `failure` says why they could not be read, or not all of them: nothing is held against those.
    """

    unfit: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""


NO_VAULTS: Final = VaultsRead()
"""What is known of vaults where none would be used."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a vault cannot take a full-ECS image, and of which kind that is."""

    cause: Cause
    why: str


def unfitness(vault: Vault | None) -> Unfit | None:
    """Return why a vault, or None for one that is not there, cannot take a full-ECS image; None where it may."""
    if vault is None:
        return Unfit(Cause.VAULT_MISSING, "there is no such vault in this project")
    if vault.object_type not in {"server", ""}:
        return Unfit(Cause.VAULT_TYPE, f"it is for objects of the type {vault.object_type}, not for servers")
    if vault.protect_type not in _TYPES:
        return Unfit(Cause.VAULT_TYPE, f"it is for {vault.protect_type}, not for backups")
    if vault.status in _STATES:
        return Unfit(Cause.VAULT_STATE, _STATES[vault.status])
    if vault.size is not None and vault.used is not None and not vault.expands and vault.used >= vault.size * _MB:
        used = f"it is full: {vault.used / _MB:.0f} GB of {vault.size:.0f} GB are used"
        return Unfit(Cause.VAULT_FULL, used)
    return None


def why_unfit(vault: Vault | None) -> str:
    """Return why a vault cannot take a full-ECS image, likewise; nothing where it may."""
    unfit = unfitness(vault)
    return unfit.why if unfit else ""
