"""Methods that other nodes have and this one has not: why, and what to use instead.

Some have no meaning here, because what a node has signed, or a block has made final,
cannot be taken back. Others are here under another name.
"""

from __future__ import annotations

from typing import NamedTuple

from timed.rpc.errors import METHOD_NOT_FOUND, RpcError

MEANINGLESS, RENAMED = "method-meaningless", "method-renamed"


class Absent(NamedTuple):
    """`reason` and `instead` are sentences; `see` are methods of this node."""

    reason: str
    instead: str
    see: tuple[str, ...] = ()
    rule: str = MEANINGLESS


_FINAL = "A certified block is final: no node may go back below one."
_LOCKS = "A lock is a vote this node has signed, and a node that forgets a vote can be made to sign both sides of a double spend."
_PROMISES = "What a member has voted for cannot be taken back by removing it from one node."
_NO_HEARTBEATS = "Masternodes send no heartbeats: who is there is seen from sessions and votes."
_ROSTER = "The roster comes from the genesis: this network takes no registrations and holds no collateral."
_TREASURY = "There is no treasury, and nothing is voted on but payments and blocks."
_MESSAGES = "The network carries payments, votes and blocks, and no messages between people."
_REQUESTS = "The network carries no requests for payment."
_TRUST = "A node trusts no other one: it checks what it is sent."
_PROOF_OF_WORK = "Blocks are made by the masternodes on a fixed grid, without work."

