# SPDX-License-Identifier: Apache-2.0
"""Fault 34 and P11: however often anything starts, a PIN that the token refuses, or may have looked at, costs one try for each act of an
operator, and none when the token says that one more would lock it; logins that fail for another reason end after three. The token counts its tries itself, in a file that outlives every process."""

import os
import unittest

from faultcase import FaultCase, k
from storm import ROUNDS


class Pin(FaultCase):
    vaults = 2
    script = "set pin-tries 5"
    config = {"limits.start_deadline_ms": 2000}

    @classmethod
    def seed(cls):
        cls.alice, = cls.add_citizens("alice")
        cls.pin = k.read(f"{cls.h.state}/pin")

    def setUp(self):
        self.addCleanup(self.restore)
        self.assertEqual(self.h.stop_server(), 0)
        super().setUp()
        self.obey("set pin-tries 5")
        self.closed = 0

    def tearDown(self):
        """What FaultCase asks of a server that serves again; a login that failed was a vault's end."""
        self.may_end = 20
        self.write_pin(self.pin)
        self.obey("")
        self.clear_latch()
        self.h.wait_for(self.h._is_serving, "the server to serve")
        super().tearDown()
        self.stub = self.signer()
        self.sign(self.alice)

    def restore(self):
        self.write_pin(self.pin)

    def write_pin(self, pin):
        with open(f"{self.h.state}/pin", "wb") as f:
            f.write(pin)

    def clear_latch(self):
        self.assertEqual(self.h.kysod("--clear-latch").returncode, 0)

    def closes(self):
        """The latch closes once more."""
        self.closed += 1
        self.h.wait_for(lambda: len(self.lines("latch-closed")) >= self.closed, "the latch")

    def logins(self):
        return [rest[1] for _, rest in self.calls("C_Login")]

    def spoil_pin(self):
        self.write_pin(b"not the PIN")

    def test_34_a_wrong_pin_costs_one_try(self):
        self.spoil_pin()
        self.launch()
        self.closes()
        for _ in range(ROUNDS):
            self.h.stop_server()
            self.launch()
            self.closes()
        self.assertEqual(self.logins(), ["0xa0"])
        print(f"\nfigures: P11: {ROUNDS + 1} starts with a wrong PIN, 1 login", flush=True)
        self.clear_latch()  # an operator who has not mended it: one more
        self.closes()
        self.assertEqual(self.logins(), ["0xa0"] * 2)

    def test_34_the_final_try_is_not_taken(self):
        """The right PIN is in the file by now; nobody can know that before it is tried."""
        self.spoil_pin()
        self.launch()
        self.closes()
        self.write_pin(self.pin)
        self.obey("set pin-tries 2")
        self.clear_latch()
        self.closes()
        self.assertEqual(self.logins(), [])

    def test_34_a_locked_pin_is_not_tried(self):
        self.spoil_pin()
        self.launch()
        self.closes()
        self.write_pin(self.pin)
        self.obey("set pin-tries 1")
        self.clear_latch()
        self.closes()
        self.assertEqual(self.logins(), [])

    def test_34_whatever_the_token_calls_it(self):
        """What a vendor's own code means nobody knows, and a general error may follow a look at the PIN: it may have counted."""
        self.launch()
        self.wait_for_vaults()
        self.h.stop_server()
        for rv, value in (("CKR_PIN_INCORRECT", "0xa0"), ("CKR_PIN_LOCKED", "0xa4"), ("CKR_PIN_EXPIRED", "0xa3"),
                          ("CKR_GENERAL_ERROR", "0x5"), ("CKR_DEVICE_ERROR", "0x30"), ("0x80000077", "0x80000077")):
            with self.subTest(rv=rv):
                self.obey(f"C_Login return {rv}")
                self.launch()
                self.closes()
                self.assertEqual(self.logins(), [value])
                self.h.stop_server()
                self.clear_latch()
        self.launch()

    def test_34_a_login_that_never_returns(self):
        """The try may have been counted."""
        self.obey("C_Login hang")
        self.launch()
        self.closes()
        self.assertEqual(len(self.fired("C_Login")), 1)
        self.assertTrue(os.path.exists(f"{self.h.state}/state/login-pending"))

    def test_34_a_token_that_was_not_there_counted_nothing(self):
        self.obey("C_Login times 2 return CKR_TOKEN_NOT_PRESENT")
        self.launch()
        self.wait_for_vaults()
        self.assertEqual(self.logins(), ["0xe0", "0xe0", "0x0", "0x0"])
        self.assertEqual(self.lines("latch-closed"), [])

    def test_34_no_fourth_login_in_a_row(self):
        """Whatever they fail with, and whoever starts anything anew between them."""
        self.obey("C_Login return CKR_DEVICE_REMOVED")
        self.launch()
        self.h.wait_for(lambda: self.logins(), "a login that fails")
        self.h.stop_server()
        self.launch()
        self.closes()
        for _ in range(2):
            self.h.stop_server()
            self.launch()
            self.closes()
        self.assertEqual(self.logins(), ["0x32"] * 3)
        self.clear_latch()
        self.closes()
        self.assertEqual(self.logins(), ["0x32"] * 6)


if __name__ == "__main__":
    unittest.main()
