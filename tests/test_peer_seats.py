"""Who must go when the house is full (F10)."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.node_world import NodeWorld
from timed.errors import Refused
from timed.params import SECOND
from timed.peer import limits
from timed.peer.seats import Seat, Seats, _exposed
from timed.peer.traffic import Traffic
from timed.sim.world import Scenario, World
from timed.wire.messages import TransactionBroadcast

SECRET = bytes(32)


@attrs.frozen(eq=False)
class Named:
    """What stands for a session here."""

    name: str
    host: str = ""
    traffic: Traffic = attrs.field(factory=Traffic)


def seat(
    name: str, group: str = "", *, preferred: bool = False, number: int = 255, round_trip: int | None = None,
    transaction_at: int = 0, block_at: int = 0,
) -> Seat:  # fmt: skip
    session: Any = Named(name)
    return Seat(session, preferred, group or name, bytes([number]), round_trip, transaction_at, block_at)


def give_way(inbound: list[Seat], newcomer: Seat, most: int) -> str | None:
    """Who goes of a house with so many places; None for nobody."""
    if len(inbound) < most:
        return None
    session: Any = Seats(SECRET, most, public=True).loser(inbound, newcomer)
    return None if session is None else str(session.name)


MEMBER = seat("newcomer", preferred=True)
STRANGER = seat("newcomer")
HOUSE = 100


class RoomTests(SynchronousTestCase):
    def assertFull(self, inbound: list[Seat], newcomer: Seat, most: int) -> None:
        error = self.assertRaises(Refused, give_way, inbound, newcomer, most)
        self.assertEqual(error.rule, "full")

    def test_room_for_everybody(self) -> None:
        """Where there is room nobody is weighed."""
        sessions: Any = [Named("a")]
        seats = Seats(SECRET, 2, public=True)
        self.assertIsNone(seats.give_way(sessions, sessions[0], lambda session: self.fail("it was weighed")))

    def test_stranger_finds_no_place_among_strangers_of_many_groups(self) -> None:
        """A house full of honest peers: nobody's session is cut for somebody like him."""
        self.assertFull([seat(str(n)) for n in range(HOUSE)], STRANGER, HOUSE)

    def test_member_takes_the_place_of_the_youngest_stranger(self) -> None:
        self.assertEqual(give_way([seat("a"), seat("b"), seat("c", preferred=True)], MEMBER, 3), "b")

    def test_members_among_themselves_have_a_reserve(self) -> None:
        full = [seat("m", preferred=True)] * 3
        self.assertIsNone(give_way(full, MEMBER, 3))
        self.assertFull(full + [seat("m", preferred=True)] * limits.RESERVED_INBOUND, MEMBER, 3)

    def test_member_finds_a_place_even_where_every_stranger_has_merits(self) -> None:
        inbound = [seat(str(n), number=1, round_trip=1, transaction_at=1, block_at=1) for n in range(HOUSE)]
        self.assertIsNotNone(give_way(inbound, MEMBER, HOUSE))

    def test_house_filled_from_one_group_does_not_lock_others_out(self) -> None:
        inbound = [seat(str(n), "one") for n in range(HOUSE)]
        self.assertEqual(give_way(inbound, seat("n", "other"), HOUSE), str(HOUSE - 1))
        self.assertFull(inbound, seat("n", "one"), HOUSE)

    def test_stranger_finds_no_place_among_members(self) -> None:
        self.assertFull([seat("m", preferred=True)] * 3, STRANGER, 3)

    def test_stranger_takes_a_place_from_a_group_with_two_sessions_more_than_its_own_has(self) -> None:
        inbound = [seat("a", "one"), seat("b", "two"), seat("c", "one")]
        self.assertFull(inbound, seat("n", "two"), 3)
        self.assertEqual(give_way(inbound, seat("n", "three"), 3), "c")

    def test_groups_are_networks_where_addresses_are_public_and_hosts_elsewhere(self) -> None:
        for public, hosts, newcomer, full in (
            (True, ("8.8.1.1", "8.8.2.2", "9.9.1.1"), "7.7.1.1", False),
            (False, ("8.8.1.1", "8.8.2.2", "9.9.1.1"), "7.7.1.1", True),
            (False, ("8.8.1.1", "8.8.1.1", "9.9.1.1"), "8.8.2.2", False),
        ):
            inbound: list[Any] = [Named(host, host) for host in hosts]
            come: Any = Named("newcomer", newcomer)
            seats = Seats(SECRET, len(hosts), public=public)
            if full:
                with self.assertRaises(Refused):
                    seats.give_way(inbound, come, lambda session: False)
            else:
                self.assertIs(seats.give_way(inbound, come, lambda session: False), inbound[1])

    def test_with_fewer_places_as_many_strangers_go_as_there_are_too_many(self) -> None:
        inbound: list[Any] = [Named(str(n), "8.8.8.8") for n in range(20)]
        inbound[18].traffic.last_block = 7
        seats = Seats(SECRET, 15, public=False)
        gone = seats.too_many(inbound, lambda session: session in inbound[15:17])
        self.assertEqual([int(session.name) for session in gone], [19, 17, 14, 13, 12])


