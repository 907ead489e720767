"""Generated from timed.wire.layouts by `python -m timed.codec`; not to be edited."""

from __future__ import annotations

import struct
from itertools import starmap

from timed.codec.runtime import (
    count_out_of_bounds,
    ends_elsewhere,
    from_text,
    length_out_of_bounds,
    to_text,
    trailing,
    truncated,
    unfit,
)
from timed.codec.value import (
    bind,
)
from timed.wire.session_messages import (
    Ack,
    GetPeers,
    Goodbye,
    Handshake,
    OperatorProof,
    PeerAddress,
    PeersResponse,
    Ping,
    Pong,
)

_unpack_0 = struct.Struct("<32s64s").unpack
_pack_0 = struct.Struct("<32s64s").pack
_unpack_from_1 = struct.Struct("<HHQB").unpack_from
_unpack_from_2 = struct.Struct("<32s32sQQB").unpack_from
_unpack_from_3 = struct.Struct("<HQ32sQHB").unpack_from
_iter_unpack_0 = struct.Struct("<32s64s").iter_unpack
_pack_1 = struct.Struct("<HHQB").pack
_pack_2 = struct.Struct("<32s32sQQB").pack
_pack_3 = struct.Struct("<HQ32sQHB").pack
_unpack_4 = struct.Struct("<H32s").unpack
_pack_4 = struct.Struct("<H32s").pack
_unpack_from_5 = struct.Struct("<B").unpack_from
_unpack_from_6 = struct.Struct("<H").unpack_from
_pack_5 = struct.Struct("<B").pack
_pack_6 = struct.Struct("<H").pack
_unpack_7 = struct.Struct("<QQ").unpack
_pack_7 = struct.Struct("<QQ").pack
_unpack_from_8 = struct.Struct("<32sB").unpack_from
_unpack_from_9 = struct.Struct("<HQ").unpack_from
_pack_8 = struct.Struct("<32sB").pack
_pack_9 = struct.Struct("<HQ").pack


def decode_operator_proof(data: bytes) -> OperatorProof:
    """Decode all of `data`."""
    try:
        fields = _unpack_0(data)
    except struct.error:
        raise ends_elsewhere("OperatorProof", 96, len(data)) from None
    return OperatorProof(*fields)


def pack_operator_proof(value: OperatorProof) -> bytes:
    """The encoding of the fields."""
    try:
        key = value.key
        if len(key) != 32:
            raise unfit("OperatorProof.key", key)
        signature = value.signature
        if len(signature) != 64:
            raise unfit("OperatorProof.signature", signature)
        return _pack_0(key, signature)
    except struct.error as error:
        raise unfit("OperatorProof", str(error)) from None


def decode_handshake(data: bytes) -> Handshake:
    """Decode all of `data`."""
    size = len(data)
    try:
        wire_version, min_wire_version, features, network_length = _unpack_from_1(data, 0)
        if network_length > 16:
            raise length_out_of_bounds("Handshake.network", network_length)
        end = 13 + network_length
        if end > size:
            raise truncated("Handshake.network")
        network = to_text(data[13:end], "Handshake.network")
        at = end
        genesis, node_id, boot, dial, software_length = _unpack_from_2(data, at)
        if software_length > 64:
            raise length_out_of_bounds("Handshake.software", software_length)
        end = at + 81 + software_length
        if end > size:
            raise truncated("Handshake.software")
        software = to_text(data[at + 81 : end], "Handshake.software")
        at = end
        listen_port, height, tip, time, window, operator_count = _unpack_from_3(data, at)
        if operator_count > 1:
            raise count_out_of_bounds("Handshake.operator", operator_count)
        end = at + 53 + 96 * operator_count
        if end > size:
            raise truncated("Handshake.operator")
        operator = tuple(starmap(OperatorProof, _iter_unpack_0(data[at + 53 : end])))
        at = end
    except struct.error:
        raise truncated("Handshake") from None
    if at != size:
        raise ends_elsewhere("Handshake", at, size)
    return Handshake(
        wire_version,
        min_wire_version,
        features,
        network,
        genesis,
        node_id,
        boot,
        dial,
        software,
        listen_port,
        height,
        tip,
        time,
        window,
        operator,
    )


