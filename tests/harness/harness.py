# SPDX-License-Identifier: Apache-2.0
"""The SoftHSM test harness: a private token, a server on free ports, and seeded citizens, relying parties and
devices in a temporary folder. Integration tests in Python import it; everyone else runs kyso-harness."""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START_S = 60


class HarnessError(Exception):
    pass


def totp(seed, now, digits=6, hash_name="sha1"):
    """RFC 6238, 30 s steps."""
    mac = hmac.new(seed, struct.pack(">Q", int(now // 30)), hash_name).digest()
    at = mac[-1] & 15
    value = struct.unpack(">I", mac[at:at + 4])[0] & 0x7FFFFFFF
    return str(value % 10 ** digits).zfill(digits)


class Harness:
    """One server. Use as a context manager, or call start() and stop()."""

    def __init__(self, bin_dir=None, folder=None, config=None, log=None, spawn=None,
                 operators=(), users=None, env=None):
        self.bin = bin_dir or os.environ.get("KYSO_BIN") or os.path.join(ROOT, "build/dev/bin")
        self.own_folder = folder is None
        self.dir = folder or tempfile.mkdtemp(prefix="kyso-harness-")
        self.state = os.path.join(self.dir, "demo")
        self.users = users or {}  # the number that each role runs as ("front": 64001, ...); only root can start it then
        # Sanitized builds beside other work stall for longer than an authority may in production.
        self.config = {"limits.heartbeat_ms": 5000, **{f"users.{role}": uid for role, uid in self.users.items()},
                       **(config or {})}
        self.log_path = log or os.path.join(self.dir, "kysod.log")
        self.process = None
        self.operators = operators  # beside "demo"; each one's key is made as state/NAME.key
        self.env = {**os.environ, **(env or {})}  # of every program of Kyso's
        self.spawn = spawn or {}  # how Kyso's programs are started: user=, group=, extra_groups=

    # --- life ------------------------------------------------------------------------------

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(self, *_):
        self.stop()

    def make_state(self):
        subprocess.run([os.path.join(ROOT, "deploy/lib/make-demo-state"), self.state], check=True)
        self.env.update(SOFTHSM2_CONF=f"{self.state}/token/softhsm2.conf", KYSO_CONFIG=f"{self.state}/kyso.yaml",
                        KYSO_OPERATOR="demo", KYSO_OPERATOR_KEY=f"{self.state}/operator.key")
        self.configure()

    def start(self):
        self.make_state()
        if "user" in self.spawn:
            subprocess.run(["chown", "-R", str(self.spawn["user"]), self.dir], check=True)
        self.hand_out()
        named = [("demo", "operator"), *((name, name) for name in self.operators)]
        self.kyso("init", *(word for name, key in named
                            for word in ("--operator", name, "--operator-key", f"{self.state}/{key}.key")))
        self.run_server()
        return self

    def hand_out(self):
        """What an operator does for the roles' users: the token is the vault's, the TLS files are the front's."""
        if not self.users:
            return
        for folder in (self.dir, self.state, f"{self.state}/pki"):
            os.chmod(folder, 0o711)
        for name in ("server.pem", "server.key", "tls-ca.pem"):
            os.chown(f"{self.state}/pki/{name}", self.users["front"], -1)
        subprocess.run(["chown", "-R", str(self.users["vault"]), f"{self.state}/token"], check=True)

    def configure(self):
        """Sets "section.key" (or "key") values of self.config in the YAML file."""
        path = f"{self.state}/kyso.yaml"
        with open(path) as f:
            lines = f.read().splitlines()
        for name, value in self.config.items():
            section, _, key = name.rpartition(".")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if not section:
                lines = [line for line in lines if not line.startswith(key + ":")] + [f"{key}: {text}"]
                continue
            if section + ":" not in lines:
                lines.append(section + ":")
            at = lines.index(section + ":") + 1
            end = at
            while end < len(lines) and lines[end].startswith(" "):
                end += 1
            body = [line for line in lines[at:end] if not line.startswith(f"  {key}:")]
            lines[at:end] = body + [f"  {key}: {text}"]
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")

    def run_server(self):
        """Starts kysod on the state that is there, and waits until it serves."""
        self.launch()
        self.wait_for(self._is_serving, "the server to serve")
        return self

    def launch(self):
        """Starts kysod, whatever comes of it."""
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([f"{self.bin}/kysod", "--config", f"{self.state}/kyso.yaml"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, **self.spawn)

    def _is_serving(self):
        if self.process.poll() is not None:
            raise HarnessError(f"kysod ended with {self.process.returncode}; its log:\n{self.log_text()[-4000:]}")
        try:
            return self.kyso("health", "--profile", self.profile("portal"), check=False).returncode == 0
        except OSError:  # not yet published
            return False

    @staticmethod
    def wait_for(condition, what, seconds=START_S):
        """Polls a condition that only the server's own progress makes true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise HarnessError(f"waited {seconds} s for {what}")
            time.sleep(0.05)

    def stop_server(self, sig=signal.SIGTERM):
        """Ends kysod; returns its exit code."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self.process = None
        return code

    def stop(self):
        """Ends the server and removes the folder. A sanitizer's report or an unclean end is an error."""
        code = self.stop_server()
        try:
            self._check_clean(code)
        finally:
            if self.own_folder:
                shutil.rmtree(self.dir, ignore_errors=True)

    def _check_clean(self, code):
        log = self.log_text() if os.path.exists(self.log_path) else ""
        report = re.search(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|: runtime error:)", log)
        if report:
            raise HarnessError(f"a sanitizer reports:\n{log[report.start():report.start() + 6000]}")
        if code not in (None, 0):
            raise HarnessError(f"kysod ended with {code}; its log:\n{log[-4000:]}")

    # --- what tests ask ------------------------------------------------------------------------

    def log_text(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def endpoints(self):
        with open(f"{self.state}/state/run/endpoints.json") as f:
            return json.load(f)

    def children(self, name):
        """Process ids of the roles with this program name ("kyso-vault", ...)."""
        found = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/children") as f:
                for pid in f.read().split():
                    if os.path.basename((command_line(pid) or [""])[0]) == name:
                        found.append(int(pid))
        return found

    def kysod(self, *words):
        """Runs kysod to its end."""
        return subprocess.run([f"{self.bin}/kysod", "--config", f"{self.state}/kyso.yaml", *words], env=self.env,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, **self.spawn)

    def kyso(self, *words, check=True, json_out=False, **options):
        """Runs the kyso command. With json_out, returns its parsed output."""
        argv = [f"{self.bin}/kyso", *words] + (["--json"] if json_out else [])
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              **self.spawn, **options)
        if check and done.returncode != 0:
            raise HarnessError(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout) if json_out else done

    def ledger(self, *types):
        """The ledger as a list of dicts, oldest first; of some types only when named."""
        argv = ["ledger", "export"]
        lines = self.kyso(*argv).stdout.splitlines()
        records = [r for r in map(json.loads, lines) if "type" in r]  # the last line is the checkpoint
        return [r for r in records if not types or r["type"] in types]

    def profile(self, client, relying_party=None):
        """Writes and names a client profile for `kyso --profile`."""
        path = f"{self.dir}/{client}-{relying_party or client}.json"
        ends = self.endpoints()
        with open(path, "w") as f:
            json.dump({"endpoint": ends["signer"], "approver_endpoint": ends["approver"],
                       "cert": f"{self.state}/pki/{client}.pem", "key": f"{self.state}/pki/{client}.key",
                       "ca": f"{self.state}/pki/tls-ca.pem", "relying_party": relying_party or client,
                       "server_id": ends["server_id"], "client": client}, f)
        return path

    # --- seeding ----------------------------------------------------------------------------------

    def add_clients(self):
        """portal signs for itself, gateway also for ministry-a and ministry-b, approver approves."""
        pki = f"{self.state}/pki"
        self.kyso("client", "add", "portal", "--may", "sign", "--cert", f"{pki}/portal.pem")
        self.kyso("client", "add", "gateway", "--may", "sign", "--cert", f"{pki}/gateway.pem",
                  "--delegate", "ministry-a", "--delegate", "ministry-b")
        self.kyso("client", "add", "approver", "--may", "approve", "--cert", f"{pki}/approver.pem")

    def spki_sha256(self, client):
        """What a client is known by."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        with open(f"{self.state}/pki/{client}.pem", "rb") as f:
            key = x509.load_pem_x509_certificate(f.read()).public_key()
        return digest(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def add_request_key(self, client, kind="p256"):
        """From now on this client's requests must be signed by this key: the path of its private half."""
        path = f"{self.dir}/{client}-requests-{kind}.pem"
        self.kyso("operator", "keygen", path, "--type", kind)
        self.kyso("client", "request-key", client, "--request-key", f"{path}.pub")
        return path

    def add_citizen(self, subject, key_type="p256", storage=None, relying_parties=("*",), activate=True,
                    totp_hash="sha1", digits=6, totps=1, device="es256"):
        """Subject, credential, TOTP, device; then the certificate, which makes the credential active.
        Several TOTP authenticators let a test sign more often than once in 30 s."""
        self.kyso("subject", "add", subject, "--name", f"Citizen {subject}")
        citizen = {"subject_id": subject, "key_type": key_type}
        citizen["credential_id"] = self.add_credential(subject, key_type, storage, relying_parties)
        if totp_hash:
            citizen["totps"] = [self.add_totp(subject, totp_hash, digits) for _ in range(totps)]
            citizen["totp"] = citizen["totps"][0]
        if device:
            citizen["device"] = self.add_device(subject, device)
        if activate:
            citizen["certificate"] = self.certify(citizen["credential_id"], subject)
        return citizen

    def add_credential(self, subject, key_type="p256", storage=None, relying_parties=("*",)):
        argv = ["credential", "create", "--subject", subject, "--key-type", key_type]
        argv += ["--storage", storage] if storage else []
        for rp in relying_parties:
            argv += ["--relying-party", rp]
        return find_key(self.kyso(*argv, json_out=True), "credential")

    def add_totp(self, subject, hash_name="sha1", digits=6):
        made = self.kyso("authenticator", "enroll-totp", "--subject", subject, "--hash", hash_name, "--digits",
                         str(digits), "--show", json_out=True)
        authenticator = find_key(made, "authenticator")
        self.kyso("authenticator", "confirm", authenticator, str(find_key(made, "confirmation_code")))
        uri = find_key(made, "otpauth_uri")
        secret = uri.split("secret=")[1].split("&")[0]
        return {"authenticator_id": authenticator, "secret": secret, "hash": hash_name, "digits": digits}

    def add_device(self, subject, kind="es256"):
        key = f"{self.dir}/device-{subject}-{kind}-{os.urandom(4).hex()}.pem"
        made = self.kyso("authenticator", "enroll-device", "--subject", subject, "--generate", key, "--key-type", kind,
                         "--label", "test phone", json_out=True)
        authenticator = find_key(made, "authenticator")
        self.kyso("authenticator", "confirm", authenticator, str(find_key(made, "confirmation_code")))
        return {"authenticator_id": authenticator, "key": key, "type": kind}

    def certify(self, credential_id, subject, days=365):
        csr, certificate = f"{self.dir}/{credential_id}.csr", f"{self.dir}/{credential_id}.pem"
        self.kyso("credential", "csr", credential_id, "--dn", f"CN={subject},C=VN", "--output", csr)
        subprocess.run([os.path.join(ROOT, "deploy/lib/issue-certificate"), self.state, csr, certificate, str(days)],
                       check=True)
        self.kyso("credential", "import-cert", credential_id, certificate, "--chain",
                  f"{self.state}/pki/citizen-ca.pem")
        return certificate

    def describe(self, citizens):
        """What a client needs, as one JSON object."""
        pki = f"{self.state}/pki"
        return {
            "endpoints": self.endpoints(), "proto": os.path.join(ROOT, "proto"), "server_ca": f"{pki}/tls-ca.pem",
            "citizen_ca": f"{pki}/citizen-ca.pem", "state": self.state, "log": self.log_path,
            "env": {k: self.env[k] for k in ("SOFTHSM2_CONF", "KYSO_CONFIG", "KYSO_OPERATOR", "KYSO_OPERATOR_KEY")},
            "clients": {name: {"cert": f"{pki}/{name}.pem", "key": f"{pki}/{name}.key"}
                        for name in ("portal", "gateway", "approver", "stranger")},
            "citizens": citizens,
        }


def command_line(pid):
    """The words a process was started with; none when it has ended."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def reader(folder):
    """Who seeds are sealed to: a certificate's file, its key beside it."""
    path = f"{folder}/reader.pem"
    if not os.path.exists(path):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                        "-keyout", f"{folder}/reader.key", "-out", path, "-subj", "/CN=Printer of letters"],
                       check=True, stderr=subprocess.DEVNULL)
    return path


def open_letter(certificate, envelope):
    """The otpauth URI, the authenticator's id and its confirmation code."""
    letter = subprocess.run(["openssl", "cms", "-decrypt", "-inform", "DER", "-inkey", certificate.replace(".pem", ".key"), "-recip", certificate],
                            input=envelope, check=True, capture_output=True).stdout.decode()
    return [line.rpartition(": ")[2] for line in letter.splitlines()]


def code_at(authenticator, step):
    secret = authenticator["secret"]
    seed = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return totp(seed, step * 30, authenticator["digits"], authenticator["hash"])


def short_certificate(state, csr_path, out_path, seconds):
    """A citizen's certificate that ends soon; the openssl command cannot say so. Returns its end, seconds since the epoch."""
    import datetime
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    with open(csr_path, "rb") as f:
        csr = x509.load_pem_x509_csr(f.read())
    with open(f"{state}/pki/citizen-ca.pem", "rb") as f:
        issuer = x509.load_pem_x509_certificate(f.read()).subject
    with open(f"{state}/pki/citizen-ca.key", "rb") as f:
        key = serialization.load_pem_private_key(f.read(), None)
    now = datetime.datetime.utcnow().replace(microsecond=0)
    end = now + datetime.timedelta(seconds=seconds)
    made = (x509.CertificateBuilder().subject_name(csr.subject).issuer_name(issuer).public_key(csr.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(minutes=1))
            .not_valid_after(end).sign(key, hashes.SHA256()))
    with open(out_path, "wb") as f:
        f.write(made.public_bytes(serialization.Encoding.PEM))
    return end.replace(tzinfo=datetime.timezone.utc).timestamp()


def find_key(value, name):
    """The first value under this key anywhere in a JSON result."""
    if isinstance(value, dict):
        if value.get(name) not in (None, ""):
            return value[name]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            found = find_key(item, name)
            if found is not None:
                return found
    return None


def digest(data, name="sha256"):
    return hashlib.new(name, data).digest()
