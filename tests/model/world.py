"""Two connectors and the network between them, small enough to walk every interleaving.

Each side is made of the product's own `exchange` functions and transition table; only the store, the worker and the network are
modelled: what is committed survives, what is in memory or on the wire does not.

- A side: process, outbox and journal, as committed. Everything that one act changes is committed at once.
- The network: a multiset of attempts (request on its way) and answers on their way. An attempt is lost, delivered late, delivered
  beside a second attempt of the same row, and its answer is lost, late or overtaken by the peer's next message.
- A crash takes the answers that a side was waiting for and the requests it was working on; crash before commit = the request
  is lost, after commit = the answer is lost, after sending = the answer finds nobody.
- With `@id`s an attempt may arrive long after its row was delivered (a late duplicate). A side that leaves them out (we never do) ends an attempt with
  its row, since nobody could tell the copy from a new message. The attempts of a withdrawn row are cut (rule 4 of `exchange`).

Local results are remembered: a side's answer depends on nothing but the side, so the walk costs a dictionary look-up per edge.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from connector.processes import exchange
from connector.processes.errors import CrossingStep, IllegalTransition, StepPending
from connector.processes.exchange import Change, Incoming, Replay
from connector.processes.machine import legal
from connector.processes.model import OutboxRow, Process
from connector.processes.tables import TERMINATED, Table

SIDES = ("consumer", "provider")
NOW = ""


class Violation(AssertionError):
    """Something that must hold does not; the text carries the trace."""


class Attempt(NamedTuple):
    """A message (answer == "") or the answer to one, on its way."""

    sender: int  # who wrote the message: 0 consumer, 1 provider
    row: int  # number of the sender's row
    message: str
    answer: str = ""  # ok, retry or no: on its way back to the sender


class Side(NamedTuple):
    """What one connector has committed."""

    process: Process | None
    sent: tuple[str, ...]  # messages of all own rows so far; row n has the name sent[n]
    outbox: frozenset[str]
    journal: tuple[tuple[str, str, str, str, str], ...]  # before, after, message, sender, message id
    agreements: int

    def key(self) -> tuple[Any, ...]:
        p = self.process
        if p is None:
            return ()
        pending = p.pending and (p.pending.message, p.pending.to, p.pending.row, p.pending.over and p.pending.over.row)
        return p.state, pending, p.last_accepted, p.peer_pid, self.sent, self.outbox, self.journal


@dataclass(frozen=True)
class Rules:
    """The functions under test; a broken rule is put in here."""

    receive: Callable[..., Change | Replay] = exchange.receive
    first: Callable[..., Replay] = exchange.repeated_first
    outbox: Callable[[Change], tuple[OutboxRow, ...]] = lambda change: change.outbox


@dataclass(frozen=True)
class Story:
    """What is walked: the table, who begins, how often each side may send each message, how rough the network is."""

    name: str
    table: Table
    begins: int
    first: str
    limits: dict[tuple[int, str], int]  # (side, message) -> most rows; 0 when absent
    ids: tuple[bool, bool] = (True, True)  # whether consumer and provider put an `@id` on their messages
    copies: int = 2  # attempts of one row on the wire at the same time
    wire: int = 3  # attempts and answers on the wire altogether
    rules: Rules = field(default_factory=Rules)


World = tuple[int, int, tuple[Attempt, ...]]


@dataclass
class Result:
    states: int
    sides: int
    quiescent: int
    final: set[str]


class Walk:
    """All reachable worlds of a story, breadth first, so that a trace is a shortest one."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.sides: list[Side] = []
        self.numbers: dict[tuple[Any, ...], int] = {}
        self.by_act: dict[tuple[int, int], tuple[tuple[str, int], ...]] = {}
        self.by_request: dict[tuple[int, Attempt], tuple[int, str, str]] = {}
        self.by_answer: dict[tuple[int, Attempt], int] = {}
        self.trace_of: Callable[[], str] = lambda: ""

    # -- one side ------------------------------------------------------------------------------------------------------

    def number(self, who: int, side: Side) -> int:
        """The number of this side; a side seen for the first time is checked."""
        key = (who, *side.key())
        found = self.numbers.get(key)
        if found is None:
            found = self.numbers[key] = len(self.sides)
            self.sides.append(side)
            self.check_side(who, side)
        return found

    def fail(self, text: str) -> None:
        raise Violation(f"{self.story.name}: {text}\n{self.trace_of()}")

    def check_side(self, who: int, side: Side) -> None:
        table, p = self.story.table, side.process
        if p is None:
            return
        state = table.initial
        for before, after, message, sender, _ in side.journal:
            row = table.find(state, message, sender)
            if row is None or before != state or row.to != after:
                self.fail(f"{SIDES[who]} took an illegal step {before} -> {after} by {message} of the {sender}")
            state = after
        if state != p.state:
            self.fail(f"{SIDES[who]}: the journal ends in {state}, the process is in {p.state}")
        if side.agreements > 1:
            self.fail(f"{SIDES[who]} holds two agreements")
        identified = [row[4] for row in side.journal if row[4]]
        if len(set(identified)) != len(identified):
            self.fail(f"{SIDES[who]} took one message twice: {identified}")
        if len(side.outbox) > 1:
            self.fail(f"{SIDES[who]} has two steps under way: {set(side.outbox)}")
        if p.pending is not None and len(side.outbox) != 1:
            self.fail(f"{SIDES[who]} waits for {p.pending.message}, which nobody will ever send")

    def commit(self, who: int, side: Side, change: Change, *, created: bool = False) -> int:
        """The side after one transaction."""
        done = set(change.confirmed) | set(change.withdrawn)
        added = {row.id for row in self.story.rules.outbox(change)}
        journal = tuple((r.before, r.after, r.message, r.sender, r.message_id) for r in change.journal)
        records = sum("record_agreement" in row.effects for row in change.steps)
        return self.number(
            who,
            side._replace(
                process=change.process,
                outbox=frozenset((side.outbox - done) | added),
                journal=side.journal + journal,
                agreements=side.agreements + records,
            ),
        )

    def act(self, who: int, number: int) -> tuple[tuple[str, int], ...]:
        """Every own act that this side may begin now."""
        key = (who, number)
        if key not in self.by_act:
            self.by_act[key] = tuple(self._acts(who, self.sides[number]))
        return self.by_act[key]

    def _acts(self, who: int, side: Side) -> Iterator[tuple[str, int]]:
        p = side.process
        if p is None or not (p.peer_pid or not side.sent):
            return
        for row in legal(self.story.table, p.state, SIDES[who]):
            if side.sent.count(row.message) >= self.story.limits.get((who, row.message), 0):
                continue
            named = OutboxRow(id=f"{SIDES[who][0]}{len(side.sent)}", process=p.id, act="dsp", message=row.message)
            try:
                change = exchange.propose(self.story.table, Change(process=p), named, now=NOW)
            except StepPending:
                continue
            yield row.message, self.commit(who, side._replace(sent=(*side.sent, row.message)), change)

    def take_request(self, who: int, number: int, attempt: Attempt) -> tuple[int, str, str]:
        """The receiving side after this attempt, its answer, and the row that it withdrew."""
        key = (number, attempt)
        if key not in self.by_request:
            self.by_request[key] = self._take_request(who, self.sides[number], attempt)
        return self.by_request[key]

    def _take_request(self, who: int, side: Side, attempt: Attempt) -> tuple[int, str, str]:
        story, rules = self.story, self.story.rules
        first = attempt.sender == story.begins and attempt.row == 0
        name = f"{SIDES[attempt.sender][0]}{attempt.row}"
        incoming = Incoming(
            message=attempt.message,
            sender=SIDES[attempt.sender],
            peer=SIDES[attempt.sender],
            message_id=name if story.ids[attempt.sender] else "",
            digest=("first " if first else "") + attempt.message,
            peer_pid=f"pid-{SIDES[attempt.sender]}",
        )
        p = side.process
        if first and p is not None:
            rules.first(story.table, p, incoming.message, incoming.digest)
            return self.number(who, side), "ok", ""
        if p is None:
            p = blank(story.table, who)
        whose = (incoming.sender, incoming.message_id)
        known = next((row[1] for row in side.journal if incoming.message_id and row[3:] == whose), None)
        try:
            change = rules.receive(story.table, p, incoming, known=known, now=NOW)
        except CrossingStep:
            return self.number(who, side), "retry", ""
        except IllegalTransition:
            return self.number(who, side), "no", ""
        if isinstance(change, Replay):
            return self.number(who, side), "ok", ""
        return self.commit(who, side, change), "ok", "".join(change.withdrawn)

    def take_answer(self, who: int, number: int, attempt: Attempt) -> int:
        """The sending side after the answer to one of its attempts."""
        key = (number, attempt)
        if key not in self.by_answer:
            self.by_answer[key] = self._take_answer(who, self.sides[number], attempt)
        return self.by_answer[key]

    def _take_answer(self, who: int, side: Side, attempt: Attempt) -> int:
        p, row = side.process, f"{SIDES[who][0]}{attempt.row}"
        assert p is not None
        change = None
        if attempt.answer == "ok":
            change = exchange.delivered(self.story.table, p, row, now=NOW, peer_pid=f"pid-{SIDES[1 - who]}")
        elif attempt.answer == "no":
            if row in side.outbox:
                self.fail(f"the {SIDES[who]}'s {attempt.message} was refused in good faith")
            change = exchange.refused(self.story.table, p, row, reason="", now=NOW)
        return self.number(who, side) if change is None else self.commit(who, side, change)

    # -- the world -----------------------------------------------------------------------------------------------------

    def start(self) -> World:
        who = self.story.begins
        empty = Side(blank(self.story.table, who), (), frozenset(), (), 0)
        ((_, begun),) = (each for each in self._acts(who, empty) if each[0] == self.story.first)
        other = self.number(1 - who, Side(None, (), frozenset(), (), 0))
        return (begun, other, ()) if who == 0 else (other, begun, ())

    def moves(self, world: World) -> Iterator[tuple[bool, str, World]]:
        """All next worlds: (whether a side began something of its own, what happened, the world)."""
        pair, wire = world[:2], world[2]
        for who in (0, 1):
            for message, number in self.act(who, pair[who]):
                yield True, f"{SIDES[who]} decides {message}", self.settle(pair, who, number, wire)
            yield from self._sends(pair, who, wire)
            crashed = tuple(a for a in wire if (a.sender == who) != (a.answer == ""))
            if crashed != wire:
                yield False, f"{SIDES[who]} crashes and starts again", (*pair, crashed)
        for at, attempt in enumerate(wire):
            if at and wire[at - 1] == attempt:
                continue
            rest = wire[:at] + wire[at + 1 :]
            yield False, f"lost: {attempt}", (*pair, rest)
            if attempt.answer:
                who = attempt.sender
                after = self.take_answer(who, pair[who], attempt)
                yield (
                    False,
                    f"{SIDES[who]} gets the answer {attempt.answer} to {attempt.message}",
                    self.settle(pair, who, after, rest),
                )
            else:
                who = 1 - attempt.sender
                after, answer, cut = self.take_request(who, pair[who], attempt)
                rest = tuple(a for a in rest if a.sender != who or f"{SIDES[who][0]}{a.row}" != cut) if cut else rest
                back = tuple(sorted((*rest, attempt._replace(answer=answer))))
                yield False, f"{SIDES[who]} gets {attempt.message}: {answer}", self.settle(pair, who, after, back)

    def _sends(self, pair: tuple[int, int], who: int, wire: tuple[Attempt, ...]) -> Iterator[tuple[bool, str, World]]:
        if len(wire) >= self.story.wire:
            return
        side = self.sides[pair[who]]
        for name in side.outbox:
            row = int(name[1:])
            if sum(a.sender == who and a.row == row for a in wire) < self.story.copies:
                attempt = Attempt(who, row, side.sent[row])
                yield False, f"{SIDES[who]} sends {attempt.message}", (*pair, tuple(sorted((*wire, attempt))))

    def settle(self, pair: tuple[int, int], who: int, number: int, wire: tuple[Attempt, ...]) -> World:
        """The world in which side `who` is now `number`; without ids the attempts of settled rows are cut."""
        if not self.story.ids[who]:
            live = self.sides[number].outbox
            wire = tuple(a for a in wire if a.sender != who or f"{SIDES[who][0]}{a.row}" in live)
        return (number, pair[1], wire) if who == 0 else (pair[0], number, wire)

    def check_world(self, world: World) -> bool:
        """Whether the world is at rest; fails when the two sides contradict each other."""
        one, two = self.sides[world[0]], self.sides[world[1]]
        final = self.story.table.final
        if one.process is None or two.process is None:
            return False
        states = one.process.state, two.process.state
        if states[0] != states[1] and states[0] in final and states[1] in final:
            self.fail(f"the sides end differently: {states}")
        if world[2] or one.outbox or two.outbox:
            return False
        if one.process.pending or two.process.pending:
            self.fail("nothing is on its way, yet a step is pending")
        if states[0] != states[1]:
            self.fail(f"at rest in different states: {states}")
        if not same_journal(one, two):
            self.fail(f"at rest with different journals:\n  {one.journal}\n  {two.journal}")
        if one.agreements != two.agreements:
            self.fail("only one side holds the agreement")
        return True

    def run(self) -> Result:
        """Walk everything; raises `Violation` with a shortest trace."""
        start = self.start()
        index: dict[World, int] = {start: 0}
        worlds: list[World] = [start]
        origin: list[tuple[int, str]] = [(-1, "start")]
        back: list[list[int]] = [[]]
        resting: list[int] = []
        final: set[str] = set()
        queue = deque([0])
        while queue:
            at = queue.popleft()
            self.trace_of = lambda at=at: trace(origin, at)  # type: ignore[misc]
            if self.check_world(worlds[at]):
                resting.append(at)
                final.add(self.sides[worlds[at][0]].process.state)  # type: ignore[union-attr]
            for own, label, world in self.moves(worlds[at]):
                found = index.get(world)
                if found is None:
                    found = index[world] = len(worlds)
                    worlds.append(world)
                    origin.append((at, label))
                    back.append([])
                    queue.append(found)
                if not own:
                    back[found].append(at)
        self.check_progress(back, resting, origin)
        return Result(len(worlds), len(self.sides), len(resting), final)

    def check_progress(self, back: list[list[int]], resting: list[int], origin: list[tuple[int, str]]) -> None:
        """From every world the network alone leads to rest: nothing blocks, nobody waits for ever."""
        reached = bytearray(len(back))
        stack = list(resting)
        for each in stack:
            reached[each] = 1
        while stack:
            for before in back[stack.pop()]:
                if not reached[before]:
                    reached[before] = 1
                    stack.append(before)
        stuck = reached.find(0)
        if stuck >= 0:
            self.trace_of = lambda: trace(origin, stuck)
            self.fail("blocked: no way to rest from here")


def blank(table: Table, who: int) -> Process:
    """A process before its first step."""
    return Process(id=f"pid-{SIDES[who]}", participant=SIDES[who], kind=table.kind, role=SIDES[who], peer=SIDES[1 - who], state="")


def same_journal(one: Side, two: Side) -> bool:
    """Equal transitions; the step that was under way at a termination may stand on one side only."""
    a, b = ([row[:2] for row in side.journal] for side in (one, two))
    if a == b:
        return True
    short, long = sorted((a, b), key=len)
    ended = short[-1][1] == TERMINATED and len(long) == len(short) + 1
    return ended and short[:-1] == long[:-2] and long[-1][1] == TERMINATED


def trace(origin: list[tuple[int, str]], at: int) -> str:
    lines: list[str] = []
    while at >= 0:
        at, label = origin[at]
        lines.append(label)
    return "\n".join(f"{number:3}. {line}" for number, line in enumerate(reversed(lines)))


def without_ids(story: Story, who: int) -> Story:
    """The same with a peer that leaves `@id` out; we never do, so one side always has them."""
    return replace(story, name=f"{story.name}, {SIDES[who]} without @id", ids=(who != 0, who != 1))
