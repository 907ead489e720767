"""How values of the chain are shown."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from timed.params import REGTEST
from timed.primitives.transaction import Lock, Output, Transaction, TransactionKind
from timed.rpc.jsontext import encode
from timed.rpc.present import OUTPUTS_PER_STEP, transaction_object, transaction_text


class TransactionTexts(SynchronousTestCase):
    def test_a_transaction_in_pieces_is_the_same_text_and_no_step_has_more_than_its_share(self) -> None:
        for count in (0, 1, OUTPUTS_PER_STEP, OUTPUTS_PER_STEP + 1, 10 * OUTPUTS_PER_STEP - 1):
            outputs = tuple(
                Output(value=number + 1, lock=Lock.key_hash(number.to_bytes(32, "little")))
                for number in range(count)
            )
            transaction = Transaction.make(
                kind=TransactionKind.COINBASE, inputs=(), outputs=outputs, payload=b"x"
            )
            work = transaction_text(transaction, REGTEST)
            steps = 0
            while True:
                try:
                    next(work)
                except StopIteration as finished:
                    text = bytes(finished.value)
                    break
                steps += 1
            self.assertEqual(text, encode(transaction_object(transaction, REGTEST)))
            self.assertEqual(len(json.loads(text)["vout"]), count)
            self.assertEqual(steps, -(-count // OUTPUTS_PER_STEP))
