"""One `step` for every table: the only place that says yes or no to a transition.

Pure: no clock, no store, no knowledge of any message. Steps that are on their way to the peer are `exchange`'s business.
"""

from connector.processes.errors import IllegalTransition
from connector.processes.model import Role
from connector.processes.tables import Row, Table


def step(table: Table, state: str, message: str, sender: Role) -> Row:
    """The row that the message takes from the state; raises `IllegalTransition`."""
    row = table.find(state, message, sender)
    if row is None:
        raise IllegalTransition(state, message, sender)
    return row


def legal(table: Table, state: str, sender: Role) -> tuple[Row, ...]:
    """The rows that the sender may take from the state, for people and tests."""
    return tuple(row for row in table.rows if row.state == state and row.sender == sender)


def awaited(table: Table, state: str, sender: Role) -> str:
    """What a process waits for when nothing of ours is on its way: the other side's next messages; empty where none is due."""
    names = [row.message.rpartition(":")[2] for row in legal(table, state, sender) if row.message != table.termination]
    return f"waits for the {sender}: {' or '.join(names)}" if names else ""
