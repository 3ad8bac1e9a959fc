# SPDX-License-Identifier: Apache-2.0
"""For clients that use tests/interop's kyso_client: calls a stub and writes what was sent and what came back, one JSON line an
attempt, before the caller sees the answer. Thread-safe. README.md has the form."""

import contextlib
import hashlib
import json
import threading
import time

import grpc


class Recorder:
    """Every attempt goes through here; an exception of gRPC is recorded and raised again."""

    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.lock = threading.Lock()

    def close(self):
        self.file.close()

    def write(self, entry):
        line = json.dumps(entry, separators=(",", ":")) + "\n"
        with self.lock:
            self.file.write(line)
            self.file.flush()

    @contextlib.contextmanager
    def entry(self, **known):
        """An attempt that begins now. It is written when it is over, whatever became of it; unless told, that is unknown."""
        entry = {**known, "t_sent": time.time(), "outcome": "unknown"}
        try:
            yield entry
        except grpc.RpcError as error:
            entry.update(failed(error))
            raise
        finally:
            entry["t_done"] = time.time()
            self.write(entry)

    def key(self, credential_id, public_key):
        self.write({"call": "key", "credential_id": credential_id, "public_key": public_key.hex()})

    def sign(self, stub, client, message, timeout=10, **about):
        return self._call("sign", stub.Sign, client, message, message.request, timeout, about)

    def authorize(self, stub, client, message, timeout=10, **about):
        return self._call("authorize", stub.Authorize, client, message, message.request, timeout, about)

    def begin(self, stub, client, message, timeout=10, **about):
        return self._call("begin", stub.BeginTransaction, client, message, message.request, timeout, about)

    def wait(self, stub, client, message, timeout=70):
        return self._call("wait", stub.WaitTransaction, client, message, message, timeout, {})

    def device(self, authenticator_id, public_key):
        self.write({"call": "key", "authenticator_id": authenticator_id, "public_key": public_key.hex()})

    def approve(self, stub, client, message, timeout=10):
        with self.entry(call="approve", client=client, transaction_id=message.transaction_id,
                        authenticator_id=message.authenticator_id, matching_code=message.matching_code,
                        signature=message.signature.hex()) as entry:
            reply = stub.Approve(message, timeout=timeout)
            entry["outcome"] = "approved"
            return reply

    def operate(self, operation, target, act, state=""):
        """`act` does it and tells whether it was done; an exception leaves the outcome unknown."""
        with self.entry(call="operate", operation=operation, target=target, state=state) as entry:
            entry["outcome"] = "done" if act() else "refused"
        return entry["outcome"] == "done"

    def _call(self, name, method, client, message, request, timeout, about):
        with self.entry(call=name, client=client, relying_party=request.relying_party, **sent(message, request),
                        **about) as entry:
            if about.get("step") is not None and "proof" in entry:
                entry["proof"].update(step=entry.pop("step"), authenticator_id=entry.pop("authenticator_id", ""))
            reply = method(message, timeout=timeout)
            entry.update(got(name, reply))
            return reply


UNSURE = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "INTERNAL", "UNKNOWN", "RESOURCE_EXHAUSTED")


def failed(error):
    name = error.code().name
    return {"status": name, "outcome": "unknown" if name in UNSURE else "refused"}


def sent(message, request):
    if not hasattr(request, "hashes"):  # WaitTransaction
        return {"transaction_id": message.transaction_id}
    a = request.algorithm
    pss = a.scheme == 3
    return {"request_id": message.request_id, "credential_id": request.credential_id,
            "algorithm": {"scheme": a.scheme, "hash": a.hash, "salt_len": a.pss.salt_length if pss else 0,
                          "mgf_hash": (a.pss.mgf_hash or a.hash) if pss else 0, "encoding": "raw" if a.encoding else "der"},
            "hashes": [h.hex() for h in request.hashes], "display_text": request.display_text, **proof(message)}


def proof(message):
    kind = message.WhichOneof("proof") if "proof" in message.DESCRIPTOR.oneofs_by_name else None
    if kind == "totp":
        return {"proof": {"kind": "totp", "authenticator_id": message.totp.authenticator_id}}
    if kind == "approval":
        return {"proof": {"kind": "approval", "transaction_id": message.approval.transaction_id,
                          "authenticator_id": message.approval.authenticator_id,
                          "matching_code": message.approval.matching_code, "signature": message.approval.signature.hex()}}
    if kind == "sad":
        return {"proof": {"kind": "sad", "sad_sha256": hashlib.sha256(message.sad).hexdigest()}}
    return {}


def got(name, reply):
    out = {"transaction_id": reply.transaction_id}
    if name == "sign":
        return {**out, "outcome": "signed", "signatures": [s.hex() for s in reply.signatures]}
    out["outcome"] = {"begin": "begun"}.get(name) or ("authorized" if reply.sad else "refused")
    if reply.sad:
        out["sad_sha256"] = hashlib.sha256(reply.sad).hexdigest()
    return out
