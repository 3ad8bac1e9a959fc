#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kyso command as people run it, against the grpcio double.

Usage: test_kyso.py KYSO_PROGRAM PROTO_DIR
"""
import base64
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

KYSO, PROTO = sys.argv[1:3]
HERE = os.path.dirname(os.path.abspath(__file__))


def openssl(*args):
    return subprocess.run(["openssl", *args], capture_output=True, text=True, timeout=30).returncode


def read(name):
    with open(name, "rb") as f:
        return f.read()


class Kyso(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="kyso-cli.")
        cls.double = subprocess.Popen(["/usr/bin/python3", f"{HERE}/double.py", PROTO, cls.dir], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        cls.says = json.loads(cls.double.stdout.readline())
        for name in ("alice", "bob"):
            subprocess.run([KYSO, "operator", "keygen", f"{cls.dir}/{name}.pem", "--type", "ed25519" if name == "bob" else "p256"],
                           check=True, stdout=subprocess.DEVNULL)
        cls.text = f"{cls.dir}/contract.txt"
        with open(cls.text, "wb") as f:
            f.write(b"one\r\ntwo\n" * 1000)

    @classmethod
    def tearDownClass(cls):
        cls.double.stdin.close()
        cls.double.wait(20)
        cls.double.stdout.close()
        shutil.rmtree(cls.dir)

    def run_kyso(self, *args, expect=0, **env):
        p = subprocess.run([KYSO, *args], capture_output=True, text=True, timeout=60, env={**os.environ, **env}, stdin=subprocess.DEVNULL)
        self.assertEqual(p.returncode, expect, f"{args}\n{p.stdout}\n{p.stderr}")
        return p

    def operate(self, *args, expect=0, signers=("alice",)):
        who = [x for s in signers for x in ("--operator", s, "--operator-key", f"{self.dir}/{s}.pem")]
        return self.run_kyso(*args, "--socket", self.says["socket"], "--server-id", "double", *who, expect=expect)

    def sign(self, *args, credential="p256", expect=0, **env):
        return self.run_kyso("sign", *args, "--profile", self.says["profile"], "--credential", credential, expect=expect, **env)

    # --- operators

    def test_keys_are_private_and_never_overwritten(self):
        self.assertEqual(stat.S_IMODE(os.stat(f"{self.dir}/alice.pem").st_mode), 0o600)
        before = read(f"{self.dir}/alice.pem")
        self.assertIn("exists already", self.run_kyso("operator", "keygen", f"{self.dir}/alice.pem", expect=1).stderr)
        self.assertEqual(read(f"{self.dir}/alice.pem"), before)

    def test_operation_is_signed_by_one_and_by_two(self):
        self.assertIn("added by alice\n", self.operate("subject", "add", "079123", "--name", "Nguyễn Văn A").stdout)
        p = self.operate("subject", "add", "079123", "--name", "A", "--json", signers=("alice", "bob"))
        self.assertEqual(json.loads(p.stdout)["message"], "added by alice+bob")

    def test_wrong_key_or_server_is_refused(self):
        p = self.run_kyso("subject", "show", "1", "--socket", self.says["socket"], "--server-id", "double", "--operator", "alice",
                          "--operator-key", f"{self.dir}/bob.pem", expect=1)
        self.assertIn("kyso ledger show", p.stderr)
        self.run_kyso("subject", "show", "1", "--socket", self.says["socket"], "--server-id", "other", "--operator", "alice",
                      "--operator-key", f"{self.dir}/alice.pem", expect=1)

    def test_missing_operator_is_a_usage_error(self):
        p = self.run_kyso("status", "--socket", self.says["socket"], "--server-id", "double", expect=2, KYSO_OPERATOR="", KYSO_OPERATOR_KEY="")
        self.assertIn("--operator NAME --operator-key PEM", p.stderr)

    def test_client_add_pins_the_certificate(self):
        p = self.operate("client", "add", "gateway", "--cert", self.says["cert"], "--may", "sign", "--delegate", "tax",
                         "--delegate", "bank", "--no-totp", "--json")
        client = json.loads(p.stdout)
        der = subprocess.run("openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256" %
                             self.says["cert"], shell=True, capture_output=True, text=True).stdout.split()[-1]
        self.assertEqual(client["spki_sha256"], [der])
        self.assertEqual((client["delegate"], client["proofs"], client["may"]), (["tax", "bank"], ["approval"], "sign"))
        self.operate("client", "add", "x", "--may", "approve", expect=2)

    def test_lists_hold_no_control_bytes(self):
        p = self.operate("client", "list")
        self.assertIn("gate?[31mway", p.stdout)
        self.assertNotIn("\x1b", p.stdout)

    def test_credential_show(self):
        chain = f"{self.dir}/chain.pem"
        p = self.operate("credential", "show", "p256", "--pem", chain)
        self.assertRegex(p.stdout, r"certificate_subject +CN=Nguyễn Văn A\n")
        self.assertNotIn("MII", p.stdout)  # people read names, programs read DER
        self.assertEqual(openssl("verify", "-CAfile", self.says["ca"], chain), 0)
        self.assertEqual(read(chain).count(b"BEGIN CERTIFICATE"), 2)
        self.assertIn("MII", json.loads(self.operate("credential", "show", "p256", "--json").stdout)["certificate"])

    def test_init_makes_the_key_and_runs_kysod(self):
        home = f"{self.dir}/home"
        os.mkdir(home)
        for name in ("server.pem", "server.key", "clients-ca.pem", "pin"):
            with open(f"{home}/{name}", "w") as f:
                f.write("x")
            os.chmod(f"{home}/{name}", 0o600)
        os.mkdir(f"{home}/state", 0o700)
        with open(f"{home}/kyso.yaml", "w") as f:
            f.write(f"server_id: test\nstate_dir: {home}/state\ntls:\n  certificate: {home}/server.pem\n  key: {home}/server.key\n"
                    f"  client_ca: {home}/clients-ca.pem\ntoken:\n  module: /bin/true\n  uri: pkcs11:token=kyso\n  pin_file: {home}/pin\n")
        with open(f"{home}/kysod", "w") as f:
            f.write(f'#!/bin/sh\necho "$@" >{home}/argv\ncat {home}/carol.pem.pub >{home}/state/kyso.db\n')
        os.chmod(f"{home}/kysod", 0o700)
        init = ["init", "--config", f"{home}/kyso.yaml", "--kysod", f"{home}/kysod", "--operator", "carol", "--operator-key", f"{home}/carol.pem"]
        self.assertIn("name two", self.run_kyso(*init, expect=2).stderr)  # it is no demo
        init += ["--operator", "dave", "--operator-key", f"{home}/dave.pem"]
        self.run_kyso("init", "--config", f"{home}/kyso.yaml", "--kysod", "/bin/false", *init[5:], expect=1)
        self.assertIn("carol", self.run_kyso(*init).stdout)
        self.assertEqual(stat.S_IMODE(os.stat(f"{home}/carol.pem").st_mode), 0o600)
        self.assertEqual(read(f"{home}/argv").decode(),
                         f"--config {home}/kyso.yaml --init --operator carol:{home}/carol.pem.crt --operator dave:{home}/dave.pem.crt\n")
        self.assertEqual(openssl("verify", "-CAfile", f"{home}/carol.pem.crt", f"{home}/carol.pem.crt"), 0)
        self.assertIn("never overwritten", self.run_kyso(*init, expect=1).stderr)

    def test_csr_and_import(self):
        out = f"{self.dir}/a.csr"
        self.operate("credential", "csr", "p256", "--dn", "Nguyen Van A", "--output", out)
        self.assertEqual(openssl("req", "-in", out, "-verify", "-noout"), 0)
        self.assertIn("BEGIN CERTIFICATE REQUEST", self.operate("credential", "csr", "p256", "--dn", "A").stdout)
        p = self.operate("credential", "import-cert", "p256", self.says["cert"], "--chain", self.says["ca"])
        self.assertIn("with 1 issuers", p.stdout)
        self.operate("credential", "import-cert", "p256", self.text, expect=2)

    def test_destroying_must_be_meant(self):
        self.assertIn("--yes", self.operate("credential", "destroy", "c1", expect=2).stderr)
        self.assertIn("state 5", self.operate("credential", "destroy", "c1", "--yes").stdout)

    def test_totp_shows_a_code_only_when_asked(self):
        p = self.operate("authenticator", "enroll-totp", "--subject", "079123", "--show")
        self.assertIn("\u2588", p.stdout)
        p = self.operate("authenticator", "enroll-totp", "--subject", "079123", "--json")
        self.assertNotIn("GEZDGNBV", p.stdout)
        self.assertEqual(json.loads(p.stdout)["confirmation_code"], "555111")

    def test_status(self):
        p = self.operate("status")
        self.assertIn("SERVING", p.stdout)
        self.assertIn("1 h 6 min", p.stdout)
        self.assertEqual(json.loads(self.operate("status", "--json").stdout)["ledger_size"], 7)

    # --- signing

    def test_sign_by_code(self):
        self.sign(self.text, "--totp", "123456")
        pub = f"{self.dir}/p256.pub"
        info = json.loads(self.sign("--hash", "ab" * 32, "--totp", "123456", "--json").stdout)
        self.assertEqual(len(info["signatures"]), 1)
        cms = f"{self.dir}/pub.p7s"
        self.sign(self.text, "--totp", "123456", "--cms", "--output", cms)
        subprocess.run(f"openssl pkcs7 -inform DER -in {cms} -print_certs | openssl x509 -noout -pubkey > {pub} 2>/dev/null", shell=True)
        signer = subprocess.run(["openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", cms, "-content", self.text, "-CAfile",
                                 self.says["ca"], "-purpose", "any", "-signer", f"{self.dir}/signer.pem", "-out", "/dev/null"],
                                capture_output=True)
        self.assertEqual(signer.returncode, 0, signer.stderr)
        with open(pub, "wb") as f:
            f.write(subprocess.run(["openssl", "x509", "-in", f"{self.dir}/signer.pem", "-noout", "-pubkey"], capture_output=True).stdout)
        self.assertEqual(openssl("dgst", "-sha256", "-verify", pub, "-signature", self.text + ".sig", self.text), 0)
        with open(f"{self.dir}/changed", "wb") as f:
            f.write(read(self.text)[:-1] + b"X")
        self.assertNotEqual(openssl("dgst", "-sha256", "-verify", pub, "-signature", self.text + ".sig", f"{self.dir}/changed"), 0)

    def test_cms_of_every_key_and_a_changed_byte(self):
        for credential, extra in (("p256", ()), ("p384", ()), ("rsa", ()), ("rsa", ("--scheme", "pss")),
                                  ("rsa", ("--scheme", "pss", "--pss-salt", "20")), ("rsa", ("--hash-alg", "sha512"))):
            with self.subTest(credential=credential, extra=extra):
                self.sign(self.text, "--cms", "--totp", "123456", *extra, credential=credential)
                line = ["cms", "-verify", "-binary", "-inform", "DER", "-in", self.text + ".p7s", "-CAfile", self.says["ca"],
                        "-purpose", "any", "-out", "/dev/null", "-content"]
                self.assertEqual(openssl(*line, self.text), 0)
                with open(f"{self.dir}/changed", "wb") as f:
                    f.write(b"0" + read(self.text)[1:])
                self.assertNotEqual(openssl(*line, f"{self.dir}/changed"), 0)

    def test_ed25519_signs_but_not_cms(self):
        self.sign(self.text, "--totp", "123456", credential="ed")
        self.assertIn("CMS cannot say", self.sign(self.text, "--cms", "--totp", "123456", credential="ed", expect=2).stderr)

    def test_raw_signatures(self):
        out = json.loads(self.sign("--hash", "01" * 32, "--hash", "02" * 32, "--raw", "--totp", "123456", "--json").stdout)
        self.assertEqual([len(base64.b64decode(s["signature"])) for s in out["signatures"]], [64, 64])

    def test_a_signature_that_does_not_verify_is_not_written(self):
        out = f"{self.dir}/never.sig"
        self.sign(self.text, "--totp", "123456", "--text", "spoil", "--output", out, expect=4)
        self.assertFalse(os.path.exists(out))

    def test_refusals_and_usage(self):
        self.assertIn("denied", self.sign(self.text, "--totp", "999999", expect=1).stderr)
        self.assertIn("check the id", self.sign(self.text, "--totp", "1", credential="nobody", expect=1).stderr)
        self.assertIn("after 250 ms", self.sign(self.text, "--totp", "1", credential="busy", expect=1).stderr)
        self.assertIn("longer --timeout", self.sign(self.text, "--totp", "1", "--timeout", "1", credential="slow", expect=1).stderr)
        self.assertIn("proof is missing", self.sign(self.text, expect=2).stderr)
        self.assertIn("more than once", self.sign(self.text, "--totp", "1", "--approval", expect=2).stderr)
        self.assertIn("32 bytes", self.sign("--hash", "ab", "--totp", "1", expect=2).stderr)
        self.assertIn("does not fit", self.sign(self.text, "--scheme", "pkcs1", "--totp", "1", expect=2).stderr)
        self.assertIn("cannot read", self.sign("/nonexistent", "--totp", "123456", expect=1).stderr)
        error = json.loads(self.sign(self.text, "--totp", "999999", "--json", expect=1).stdout)["error"]
        self.assertEqual(error["kind"], "failed")
        p = self.run_kyso("info", "--profile", self.says["profile"], "--ca", self.says["other_ca"], expect=3)
        self.assertIn("certificate was refused", p.stderr)
        self.run_kyso("info", "--profile", self.says["profile"], "--endpoint", "127.0.0.1:1", expect=3)

    def test_code_from_a_file_and_from_the_environment(self):
        with open(f"{self.dir}/code", "w") as f:
            f.write("123456\n")
        self.sign(self.text, "--totp", f"@{self.dir}/code")
        self.sign(self.text, KYSO_TOTP="123456")
        self.sign(self.text, "--totp", "999999", expect=1, KYSO_TOTP="123456")

    def enroll(self, kind):
        key = f"{self.dir}/device-{kind}.pem"
        self.operate("authenticator", "enroll-device", "--subject", "079123", "--generate", key, "--key-type", kind, "--label", "phone")
        self.assertEqual(stat.S_IMODE(os.stat(key).st_mode), 0o600)
        return key

    def approve(self, *args, expect=0):
        return self.run_kyso("approve", "--profile", self.says["profile"], "--authenticator", "a2-x", *args, expect=expect)

    def begin(self, *args):
        p = subprocess.Popen([KYSO, "sign", self.text, "--approval", "--json", "--profile", self.says["profile"], "--credential", "p256",
                              "--text", "Hợp đồng 12", *args], stdout=subprocess.PIPE, text=True)
        return p, json.loads(p.stdout.readline())["pending"]

    def test_approval_from_end_to_end(self):
        for kind in ("es256", "ed25519"):
            with self.subTest(kind=kind):
                key = self.enroll(kind)
                signing, pending = self.begin()
                p = self.approve("--device-key", key, "--code", pending["matching_code"], "--expect-digest", pending["tx_digest"],
                                 "--expect-file", self.text)
                self.assertIn("Hợp đồng 12", p.stdout)
                self.assertIn("Approved.", p.stdout)
                out = json.loads(signing.communicate(timeout=30)[0])
                self.assertEqual(signing.returncode, 0)
                self.assertEqual(out["signatures"][0]["output"], self.text + ".sig")

    def test_approval_refused_here_or_there(self):
        key = f"{self.dir}/other.pem"
        self.operate("authenticator", "enroll-device", "--subject", "079123", "--generate", key)
        signing, pending = self.begin()
        self.assertIn("expected transaction digest", self.approve("--device-key", key, "--code", "42", "--expect-digest", "00" * 32, expect=4).stderr)
        self.assertIn("is not about", self.approve("--device-key", key, "--code", "42", "--expect-file", __file__, expect=4).stderr)
        self.approve("--device-key", f"{self.dir}/alice.pem", "--code", "42", expect=1)  # another key
        self.approve("--device-key", key, expect=2)  # no code, nobody to ask
        self.assertIn("17, 42, 88", self.approve("--list").stdout)
        self.approve("--reject", "--not-me", expect=2)  # needs the key
        self.assertIn("locked", self.approve("--not-me", "--device-key", key).stdout)
        self.assertIn("rejected", json.loads(signing.communicate(timeout=30)[0])["error"]["message"])
        self.assertEqual(signing.returncode, 1)

    # --- the ledger

    def test_ledger_show(self):
        out = self.operate("ledger", "show").stdout.splitlines()
        self.assertEqual(len(out), 11)
        self.assertRegex(out[10], r"^ +10  2027-.*  stop +.* reason=stop 10$")
        self.assertEqual(len(self.operate("ledger", "show", "--last", "2").stdout.splitlines()), 2)
        self.assertEqual(len(self.operate("ledger", "show", "--from", "3", "--limit", "6").stdout.splitlines()), 6)
        self.assertEqual(self.operate("ledger", "show", "--type", "intent").stdout, "")
        self.assertEqual(json.loads(self.operate("ledger", "show", "--json", "--last", "1").stdout)["index"], 10)

    def test_ledger_verify_online(self):
        p = self.operate("ledger", "verify", "--json")
        v = json.loads(p.stdout)
        self.assertEqual((v["records"], v["under_checkpoint"], v["key_pinned"], v["origin"]), (11, 9, False, "double"))
        p = self.operate("ledger", "verify")
        self.assertIn("pin it with --key", p.stderr)
        self.assertEqual(v["key"], self.says["ledger_vkey"])
        for pin in (self.says["ledger_key"], self.says["ledger_vkey"]):
            p = self.operate("ledger", "verify", "--key", pin)
            self.assertNotIn("warning", p.stderr)
        self.operate("ledger", "verify", "--key", f"{self.dir}/bob.pem.pub", expect=4)
        self.operate("ledger", "verify", "--key", self.says["ledger_vkey"].replace("double+", "treble+"), expect=4)

    def test_compliance_35_ledger_verify_offline_finds_every_edit(self):
        path = f"{self.dir}/ledger.jsonl"
        self.operate("ledger", "export", "--output", path)
        good = read(path).decode().splitlines()
        self.assertEqual(len(good), 12)
        self.run_kyso("ledger", "verify", "--file", path, "--key", self.says["ledger_key"])

        def refused(lines):
            with open(path + ".bad", "w") as f:
                f.write("\n".join(lines) + "\n")
            self.run_kyso("ledger", "verify", "--file", path + ".bad", "--key", self.says["ledger_key"], expect=4)

        def flip(line):
            leaf = bytearray(base64.b64decode(json.loads(line)["leaf"]))
            leaf[20] ^= 1
            return json.dumps({**json.loads(line), "leaf": base64.b64encode(leaf).decode()})

        for i in (0, 5, 8):  # those after the checkpoint's 9 are not signed yet
            refused(good[:i] + [flip(good[i])] + good[i + 1:])
            refused(good[:i] + good[i + 1:])
        refused(good[:2] + [good[3], good[2]] + good[4:])
        refused(good[:7] + good[11:])  # cut, though with its checkpoint
        refused(good[:11])             # no checkpoint at all
        tail = json.loads(good[11])
        tail["checkpoint"] = re.sub("\n9\n", "\n8\n", tail["checkpoint"])
        refused(good[:11] + [json.dumps(tail)])

    def test_request_is_signed_in_the_profiles_name_only(self):
        profile = json.loads(read(self.says["profile"]))
        for names, code, said in (({}, 2, "the profile has none"),
                                  ({"server_id": "double", "client": "bank"}, 1, "nothing was signed"),
                                  ({"server_id": "other", "client": "gateway"}, 1, "nothing was signed"),
                                  ({"server_id": "double", "client": "gateway"}, 0, "")):
            with open(f"{self.dir}/named.json", "w") as f:
                json.dump({**profile, **names}, f)
            p = self.run_kyso("sign", "--hash", "ab" * 32, "--profile", f"{self.dir}/named.json", "--credential", "p256",
                              "--totp", "123456", "--request-key", f"{self.dir}/alice.pem", expect=code)
            self.assertIn(said, p.stderr)

    # --- the rest

    def test_health_info_help(self):
        self.assertIn("serving", self.run_kyso("health", "--profile", self.says["profile"]).stdout)
        self.assertEqual(json.loads(self.run_kyso("info", "--profile", self.says["profile"], "--json").stdout)["client"], "gateway")
        for words in (["--help"], ["client", "--help"], ["client", "add", "--help"], ["help", "sign"], ["help", "ledger"]):
            self.assertIn("Example: kyso ", self.run_kyso(*words).stdout)
        script = self.run_kyso("help", "--completion", "bash").stdout
        probe = script + 'COMP_WORDS=(kyso client s); COMP_CWORD=2; _kyso; echo "${COMPREPLY[@]}"'
        self.assertEqual(subprocess.run(["bash", "-c", probe], capture_output=True, text=True).stdout.split(), ["suspend"])
        man = self.run_kyso("help", "--man").stdout
        if shutil.which("man"):
            p = subprocess.run(["man", "--warnings", "-l", "-"], input=man, capture_output=True, text=True, env={**os.environ, "MANPAGER": "cat"})
            self.assertEqual((p.returncode, p.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
