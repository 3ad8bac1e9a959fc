# SPDX-License-Identifier: Apache-2.0
"""Refusals, restarts and kill -9 on NSS softokn as on SoftHSM2. Vaults are not recycled on it: nothing is unwrapped."""

import unittest

from nsscase import NssCase

import test_kill
import test_refusals


class Proofs(NssCase, test_refusals.Proofs):
    pass


class Restart(NssCase, test_refusals.Restart):
    pass


class Kill(NssCase, test_kill.Kill):
    pass


class KillAuthority(NssCase, test_kill.KillAuthority):
    pass


if __name__ == "__main__":
    unittest.main()
