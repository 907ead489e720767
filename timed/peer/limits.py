"""The bounds of the peer room, each with its name (protocol §5).

Times are microseconds, sizes bytes. What happens at a bound stands beside it;
every overflow is counted by its owner.
"""

from __future__ import annotations

from timed.params import SECOND
from timed.wire.catalogue import MAX_HANDSHAKE_BYTES, MAX_UNKNOWN_BYTES
from timed.wire.framing import MAX_FRAME
from timed.wire.message import Priority

MIB = 1024 * 1024

PEER_QUEUE_BYTES = 4 * MIB
"""Transactions, queries and bulk that wait for one peer. A message counts until its first frame is
written, and one message is always accepted into an empty queue, so that the longest block has room.
Overflow drops unsolicited gossip, then the peer."""
URGENT_QUEUE_BYTES = PEER_QUEUE_BYTES
"""The same of control and consensus, which nothing else fills: a vote is queued whatever else waits.
Overflow drops the peer."""
SPARE_QUEUE_BYTES = PEER_QUEUE_BYTES // 4
"""Of a peer's queue, what replies leave to votes and certificates, which must never find it full."""
LINE_SHARE = 5
"""A line of JSON has about so many bytes for each of a payload."""
TOTAL_QUEUE_BYTES = 64 * MIB
"""Messages held for all peers together, one that is shared by many counted once. Overflow drops
the gossip, then the session, of the peer that holds the most."""
AHEAD_BYTES = 64 * 1024
"""Handed to a transport and not yet reported as drained."""
CONTROL_AHEAD_BYTES = 4 * 1024
"""Of these, what only control may use: a pong never waits for a transport that is full of a block."""
BATCH_BYTES = 16 * 1024
"""On a busy link a write leaves when this much has gathered, or at its deadline."""
HOLD_MAX = 20_000
HOLD_MAX_URGENT = 5_000
"""The longest that a busy link gathers: at all, and when something urgent waits."""
LARGEST_FRAME = MAX_FRAME
"""No frame is longer, header and trailer included."""

EXPANDED_PER_COST = 8
"""Bytes of a compressed payload that are expanded while one of a message is decoded, about."""
TURN_COST = 64 * 1024
"""What one turn decodes and handles of transactions, queries and bulk, in bytes; each message counts
as so many more (`MESSAGE_COST`). The rest waits for the next turn, after the sockets."""
MESSAGE_COST = {Priority.TRANSACTIONS: 2 * 1024, Priority.QUERIES: 8 * 1024, Priority.BULK: 1024}
"""What handling a message costs beside its bytes, per class: a query makes a reply."""
READING_BULK_COST = 16 * 1024
"""Of these, what bulk may have in a turn in which bytes arrived: there may be more to read, a vote
behind it, and what was asked for is bounded by the asking."""
INTAKE_BYTES = 8 * MIB
"""Received from one peer and not decoded. At the bound its link is not read until half of it is worked
off. Above the longest message: what this node asked for never stops the votes of the same peer."""
INTAKE_MESSAGES = 8_192
"""The same in messages."""
TOTAL_INTAKE_BYTES = 64 * MIB
"""The same for all peers together. At the bound links are not read whose peers hold more than
`INTAKE_LEAST_BYTES`."""
INTAKE_LEAST_BYTES = 64 * 1024
INCOMPLETE_BYTES = 64 * MIB
"""Kept of messages that are not complete, of all peers together: above what this node asks for at one
time. Overflow ends the session of the stranger that holds most, without one of any peer."""

PRE_HANDSHAKE_BYTES = MAX_HANDSHAKE_BYTES
UNKNOWN_TYPE_BYTES = MAX_UNKNOWN_BYTES
"""Payloads before the handshake, and of types this version does not know; also of answers nobody waits for."""

HANDSHAKE_DEADLINE = 10 * SECOND
"""From a transport that is up to a session that is open."""
GREETING_LINKS = 64
"""Inbound links that have not opened. Overflow closes the oldest of them."""
DIAL_DEADLINE = 30 * SECOND
"""A dial that the host never answered counts as failed after this time."""
CLOSING_DEADLINE = 10 * SECOND
"""A link that was told to close and whose end was not reported is closed again, without grace."""

