# SPDX-License-Identifier: Apache-2.0
"""What a front that is taken over may try, at random from a seed: everything that it has seen, put together in other ways."""

from taken import (AUTHORIZE, BEGIN, CANCEL, CANCEL_CALL, DECIDE, EVENT, FORMS, GET_PENDING, LIST_PENDING, OPERATE, R_SIGN, R_TX,
                   SIGN, WAIT, decode, encode)

TOTP, APPROVAL, SAD = 1, 2, 3
PROOF = ("proof", "authenticator_id", "proof_secret", "matching_code", "proof_signature", "transaction_id")


class Attacker:
    def __init__(self, channel, rng, spkis):
        self.channel, self.rng, self.spkis = channel, rng, spkis
        self.requests = []  # (kind, fields)
        self.proofs = []  # the fields of PROOF
        self.transactions, self.taken = [], 0
        self.told, self.sent = 0, {}
        self.got = 0  # signatures that it was given itself

    # --- what it knows ------------------------------------------------------------------------

    def see(self, record):
        """A request of somebody else."""
        fields = record.fields()
        self.requests.append((record.kind, fields))
        if fields["proof"]:
            self.proofs.append({name: fields[name] for name in PROOF})

    def hear(self, kind, payload):
        """An answer, its own or another's. A SAD in it is a proof."""
        if kind == R_TX:
            t = decode(kind, payload)
            self.transactions.append(t)
            if t["sad"]:
                self.proofs.append({**dict.fromkeys(PROOF, b""), "proof": SAD, "proof_secret": t["sad"]})

    # --- what it sends ------------------------------------------------------------------------

    def burst(self, count):
        told, self.told = self.channel.told[self.told:], len(self.channel.told)
        for record in told:
            self.hear(record.kind, record.payload)
        forged = [*self.rob(), *(self.forge() for _ in range(count - 2))]
        for (kind, _), answer in zip(forged, self.channel.ask(forged)):
            self.sent[kind] = self.sent.get(kind, 0) + 1
            if answer is not None:
                self.hear(answer.kind, answer.payload)
                self.got += answer.kind == R_SIGN

    def rob(self):
        """As a thief would begin: the newest request with another hash, and an older one with the newest proof."""
        kind, fields = self.requests[-1]
        older_kind, older = self.rng.choice(self.requests)
        yield kind, encode(kind, {**fields, "hashes": self.rng.randbytes(32), "request_id": b"r%016x" % self.rng.getrandbits(64)})
        yield older_kind, encode(older_kind, {**older, "proof_secret": fields["proof_secret"]})

    def forge(self):
        if self.rng.random() < 0.1:
            return self.noise()
        kind, fields = self.pick(self.requests)
        if self.rng.random() < 0.1:
            return self.of_transaction(fields)
        fields = dict(fields)
        if self.rng.random() < 0.2:
            kind = self.rng.choice((BEGIN, AUTHORIZE, SIGN))
        for _ in range(self.rng.choice((0, 1, 1, 2, 2, 3))):
            self.rng.choice(self.CHANGES)(self, fields)
        if self.rng.random() < 0.7:  # what stands for something already is only told again
            fields["request_id"] = b"x%016x" % self.rng.getrandbits(64)
        return kind, encode(kind, fields)

    def pick(self, things):
        """The newest as often as all others: what is live, is."""
        return things[-1] if self.rng.random() < 0.5 else self.rng.choice(things)

    def other(self):
        return self.pick(self.requests)[1]

    def change_hashes(self, fields):
        fields["hashes"] = self.rng.choice((self.rng.randbytes(32), self.rng.randbytes(96), fields["hashes"][:32],
                                            fields["hashes"] + self.rng.randbytes(32), self.other()["hashes"]))

    def change_words(self, fields):
        name = self.rng.choice(("credential_id", "relying_party", "display_text", "ttl_s", "hash", "scheme", "request_id"))
        fields[name] = self.other()[name]

    def change_client(self, fields):
        fields["spki"] = self.rng.choice(self.spkis)

    def change_proof(self, fields):
        if self.proofs:
            fields.update(self.pick(self.proofs))

    def change_part_of_proof(self, fields):
        name = self.rng.choice(PROOF)
        if self.proofs:
            fields[name] = self.rng.choice(self.proofs)[name]

    def change_transaction(self, fields):
        if self.transactions:
            t = self.rng.choice(self.transactions)
            fields["transaction_id"] = t["transaction_id"]
            fields["matching_code"] = t["matching_code"] or fields["matching_code"]

    def change_signature(self, fields):
        o = self.other()
        fields["request_signature"], fields["expires_s"] = o["request_signature"], o["expires_s"] + self.rng.choice((0, 0, 100))

    def flip(self, fields):
        name = self.rng.choice([n for n, v in fields.items() if isinstance(v, bytes) and v])
        value = bytearray(fields[name])
        value[self.rng.randrange(len(value))] ^= 1 << self.rng.randrange(8)
        fields[name] = bytes(value)

    CHANGES = (change_hashes, change_hashes, change_words, change_client, change_proof, change_proof, change_part_of_proof,
               change_transaction, change_signature, flip)

    def of_transaction(self, fields):
        """Waits for, or cancels, any transaction that it has heard of. Waiting gives SADs."""
        kind = self.rng.choice((WAIT, WAIT, WAIT, CANCEL))
        t = self.rng.choice(self.transactions)["transaction_id"] if self.transactions else b"t1"
        return kind, encode(kind, dict(spki=self.rng.choice([fields["spki"], *self.spkis]), relying_party=fields["relying_party"],
                                       transaction_id=t, timeout_ms=0, expires_s=fields["expires_s"],
                                       request_signature=fields["request_signature"]))

    def noise(self):
        """Records of other doors and of no door, some cut short."""
        r = self.rng
        spki, t = r.choice(self.spkis), r.choice(self.transactions)["transaction_id"] if self.transactions else b"t1"
        device = self.proofs and r.choice(self.proofs) or dict.fromkeys(PROOF, b"a1")
        whole = r.choice((
            lambda: (DECIDE, encode(DECIDE, dict(spki=spki, authenticator_id=device["authenticator_id"], transaction_id=t,
                                                 decision=r.randrange(4), matching_code=b"%02d" % r.randrange(100),
                                                 signature=device["proof_signature"]))),
            lambda: (r.choice((LIST_PENDING, GET_PENDING)),
                     encode(GET_PENDING, dict(spki=spki, authenticator_id=device["authenticator_id"], transaction_id=t))),
            lambda: (OPERATE, encode(OPERATE, dict(uid=0, operation=r.randbytes(60), signatures=r.randbytes(80)))),
            lambda: (r.choice((0, 9, 19, 33, 99, 100, 105, 140, 5000, 65535)), r.randbytes(r.randrange(300))),
            lambda: (r.choice(list(FORMS)), r.randbytes(r.randrange(300))),
            lambda: (CANCEL_CALL, b"\0"),
            lambda: (EVENT, r.randbytes(r.randrange(80))),
        ))()
        return whole[0], whole[1][:r.randrange(len(whole[1]) + 1)] if r.random() < 0.3 else whole[1]
