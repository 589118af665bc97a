"""Who there is: users, agencies, workloads, and the ids of their domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.simulator.identity.model import Agency, Principal, Server, User, Workload
from worker.simulator.naming import domain_id


class Directory:
    """The people and things that an IAM knows.

    As long as it is `open`, which it is until somebody is put into it, everybody is taken at their word.
    """

    def __init__(self) -> None:
        self.open = True
        self.users: dict[tuple[str, str], User] = {}
        self.workloads: list[Workload] = []
        self.server: Server | None = None
        self._agencies: dict[tuple[str, str], Agency] = {}
        self._keys: dict[str, User] = {}
        self._domains: dict[str, str] = {}

    def add(self, thing: User | Agency | Workload | Server) -> None:
        """Put somebody in, or in place of whoever bore the same name."""
        self.open = False
        match thing:
            case User():
                self.users[thing.domain, thing.name] = thing
                self._keys = {user.access_key: user for user in self.users.values() if user.access_key}
            case Agency():
                self._agencies[thing.domain, thing.name] = thing
            case Workload():
                self.workloads.append(thing)
            case Server():
                self.server = thing

    def name_domain(self, name: str, given_id: str = "") -> None:
        """Make a domain known, by default with an id made of its name."""
        self._domains[name] = given_id or domain_id(name)

    def domain_id(self, name: str) -> str:
        """Return the id of a domain, known or not."""
        return self._domains.get(name) or domain_id(name)

    def domain_name(self, named: Mapping[str, Any]) -> str:
        """Return the name of the domain that has this `name` or `id`; return an empty text for no such domain."""
        name, wanted = named.get("name"), named.get("id")
        if isinstance(name, str) and name:
            return name
        domains = {*self._domains, *(key[0] for key in (*self.users, *self._agencies)), "default"}
        found = next((domain for domain in sorted(domains) if self.domain_id(domain) == wanted), "")
        return found or (str(wanted or "") if self.open else "")

    def user(self, domain: str, name: str) -> User | None:
        """Return a user of a domain; an open directory has each."""
        unknown = User(name=name, domain=domain, password="any") if self.open and name else None  # noqa: S106 - whatever
        return self.users.get((domain, name), unknown)

    def user_of(self, access_key: str) -> User | None:
        """Return the user whose key this is."""
        return self._keys.get(access_key)

    def agency(self, domain: str, name: str) -> Agency | None:
        """Return an agency of a domain; an open directory has each."""
        unknown = Agency(name=name, domain=domain) if self.open and name else None
        return self._agencies.get((domain, name), unknown)

    def acting(self, holder: User | Agency) -> Principal:
        """Return a user, or whoever assumed an agency, as somebody who acts; in an open directory in every domain."""
        return Principal(holder.name, holder.domain, "" if self.open else holder.domain, holder.rights)
