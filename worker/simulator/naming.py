"""Ids made of names: the same name has the same id on every machine and in every run."""

from __future__ import annotations

import uuid

OWNER = uuid.uuid5(uuid.NAMESPACE_DNS, "owner.example").hex


def image_id(name: str) -> str:
    """Return the id of an image that is known by its name only."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.image.example"))


def project_id(name: str) -> str:
    """Return the id of a project that is known by its name only."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.project.example").hex


def vault_id(name: str) -> str:
    """Return the id of a vault that is known by its name only."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.vault.example"))


def domain_id(name: str) -> str:
    """Return the id of an account that is known by its name only."""
    return uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.domain.example").hex
