# SPDX-License-Identifier: Apache-2.0
"""Faults 31-42 and 45: what a token's answers, silences and ends may cost a server that runs. Each test is named by its number
in the catalogue."""

import base64
import hashlib
import json
import os
import signal
import time
import unittest

from cryptography import x509

from faultcase import CODE, FAILED, VAULT, FaultCase, k

LATE = (CODE.UNAVAILABLE, CODE.RESOURCE_EXHAUSTED)


class Returned(FaultCase):
    """31-36: return values, by class."""

    @classmethod
    def seed(cls):
        cls.alice, cls.bob = cls.add_citizens("alice", "bob")

    def meets(self, rule, data, tries=2):
        """A request whose signature meets the rule once is answered after one retry in the same vault."""
        request = self.one(self.alice, data)
        self.obey(rule)
        self.sign(self.alice, request)
        self.assertEqual(len(self.calls("C_Sign", data=data)), tries)

    def test_31_a_dead_session_costs_one_retry(self):
        for rv in ("CKR_SESSION_HANDLE_INVALID", "CKR_SESSION_CLOSED", "CKR_OPERATION_NOT_INITIALIZED"):
            with self.subTest(rv=rv):
                self.meets(f"C_Sign data dead31 times 1 return {rv}", "dead31")
                self.assertEqual(len(self.calls("C_OpenSession")), 1)

    def test_31_a_session_that_is_really_gone(self):
        request = self.one(self.alice, "dead31")
        self.obey("C_Sign data dead31 times 1 lose-session")
        self.sign(self.alice, request)
        self.assertEqual(len(self.fired("C_Sign")), 1)
        self.assertEqual(len(self.calls("C_UnwrapKey")), 1, "what was unwrapped died with it")

    def test_31_every_session_lost_at_once(self):
        """P12. The login goes with them, and the PIN is the supervisor's: another vault takes over."""
        self.may_end = 1
        request = self.one(self.alice, "dead31")
        self.obey("C_Sign data dead31 times 1 lose-sessions")
        self.sign(self.alice, request, timeout=5)
        self.wait_for_vaults()
        self.assertEqual(self.calls("C_Login")[0][1], ["gives", "0x0"])
        self.assertEqual(len(self.calls("C_Login")), 1)

    def test_32_a_token_pulled_out_once(self):
        for rv in ("CKR_DEVICE_REMOVED", "CKR_TOKEN_NOT_PRESENT", "CKR_DEVICE_ERROR"):
            with self.subTest(rv=rv):
                self.may_end += 1
                self.meets(f"C_Sign data dead32 times 1 return {rv}", "dead32")
                self.assertEqual(len({pid for pid, _ in self.calls("C_Sign", data="dead32")}), 2, "by another vault")
                self.wait_for_vaults()

    def test_32_a_token_that_stays_away(self):
        """Nobody is served, nobody waits, nobody spins; and it heals by itself."""
        self.may_end = 40
        requests = self.requests(self.alice, 3)
        self.obey("C_Sign unwrapped return CKR_DEVICE_REMOVED; C_GetTokenInfo return CKR_TOKEN_NOT_PRESENT")
        self.assertNotSigned(requests[0], CODE.DEADLINE_EXCEEDED, timeout=1)  # accepted while there was a vault
        self.h.wait_for(lambda: len(self.calls("C_Initialize")) >= 2 * self.vaults * 4, "their probes")
        began = time.monotonic()
        self.assertNotSigned(requests[1], CODE.UNAVAILABLE)
        self.assertLess(time.monotonic() - began, 1, "refused at once, not at its deadline")
        self.assertEqual(self.calls("C_Login"), [], "there is nothing to log in to")
        self.obey("")
        self.wait_for_vaults(5)
        self.sign(self.alice, requests[1])
        self.sign(self.alice, requests[2])

    def test_33_a_login_that_is_lost_costs_one_login(self):
        self.may_end = 1
        self.meets("C_Sign data dead33 times 1 return CKR_USER_NOT_LOGGED_IN", "dead33")
        self.wait_for_vaults()
        self.assertEqual([rest for _, rest in self.calls("C_Login")], [["gives", "0x0"]])
        self.assertEqual(self.lines("latch-closed"), [])

    def test_35_no_memory_for_a_moment(self):
        for rv in ("CKR_DEVICE_MEMORY", "CKR_HOST_MEMORY", "CKR_SESSION_COUNT"):
            with self.subTest(rv=rv):
                self.meets(f"C_Sign data dead35 times 1 return {rv}", "dead35")

    def test_35_no_memory_to_be_had(self):
        """Refused in the end, and not by trying for ever."""
        request = self.one(self.alice, "dead35")
        self.obey("C_SignInit unwrapped return CKR_DEVICE_MEMORY")
        self.assertNotSigned(request, *LATE)
        self.assertLessEqual(len(self.fired("C_SignInit")), 6, "twice in each of three tries")
        self.assertEqual(self.calls("C_OpenSession"), [])

    def test_36_a_code_nobody_knows(self):
        for rv in ("0x80000bad", "CKR_GENERAL_ERROR", "CKR_FUNCTION_FAILED"):
            with self.subTest(rv=rv):
                self.meets(f"C_Sign data dead36 times 1 return {rv}", "dead36")

    def test_36_a_code_that_stays(self):
        request, other = self.one(self.alice, "dead36"), self.one(self.bob)
        self.obey("C_Sign data dead36 return 0x80000bad")
        self.assertNotSigned(request, *LATE)
        self.assertLessEqual(len(self.fired("C_Sign")), 6)
        self.sign(self.bob, other)


