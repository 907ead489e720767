"""Peers that lie about heights, headers and bodies: nothing they say is believed without proof (protocol §6)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.builders import ChainBuilder, block_certificate, genesis
from tests.sync_world import LONG, Peer, SyncWorld, block_at, chain, header_at
from timed.errors import TimedError
from timed.wire.messages import CertifiedBlock, GetBlocks, GetHeaders, SignedHeader

LIE = 40
"""The height at which a liar's story goes wrong."""


class Liar(Peer):
    """Its headers and blocks from LIE on are what the test makes of them."""

    def headers(self, start: int, count: int) -> Sequence[SignedHeader]:
        return [self.bend(one) if one.header.height == LIE else one for one in super().headers(start, count)]

    def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
        return [
            self.twist(one) if one.block.header.height == LIE else one for one in super().blocks(start, count)
        ]

    def bend(self, honest: SignedHeader) -> SignedHeader:
        return honest

    def twist(self, honest: CertifiedBlock) -> CertifiedBlock:
        return honest


def with_certificate(honest: SignedHeader, **changes: object) -> SignedHeader:
    return SignedHeader(
        header=honest.header, certificate=msgspec.structs.replace(honest.certificate, **changes)
    )


class HeightTests(SynchronousTestCase):
    """A height is a claim; it only says whom to ask."""

    def test_a_lying_height_moves_nothing(self) -> None:
        world = SyncWorld()
        world.join(Peer("liar", chain(length=3)), claimed=2**64 - 1)
        world.run(20)
        state = world.catchup.state()
        self.assertEqual((state.height, state.proven, state.behind), (3, 3, 0))
        self.assertEqual(world.misdeeds, [])

    def test_a_lying_height_is_looked_into_now_and_then_not_all_the_time(self) -> None:
        world = SyncWorld()
        liar = world.join(Peer("liar", chain(length=3)), claimed=10_000)
        world.run(60)
        self.assertLess(len(liar.asked), 130)

    def test_liars_with_great_heights_do_not_keep_from_the_honest_peer(self) -> None:
        world = SyncWorld()
        for number in range(5):
            world.join(Peer(f"liar {number}", chain(length=3)), claimed=10_000 + number)
        world.join(Peer("honest", chain()))
        world.run(10)
        self.assertEqual(world.height, LONG)


