"""The simulator runs the production code: it defines no message, subclasses no machine, replaces no check."""

from __future__ import annotations

import ast
import inspect
import os

from twisted.trial.unittest import SynchronousTestCase

import timed.sim
from timed.codec.value import Value
from timed.node.node import Node
from timed.peer.outbox import Outbox
from timed.peer.session import Session
from timed.peer.table import PeerTable
from timed.sim.host import Host
from timed.wire.message import Message

ALLOWED_BASES = {"Exception", "Protocol"}
"""Nothing else in timed.sim has a base class at all."""

ROOMS = ("node", "consensus", "sync", "peer", "ledger", "wire", "crypto", "primitives", "codec", "store")


def sources() -> list[tuple[str, ast.Module]]:
    directory = os.path.dirname(os.path.abspath(timed.sim.__file__))
    found = []
    for name in sorted(os.listdir(directory)):
        if name.endswith(".py"):
            with open(os.path.join(directory, name), encoding="utf-8") as file:
                found.append((name, ast.parse(file.read(), name)))
    return found


def imported_names(module: ast.Module) -> set[str]:
    """Local names bound to something of a production room."""
    names = set()
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("timed."):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            names.update(alias.asname or alias.name.split(".")[0] for alias in node.names)
    return names


class SourceTests(SynchronousTestCase):
    def test_no_class_of_the_simulator_has_a_production_base(self) -> None:
        """No message is defined and no machine subclassed: classes here inherit from nothing."""
        for name, module in sources():
            for node in ast.walk(module):
                if isinstance(node, ast.ClassDef):
                    bases = {ast.unparse(base) for base in node.bases}
                    self.assertLessEqual(bases, ALLOWED_BASES, f"{name}: class {node.name}")

    def test_nothing_imported_is_assigned_to(self) -> None:
        """No function, class or module of another room is patched: no assignment to an attribute of an import or of a node."""
        for name, module in sources():
            imports = imported_names(module)
            for node in ast.walk(module):
                targets: list[ast.expr] = []
                if isinstance(node, ast.Assign):
                    targets = node.targets
                elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
                    targets = [node.target]
                elif isinstance(node, ast.Delete):
                    targets = node.targets
                for target in targets:
                    root = target
                    while isinstance(root, (ast.Attribute, ast.Subscript)):
                        root = root.value
                    patched = root is not target and isinstance(root, ast.Name) and root.id in imports
                    patched = patched or ".node." in ast.unparse(target)
                    self.assertFalse(patched, f"{name}:{node.lineno}: assigns to {ast.unparse(target)}")

    def test_no_setattr_and_no_other_backend(self) -> None:
        """The signature rule is the one in use everywhere; nothing is replaced by name."""
        forbidden = {"setattr", "use_backend", "exec", "eval", "import_module", "__import__", "patch"}
        for name, module in sources():
            for node in ast.walk(module):
                if isinstance(node, ast.Call):
                    called = ast.unparse(node.func).split(".")[-1]
                    self.assertNotIn(called, forbidden, f"{name}:{node.lineno}")

    def test_no_function_has_the_name_of_a_check(self) -> None:
        """What verifies in a simulation is `timed.crypto`, never a function of the simulator."""
        for name, module in sources():
            for node in ast.walk(module):
                if isinstance(node, ast.FunctionDef):
                    self.assertNotIn(
                        node.name, {"verify", "verify_batch", "check_block", "signature_items"}, name
                    )


class CompositionTests(SynchronousTestCase):
    def test_the_simulated_process_runs_a_production_node(self) -> None:
        """Node, sessions and outboxes are the classes of their rooms, and nothing derives from them."""
        for production in (Node, PeerTable, Session, Outbox):
            room = production.__module__.split(".")[1]
            self.assertIn(room, ROOMS)
            derived = [one.__module__ for one in production.__subclasses__()]
            self.assertEqual([one for one in derived if one.startswith("timed.sim")], [])

    def test_no_message_or_value_comes_from_the_simulator(self) -> None:
        pending, seen = [Value, Message], []
        while pending:
            for one in pending.pop().__subclasses__():
                seen.append(one)
                pending.append(one)
        self.assertGreater(len(seen), 30)
        self.assertEqual([one.__name__ for one in seen if one.__module__.startswith("timed.sim")], [])

    def test_signatures_are_checked_by_the_production_batch_function(self) -> None:
        names = inspect.getsource(inspect.getmodule(Host))  # type: ignore[arg-type]
        self.assertIn("from timed.crypto.batch import verify_batch", names)
