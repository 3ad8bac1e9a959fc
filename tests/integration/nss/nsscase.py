# SPDX-License-Identifier: Apache-2.0
"""A whole server on NSS softokn, for the test classes that pass on SoftHSM2. The token wants a string at C_Initialize, keeps
neither CKA_COPYABLE nor CKA_ALLOWED_MECHANISMS nor data objects, and knows no Ed25519: citizens' keys are resident, the ledger's is
P-256, anchors are keys."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../main"))

import base  # noqa: E402,F401
from base import ServerCase  # noqa: E402


def module_path():
    found = glob.glob("/usr/lib/*/libsoftokn3.so") + glob.glob("/usr/lib/*/nss/libsoftokn3.so")
    if not found:
        raise FileNotFoundError("libsoftokn3.so: install libnss3")
    return found[0]


class NssCase(ServerCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="kyso-nss-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        os.mkdir(f"{cls.folder}/db")
        with open(f"{cls.folder}/pin", "w") as f:
            f.write(os.urandom(12).hex() + "\n")
        subprocess.run(["certutil", "-N", "-d", f"sql:{cls.folder}/db", "-f", f"{cls.folder}/pin"], check=True)
        cls.config = {"token.module": module_path(), "token.uri": '"pkcs11:token=NSS%20Certificate%20DB"',
                      "token.init_args": f"\"configdir='sql:{cls.folder}/db' certPrefix='' keyPrefix='' "
                                         "secmod='secmod.db' flags=\"",
                      "token.pin_file": f"{cls.folder}/pin", **cls.config}
        super().setUpClass()
