"""The rate limit of an account, shared by all of its senders: a queue of turns, one interval apart.

A sender that may not call yet takes the next free turn and comes back for it. So senders that all want to call do so
one after the other, none overtakes another, and each asks the ledger once a call, however many they are. The queue's
end stands in the ledger, read and written in the transaction of the claim.
"""

from __future__ import annotations

from dataclasses import dataclass

# A turn is kept so long for a sender that wakes up late, or one interval where that is longer.
_GRACE_US = 100_000
# A turn that is further ahead was noted by a clock that was wrong, as that of a laptop may be until it finds a network.
_LONGEST_LEAD_US = 300_000_000
_MOST_SENDERS = 32  # or so many intervals, where that is longer


@dataclass(slots=True)
class Turns:
    """Within any time T at most `rate * T + 1` turns come; each is used within its grace, so that at most
    `rate * (T + grace) + 1` calls begin. Times in microseconds.

    `next_us` is the account's next free turn, `own_us` the one that this sender has taken and not used.
    """

    interval_us: int
    next_us: int
    own_us: int | None

    def has_come(self, now_us: int) -> bool:
        """Whether this sender may call now; otherwise its turn, taken here if it had none, comes at `own_us`."""
        grace_us = max(_GRACE_US, self.interval_us)
        lead_us = max(_LONGEST_LEAD_US, _MOST_SENDERS * self.interval_us)
        if self.next_us > now_us + lead_us:
            self.next_us = now_us
        if self.own_us is None or not now_us - grace_us <= self.own_us <= now_us + lead_us:
            self.own_us = max(self.next_us, now_us - grace_us)
            self.next_us = self.own_us + self.interval_us
        return self.own_us <= now_us

    def use(self) -> None:
        self.own_us = None