class Gone(FaultCase):
    """37, 38, 41, 45: calls that do not come back, processes that end, and what the others notice of it."""
    # an anchor at the same vault would share the blame for its end
    config = {"limits.sign_deadline_ms": 500, "limits.start_deadline_ms": 4000, "ledger.anchor_interval_ms": 60000,
              "ledger.checkpoint_interval_s": 86400}
    # what a module has left behind when it calls exit(3) is not ours to free
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}

    @classmethod
    def seed(cls):
        cls.alice, cls.bob = cls.add_citizens("alice", "bob")

    def survives(self, rule, data, times=1):
        """Whatever it does to one vault, the request is answered and the vault replaced."""
        self.may_end += times
        request = self.one(self.alice, data)
        self.obey(rule)
        self.sign(self.alice, request)
        self.wait_for_vaults()

    def test_37_hang_in_C_Sign(self):
        self.survives("C_Sign data dead37 times 1 hang", "dead37")
        self.assertEqual(len(self.lines("vault-killed")), 2, "by the authority's word and the supervisor's hand")
        self.assertTrue(self.lines("role-ended", VAULT, "signal=9"))

    def test_37_hang_in_C_SignInit_and_C_UnwrapKey(self):
        self.survives("C_SignInit unwrapped times 1 hang", "")
        self.survives("C_Sign data dead37 times 1 flip; C_UnwrapKey times 1 hang", "dead37")

    def test_37_hang_in_C_CloseSession(self):
        self.survives("C_Sign data dead37 times 1 return CKR_SESSION_CLOSED; C_CloseSession times 1 hang", "dead37")
        self.assertEqual(len(self.fired("C_CloseSession")), 1)

    def test_37_hang_in_C_Initialize(self):
        """A vault that cannot start does not stop the other from signing."""
        self.may_end = 2
        requests = self.requests(self.alice, 10, "dead37")
        self.obey("C_Sign nth 1 times 1 crash; C_Initialize times 1 hang")
        for request in requests:
            self.sign(self.alice, request)
        self.h.wait_for(lambda: self.fired("C_Initialize"), "a start that hangs")
        self.sign(self.bob)
        self.wait_for_vaults()
        self.assertTrue(self.lines("vault-killed", "start deadline"))

    def test_38_signals_and_exits(self):
        # exit(3) runs what others registered with atexit(3): where that takes long the deadline is sooner
        for action, how in (("crash", "signal=11"), ("abort", "signal=6"), ("exit 0", ""), ("exit 3", "")):
            with self.subTest(action=action):
                self.log_start = len(self.h.log_text())
                self.may_end = 0
                self.survives(f"C_Sign data dead38 times 1 {action}", "dead38")
                self.assertEqual(len(self.lines("role-ended", VAULT, how)), 1, self.log())

    def test_38_in_the_middle_of_a_batch(self):
        self.may_end = 2
        for citizen, action in ((self.alice, "crash"), (self.bob, "exit 0")):
            requests = self.requests(citizen, 60)
            self.obey(f"C_Sign unwrapped total 10 {action}")
            calls = [self.stub.Sign.future(request, timeout=20) for request in requests]
            key = self.keys[citizen["credential_id"]]
            for request, call in zip(requests, calls):
                k.verify(key, request.request.algorithm, request.request.hashes[0], call.result().signatures[0])
            self.assertEqual(len(self.fired("C_Sign")), 1)
            self.wait_for_vaults()

    def test_41_a_key_that_crashes_every_vault(self):
        """Two vaults, no third; its requests are refused from then on, and nobody else's."""
        self.may_end = 2
        mallory, = self.add_citizen_again("mallory")
        poison, more = self.one(mallory, "dead41"), self.one(mallory, "dead41")
        self.obey("C_Sign data dead41 crash")
        self.assertNotSigned(poison, *LATE)
        self.assertEqual(len(self.fired("C_Sign")), 2)
        self.wait_for_line("key-quarantined")
        self.assertNotSigned(more, *LATE, CODE.FAILED_PRECONDITION)
        self.assertEqual(len(self.fired("C_Sign")), 2, "never tried again")
        self.sign(self.alice)
        self.sign(self.bob)

    def test_41_in_a_batch_of_people(self):
        """Of many CSRs nobody knows whose key it was: each is tried by itself. One row fails, and it costs no more vaults."""
        self.may_end = 3
        csrs = self.enroll("first")
        poison = x509.load_der_x509_csr(csrs["crowd-1"]).tbs_certrequest_bytes
        self.obey(f"C_Sign data {hashlib.sha256(poison).hexdigest()[:16]} crash")
        for folder in ("second", "third"):
            self.assertEqual(self.enroll(folder, code=1).keys(), csrs.keys() - {"crowd-1"})
            self.assertEqual(len(self.fired("C_Sign")), 3, "the batch, and the key by itself twice")
        self.assertEqual(len(self.lines("key-quarantined")), 1)
        self.sign(self.alice)

    def enroll(self, folder, code=0):
        """The CSRs of a few people, those who got one, by their ids."""
        with open(f"{self.h.dir}/crowd.csv", "w") as f:
            f.write("subject_id,name,dn\n" + "".join(f'crowd-{i},Nobody {i},"CN=Nobody {i},C=VN"\n' for i in range(4)))
        done = self.h.kyso("credential", "enroll", "--csv", f.name, "--out", f"{self.h.dir}/{folder}", "--relying-party", "*", check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        rows = [json.loads(line) for line in k.read(f"{self.h.dir}/{folder}/000001.jsonl").splitlines()]
        return {row["subject_id"]: base64.b64decode(row["csr"]) for row in rows if "csr" in row}

    def add_citizen_again(self, name):
        made = [self.h.add_citizen(name, totps=2, device=None)]
        self.learn_keys(*made)
        return made

    def test_45_a_library_that_forks(self):
        """The child keeps every descriptor. The vault is replaced and its request answered all the same."""
        self.addCleanup(self.kill_forked)
        self.survives("C_Sign data dead45 nth 1 times 1 fork", "dead45", 0)
        self.survives("C_Sign data dead45 times 1 crash", "dead45")


class Wrong(FaultCase):
    """35, 39, 40: the token says CKR_OK, and the signature is not the one that was asked for (I7, P10). One vault, so that it has
    both keys."""
    vaults = 1

    @classmethod
    def seed(cls):
        cls.alice, cls.bob = cls.add_citizens("alice", "bob")

    def test_39_once_and_then_right(self):
        for action in ("flip", "length -1", "length 1", "length -64", "length 200", "stale"):
            with self.subTest(action=action):
                request = self.one(self.alice, "dead39")
                self.sign(self.alice)  # what is stale afterwards
                self.obey(f"C_Sign data dead39 times 1 {action}")
                self.sign(self.alice, request)
                self.assertEqual(len(self.calls("C_Sign", data="dead39")), 2)
                self.assertEqual(len(self.calls("C_UnwrapKey")), 1, "the handle was dropped")

    def test_39_always(self):
        for action in ("flip", "length -1", "length -64", "stale"):
            with self.subTest(action=action):
                request, other = self.one(self.alice, "dead39"), self.one(self.bob)
                self.log_start = len(self.h.log_text())
                self.obey(f"C_Sign data dead39 {action}")
                self.assertNotSigned(request, CODE.INTERNAL)
                self.assertEqual(len(self.fired("C_Sign")), 2, "one retry")
                self.wait_for_line("signature-withheld")
                receipt = self.h.ledger("receipt")[-1]
                self.assertEqual((receipt["outcome"], receipt["code"], receipt["signatures"]),
                                 (FAILED, "token-wrong-signature", ""))
                self.sign(self.bob, other)

    def both_hot(self):
        self.sign(self.alice)
        self.sign(self.bob)

    def test_40_a_handle_that_names_another_key(self):
        for who in (self.alice, self.bob):
            self.both_hot()
            request = self.one(who, "dead40")
            self.obey("C_SignInit unwrapped times 1 alias")
            self.sign(who, request)
            self.assertEqual(len(self.calls("C_Sign", data="dead40")), 2, "the first was another's and was withheld")
            self.assertEqual(len(self.calls("C_UnwrapKey")), 1, "the handle was dropped")

    def test_40_handles_permuted_in_the_middle_of_a_session(self):
        """Each handle names the other's key, for good: all of it is withheld, by whatever way it is asked."""
        requests = [(c, r) for c in (self.alice, self.bob) for r in self.requests(c, 3, "dead40")]
        self.both_hot()
        self.obey("C_SignInit unwrapped nth 1 permute")
        self.assertNotSigned(requests[0][1], CODE.INTERNAL)
        self.assertEqual(len(self.lines("signature-withheld")), 1)
        for citizen, request in requests[1:]:
            self.sign_or_withhold(citizen, request)

    def test_40_handles_permuted_by_a_new_start(self):
        """A re-initialised token that numbers its keys anew."""
        self.may_end = 1
        requests = [(c, r) for c in (self.alice, self.bob) for r in self.requests(c, 3, "dead40")]
        self.obey("C_Sign unwrapped times 1 crash; C_Initialize permute")
        right = [self.sign_or_withhold(*request) for request in requests]
        self.assertEqual(len(self.fired("C_Initialize")), 1)
        self.assertEqual(right[:3], [True] * 3, "the first key has no other to be taken for yet")
        self.assertFalse(right[3], "it was taken for the first")

    def sign_or_withhold(self, citizen, request):
        call = self.stub.Sign.future(request, timeout=10)
        if call.exception() is not None:
            self.assertEqual(call.exception().code(), CODE.INTERNAL)
            return False
        k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                 call.result().signatures[0])
        return True

    def test_35_room_for_few_objects(self):
        """Room for one key, and two that take turns: the idle one makes room."""
        requests = [pair for turn in zip(self.some(self.alice), self.some(self.bob)) for pair in turn]
        self.may_end = 1
        os.kill(self.h.children("kyso-vault")[0], signal.SIGKILL)  # the next has unwrapped nothing yet
        self.wait_for_line("vault-left")
        self.wait_for_vaults()
        self.obey("set objects 1")
        for citizen, request in requests:
            self.sign(citizen, request)
        self.assertTrue([rest for _, rest in self.calls("C_UnwrapKey") if rest[1] == "0x31"], "it was full")

    def some(self, citizen):
        return [(citizen, request) for request in self.requests(citizen, 5)]


