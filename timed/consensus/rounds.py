"""Tendermint's rounds (arXiv 1807.04938, Algorithm 1), one height at a time (protocol §4).

Comments name the line of the algorithm. Every own vote and proposal goes through
`Sign`: it is in the log before it leaves, and counts here only when it comes
back, so that a restart finds it and nothing is signed twice ([16]).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from timed.consensus.effects import AskProposal, Decide, Effects, Forget, Judge, Sign, Tell, ToVoters
from timed.consensus.proposals import Proposals
from timed.consensus.proposer import proposer
from timed.consensus.roundstate import RoundCounters, Step, Value, timeout_us
from timed.consensus.signing import signed
from timed.consensus.votes import MAX_ROUNDS_AHEAD, MAX_ROUNDS_BEHIND, NIL, VoteBook, is_near
from timed.crypto.keys import SigningKey
from timed.deadlines import earliest
from timed.events import Equivocation
from timed.params import SECOND, NetworkParams
from timed.primitives.certificate import PRECOMMIT, PREVOTE
from timed.primitives.roster import Roster
from timed.wire.messages import BlockProposal, BlockVote, RoundState

STATUS_EVERY_US = 2 * SECOND
MAX_VALUES = 32
"""Blocks remembered at one height; the oldest that nobody here is bound to is forgotten."""


class Rounds:
    """The algorithm's state for the height under way.

    `fresh(time, now)` judges a new proposal's time on the own clock; `ripe(now)` says
    that some proposal could be fresh; `propose(round, now)` makes a new, unsigned
    proposal or None while too few reports count, or by the own clock the slot has not come.
    """

    def __init__(
        self,
        params: NetworkParams,
        operator: SigningKey | None,
        base_timeout_us: int,
        fresh: Callable[[int, int], bool],
        ripe: Callable[[int], bool],
        propose: Callable[[int, int], BlockProposal | None],
        effects: Effects,
    ) -> None:
        self._params = params
        self._operator = operator
        self._base_timeout_us = base_timeout_us
        self._fresh = fresh
        self._ripe = ripe
        self._propose = propose
        self._effects = effects
        self.counters = RoundCounters()
        self.height = 0
        self.roster = Roster(members=())
        self.me: int | None = None
        self.votes = VoteBook()
        self._decided: tuple[int, bytes] | None = None
        self.paused = False
        self._reset()

    @property
    def may_sign(self) -> bool:
        return self.signing and not self.paused

    def _reset(self) -> None:
        self.signing = False
        self.start_at: int | None = None
        self.round = 0
        self.step = Step.WAITING
        self.locked: tuple[int, bytes] | None = None
        self.valid: tuple[int, bytes] | None = None
        self.values: dict[bytes, Value] = {}
        self.proposals = Proposals()
        self._signed: dict[tuple[int, int], BlockVote] = {}
        self._last_proposed = -1
        self._logged = NIL
        """The block of the newest proposal in the log."""
        self._timeout_at: int | None = None
        self._timeout_armed = False
        self._status_at: int | None = None
        self._asked: dict[int, None] = {}
        self._liars: dict[tuple[int, str], None] = {}

    def begin(self, height: int, roster: Roster, me: int | None, *, signing: bool, start_at: int) -> None:
        """A new height; rounds start at `start_at` (the slot) or with a third of the others."""
        self.votes.begin(height, roster, self._decided)
        self._decided = None
        self.height = height
        self.roster = roster
        self.me = me
        self._reset()
        self.signing = signing and me is not None
        self.start_at = start_at if me is not None else None

    def stop_signing(self) -> None:
        self.signing = False

    # Inputs

    def proposal(self, proposal: BlockProposal, now: int) -> None:
        """A proposal whose signature (of the proposer of its round) has been checked."""
        if self.me is None or proposal.header.height != self.height or self.step is Step.DECIDED:
            return
        known = self.proposals.get(proposal.round)
        if known is not None:
            if known.signed_message() != proposal.signed_message():
                self._equivocation(self.proposer(proposal.round), "proposal")
                if self.votes.is_wanted(proposal.round, proposal.header.hash):
                    self._add_value(proposal)
                    self._run(now)
            return
        self.votes.heard(self.proposer(proposal.round), proposal.round)
        if self.proposals.take(proposal, self.round, self._bound()):
            self.counters.proposals += 1
            self._add_value(proposal)
        else:
            self.counters.proposals_ignored += 1
        self._run(now)

    def judged(self, proposal: BlockProposal, valid: bool, now: int) -> None:
        """The verdict on a proposal's contents; one good body is enough for its block."""
        value = self.values.get(proposal.header.hash)
        if value is None:
            return
        value.pending -= 1
        if valid and not value.valid:
            value.proposal, value.valid = proposal, True
        elif value.valid is None and value.pending <= 0:
            value.valid = False
        self._run(now)

    def vote(self, vote: BlockVote, now: int) -> None:
        """A vote whose signature has been checked."""
        if self.votes.take_late(vote):
            return
        if self.me is None or vote.height != self.height:
            self.counters.votes_ignored += 1
            return
        self.votes.heard(vote.member, vote.round)
        if not is_near(vote.round, self.round, MAX_ROUNDS_AHEAD) and vote.round not in self._needed():
            self.counters.votes_ignored += 1
        elif self.votes.at(vote.round, vote.step).add(vote) is not None:
            self._equivocation(vote.member, "block-vote")
        self._run(now)

    def own(self, message: BlockVote | BlockProposal, now: int) -> None:
        """Our own vote or proposal is durable and on its way."""
        if isinstance(message, BlockVote):
            self.vote(message, now)
        elif message.header.height == self.height:
            self.proposals.add(message)
            # Enough others may have come while it was written for its block to be forgotten.
            self._add_value(message)
            self._run(now)

    def reports_changed(self, now: int) -> None:
        """More epoch reports count, or the slot has come: a proposer that waited for it may propose."""
        self._try_to_propose(now)

    def restore(self, message: BlockVote | BlockProposal) -> None:
        """A vote or proposal from the log, before `begin`'s height has started; bounded as when it was written."""
        if isinstance(message, BlockProposal):
            if message.header.height != self.height:
                return
            self._logged = message.header.hash
            self._remember(message)
            self.proposals.add(message)
            if self.me is not None and self.proposer(message.round) == self.me:
                self._last_proposed = message.round
                self._at_least(message.round, Step.PROPOSE)
            return
        if message.height != self.height:
            return
        self.votes.at(message.round, message.step).add(message)
        if message.member != self.me:
            return
        self._signed[message.round, message.step] = message
        if message.step == PRECOMMIT and message.block != NIL:
            self.locked = self.valid = (message.round, message.block)
        self._at_least(message.round, Step.PREVOTE if message.step == PREVOTE else Step.PRECOMMIT)

    def resume(self, now: int) -> None:
        """The log is read: judge again what it proposed and go on in the round it ended in."""
        for value in list(self.values.values()):
            self._judge(value, value.proposal)
        if self.step is not Step.WAITING:
            self._status_at = now
            self._arm(now)
            self._try_to_propose(now)

    def take_part_again(self, now: int) -> None:
        """This member may sign again: a step it entered in silence gets its vote for nil, which binds nobody."""
        if self.step is Step.PROPOSE:
            self._try_to_propose(now)
        elif self.step in (Step.PREVOTE, Step.PRECOMMIT):
            reached = (PREVOTE,) if self.step is Step.PREVOTE else (PREVOTE, PRECOMMIT)
            for step in reached:
                if (self.round, step) not in self._signed:
                    self._vote(step, NIL, now)
            self._run(now)

    # Time

    def next_deadline(self) -> int | None:
        if self.step is Step.DECIDED or self.me is None:
            return None
        if self.step is Step.WAITING:
            return self.start_at
        return earliest(self._timeout_at, self._status_at)

    def wake(self, now: int) -> None:
        if self.me is None or self.step is Step.DECIDED:
            return
        if self.step is Step.WAITING:
            if self.start_at is not None and now >= self.start_at:
                self._start(0, now)
            return
        if self._timeout_at is not None and now >= self._timeout_at:
            self._timeout(now)
        if self._status_at is not None and now >= self._status_at:
            self._tell_status(now)
            self._run(now)

    def messages_for(self, round_: int) -> list[BlockProposal | BlockVote]:
        """What a peer that is in `round_` of this height may lack, oldest first.

        With a proposal that was valid before go the prevotes that prove it. A peer
        ignores those of rounds long past until it has the proposal, and is not sent them twice.
        """
        own = {one[0] for one in (self.locked, self.valid) if one is not None}
        proofs = {at for at in own if is_near(at, round_, 0)} | own & self.proposals.valid_rounds()
        earlier = sorted(one for one in proofs | self.proposals.valid_rounds(round_) if one < round_)
        proposals = self.proposals.since(round_, earlier)
        polkas = [vote for number in earlier for vote in self.votes.prevotes(number)]
        return [*proposals, *polkas, *self.votes.since(round_)]

    def state(self) -> RoundState:
        return RoundState(
            height=self.height, round=self.round, step=int(self.step), reported=self.step > Step.WAITING
        )

    def proposer(self, round_: int) -> int:
        return proposer(self.roster, self.height, round_)

    # The algorithm

    def _start(self, round_: int, now: int) -> None:
        """Lines 11 to 21."""
        self.round = round_
        self.step = Step.PROPOSE
        self.counters.rounds += 1
        self._forget_past()
        self._status_at = now if round_ else now + STATUS_EVERY_US
        self._arm(now)
        self._try_to_propose(now)
        self._run(now)

    def _arm(self, now: int) -> None:
        """The timeout of the step: propose at once, the others when a quorum has voted."""
        self._timeout_armed = self.step is Step.PROPOSE
        until = now + timeout_us(self._base_timeout_us, self.round)
        self._timeout_at = until if self._timeout_armed else None

    def _try_to_propose(self, now: int) -> None:
        """Lines 14 to 19; waits when too few reports count yet, or the rounds have begun before the slot."""
        if self.step is not Step.PROPOSE or not self.may_sign or self._operator is None:
            return
        if self.proposer(self.round) != self.me or self.round == self._last_proposed:
            return
        if self.valid is not None and self.valid[1] in self.values:
            proposal = msgspec.structs.replace(
                self.values[self.valid[1]].proposal, round=self.round, valid_round=self.valid[0] + 1
            )
        else:
            if (fresh := self._propose(self.round, now)) is None:
                return
            proposal = fresh
            self._remember(proposal).valid = True
        proposal = signed(proposal, self._operator)
        self.values[proposal.header.hash].proposal = proposal
        self._last_proposed = self.round
        self._logged = proposal.header.hash
        self._effects.add(Sign(proposal))

    def _run(self, now: int) -> None:
        """Apply the rules until none fires any more."""
        if self.me is None or self.step is Step.DECIDED:
            return
        while not self._decide() and (self._skip(now) or self._apply_step(now)):
            continue

    def _apply_step(self, now: int) -> bool:
        if self.step is Step.PROPOSE:
            return self._apply_propose(now)
        if self.step is Step.PREVOTE:
            return self._apply_prevote(now)
        if self.step is Step.PRECOMMIT:
            return self._apply_precommit(now)
        return False

    def _apply_propose(self, now: int) -> bool:
        """Lines 22 to 33."""
        proposal = self.proposals.get(self.round)
        if proposal is None:
            return False
        block = proposal.header.hash
        value = self.values[block]
        if value.valid is None:
            return False
        if proposal.valid_round == 0:
            acceptable = self.locked is None or self.locked[1] == block
            acceptable = acceptable and self._fresh(proposal.header.time, now)
        else:
            valid_round = proposal.valid_round - 1
            if valid_round >= self.round or not self.votes.at(valid_round, PREVOTE).has_quorum(block):
                return False
            acceptable = self.locked is None or self.locked[0] <= valid_round or self.locked[1] == block
        self._vote(PREVOTE, block if value.valid and acceptable else NIL, now)
        return True

    def _apply_prevote(self, now: int) -> bool:
        """Lines 34 to 46 while prevoting."""
        votes = self.votes.at(self.round, PREVOTE)
        block = self._polka()
        if block is not None:
            self.locked = self.valid = (self.round, block)
            self._vote(PRECOMMIT, block, now)
            return True
        if votes.has_quorum(NIL):
            self._vote(PRECOMMIT, NIL, now)
            return True
        if votes.any_quorum() and not self._timeout_armed:
            self._timeout_armed = True
            self._timeout_at = now + timeout_us(self._base_timeout_us, self.round)
        return False

    def _apply_precommit(self, now: int) -> bool:
        """Lines 36 to 43 after precommitting, and 47 to 48."""
        block = self._polka()
        if block is not None and (self.valid is None or self.valid[0] < self.round):
            self.valid = (self.round, block)
        if self.votes.at(self.round, PRECOMMIT).any_quorum() and not self._timeout_armed:
            self._timeout_armed = True
            self._timeout_at = now + timeout_us(self._base_timeout_us, self.round)
        return False

    def _polka(self) -> bytes | None:
        """A block of this round that a quorum prevoted and that we know to be valid."""
        if (block := self.votes.at(self.round, PREVOTE).winner()) is None:
            return None
        value = self.values.get(block)
        if value is None:
            self._ask_for(self.round, PREVOTE, block)
            return None
        return block if value.valid else None

    def _decide(self) -> bool:
        """Lines 49 to 54, for any round; True when the height is decided."""
        if self.step is Step.DECIDED:
            return True
        for round_, block in self.votes.precommitted():
            value = self.values.get(block)
            if value is None:
                self._ask_for(round_, PRECOMMIT, block)
            elif value.valid:
                self.step = Step.DECIDED
                self._decided = (round_, block)
                self._timeout_at = self._status_at = None
                self._effects.add(Decide(block, self.votes.at(round_, PRECOMMIT).certificate(block)))
                return True
        return False

    def _skip(self, now: int) -> bool:
        """Lines 55 and 56, and the same before the slot: a third of the weight is ahead."""
        waiting = self.step is Step.WAITING
        round_ = self.votes.round_of_a_third(0 if waiting else self.round + 1, self.me)
        if round_ is None or (waiting and not self._ripe(now)):
            return False
        if waiting:
            self.start_at = now
        self._start(round_, now)
        return True

    def _timeout(self, now: int) -> None:
        """Lines 57 to 67."""
        self._timeout_at = None
        if self.step is Step.PROPOSE:
            self._vote(PREVOTE, NIL, now)
        elif self.step is Step.PREVOTE:
            self._vote(PRECOMMIT, NIL, now)
        elif self.step is Step.PRECOMMIT:
            self._start(self.round + 1, now)
        self._run(now)

    # Signing

    def _vote(self, step: int, block: bytes, now: int) -> None:
        """Enter `step` of the round with a vote; one that the log holds is sent again as it was."""
        self.step = Step.PREVOTE if step == PREVOTE else Step.PRECOMMIT
        self._arm(now)
        if not self.may_sign or self.me is None or self._operator is None:
            return
        if (self.round, step) in self._signed:
            self._effects.add(ToVoters(self._signed[self.round, step]))
            return
        unsigned = BlockVote(
            chain_id=self._params.chain_id,
            height=self.height,
            round=self.round,
            step=step,
            block=block,
            roster=self.roster.hash,
            member=self.me,
            signature=bytes(64),
        )
        vote = signed(unsigned, self._operator)
        self._signed[self.round, step] = vote
        self.counters.votes_signed += 1
        self._effects.add(Sign(vote, self._grounds(step, block)))

    def _grounds(self, step: int, block: bytes) -> tuple[BlockProposal | BlockVote, ...]:
        """What a lock rests on, which nobody else may have kept: the proposal and the polka."""
        if step != PRECOMMIT or block == NIL:
            return ()
        proposal = () if block == self._logged else (self.values[block].proposal,)
        self._logged = block
        polka = self.votes.prevotes(self.round)
        return (*proposal, *(one for one in polka if one.block == block and one.member != self.me))

    # Inside

    def _add_value(self, proposal: BlockProposal) -> None:
        """Remember the proposed block and have it judged."""
        known = self.values.get(proposal.header.hash)
        if known is None:
            self._judge(self._remember(proposal), proposal)
        elif not known.valid and known.proposal.body != proposal.body:
            known.proposal, known.valid = proposal, None
            self._judge(known, proposal)

    def _remember(self, proposal: BlockProposal) -> Value:
        """The proposed block; room for a new one is made by forgetting the oldest."""
        block = proposal.header.hash
        if block in self.values:
            return self.values[block]
        bound = {block for _, block in self._bound()} | self.proposals.blocks_since(self.round)
        free = [one for one in self.values if one not in bound]
        for oldest in free[: max(0, len(self.values) - MAX_VALUES + 1)]:
            del self.values[oldest]
            self.proposals.forget_block(oldest)
            self._effects.add(Forget(oldest))
        return self.values.setdefault(block, Value(proposal))

    def _bound(self) -> list[tuple[int, bytes]]:
        """(round, block) of the lock, of the newest block known to be valid, and of certificates."""
        return [one for one in (self.locked, self.valid, *self.votes.precommitted()) if one is not None]

    def _needed(self) -> set[int]:
        """The rounds whose votes prove a block that this member, or the proposer of a round, rests on."""
        return {round_ for round_, _ in self._bound()} | self.proposals.valid_rounds()

    def _judge(self, value: Value, proposal: BlockProposal) -> None:
        value.pending += 1
        self._effects.add(Judge(proposal))

    def _at_least(self, round_: int, step: Step) -> None:
        if (round_, step) > (self.round, self.step) or self.step is Step.WAITING:
            self.round, self.step = max(self.round, round_), step
            self._forget_past()

    def _forget_past(self) -> None:
        """Forget what the round under way leaves behind."""
        self.counters.proposals_forgotten += self.proposals.forget_past(self.round, self._bound())
        self.counters.votes_forgotten += self.votes.forget_past(self.round, self._needed())
        oldest = self.round - MAX_ROUNDS_BEHIND
        self._signed = {at: vote for at, vote in self._signed.items() if at[0] >= oldest}

    def _ask_for(self, round_: int, step: int, block: bytes) -> None:
        """Peers voted for a block whose proposal never came: ask them, once a round."""
        if round_ in self._asked:
            return
        self._asked[round_] = None
        self._effects.add(AskProposal(round_, self.votes.at(round_, step).signers(block)))

    def _tell_status(self, now: int) -> None:
        self._status_at = now + STATUS_EVERY_US
        self._asked.clear()
        self._effects.add(ToVoters(self.state()))

    def _equivocation(self, member: int, what: str) -> None:
        """Told once a height: a liar's votes come back with every answer to `RoundState`."""
        if (member, what) not in self._liars:
            self._liars[member, what] = None
            self._effects.add(Tell(Equivocation(self.roster.members[member].operator_key, self.height, what)))
