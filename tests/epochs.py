"""The oracle of several nodes: what must be so in a room, by the epochs that were answered.

Notifies and releases may be under way everywhere at once. Each notify has one epoch, and the epochs
are their order. What is under way may have happened or not.
"""

from collections.abc import Iterator

import attrs


@attrs.define(eq=False)
class Session:
    """A session that notifies have named; one that was released is never named again."""

    name: str
    namings: list["Notify"] = attrs.Factory(list)
    is_release_asked: bool = False
    is_released: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether a notify that names it has not been answered yet."""
        return any(notify.epoch is None and not notify.is_over for notify in self.namings)


@attrs.define(eq=False)
class Notify:
    """`sender` has logged in; with None, everybody is out."""

    id: str
    sender: Session | None
    epoch: int | None = None
    """As answered; None if that is not known."""
    is_over: bool = False
    """Whether the answer was that its login has ended since."""


@attrs.define(eq=False)
class Epochs:
    """The notifies of one room, in which as many sessions may stand as there are `places`."""

    places: int
    notifies: list[Notify] = attrs.Factory(list)

    def ask(self, notify: Notify) -> None:
        """Note that a notify is under way."""
        self.notifies.append(notify)
        if notify.sender is not None:
            notify.sender.namings.append(notify)

    @property
    def last(self) -> int:
        """The highest epoch that was answered."""
        return max((notify.epoch or 0 for notify in self.notifies), default=0)

    def answered(self, notify: Notify, epoch: int, *, after: int) -> bool:
        """Take an answer; False if it is a lie. `after` was the last epoch when it was asked."""
        others = {other.epoch for other in self.notifies if other is not notify}
        is_same = notify.epoch in (None, epoch)
        notify.epoch = epoch
        return is_same and after < epoch <= len(self.notifies) and epoch not in others

    def must_be_ended(self, session: Session) -> bool:
        """Whether a session has to be ended, by what was answered."""
        if session.is_released:
            return True
        if not session.namings:
            return False
        if all(notify.is_over for notify in session.namings):
            return True
        epochs = [notify.epoch for notify in session.namings]
        if None in epochs:
            return False
        since = max(epoch for epoch in epochs if epoch is not None)
        senders = set()
        for notify in self.notifies:
            if notify.epoch is not None and notify.epoch > since:
                if notify.sender is None:
                    return True
                if not notify.sender.is_release_asked:
                    senders.add(notify.sender)
        return len(senders) >= self.places

    def may_be_ended(self, session: Session, epoch: int) -> bool:
        """Whether a session may have been told, at this epoch of its room, that it has ended.

        No notify may be under way any more.
        """
        if session.is_release_asked or any(notify.epoch is None for notify in session.namings):
            return True
        named = [n.epoch for n in session.namings if n.epoch is not None and n.epoch <= epoch]
        if not named:
            # It had only joined so far: whatever names another one ends it.
            return any(n.sender is not session for n in self._between(epoch - 1, epoch))
        senders = set()
        for notify in self._between(max(named), epoch):
            if notify.sender is None:
                return True
            senders.add(notify.sender)
        return len(senders - {session}) >= self.places

    def _between(self, since: int, until: int) -> Iterator[Notify]:
        """Yield the notifies that may have had an epoch from here to there."""
        for notify in self.notifies:
            if notify.epoch is None or since < notify.epoch <= until:
                yield notify