_GROUPS: tuple[tuple[str, Absent], ...] = (
    (
        "rollbacktoblock0 rollbacktoheight invalidateblock reconsiderblock preciousblock",
        Absent(
            _FINAL,
            "If this node's own disk is damaged, stop it, move chain/ out of its data directory and let it catch up; "
            "keys and wallet stay.",
            ("getblockchaininfo",),
        ),
    ),
    (
        "resetfinalitylock forceunlockall unlockutxo unlockorphanedutxos cleanuplockedutxos",
        Absent(
            _LOCKS,
            "Every lock ends by itself with the next block; explaintransaction says which one stands in the way.",
            ("explaintransaction", "gettxout"),
        ),
    ),
    (
        "clearstucktransactions droptransaction prioritisetransaction",
        Absent(
            _PROMISES,
            "One that never gets a certificate is dropped by itself after 144 blocks; explaintransaction says what it lacks.",
            ("explaintransaction", "getmempoolentry"),
        ),
    ),
    (
        "getattestationstats getheartbeathistory",
        Absent(
            _NO_HEARTBEATS,
            "masternodelist shows who is connected, getblockcertificate who has signed a block.",
            ("masternodelist", "getblockcertificate"),
        ),
    ),
    (
        (
            "auditcollateral checkcollateral clearcollateralanchor findcollateral listlockedcollaterals "
            "releaseallcollaterals releasecollateral submitcollateralproof unlockcollateral masternodereg "
            "masternodereginfo masternoderegstatus masternoderemove"
        ),
        Absent(
            _ROSTER, "masternodelist shows the roster of a height.", ("masternodelist", "masternodestatus")
        ),
    ),
    (
        "masternodegenkey",
        Absent(
            "A masternode's key never goes through the RPC.",
            "Set node.member = yes: the node makes operator.key in its data directory at its start.",
            ("masternodestatus",),
        ),
    ),
    (
        "getproposal listproposals submitproposal voteproposal gettreasurybalance",
        Absent(
            _TREASURY,
            "getsupply and getrewardreport show where new coins went.",
            ("getsupply", "getrewardreport"),
        ),
    ),
    (
        (
            "getmessages getmessagestatus sendmessage sendoperatormessage getoperatormessages addcontact listcontacts "
            "removecontact blockmessagesender unblockmessagesender listblockedsenders getrawenvelopes submitenvelope "
            "getpubkey publishpubkey registerpubkey lookuppubkey getaddresspubkey registeraddresspubkey"
        ),
        Absent(
            _MESSAGES,
            "signmessage and verifymessage prove to somebody that an address is one's own.",
            ("signmessage", "verifymessage"),
        ),
    ),
    (
        (
            "acknowledgepaymentrequest cancelpaymentrequest createpaymentrequest getpaymentrequests "
            "markpaymentrequestviewed paypaymentrequest respondpaymentrequest sendpaymentrequest requestpayment payrequest"
        ),
        Absent(
            _REQUESTS,
            "makepaymenturi makes a text or QR code to send by any other way; parsepaymenturi reads one.",
            ("makepaymenturi", "parsepaymenturi"),
        ),
    ),
    (
        "addwhitelist getwhitelist removewhitelist resyncfromwhitelist aggregatebanlists",
        Absent(
            _TRUST,
            "p2p.trusted names nodes that are never limited or banned; getpeerinfo shows the peers.",
            ("getpeerinfo", "listbanned"),
        ),
    ),
    (
        "resetpeerprofiles",
        Absent(
            "What is known of a peer decays by itself.",
            "explainpeer shows it; clearbanned lifts all bans.",
            ("explainpeer", "clearbanned"),
        ),
    ),
    (
        "reindex reindextransactions",
        Absent(
            "Blocks and coins are written together and cannot diverge; indexes build and mend themselves.",
            "getindexinfo shows how far they are; services.enabled names them.",
            ("getindexinfo",),
        ),
    ),
    (
        (
            "getdifficulty getnetworkhashps getmininginfo getblocktemplate submitblock submitheader generatetoaddress "
            "generateblock generatetodescriptor"
        ),
        Absent(
            _PROOF_OF_WORK,
            "getconsensusinfo shows where the next block stands.",
            ("getconsensusinfo",),
        ),
    ),
    (
        "pruneblockchain",
        Absent(
            "Every node keeps every block: others catch up from it, and there is nothing else to catch up from.",
            "getblockchaininfo shows how far this one is; index.* says what is kept beside the blocks.",
            ("getblockchaininfo", "getindexinfo"),
        ),
    ),
    (
        "dumptxoutset loadtxoutset getchainstates",
        Absent(
            "A node takes its set of coins from blocks that it has checked itself, and has no other one.",
            "gettxoutsetinfo gives the set's digest, which every block commits to; scantxoutset finds coins in it.",
            ("gettxoutsetinfo", "scantxoutset"),
        ),
    ),
    (
        "getdeploymentinfo",
        Absent(
            "No rule waits for a vote of blocks: what a node checks comes with its version and its genesis.",
            "getblockchaininfo names the chain, getnetworkinfo the version.",
            ("getblockchaininfo", "getnetworkinfo"),
        ),
    ),
    (
        "verifychain",
        Absent(
            "A block is checked before it is written, and every record carries a checksum that each read compares.",
            "gettxoutsetinfo recount counts all coins and compares them with the newest block's digest.",
            ("gettxoutsetinfo",),
        ),
    ),
    (
        "savemempool importmempool",
        Absent(
            "What this node has voted for is in its log before anybody hears of it, and is read at the next start.",
            "getrawmempool shows what waits; sendrawtransaction hands in a transaction from elsewhere.",
            ("getrawmempool", "sendrawtransaction"),
        ),
    ),
    (
        "bumpfee psbtbumpfee settxfee setfeerate",
        Absent(
            "The rule gives the least fee, more is of no use, and what members have voted for cannot be replaced.",
            "getfeeschedule shows the rule, explaintransaction what a payment waits for.",
            ("getfeeschedule", "explaintransaction"),
        ),
    ),
    (
        (
            "analyzepsbt combinepsbt converttopsbt createpsbt decodepsbt descriptorprocesspsbt finalizepsbt joinpsbts "
            "utxoupdatepsbt walletcreatefundedpsbt walletprocesspsbt"
        ),
        Absent(
            "Payments that several wallets sign travel in a text of this network's own, not as PSBT.",
            "exporttransaction makes it; signexported, combineexported, analyzeexported and finalizeexported go on.",
            ("exporttransaction", "signexported", "combineexported", "analyzeexported", "finalizeexported"),
        ),
    ),
    (
        "importdescriptors listdescriptors getdescriptorinfo deriveaddresses decodescript importmulti",
        Absent(
            "There are no scripts: an output belongs to the hash of a key, or to several keys.",
            "importaddress, importpubkey and createmultisig make a wallet watch them; getaddressinfo shows one.",
            ("importaddress", "importpubkey", "createmultisig", "getaddressinfo"),
        ),
    ),
    (
        "createwallet loadwallet unloadwallet listwalletdir migratewallet upgradewallet setwalletflag",
        Absent(
            "A node keeps one wallet, in the file that wallet.file names, from its start to its end.",
            "listwallets and getwalletinfo show it; restorewallet adds what a backup holds.",
            ("listwallets", "getwalletinfo", "restorewallet"),
        ),
    ),
    (
        "keypoolrefill newkeypool",
        Absent(
            "Addresses come from the seed: a wallet that is unlocked makes more by itself.",
            "getwalletinfo shows how many a locked one has left.",
            ("getwalletinfo", "walletpassphrase"),
        ),
    ),
    (
        "setnetworkactive addpeeraddress getblockfrompeer",
        Absent(
            "A node finds, dials and asks its peers by itself.",
            "addnode, disconnectnode and setban say whom it should keep or refuse.",
            ("addnode", "disconnectnode", "setban"),
        ),
    ),
    (
        "ping",
        Absent(
            "Every session is pinged by itself.",
            "getpeerinfo shows each peer's ping times.",
            ("getpeerinfo",),
        ),
    ),
    (
        "restoredata backupdata",
        Absent(
            "The chain needs no backup: any node of the network has it.",
            "backupwallet and restorewallet keep what nobody else has.",
            ("backupwallet", "restorewallet"),
        ),
    ),
)

