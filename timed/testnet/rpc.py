"""JSON-RPC calls to one node, blocking, over the standard library."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any

from timed.errors import TimedError
from timed.testnet.layout import HOST, NodePlan

TIMEOUT_S = 10.0


class RpcFailed(TimedError):
    """No answer, or an answer that is an error; `code` is the JSON-RPC code, None without one."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class NodeRpc:
    """Calls methods of one node with the credentials of its cookie file."""

    def __init__(self, plan: NodePlan) -> None:
        self.plan = plan

    def call(self, method: str, *params: Any, timeout: float = TIMEOUT_S) -> Any:
        """The result; RpcFailed for everything else."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        connection = http.client.HTTPConnection(HOST, self.plan.rpc_port, timeout=timeout)
        try:
            credentials = base64.b64encode(self.plan.cookie.read_bytes().strip()).decode("ascii")
            headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}
            connection.request("POST", "/", body, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise RpcFailed(f"{self.plan.name} does not answer {method}: {error}") from error
        finally:
            connection.close()
        try:
            reply = json.loads(text)
        except ValueError:
            raise RpcFailed(f"{self.plan.name} answered {method} with HTTP {answer.status}") from None
        failure = reply.get("error")
        if failure is not None:
            raise RpcFailed(f"{self.plan.name} {method}: {failure.get('message')}", failure.get("code"))
        return reply.get("result")
