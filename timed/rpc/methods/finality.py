"""How far a payment is, who has signed for it, and what stands in its way."""

from __future__ import annotations

from collections.abc import Sequence

from timed.events import CERTIFIED, CONFIRMED, FINAL, UNKNOWN
from timed.node.voting import Ballots, Rival, Voice, VotingState
from timed.params import SECOND
from timed.rpc.backend import ChainBackend, TransactionStatus
from timed.rpc.environment import Environment
from timed.rpc.errors import not_found
from timed.rpc.present import Object, certificate_object, status_object

_MS = SECOND // 1_000


def gettransactionfinality(env: Environment, txid: bytes, proof: bool) -> Object:
    chain = env.chain
    status = _status(chain, txid)
    shown = status_object(status, chain)
    if status.state == CONFIRMED and status.height is not None:
        certificate = chain.certificate(status.height)
        shown["blockcertificate"] = certificate_object(certificate, chain)
        return shown
    voting = chain.voting(txid)
    shown["needed"] = voting.needed
    shown["votes"] = _ballots_object(voting.votes, voting.needed, proof)
    shown["acknowledgements"] = _ballots_object(voting.acknowledgements, voting.needed, proof)
    shown["roster"] = voting.roster.hash.hex()
    return shown


def explaintransaction(env: Environment, txid: bytes) -> Object:
    chain = env.chain
    status = _status(chain, txid)
    if status.state == CONFIRMED:
        return _confirmed(chain, status)
    voting = chain.voting(txid)
    silent = _silent(env, voting)
    bound = sum(each["weight"] for each in silent if each["voted_for"] is not None)
    free = voting.roster.total_weight - voting.votes.weight - bound
    possible = status.state in (CERTIFIED, FINAL) or voting.votes.weight + free >= voting.needed
    return {
        "txid": txid.hex(),
        "state": status.state,
        "final": status.final,
        "summary": _summary(status, voting, silent, possible),
        "epoch": voting.epoch,
        "next_slot": chain.consensus().slot_us // SECOND,
        "weight": {
            "total": voting.roster.total_weight,
            "needed": voting.needed,
            "votes": voting.votes.weight,
            "votes_missing": max(0, voting.needed - voting.votes.weight),
            "acknowledgements": voting.acknowledgements.weight,
            "acknowledgements_missing": max(0, voting.needed - voting.acknowledgements.weight),
        },
        "certifiable": possible,
        "votes": [_voice_object(each, voting) for each in voting.votes.voices],
        "acknowledgements": [_voice_object(each, voting) for each in voting.acknowledgements.voices],
        "not_voted": silent,
        "conflicts": [_rival_object(each, voting) for each in voting.rivals],
        "parents": [{"txid": each.hex(), "state": _state(chain, each)} for each in voting.parents],
        "not_before": voting.not_before,
        "frozen": voting.frozen,
    }


def _status(chain: ChainBackend, txid: bytes) -> TransactionStatus:
    status = chain.status(txid)
    if status is None:
        raise not_found(
            "Transaction",
            txid.hex(),
            "It is neither in the mempool nor in a block; it may not have arrived yet, or was dropped.",
        )
    return status


def _state(chain: ChainBackend, txid: bytes) -> str:
    status = chain.status(txid)
    return status.state if status is not None else UNKNOWN


def _confirmed(chain: ChainBackend, status: TransactionStatus) -> Object:
    shown = status_object(status, chain)
    blocks = "1 block" if shown["confirmations"] == 1 else f"{shown['confirmations']} blocks"
    return {
        "txid": shown["txid"],
        "state": shown["state"],
        "final": True,
        "summary": f"It stands in block {status.height}, {blocks} deep, and cannot be undone.",
        "height": status.height,
        "blockhash": shown["blockhash"],
    }