_RENAMED = {
    "ban": "setban",
    "unban": "setban",
    "unbansubnet": "setban",
    "clearbanlist": "clearbanned",
    "getbanlist": "listbanned",
    "getinfo": "getblockchaininfo getnetworkinfo getwalletinfo",
    "getlocalwallet": "getwalletinfo",
    "getmempoolverbose": "getrawmempool",
    "getpeerblock": "getpeerinfo",
    "gettimevotestatus": "gettransactionfinality",
    "gettransactions": "gettransaction",
    "gettxindexstatus": "getindexinfo",
    "getwalletaddress": "getnewaddress listaddresses",
    "listlockedutxos": "listlockunspent gettxout",
    "addmultisigaddress": "createmultisig",
    "dumpwallet": "exportmnemonic backupwallet",
    "importwallet": "restorewallet",
    "getaddrmaninfo": "getnodeaddresses",
    "getrawaddrman": "getnodeaddresses",
    "getunconfirmedbalance": "getbalances",
    "waitforblock": "waitforblockheight",
    "listtransactionsmulti": "getaddresshistory",
    "listunspentmulti": "listunspent",
    "sendfrom": "sendtoaddress listunspent",
}

ABSENT: dict[str, Absent] = {
    **{name: absent for names, absent in _GROUPS for name in names.split()},
    **{
        name: Absent(
            "It has another name here.", f"Use {' or '.join(see.split())}.", tuple(see.split()), RENAMED
        )
        for name, see in _RENAMED.items()
    },
}


def unknown(name: str) -> RpcError:
    """-32601 for a method that is not here, with the reason where there is one."""
    absent = ABSENT.get(name)
    if absent is None:
        return RpcError(
            METHOD_NOT_FOUND,
            f"Method not found: {name[:64]}",
            rule="method-unknown",
            hint="Call help for the list of methods.",
        )
    return RpcError(
        METHOD_NOT_FOUND,
        f"Method not found: {name}. {absent.reason}",
        rule=absent.rule,
        hint=absent.instead,
        see=list(absent.see),
    )
