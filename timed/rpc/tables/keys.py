"""The methods about the wallet's keys: passphrase, phrase, backup, addresses, exported payments."""

from __future__ import annotations

from timed.rpc.method import ADMIN, WALLET, Method, Param
from timed.rpc.schema import Amount, Array, Boolean, Hex, Integer, Seconds, Text, Word
from timed.rpc.tables.common import ADDRESS, PASSPHRASE, TRANSACTION

LABEL = Text(100)
KEY = Hex(size=32)
EXPORTED = Text(4 * 1024 * 1024)
RESCAN = Param("rescan", Boolean(), "Read the set of coins for it.", True)
_NAMED = Param("label", LABEL, "A name for people.", "")
_PAYMENT = Param("payment", EXPORTED, "The text that exporttransaction or signexported gave.")
_YEAR = 31_536_000

_SECRETS = (
    Method("listwallets", "wallet", "The wallets of this node: one, or none.", "array of one name", permission=WALLET),
    Method(
        "getwalletinfo", "wallet", "What kind of wallet this is, and whether it is locked.",
        "object: walletname, walletversion, format, kind (seed-phrase or random-keys), balance (null while scanning), keys, keypoolsize, "
        "keypoolsize_hd_internal, watchonly, hdseedid, hdseeds, hdpath, encrypted, locked, unlocked_for_s, scanning (false, or what: coins or "
        "blocks, progress, next_height, last_height, failed: why and what to do), payments (that no block holds yet), "
        "consolidation (above, below, small, merges, coins, fees, busy, locked, failed)",
        permission=WALLET,
        cost=10,
    ),
    Method(
        "encryptwallet", "wallet",
        "Gives the wallet a passphrase: its secrets are sealed, and it is locked. Nobody can do without the passphrase afterwards.",
        "string: what to do about older copies",
        (Param("passphrase", PASSPHRASE, "Several words that nobody guesses.", secret=True, invented=True),),
        permission=ADMIN,
        example="'<passphrase>'",
        cost=1000,
    ),
    Method(
        "walletpassphrase", "wallet", "Unlocks the wallet for a time.", "null",
        (
            Param("passphrase", PASSPHRASE, "The wallet's passphrase.", secret=True),
            Param("timeout", Seconds(_YEAR), "Seconds until it locks itself."),
        ),
        permission=WALLET,
        example="'<passphrase>' 60",
        cost=1000,
    ),
    Method(
        "walletpassphrasechange", "wallet", "Changes the wallet's passphrase.", "null",
        (
            Param("oldpassphrase", PASSPHRASE, "The passphrase of now.", secret=True),
            Param("newpassphrase", PASSPHRASE, "The one from now on.", secret=True, invented=True),
        ),
        permission=ADMIN,
        example="'<passphrase>' '<another>'",
        cost=1000,
    ),
    Method("walletlock", "wallet", "Locks the wallet at once.", "null", permission=WALLET),
    Method(
        "exportmnemonic", "wallet",
        "The seed phrase, for paper. Whoever reads it can spend the coins; the wallet must be unlocked.",
        "object: seedid, mnemonic, passphrase, path, complete (false when other keys are in use as well), keys_elsewhere",
        (Param("seedid", Text(64), "Which seed, when the wallet has several.", None),),
        permission=ADMIN,
        cost=20,
    ),
    Method(
        "sethdseed", "wallet", "Makes a new seed phrase; new addresses come from it. Older keys stay.",
        "object: seedid", permission=ADMIN,
        cost=200,
    ),
    Method(
        "restorewallet", "wallet",
        "Adds the keys of a seed phrase or of a backup to this wallet, and finds their coins. Nothing of this wallet is lost.",
        "object: seedid, keys (new ones), used, balance",
        (
            Param("source", Text(4_096), "The words of a seed phrase, or the absolute path of a backup.", secret=True),
            Param("passphrase", PASSPHRASE, "BIP 39's for a phrase, the wallet's for an encrypted backup.", "", secret=True),
            Param("gap", Integer(20, 20_000), "How many unused addresses in a row end the search.", 1_000),
        ),
        permission=ADMIN,
        example="/mnt/usb/wallet-backup.json",
        cost=5000,
    ),
    Method(
        "importprivkey", "wallet", "Takes in a single key. A seed phrase does not bring it back.", "string: its address",
        (Param("privkey", KEY, "The 32-byte seed of the key in hexadecimal.", secret=True), _NAMED, RESCAN),
        permission=ADMIN,
        example="<hex> paper false",
        cost=500,
    ),
    Method(
        "dumpprivkey", "wallet", "The secret of one address. Whoever reads it can spend its coins.", "hex",
        (Param("address", ADDRESS, "An address of this wallet."),),
        permission=ADMIN,
        example="TIMER1...",
    ),
    Method(
        "backupwallet", "wallet",
        "Copies the whole wallet to a new file while it is in use; the copy is read back before it counts.",
        "object: destination, bytes, keys, encrypted, verified",
        (Param("destination", Text(4_096), "The absolute path of a file that does not exist yet."),),
        permission=ADMIN,
        example="/mnt/usb/wallet-backup.json",
        cost=200,
    ),
    Method(
        "checkwallet", "wallet", "Reads the wallet's files again and compares; an unlocked wallet's secrets as well.",
        "object: records, keys, secrets_checked, locked, ok", permission=WALLET,
        cost=500,
    ),
)  # fmt: skip