def pack_handshake(value: Handshake) -> bytes:
    """The encoding of the fields."""
    try:
        network = from_text(value.network, "Handshake.network")
        if len(network) > 16:
            raise unfit("Handshake.network", network)
        genesis = value.genesis
        if len(genesis) != 32:
            raise unfit("Handshake.genesis", genesis)
        node_id = value.node_id
        if len(node_id) != 32:
            raise unfit("Handshake.node_id", node_id)
        software = from_text(value.software, "Handshake.software")
        if len(software) > 64:
            raise unfit("Handshake.software", software)
        tip = value.tip
        if len(tip) != 32:
            raise unfit("Handshake.tip", tip)
        operator = value.operator
        if len(operator) > 1:
            raise unfit("Handshake.operator", len(operator))
        operator_pieces: list[bytes] = []
        for operator_item in operator:
            operator_item_key = operator_item.key
            if len(operator_item_key) != 32:
                raise unfit("Handshake.operator.key", operator_item_key)
            operator_item_signature = operator_item.signature
            if len(operator_item_signature) != 64:
                raise unfit("Handshake.operator.signature", operator_item_signature)
            operator_pieces.append(_pack_0(operator_item_key, operator_item_signature))
        return b"".join(
            (
                _pack_1(value.wire_version, value.min_wire_version, value.features, len(network)),
                network,
                _pack_2(genesis, node_id, value.boot, value.dial, len(software)),
                software,
                _pack_3(value.listen_port, value.height, tip, value.time, value.window, len(operator)),
                *operator_pieces,
            )
        )
    except struct.error as error:
        raise unfit("Handshake", str(error)) from None


def decode_ack(data: bytes) -> Ack:
    """Decode all of `data`."""
    try:
        fields = _unpack_4(data)
    except struct.error:
        raise ends_elsewhere("Ack", 34, len(data)) from None
    return Ack(*fields)


def pack_ack(value: Ack) -> bytes:
    """The encoding of the fields."""
    try:
        reference = value.reference
        if len(reference) != 32:
            raise unfit("Ack.reference", reference)
        return _pack_4(value.number, reference)
    except struct.error as error:
        raise unfit("Ack", str(error)) from None


def decode_goodbye(data: bytes) -> Goodbye:
    """Decode all of `data`."""
    size = len(data)
    try:
        (reason_length,) = _unpack_from_5(data, 0)
        if reason_length > 32:
            raise length_out_of_bounds("Goodbye.reason", reason_length)
        end = 1 + reason_length
        if end > size:
            raise truncated("Goodbye.reason")
        reason = to_text(data[1:end], "Goodbye.reason")
        at = end
        (detail_length,) = _unpack_from_6(data, at)
        if detail_length > 256:
            raise length_out_of_bounds("Goodbye.detail", detail_length)
        end = at + 2 + detail_length
        if end > size:
            raise truncated("Goodbye.detail")
        detail = to_text(data[at + 2 : end], "Goodbye.detail")
        at = end
    except struct.error:
        raise truncated("Goodbye") from None
    if at != size:
        raise ends_elsewhere("Goodbye", at, size)
    return Goodbye(reason, detail)


def pack_goodbye(value: Goodbye) -> bytes:
    """The encoding of the fields."""
    try:
        reason = from_text(value.reason, "Goodbye.reason")
        if len(reason) > 32:
            raise unfit("Goodbye.reason", reason)
        detail = from_text(value.detail, "Goodbye.detail")
        if len(detail) > 256:
            raise unfit("Goodbye.detail", detail)
        return b"".join((_pack_5(len(reason)), reason, _pack_6(len(detail)), detail))
    except struct.error as error:
        raise unfit("Goodbye", str(error)) from None


def decode_ping(data: bytes) -> Ping:
    """Decode all of `data`."""
    try:
        fields = _unpack_7(data)
    except struct.error:
        raise ends_elsewhere("Ping", 16, len(data)) from None
    return Ping(*fields)


def pack_ping(value: Ping) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_7(value.nonce, value.time)
    except struct.error as error:
        raise unfit("Ping", str(error)) from None


def decode_pong(data: bytes) -> Pong:
    """Decode all of `data`."""
    try:
        fields = _unpack_7(data)
    except struct.error:
        raise ends_elsewhere("Pong", 16, len(data)) from None
    return Pong(*fields)


