"""The management API of a connector: everything that its own company may do, over loopback and with a key."""

from connector.management.routes import routes

__all__ = ["routes"]
