"""A consortium with a provider and a consumer that have joined: real processes, real TLS. Databases are SQLite files, or those that are named."""

import re
from contextlib import ExitStack, contextmanager

from deploy.demo import topology
from deploy.demo.world import World


@contextmanager
def consortium(place, databases):
    """All nodes run and both companies are members; whatever was started is stopped in the end, however far it came. `databases`: PostgreSQL URL by part."""
    made = World(place, "battery", topology.load("battery"))
    with ExitStack() as stack:
        made.make_identity()
        begin(made.identity, stack)
        for part in ("provider", "consumer"):
            made.make_connector(part)
            node = made.connectors[part]
            if part in databases:
                on_server(node.directory, databases[part])
            begin(node, stack)
            join(made, part)
        yield made


def begin(node, stack):
    """Start a process that is stopped with the stack."""
    stack.callback(node.stop)
    node.start()
    node.wait_ready()


def on_server(directory, url, **more):
    """Give a new connector a database on a server, and other settings."""
    (directory / "data.sqlite").unlink()
    (directory / "data.sqlite.lock").unlink(missing_ok=True)
    file = directory / "connector.toml"
    lines = [f'database = "{url}"', *(f"{name} = {value}" for name, value in more.items())]
    file.write_text(re.sub(r"\n", "\n" + "\n".join(lines) + "\n", file.read_text(encoding="utf-8"), count=1), encoding="utf-8")


def join(world, part):
    company = world.company(part)
    invitation = world.identity.api.post(
        "/v1/invitations",
        {"did": world.did(part), "name": company.name, "corporateNumber": company.corporate_number, "roles": list(company.roles)},
    )
    api = world.connectors[part].api
    api.post("/v1/membership", {"invitation": invitation["invitation"]})
    world.identity.api.post(f"/v1/members/{invitation['member']}/approve", {})
    assert api.post("/v1/membership/wait", {"state": "ACTIVE"}, wait=30)["state"] == "ACTIVE"


def publish(world, node=None):
    """A dataset of the provider with an offer; its id."""
    space, api = world.space, (node or world.connectors["provider"]).api
    asset = api.upload(f"/v1/assets?schema={space.schema}&title=Passport", world.samples / space.payload)
    api.post("/v1/offers", {"asset": asset["id"], "template": space.template, "parameters": space.parameters})
    return asset