PING_INTERVAL = 30 * SECOND
PING_JITTER_PERCENT = 20
CLOCK_SAMPLE_TRIP = 2 * SECOND
"""A pong that took longer says too little about the peer's clock."""
SILENCE_LIMIT = 90 * SECOND
"""A session on which nothing arrived for this long is closed."""
ANSWER_LIMIT = 90 * SECOND
"""A session whose pings wait for so long without an answer to any of them is closed, whatever else
arrives. Far above what a pong waits behind what is under way on a slow link."""
PROBE_LIMIT = 5 * SECOND
"""The older of two sessions shows life in this time, or is closed as stale."""
STALL_LIMIT = 90 * SECOND
"""A transport that drained nothing for this long is closed."""

REQUEST_WINDOW = 32
"""Requests in flight that this node answers at one time; announced in the handshake."""
SERVED_REQUESTS = 4 * REQUEST_WINDOW
"""Requests of one peer that are open here: more than the window, because a peer whose deadline passed
asks again. Overflow leaves the request unread, and counts it."""
REQUEST_BACKLOG = 512
"""Requests that wait for the window of one peer. Overflow refuses the request."""
REQUEST_DEADLINE_FIRST = 8 * SECOND
REQUEST_DEADLINE_MIN = 2 * SECOND
REQUEST_DEADLINE_MAX = 64 * SECOND
PROGRESS_EXTENSION = 2 * SECOND
"""While bytes arrive a request is granted this much longer at a time, to the maximum."""
LATE_REPLIES = 256
"""Expired requests of one session whose late reply is still recognised."""

RETAINED_MESSAGES = 256
RETAINED_BYTES = 8 * MIB
RETAINED_AGE = 60 * SECOND
RETAINED_TOTAL_BYTES = 32 * MIB
"""What is kept for one peer until it is acknowledged, for how long, and for all peers together.
Overflow forgets the oldest: a new session exchanges the state of the epoch anyway."""

OUTBOUND_TARGET = 8
"""Outbound sessions that a node fills from its address book."""
MAX_INBOUND = 125
RESERVED_INBOUND = 16
"""Inbound sessions beyond the maximum that only members and trusted peers may take."""
PROTECTED_INBOUND = 4
"""Strangers that keep their place for one merit when there are more than places: at most a tenth of
them for each of the five (`timed.peer.seats`)."""
DIALS_AT_ONCE = 16
"""Dials under way. The rest waits its turn."""

LIVED = 30 * SECOND
"""A session that lived this long ends an episode of failures."""
BACKOFF_FIRST = SECOND // 5
BACKOFF_CAP_MIN = 3 * SECOND
BACKOFF_CAP_MAX = 60 * SECOND

SEED_PATIENCE = 10 * SECOND
"""With fewer than `SEED_ENOUGH` outbound sessions for so long, the sources of addresses are asked
although the address book still has some to try."""
SEED_ENOUGH = 2
SEED_TURN = 5 * SECOND
"""What a source has to be of use before the next kind of source is asked."""
SEED_PAUSE_FAILED = 5 * SECOND
SEED_PAUSE_ANSWERED = 60 * SECOND
SEED_PAUSE_MAX = 3600 * SECOND
"""Before a source is asked again: the first pause after a failure and after an answer, doubled each
time, and the longest; + up to a half."""
SEED_SOURCES = 16
"""Sources of each kind in a configuration."""
SEED_NAME_ADDRESSES = 64
"""Addresses taken from one answer of the DNS. Overflow leaves out the last."""

WANTED_ADDRESSES = 1024
ADDRESSES_PER_RESPONSE = 1000

SCORE_HALF_LIFE = 60 * SECOND
BAN_SCORE = 100
"""A decayed score at which a peer is banned."""
BAN_TIME = 600 * SECOND
CONDUCT_LEDGER = 1024
"""Entries of the reasons ledger. Overflow forgets the oldest."""
CONDUCT_PEERS = 4096
"""Peers with a score. Overflow forgets the lowest."""
BANS = 4096
"""Bans in all. Overflow forgets the automatic one that ends first, then the operator's that does."""
ADDRESS_BAN_NODES = 3
"""Nodes banned automatically at one address before strangers at that address are."""
FAILURES_TOLD = 3
"""Dials in a row that must come to nothing before the operator hears why; then at each other reason."""
DIAL_BACKS = 8
"""Known addresses that are dialled at once when a ban is lifted."""
THROTTLE_TIME = 2 * SECOND
"""How long a peer's requests and gossip are left unread after it exceeded a rate."""
EXCESS_PAUSE = SECOND
"""How long a link is not read after its peer exceeded a rate, of whatever class: reading what is only
thrown away is what a flood costs."""
RATE_REPORT_PAUSE = SECOND
"""Excess is reported to the ledger of conduct, and a ping beyond the rate answered, this often at most."""
