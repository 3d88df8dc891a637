"""How often writes of the counters get into each other's way: a simulation of single writes, from a seed.

DynamoDB lets one transaction at a time touch an item. It cancels the other one, which waits and tries again,
as ``CONFLICT_PAUSES_S`` says. Two ways of counting are compared:

- together: ``publish_changes`` counts what its batch of the stream holds in one write. It has as many writers
  as the stream has shards, times ``ParallelizationFactor``, and each has at most one write under way.
- apart: each change of a video counts itself in a write of its own, as was done before there was a stream.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import ceil
from random import Random

from videos.stores.aws.counts import COUNT_SHARDS, MAX_COUNTED_AT_ONCE
from videos.stores.aws.dynamodb import CONFLICT_PAUSES_S

SEED = 14
MIN_WRITES = 5000  # a simulation ends with so many
Process = Iterator[float]  # yields for how many seconds it waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Counting:
    """What is counted, and how.

    Attributes:
        changes: of an upload's record; the stream has them all.
        counted: how many of those are counted.
        batch_size, window_s: a batch is handed over once it has so many changes, or after so long.
        held_s: how long a write keeps an item from others. AWS publishes no figure: an assumption, as long as
            a transaction usually takes.
    """

    changes: float
    counted: float
    batch_size: int
    window_s: float
    held_s: float = 0.015


@dataclass(frozen=True, slots=True)
class Contention:
    """Of so many writes, the shares (0 to 1) that met another one, and that gave up after every repeat."""

    writes: int
    conflicting: float
    given_up: float


def together(uploads_a_minute: float, writers: int, counting: Counting, *, seed: int = SEED) -> Contention:
    table = _Table(counting.held_s, seed)
    changes_a_s = uploads_a_minute / 60 * counting.changes / writers
    return table.run(*(_counts_batches(table, changes_a_s, counting) for _ in range(writers)))


def apart(uploads_a_minute: float, counting: Counting, *, seed: int = SEED) -> Contention:
    table = _Table(counting.held_s, seed)
    return table.run(_counts_each(table, uploads_a_minute / 60 * counting.counted))


def _counts_batches(table: "_Table", changes_a_s: float, counting: Counting) -> Process:
    """One writer. What comes while it writes is in its next batch."""
    random, counted = table.random, counting.counted / counting.changes
    next_s = random.expovariate(changes_a_s)
    while True:
        yield max(0.0, next_s - table.now_s)
        closes_s = table.now_s + counting.window_s
        taken = last_s = 0.0
        while taken < counting.batch_size and next_s <= closes_s:
            taken, last_s = taken + 1, next_s
            next_s += random.expovariate(changes_a_s)
        yield max(0.0, (closes_s if taken < counting.batch_size else last_s) - table.now_s)
        of_batch = sum(random.random() < counted for _ in range(int(taken)))
        for _ in range(ceil(of_batch / MAX_COUNTED_AT_ONCE)):
            yield from table.write(draws_again=False)


def _counts_each(table: "_Table", changes_a_s: float) -> Process:
    while True:
        yield table.random.expovariate(changes_a_s)
        table.start(table.write(draws_again=True))


class _Table:
    """The items of one time slot, and whoever writes them, by simulated time."""

    def __init__(self, held_s: float, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311  not cryptography
        self.now_s = 0.0
        self._held_s = held_s
        self._free_s = [0.0] * COUNT_SHARDS  # when the last write of each item ends
        self._processes: list[tuple[float, int, Process]] = []
        self._order = count()  # of processes that go on in the same moment
        self._written = self._conflicting = self._given_up = 0

    def run(self, *processes: Process) -> Contention:
        for process in processes:
            self.start(process)
        while self._written < MIN_WRITES:
            self.now_s, _, process = heapq.heappop(self._processes)
            if (wait_s := next(process, None)) is not None:
                self.start(process, after_s=wait_s)
        return Contention(self._written, self._conflicting / self._written, self._given_up / self._written)

    def start(self, process: Process, *, after_s: float = 0.0) -> None:
        heapq.heappush(self._processes, (self.now_s + after_s, next(self._order), process))

    def write(self, *, draws_again: bool) -> Process:
        """Write one item, or give up. ``draws_again``: each repeat takes any item, not the same one."""
        item = self.random.randrange(COUNT_SHARDS)
        met = False
        for pause_s in CONFLICT_PAUSES_S:
            if self._free_s[item] <= self.now_s:
                self._free_s[item] = self.now_s + self._held_s
                yield self._held_s
                break
            met = True
            yield self._held_s + self.random.uniform(0, pause_s)  # the answer takes as long as a write
            if draws_again:
                item = self.random.randrange(COUNT_SHARDS)
        else:
            self._given_up += 1
        self._written += 1
        self._conflicting += met
