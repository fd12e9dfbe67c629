"""A hold: while the server cannot know who is active, members claim nothing, and stay connected.

A member that understands it gets `Hold`, and no heartbeat until it gets `Joined` again, or is
terminated, or closed. Any other member is closed at once, with 1013, because it would still claim
that it has joined. Silent members are not dropped meanwhile: a page that only answers heartbeats
has nothing to answer.

Each member is handled in one synchronous step. Other tasks run between two steps, so a hold may end
before all members got `Hold`: then the rest does not get it. Other modules decide who is admitted
during a hold.
"""

from collections.abc import Callable, Generator

from ..core import messages
from ..core.messages import CloseCode
from .letters import Letter
from .member import Member, State
from .membership import Membership
from .timers import Timers

_WHY = "the server cannot know for the moment"


class Holding:
    """The hold of one server's members, which may begin and end again and again.

    Each method decides at once which way to go, and returns the work: it yields 1 after each
    member. Work that goes the other way ends there. Done a second time it changes nothing.
    """

    def __init__(self, membership: Membership, timers: Timers) -> None:
        self.is_on = False
        """Whether members are on hold, or about to be."""
        self._membership = membership
        self._timers = timers

    def hold(self) -> Generator[int, None, None]:
        """Put every member on hold; close those that do not understand it."""
        self.is_on = True
        letter = Letter(messages.Hold())

        def hold(member: Member) -> None:
            if not member.holds:
                self._close(member)
            elif not member.held:
                member.held = True
                self._timers.drop(member)
                self._membership.offer(member, letter)

        return self._each(hold, is_on=True)

    def resume(self) -> Generator[int, None, None]:
        """Send `Joined` to every member on hold; its heartbeats begin again.

        Members that are no longer active must be terminated before. If the server cannot know again
        before all of them got it, `is_on` is true again.
        """
        self.is_on = False

        def resume(member: Member) -> None:
            if not self._membership.recognition.vouches:
                self.is_on = True
            elif member.held:
                member.held = False
                # A peer that only listens counts as heard for ever.
                member.heard = max(member.heard, self._timers.now())
                self._membership.begin_beats(member)
                if member.admission is None:
                    self._membership.tell_joined(member)

        return self._each(resume, is_on=False)

    def cut(self) -> Generator[int, None, None]:
        """Close every member with 1013, on hold or not."""
        self.is_on = True
        return self._each(self._close, is_on=True)

    def _close(self, member: Member) -> None:
        self._membership.close(member, CloseCode.TRY_AGAIN_LATER, _WHY)

    def _each(self, step: Callable[[Member], None], *, is_on: bool) -> Generator[int, None, None]:
        for member in list(self._membership.places.taken):
            if self.is_on is not is_on:
                return
            if member.state is State.JOINED and member.unmeasured is None:
                step(member)
            yield 1