class HeaderTests(SynchronousTestCase):
    """A header counts with a certificate of its own roster, and in an unbroken line from the tip."""

    def _refused(self, liar: Liar) -> None:
        """Nothing of the run is kept, the liar is named, and the honest peer is used instead."""
        world = SyncWorld()
        world.join(liar)
        world.run(2)
        self.assertEqual(world.catchup.state().proven, 0)
        self.assertIn((liar.node_id, "bad-headers"), world.misdeeds)
        honest = world.join(Peer("honest", chain()))
        world.run(10)
        self.assertEqual(world.ledger.tip.hash, chain().ledger.tip.hash)
        self.assertNotIn(honest.node_id, [node_id for node_id, _ in world.misdeeds])

    def test_certificate_with_a_forged_signature(self) -> None:
        class Forger(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                signatures = (bytes(64), *honest.certificate.signatures[1:])
                return with_certificate(honest, signatures=signatures)

        self._refused(Forger("liar", chain()))

    def test_certificate_of_less_than_a_quorum(self) -> None:
        """[9]"""

        class Minority(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                roster = chain().ledger.roster(LIE)
                certificate = block_certificate(roster, LIE, honest.header.hash, signers=(0, 1))
                return SignedHeader(header=honest.header, certificate=certificate)

        self._refused(Minority("liar", chain()))

    def test_certificate_for_another_block_height_or_chain(self) -> None:
        for changes in ({"target": bytes(32)}, {"height": LIE + 1}, {"chain_id": 1}):

            class Mixer(Liar):
                def bend(self, honest: SignedHeader, changes: dict[str, object] = changes) -> SignedHeader:  # type: ignore[assignment]
                    return with_certificate(honest, **changes)

            self._refused(Mixer("liar", chain()))

    def test_the_real_certificate_of_another_block(self) -> None:
        """Attack: every signature in it is good."""

        class Borrower(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                return SignedHeader(header=honest.header, certificate=header_at(chain(), LIE - 1).certificate)

        self._refused(Borrower("liar", chain()))

    def test_certificate_of_a_roster_of_the_liars_own(self) -> None:
        """Attack: a whole quorum of signatures, of members the chain does not know."""
        foreign = genesis((11, 12, 13, 14)).members

        class Usurper(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                return SignedHeader(
                    header=honest.header, certificate=block_certificate(foreign, LIE, honest.header.hash)
                )

        self._refused(Usurper("liar", chain()))

    def test_header_that_names_a_roster_of_the_liars_own(self) -> None:
        """[7]: the roster follows from the header before, which a quorum signed."""
        foreign = genesis((11, 12, 13, 14)).members

        class Usurper(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                header = msgspec.structs.replace(honest.header, roster=foreign.hash)
                return SignedHeader(header=header, certificate=block_certificate(foreign, LIE, header.hash))

        self._refused(Usurper("liar", chain()))

    def test_headers_with_a_gap(self) -> None:
        class Leaper(Liar):
            def headers(self, start: int, count: int) -> Sequence[SignedHeader]:
                return [one for one in super().headers(start, count) if one.header.height != LIE]

        self._refused(Leaper("liar", chain()))

    def test_headers_that_do_not_follow_each_other(self) -> None:
        class Shuffler(Liar):
            def headers(self, start: int, count: int) -> Sequence[SignedHeader]:
                return list(reversed(super().headers(start, count)))

        self._refused(Shuffler("liar", chain()))

    def test_headers_of_another_chain(self) -> None:
        other = ChainBuilder(genesis((1, 2, 3, 4), interval=6))
        for _ in range(5):
            other.extend()
        world = SyncWorld()
        stranger = world.join(Peer("stranger", other))
        world.run(2)
        self.assertEqual((world.height, world.misdeeds[0]), (0, (stranger.node_id, "bad-headers")))

    def test_an_answer_nobody_asked_for_changes_nothing(self) -> None:
        world = SyncWorld()
        asked = world.join(Peer("one", chain()))
        other = world.join(Peer("two", chain()))
        from timed.wire.messages import HeadersResponse

        answer = HeadersResponse(headers=tuple(other.headers(1, 5)))
        world.catchup.headers(other.node_id, world.open[0].number, answer, world.now)
        world.catchup.headers(asked.node_id, world.open[0].number + 1, answer, world.now)
        self.assertEqual(world.catchup.state().proven, 0)


class BodyTests(SynchronousTestCase):
    """A body counts when it is the one its certified header names, and keeps every rule."""

    def _fetched_elsewhere(self, liar: Liar, event: str = "bad-block") -> None:
        world = SyncWorld()
        world.join(liar)
        world.join(Peer("honest", chain()))
        world.run(10)
        self.assertEqual(world.ledger.tip.hash, chain().ledger.tip.hash)
        self.assertIn((liar.node_id, event), world.misdeeds)
        self.assertEqual({node_id for node_id, _ in world.misdeeds}, {liar.node_id})

    def test_another_body_under_another_header(self) -> None:
        class Swapper(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                honest = super().blocks(start, count)
                header = [msgspec.structs.replace(one.block.header, utxo_root=bytes(32)) for one in honest]
                return [
                    CertifiedBlock(
                        block=msgspec.structs.replace(one.block, header=other), certificate=one.certificate
                    )
                    for one, other in zip(honest, header, strict=True)
                ]

        self._fetched_elsewhere(Swapper("liar", chain()))

    def test_a_body_that_keeps_every_rule_but_is_not_the_certified_one(self) -> None:
        """Attack: another round in the header makes a block nobody signed."""

        class Twin(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                return [
                    CertifiedBlock(
                        block=msgspec.structs.replace(
                            one.block, header=msgspec.structs.replace(one.block.header, round=7)
                        ),
                        certificate=one.certificate,
                    )
                    for one in super().blocks(start, count)
                ]

        self._fetched_elsewhere(Twin("liar", chain()))

    def test_the_right_header_over_other_contents(self) -> None:
        class Changer(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                return [
                    CertifiedBlock(
                        block=msgspec.structs.replace(
                            one.block,
                            transactions=block_at(
                                chain(), 1 + one.block.header.height % 7
                            ).block.transactions,
                        ),
                        certificate=one.certificate,
                    )
                    for one in super().blocks(start, count)
                ]

        self._fetched_elsewhere(Changer("liar", chain()))

    def test_the_certificate_beside_the_body_is_not_what_counts(self) -> None:
        """The certificate that was checked with the header is kept, whatever stands beside the body."""

        class Careless(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                wrong = header_at(chain(), LONG).certificate
                return [
                    CertifiedBlock(block=one.block, certificate=wrong) for one in super().blocks(start, count)
                ]

        world = SyncWorld()
        world.join(Careless("careless", chain()))
        world.run(10)
        self.assertEqual(world.height, LONG)
        self.assertEqual(world.ledger.certificate(LIE), chain().ledger.certificate(LIE))

    def test_bodies_outside_of_what_was_asked_for_are_left_aside(self) -> None:
        class Generous(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                return super().blocks(1, LONG)

        world = SyncWorld()
        generous = world.join(Generous("generous", chain()))
        world.answer(world.open[0])
        request = world.open_for(generous, GetBlocks)[0]
        world.answer(request)
        self.assertLessEqual(world.catchup.state().waiting_bodies + world.height, request.message.count)

    def test_an_empty_answer_is_asked_elsewhere(self) -> None:
        class Empty(Liar):
            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                return []

        world = SyncWorld()
        world.join(Empty("empty", chain()))
        world.join(Peer("honest", chain()))
        world.run(10)
        self.assertEqual((world.height, world.misdeeds), (LONG, []))

    def test_one_honest_peer_among_many_liars_is_enough(self) -> None:
        class Forger(Liar):
            def bend(self, honest: SignedHeader) -> SignedHeader:
                return with_certificate(honest, signatures=(bytes(64), *honest.certificate.signatures[1:]))

            def blocks(self, start: int, count: int) -> Sequence[CertifiedBlock]:
                return [
                    CertifiedBlock(
                        block=msgspec.structs.replace(one.block, reports=()), certificate=one.certificate
                    )
                    for one in super().blocks(start, count)
                ]

        world = SyncWorld()
        for number in range(8):
            world.join(Forger(f"liar {number}", chain()), claimed=LONG + number)
        honest = world.join(Peer("honest", chain()))
        world.run(600)
        self.assertEqual(world.height, LONG)
        self.assertEqual(set(world.sources), {honest.node_id})

    def test_no_answer_of_any_shape_raises(self) -> None:
        """A peer's bytes give a value or a RemoteError; what the planner makes of values raises nothing."""

        class Wild(Liar):
            def headers(self, start: int, count: int) -> Sequence[SignedHeader]:
                honest = header_at(chain(), LIE)
                return [
                    with_certificate(honest, bitmap=b""), with_certificate(honest, signatures=()),
                    with_certificate(honest, bitmap=b"\xff" * 20),
                ]  # fmt: skip

        world = SyncWorld()
        wild = world.join(Wild("wild", chain()), claimed=2**64 - 1)
        try:
            world.run(5)
        except TimedError as error:
            self.fail(f"raised {error!r}")
        self.assertTrue(wild.asked)
        self.assertTrue(all(isinstance(one, GetHeaders) for one in wild.asked))
        self.assertLess(len(wild.asked), 20)