def pack_pong(value: Pong) -> bytes:
    """The encoding of the fields."""
    try:
        return _pack_7(value.nonce, value.time)
    except struct.error as error:
        raise unfit("Pong", str(error)) from None


def decode_get_peers(data: bytes) -> GetPeers:
    """Decode all of `data`."""
    if data:
        raise trailing("GetPeers", len(data))
    return GetPeers()


def pack_get_peers(value: GetPeers) -> bytes:
    """The encoding of the fields."""
    return b""


def decode_peer_address(data: bytes) -> PeerAddress:
    """Decode all of `data`."""
    size = len(data)
    try:
        node_id, host_length = _unpack_from_8(data, 0)
        end = 33 + host_length
        if end > size:
            raise truncated("PeerAddress.host")
        host = to_text(data[33:end], "PeerAddress.host")
        at = end
        port, last_seen = _unpack_from_9(data, at)
    except struct.error:
        raise truncated("PeerAddress") from None
    if at + 10 != size:
        raise ends_elsewhere("PeerAddress", at + 10, size)
    return PeerAddress(node_id, host, port, last_seen)


def pack_peer_address(value: PeerAddress) -> bytes:
    """The encoding of the fields."""
    try:
        node_id = value.node_id
        if len(node_id) != 32:
            raise unfit("PeerAddress.node_id", node_id)
        host = from_text(value.host, "PeerAddress.host")
        return b"".join((_pack_8(node_id, len(host)), host, _pack_9(value.port, value.last_seen)))
    except struct.error as error:
        raise unfit("PeerAddress", str(error)) from None


def decode_peers_response(data: bytes) -> PeersResponse:
    """Decode all of `data`."""
    size = len(data)
    try:
        (peers_count,) = _unpack_from_6(data, 0)
        if peers_count > 1000:
            raise count_out_of_bounds("PeersResponse.peers", peers_count)
        at = 2
        if 43 * peers_count > size - at:
            raise truncated("PeersResponse.peers")
        peers_items = []
        for _ in range(peers_count):
            peers_items_item_node_id, peers_items_item_host_length = _unpack_from_8(data, at)
            end = at + 33 + peers_items_item_host_length
            if end > size:
                raise truncated("PeersResponse.peers.host")
            peers_items_item_host = to_text(data[at + 33 : end], "PeersResponse.peers.host")
            at = end
            peers_items_item_port, peers_items_item_last_seen = _unpack_from_9(data, at)
            peers_items.append(
                PeerAddress(
                    peers_items_item_node_id,
                    peers_items_item_host,
                    peers_items_item_port,
                    peers_items_item_last_seen,
                ),
            )
            at += 10
        peers = tuple(peers_items)
    except struct.error:
        raise truncated("PeersResponse") from None
    if at != size:
        raise ends_elsewhere("PeersResponse", at, size)
    return PeersResponse(peers)


def pack_peers_response(value: PeersResponse) -> bytes:
    """The encoding of the fields."""
    try:
        peers = value.peers
        if len(peers) > 1000:
            raise unfit("PeersResponse.peers", len(peers))
        peers_pieces: list[bytes] = []
        for peers_item in peers:
            peers_item_node_id = peers_item.node_id
            if len(peers_item_node_id) != 32:
                raise unfit("PeersResponse.peers.node_id", peers_item_node_id)
            peers_item_host = from_text(peers_item.host, "PeersResponse.peers.host")
            peers_pieces += (
                _pack_8(peers_item_node_id, len(peers_item_host)),
                peers_item_host,
                _pack_9(peers_item.port, peers_item.last_seen),
            )
        return b"".join((_pack_6(len(peers)), *peers_pieces))
    except struct.error as error:
        raise unfit("PeersResponse", str(error)) from None


bind(OperatorProof, decode_operator_proof, pack_operator_proof)
bind(Handshake, decode_handshake, pack_handshake)
bind(Ack, decode_ack, pack_ack)
bind(Goodbye, decode_goodbye, pack_goodbye)
bind(Ping, decode_ping, pack_ping)
bind(Pong, decode_pong, pack_pong)
bind(GetPeers, decode_get_peers, pack_get_peers)
bind(PeerAddress, decode_peer_address, pack_peer_address)
bind(PeersResponse, decode_peers_response, pack_peers_response)
