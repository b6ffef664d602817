"""One step for every table: look the transition up, or refuse. Pure, total, without exceptions to the table."""

from connector.processes.errors import IllegalTransition
from connector.processes.model import Role
from connector.processes.tables import Row, Table


def step(table: Table, state: str, message: str, sender: Role) -> Row:
    """The transition for a message in a state; raises `IllegalTransition`."""
    row = table.get(state, message, sender)
    if row is None:
        raise IllegalTransition(state, message, sender)
    return row
