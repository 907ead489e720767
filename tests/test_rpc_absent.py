"""Methods of other nodes: each is here, or says why not and what to use instead."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.rpc_world import RpcTestCase
from timed.ledger.mempool import MAX_AGE
from timed.rpc.absent import ABSENT, MEANINGLESS, RENAMED
from timed.rpc.table import METHODS

OTHERS = """
acknowledgepaymentrequest addcontact addwhitelist aggregatebanlists auditcollateral backupdata ban blockmessagesender
cancelpaymentrequest checkcollateral cleanuplockedutxos clearbanlist clearcollateralanchor clearstucktransactions
createpaymentrequest createrawtransaction decoderawtransaction droptransaction dumpprivkey estimatesmartfee
findblockbydate findcollateral forceunlockall getaddressinfo getaddresspubkey getattestationstats getbalance
getbanlist getbestblockhash getblock getblockchaininfo getblockcount getblockhash getblockheader getconnectioncount
getconsensusinfo getfeeschedule getheartbeathistory getinfo getlocalwallet getmempoolinfo getmempoolverbose
getmessages getmessagestatus getnetworkinfo getnewaddress getoperatormessages getpaymentrequests getpeerblock
getpeerinfo getproposal getpubkey getrawenvelopes getrawmempool getrawtransaction getrewardreport getsupply
gettimevotestatus gettransaction gettransactionfinality gettransactions gettreasurybalance gettxindexstatus gettxout
gettxoutsetinfo getwalletaddress getwalletinfo getwhitelist listaddresses listblockedsenders listcontacts
listlockedcollaterals listlockedutxos listproposals listtransactionsmulti listunspent listunspentmulti lookuppubkey
markpaymentrequestviewed masternodegenkey masternodelist masternodereg masternodereginfo masternoderegstatus mergeutxos
masternoderemove masternodestatus paypaymentrequest payrequest publishpubkey registeraddresspubkey registerpubkey
reindex reindextransactions releaseallcollaterals releasecollateral removecontact removewhitelist requestpayment
resetfinalitylock resetpeerprofiles respondpaymentrequest restoredata resyncfromwhitelist rollbacktoblock0
rollbacktoheight sendfrom sendmessage sendoperatormessage sendpaymentrequest sendrawtransaction sendtoaddress
signmessage signrawtransactionwithwallet stop submitcollateralproof submitenvelope submitproposal testmempoolaccept
unban unbansubnet unblockmessagesender unlockcollateral unlockorphanedutxos unlockutxo uptime validateaddress
verifymessage voteproposal waittransactionfinality
"""
"""What the original node and its successor offer, without the payments of a wallet."""

CORE = """
getdifficulty getnetworkhashps getmininginfo getblocktemplate submitblock generatetoaddress invalidateblock
reconsiderblock preciousblock pruneblockchain getdeploymentinfo dumptxoutset loadtxoutset verifychain getchainstates
savemempool importmempool bumpfee createpsbt decodepsbt analyzepsbt combinepsbt finalizepsbt walletprocesspsbt
walletcreatefundedpsbt importdescriptors getdescriptorinfo createwallet loadwallet unloadwallet keypoolrefill ping
setnetworkactive dumpwallet importwallet addmultisigaddress settxfee getrpcinfo getmemoryinfo logging
"""
"""What a user of Bitcoin Core will try."""


class Table(SynchronousTestCase):
    def test_every_method_of_other_nodes_is_here_or_says_why_not(self) -> None:
        self.assertEqual(
            [name for name in (OTHERS + CORE).split() if name not in METHODS and name not in ABSENT], []
        )

    def test_no_method_is_here_and_absent(self) -> None:
        self.assertEqual(set(METHODS) & set(ABSENT), set())

    def test_what_is_to_be_used_instead_is_here(self) -> None:
        for name, absent in ABSENT.items():
            self.assertTrue(set(absent.see) <= set(METHODS), name)
            self.assertTrue(absent.see, name)
            self.assertIn(absent.rule, (MEANINGLESS, RENAMED))

    def test_how_long_an_uncertified_payment_stays_is_the_mempool_s_rule(self) -> None:
        self.assertIn(f"{MAX_AGE} blocks", ABSENT["droptransaction"].instead)


class Calls(RpcTestCase):
    def test_a_call_says_why_and_what_to_use(self) -> None:
        for name, absent in ABSENT.items():
            error = self.world.error(name)
            self.assertEqual((error["code"], error["data"]["rule"]), (-32601, absent.rule), name)
            self.assertEqual(
                (error["data"]["hint"], error["data"]["see"]), (absent.instead, list(absent.see))
            )
            self.assertIn(absent.reason, error["message"])

    def test_a_method_that_nobody_has_points_to_help(self) -> None:
        self.assertEqual(self.world.error("nosuch")["data"]["rule"], "method-unknown")