class MeritTests(SynchronousTestCase):
    """Strangers of one group fill the house; a member comes. Without merits the youngest goes."""

    def losers(self, **merits: Any) -> list[str]:
        """Who goes, one member after another; the four youngest have the merits."""
        inbound = [seat(str(n), "g", **(merits if n >= HOUSE - 4 else {})) for n in range(HOUSE)]
        gone: list[str] = []
        for number in range(10):
            name = give_way(inbound, MEMBER, HOUSE)
            gone.append(str(name))
            inbound = [each for each in inbound if each.session.name != name]  # type: ignore[attr-defined]
            inbound.append(seat(f"m{number}", preferred=True))
        return gone

    YOUNGEST = [str(HOUSE - 1 - n) for n in range(10)]
    NEXT = [str(HOUSE - 5 - n) for n in range(10)]

    def test_without_merits_the_youngest_go(self) -> None:
        self.assertEqual(self.losers(), self.YOUNGEST)

    def test_short_round_trip_protects(self) -> None:
        self.assertEqual(self.losers(round_trip=500), self.NEXT)

    def test_news_protects(self) -> None:
        self.assertEqual(self.losers(transaction_at=7), self.NEXT)
        self.assertEqual(self.losers(block_at=7), self.NEXT)

    def test_of_those_who_have_a_merit_the_best_are_protected(self) -> None:
        for merit, values in (
            ("number", range(HOUSE, 0, -1)),
            ("round_trip", range(HOUSE, 0, -1)),
            ("transaction_at", range(1, HOUSE + 1)),
            ("block_at", range(1, HOUSE + 1)),
        ):
            inbound: list[Any] = [seat(str(n), "g", **{merit: value}) for n, value in enumerate(values)]
            self.assertEqual(give_way(inbound, MEMBER, HOUSE), self.NEXT[0], merit)

    def test_a_tenth_for_each_merit_is_protected_and_four_at_most(self) -> None:
        """Everybody has a number and an age; who never did something has no merit for it."""
        for house, kept in ((9, 0), (10, 1), (29, 2), (30, 3), (HOUSE, 4)):
            plain = [seat(str(n)) for n in range(house)]
            self.assertEqual(house - len(_exposed(plain)), 2 * kept)
            good = [seat(str(n), round_trip=1, transaction_at=1, block_at=1) for n in range(house)]
            self.assertEqual(house - len(_exposed(good)), 5 * kept)

    def test_group_whose_number_nobody_can_guess_protects(self) -> None:
        self.assertEqual(self.losers(number=3), self.NEXT)

    def test_the_oldest_are_protected(self) -> None:
        inbound = [seat(str(n), "old" if n < 50 else "new") for n in range(HOUSE)]
        inbound[50:] = [seat(f"m{n}", preferred=True) for n in range(50)]
        gone = []
        while (name := give_way(inbound, MEMBER, HOUSE)) and len(gone) < 40:
            gone.append(name)
            inbound = [each for each in inbound if each.session.name != name]  # type: ignore[attr-defined]
            inbound.append(seat("m", preferred=True))
        self.assertNotIn("0", gone)

    def test_attacker_with_every_merit_but_one_does_not_push_out_the_others(self) -> None:
        """A hundred fast, talkative sessions of one group leave the oldest and the rare groups alone."""
        honest = [seat(f"h{n}", f"group{n}", round_trip=90_000) for n in range(20)]
        liars = [seat(f"l{n}", "one", round_trip=1, transaction_at=n + 1, block_at=n + 1) for n in range(80)]
        inbound = honest + liars
        for number in range(60):
            name = give_way(inbound, seat(f"n{number}", f"new{number}"), HOUSE)
            self.assertEqual(str(name)[0], "l")
            inbound = [each for each in inbound if each.session.name != name]  # type: ignore[attr-defined]
            inbound.append(seat(f"n{number}", f"new{number}"))


class ChurnTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 5), min_size=30, max_size=30), st.lists(st.integers(0, 9), max_size=300))
    @settings(deadline=None, max_examples=60)
    def test_strangers_change_places_a_bounded_number_of_times(
        self, there: list[int], come: list[int]
    ) -> None:
        """However often whoever was turned out comes back: each change makes the groups more even."""
        inbound = [seat(f"s{n}", f"g{group}") for n, group in enumerate(there)]
        changes = 0
        for number, group in enumerate([*come, *come]):
            newcomer = seat(f"n{number}", f"g{group}")
            try:
                name = give_way(inbound, newcomer, len(there))
            except Refused:
                continue
            changes += 1
            inbound = [each for each in inbound if each.session.name != name]  # type: ignore[attr-defined]
            inbound.append(newcomer)
        self.assertLessEqual(changes, len(there) ** 2 // 2)
        self.assertEqual(len(inbound), len(there))

    def test_the_same_house_gives_the_same_answer(self) -> None:
        def answer() -> str | None:
            inbound = [seat(str(n), f"g{n % 7}", number=n, round_trip=n * 7 % 13 + 1) for n in range(HOUSE)]
            return give_way(inbound, MEMBER, HOUSE)

        self.assertEqual(answer(), answer())


class NewsTests(SynchronousTestCase):
    """Who delivered what this node did not have."""

    def test_first_to_deliver_a_payment_has_the_merit_and_the_second_has_not(self) -> None:
        world = NodeWorld()
        first, second = world.stranger(), world.stranger()
        body = TransactionBroadcast(transaction=world.payment())
        for puppet in (first, second):
            puppet.say(body)
        known = [world.node.peers.statistics(puppet.node_id) for puppet in (first, second)]
        self.assertEqual([each.last_transaction > 0 for each in known if each], [True, False])

    def test_who_delivered_a_block_to_a_follower_has_the_merit(self) -> None:
        world = World(Scenario(5, nodes=4, followers=1))
        for index in range(len(world.hosts)):
            world.boot(index)
        world.clock.run_until(world.clock.now + 60 * SECOND)
        process = world.hosts[-1].process
        self.assertIsNotNone(process)
        peers = process.node.peers  # type: ignore[union-attr]
        known = [peers.statistics(peer.node_id) for peer in peers.peers()]
        self.assertGreater(process.node.ledger.tip.height, 0)  # type: ignore[union-attr]
        self.assertTrue([each for each in known if each.last_block])