_ADDRESSES = (
    Method(
        "getaddressinfo", "wallet", "What the wallet knows of an address.",
        "object: address, scriptPubKey, ismine, iswatchonly, solvable, isscript, ischange, isused, label, labels, pubkey, "
        "hdkeypath, hdseedid, sigsrequired, keyhashes, keys_here",
        (Param("address", ADDRESS, "An address, or the lock of several keys in hexadecimal."),),
        permission=WALLET,
        example="TIMER1...",
    ),
    Method(
        "listaddresses", "wallet", "The addresses that were handed out or are watched.",
        "array of objects: address, kind (receive, change, watch), label, pubkey, hdkeypath, hdseedid",
        (Param("kind", Word(("all", "receive", "change", "watch")), "Only these.", "all"),),
        permission=WALLET,
        example="receive",
        cost=50,
    ),
    Method(
        "setlabel", "wallet", "Names an address that the wallet knows.", "null",
        (Param("address", ADDRESS, "The address."), Param("label", LABEL, "Its name; empty takes it away.")),
        permission=WALLET,
        example="TIMER1... shop",
    ),
    Method("listlabels", "wallet", "The names in use.", "array of strings", permission=WALLET, cost=20),
    Method(
        "getaddressesbylabel", "wallet", "The addresses of a name.", "object: address to purpose",
        (Param("label", LABEL, "The name."),),
        permission=WALLET,
        example="shop",
        cost=20,
    ),
    Method(
        "importaddress", "wallet", "Watches an address: its coins are shown and can not be spent.",
        "object: address, iswatchonly, ismine",
        (Param("address", ADDRESS, "An address, or the lock that createmultisig gave."), _NAMED, RESCAN),
        permission=WALLET,
        example="TIMER1... cold false",
        cost=500,
    ),
    Method(
        "importpubkey", "wallet", "Watches the address of a public key; exported payments then name the key to the signer.",
        "object: address, iswatchonly, ismine",
        (
            Param("pubkey", KEY, "The public key in hexadecimal."),
            _NAMED,
            RESCAN,
            Param("hdkeypath", Text(100), "Its path in the wallet that has the key.", ""),
            Param("hdseedid", Text(64), "That wallet's seed.", ""),
        ),
        permission=WALLET,
        example="<hex> cold false",
        cost=500,
    ),
    Method(
        "createmultisig", "wallet", "The lock that several keys open together. It has no address: its encoding takes the place.",
        "object: lock, address, nrequired, keyhashes",
        (
            Param("nrequired", Integer(1, 16), "How many must sign."),
            Param("keys", Array(Text(128), 16), "Public keys in hexadecimal, or addresses."),
        ),
        example="""2 '["<hex>","<hex>","<hex>"]'""",
    ),
)  # fmt: skip

_EXPORTED = (
    Method(
        "exporttransaction", "wallet",
        "A transaction with the outputs it spends, as text for signers that have no node.",
        "string: the payment as JSON text",
        (Param("hexstring", TRANSACTION, "The encoded transaction, signed or not."),),
        permission=WALLET,
        example="<hex>",
        cost=20,
    ),
    Method(
        "signexported", "wallet", "Adds the signatures of this wallet's keys to an exported payment.",
        "object: payment, added, complete",
        (_PAYMENT, Param("highfee", Boolean(), "Sign even when the fee is more than ten times the least one.", False)),
        permission=WALLET,
        example="'<payment>'",
        cost=20,
    ),
    Method(
        "combineexported", "wallet", "One payment with the signatures of several signers.", "string: the payment",
        (Param("payments", Array(EXPORTED, 16), "What the signers made of one export."),),
        example="""'["<payment>","<payment>"]'""",
        cost=50,
    ),
    Method(
        "finalizeexported", "wallet", "The transaction of a payment that is signed completely, for sendrawtransaction.",
        "object: hex, txid, complete", (_PAYMENT,),
        example="'<payment>'",
        cost=20,
    ),
    Method(
        "analyzeexported", "wallet", "What an exported payment does, and which signatures lack.",
        "object: txid, inputs, outputs, received, paid, fee, least_fee, keys, complete, next", (_PAYMENT,),
        permission=WALLET,
        example="'<payment>'",
        cost=20,
    ),
    Method(
        "signmessage", "wallet", "Signs a text with the key of an address.", "string: base64",
        (Param("address", ADDRESS, "An address of this wallet."), Param("message", Text(65_536), "The text.")),
        permission=WALLET,
        example="TIMER1... 'I am it'",
        cost=3,
    ),
    Method(
        "verifymessage", "wallet", "Whether the owner of an address has signed a text. No wallet is needed.", "boolean",
        (
            Param("address", ADDRESS, "The address."),
            Param("signature", Text(200), "What signmessage gave."),
            Param("message", Text(65_536), "The text."),
        ),
        example="TIMER1... <base64> 'I am it'",
        cost=3,
    ),
    Method(
        "makepaymenturi", "wallet", "A link that asks for a payment, with a QR code if wanted.", "object: uri, qr (lines of text, or an SVG document)",
        (
            Param("address", ADDRESS, "Who is to be paid."),
            Param("amount", Amount(), "How much, in TIME.", None),
            Param("label", LABEL, "Who that is.", ""),
            Param("message", Text(256), "What for.", ""),
            Param("qr", Word(("none", "text", "svg")), "text for a terminal, svg for a page.", "none"),
        ),
        example="TIMER1... 12.5 shop 'order 7' text",
        cost=100,
    ),
    Method(
        "parsepaymenturi", "wallet", "What a payment link asks for.", "object: address, amount, label, message",
        (Param("uri", Text(1_100), "The link: timecoin:ADDRESS?amount=..."),),
        example="'timecoin:TIMERERDW1gnGM4uCTrjtKo2wWPawqnfmVK7hD?amount=12.5&label=Shop%20Ltd'",
    ),
)  # fmt: skip

METHODS = _SECRETS + _ADDRESSES + _EXPORTED
