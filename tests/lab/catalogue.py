"""The laboratory's catalogue, the same for every case of a seed."""

from __future__ import annotations

from pathlib import Path

from tests.lab.plan import APPS, Host, Plan

_FACT = 'source = "drawn"\nverified = 2026-11-24\nconfidence = "high"\n'


def write_catalogue(plan: Plan, folder: Path, root_pem: str) -> None:
    """Write services, resolvers and controls as TOML, with the private root beside them."""
    services = folder / "services"
    services.mkdir(parents=True)
    for place in (folder, services):
        (place / "root.pem").write_text(root_pem)
    for service in plan.services:
        (services / f"{service.id}.toml").write_text(
            f'id = "{service.id}"\nname = "{service.id.title()}"\n[[target]]\n'
            f'id = "{service.target}"\ncombine = "{service.combine}"\n'
            + "".join("[[target.endpoint]]\n" + _endpoint(host) for host in service.hosts)
        )
    reference = plan.reference
    (folder / "resolvers.toml").write_text(
        f'[[resolver]]\nid = "elsewhere"\nudp = "{reference.v4[0]}"\n'
        f'dot = "{reference.v4[0]}:853"\ndot_name = "{reference.name}"\ndot_trust = "root.pem"\n'
        f'doh = "https://{reference.name}/dns-query"\ndoh_address = "{reference.v4[0]}"\n'
        f'doh_trust = "root.pem"\nrole = "reference"\n{_FACT}'
        f'[[silent]]\naddress = "{plan.silent}"\n{_FACT}'
    )
    scopes = [
        *((host, "international") for host in (*plan.international, plan.echo)),
        (plan.domestic, "domestic"),
    ]
    (folder / "controls.toml").write_text(
        "".join(
            "[[liveness]]\n"
            + _endpoint(host)
            + f'scope = "{scope}"\n'
            + ('country = "RU"\n' if scope == "domestic" else "")
            for host, scope in scopes
        )
        + f'[sni]\ninnocuous = "{plan.international[0].name}"\naddress = "{plan.reflector}:443"\n'
    )


def _endpoint(host: Host) -> str:
    trust = "" if host.protocol in ("http", *APPS) else 'trust = "root.pem"\n'
    path = 'path = "/"\n' if host.protocol in ("http", "https") else ""
    return (
        f'host = "{host.name}"\nport = {host.port}\nprotocol = "{host.protocol}"\n'
        f"{path}{trust}{_FACT}"
    )