class Threads(FaultCase):
    """31, 35 with several sessions in one vault."""
    vaults = 1
    token = {"sessions": 4}

    @classmethod
    def seed(cls):
        cls.alice, cls.bob = cls.add_citizens("alice", "bob")

    def burst(self, requests):
        calls = [(c, r, self.stub.Sign.future(r, timeout=10)) for c, r in requests]
        for citizen, request, call in calls:
            k.verify(self.keys[citizen["credential_id"]], request.request.algorithm, request.request.hashes[0],
                     call.result().signatures[0])

    def some(self, count=40):
        return [(c, r) for c in (self.alice, self.bob) for r in self.requests(c, count // 2)]

    def test_31_sessions_that_die_under_load(self):
        requests = self.some()
        self.obey("C_Sign unwrapped every 7 times 5 lose-session")
        self.burst(requests)
        self.assertEqual(len(self.fired("C_Sign")), 5)
        self.assertLessEqual(len(self.calls("C_OpenSession")), 40)

    def test_35_no_more_sessions_than_there_were(self):
        """Room for exactly what a vault opens: what is lost is opened again, and nothing is opened besides."""
        requests = self.some()
        self.obey("set sessions 5; C_Sign unwrapped every 9 times 4 lose-session")
        self.burst(requests)
        refused = [rest for _, rest in self.calls("C_OpenSession") if rest[1] != "0x0"]
        self.assertEqual(refused, [])
        self.assertEqual(len(self.fired("C_Sign")), 4)


if __name__ == "__main__":
    unittest.main()