def _summary(status: TransactionStatus, voting: VotingState, silent: list[Object], possible: bool) -> str:
    """One or two sentences for people: where it is, and the first thing that it lacks."""
    if status.state == FINAL:
        return "It is final: the next block holds it, whatever happens."
    if status.state == CERTIFIED:
        missing = voting.needed - voting.acknowledgements.weight
        return (
            f"It is certified and becomes final when acknowledgements of weight {missing} more have come; "
            "the next block holds it in any case that a quorum knows of it."
        )
    if voting.parents:
        return (
            f"It spends an output of {voting.parents[0].hex()}, which is not certified here: members vote "
            "for it after that."
        )
    if voting.not_before is not None:
        return f"It is locked until block {voting.not_before}; members vote from then on."
    return _lacking(voting, silent, possible)


def _lacking(voting: VotingState, silent: list[Object], possible: bool) -> str:
    missing = voting.needed - voting.votes.weight
    text = f"Votes of weight {missing} more are needed: {voting.votes.weight} of {voting.needed} have come."
    locks = [rival for rival in voting.rivals if rival.locked]
    if locks:
        place = f"{locks[0].outpoint.txid.hex()}:{locks[0].outpoint.index}"
        text += f" {locks[0].txid.hex()} holds the lock on {place}, so this node does not vote for it."
    elif voting.rivals:
        text += f" {voting.rivals[0].txid.hex()} spends the same output."
    if not possible:
        return f"{text} Too many members have voted for another one: it cannot be certified before the next block."
    away = [each for each in silent if not each["connected"]]
    if away:
        weight = sum(each["weight"] for each in away)
        who = "1 member" if len(away) == 1 else f"{len(away)} members"
        text += f" Not connected to this node, and without a vote: {who} of weight {weight}."
    if voting.frozen is not None:
        text += f" This node signs nothing: {voting.frozen}."
    return text


def _silent(env: Environment, voting: VotingState) -> list[Object]:
    """The members with weight that have not voted for it."""
    connected = {peer.operator for peer in env.chain.peers()}
    voted = {voice.member for voice in voting.votes.voices}
    elsewhere = {voice.member: rival.txid for rival in voting.rivals for voice in rival.voices}
    found = []
    for index, member in enumerate(voting.roster.members):
        if index in voted or not member.weight:
            continue
        own = member.operator_key == env.identity.operator
        rival = elsewhere.get(index)
        found.append(
            {
                **_named(index, voting),
                "connected": own or member.operator_key in connected,
                "is_self": own,
                "voted_for": rival.hex() if rival is not None else None,
            }
        )
    return found


def _named(index: int, voting: VotingState) -> Object:
    member = voting.roster.members[index]
    return {
        "index": index,
        "operator": member.operator_key.hex(),
        "address": member.network_address.decode("utf-8", "replace"),
        "weight": member.weight,
    }


def _voice_object(voice: Voice, voting: VotingState) -> Object:
    return {**_named(voice.member, voting), "time_ms": _ms(voice.heard)}


def _rival_object(rival: Rival, voting: VotingState) -> Object:
    return {
        "txid": rival.txid.hex(),
        "outpoint": {"txid": rival.outpoint.txid.hex(), "vout": rival.outpoint.index},
        "state": rival.state,
        "locked": rival.locked,
        "weight": _weight(rival.voices),
        "voters": [_voice_object(each, voting) for each in rival.voices],
    }


def _ballots_object(ballots: Ballots, needed: int, proof: bool) -> Object:
    certificate = ballots.certificate
    heard = [voice.heard for voice in ballots.voices if voice.heard is not None]
    shown: Object = {
        "weight": ballots.weight,
        "missing": max(0, needed - ballots.weight),
        "members": [voice.member for voice in ballots.voices],
        "first_ms": _ms(heard[0]) if heard else None,
        "quorum_ms": _ms(ballots.quorum_at),
        "certificate": certificate is not None,
    }
    if proof:
        shown["proof"] = certificate.encode().hex() if certificate is not None else None
    return shown


def _weight(voices: Sequence[Voice]) -> int:
    return sum(voice.weight for voice in voices)


def _ms(time_us: int | None) -> int | None:
    return None if time_us is None else time_us // _MS


HANDLERS = {handler.__name__: handler for handler in (gettransactionfinality, explaintransaction)}
