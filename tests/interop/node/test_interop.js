// SPDX-License-Identifier: Apache-2.0
// Run by kyso-harness with KYSO_HARNESS naming its JSON. Uses node's own test runner.
'use strict';

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const k = require('./kyso_client.js');

const harness = JSON.parse(fs.readFileSync(process.env.KYSO_HARNESS, 'utf8'));
const citizen = harness.citizens[0];
const { grpc } = k;
const proto = k.load(harness.proto);
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'kyso-node-'));
let signer;
let approver;
let publicKey;
const used = new Map();

function connect(Stub, endpoint, client) {
  return new Stub(endpoint, k.credentials(harness.server_ca, harness.clients[client]));
}

before(async () => {
  signer = connect(proto.v1.Signer, harness.endpoints.signer, 'portal');
  approver = connect(proto.v1.Approver, harness.endpoints.approver, 'approver');
  const found = await k.call(signer, 'GetCredential', { relying_party: 'portal', credential_id: citizen.credential_id });
  publicKey = found.public_key;
});

after(() => {
  signer.close();
  approver.close();
  fs.rmSync(dir, { recursive: true });
});

/** An unused code of one of the citizen's authenticators; waits for the next time step when there is none. */
async function code() {
  for (;;) {
    const now = Math.floor(Date.now() / 30000);
    for (const a of citizen.totps) {
      const step = Math.max((used.get(a.authenticator_id) || 0) + 1, now);
      if (step <= now + 1) {
        used.set(a.authenticator_id, step);
        return k.totp(a, step);
      }
    }
    await new Promise((resolve) => { setTimeout(resolve, (now + 1) * 30000 - Date.now() + 20); });
  }
}

function request(hashes = [crypto.randomBytes(32)]) {
  return {
    relying_party: 'portal', credential_id: citizen.credential_id, hashes, display_text: 'Hồ sơ 123',
    algorithm: { scheme: 'SIGNATURE_SCHEME_ECDSA', hash: 'HASH_ALGORITHM_SHA256' },
  };
}

function sign(fields) {
  return k.call(signer, 'Sign', { request_id: crypto.randomUUID(), ...fields });
}

test('the TOTP path', async () => {
  const asked = request();
  const reply = await sign({ request: asked, totp: { code: await code() } });
  assert.ok(k.verifyPrehashed(publicKey, asked.hashes[0], reply.signatures[0], dir));
  assert.ok(!k.verifyPrehashed(publicKey, crypto.randomBytes(32), reply.signatures[0], dir));
});

test('the approval path', async () => {
  const asked = request();
  const begun = await k.call(signer, 'BeginTransaction', { request_id: crypto.randomUUID(), request: asked });
  const key = fs.readFileSync(citizen.device.key);
  const authenticator = { authenticator_id: citizen.device.authenticator_id };
  const waiting = k.call(signer, 'WaitTransaction',
    { relying_party: 'portal', transaction_id: begun.transaction_id, timeout_ms: 20000 }, 30);
  const shown = await k.call(approver, 'GetTransaction', { ...authenticator, transaction_id: begun.transaction_id });
  const digest = k.txDigest(shown);
  assert.deepEqual(digest, begun.tx_digest);
  assert.ok(shown.matching_choices.includes(begun.matching_code));
  await k.call(approver, 'Approve', {
    ...authenticator, transaction_id: begun.transaction_id, matching_code: begun.matching_code,
    signature: k.deviceSign(key, digest, 1, begun.matching_code),
  });
  const authorized = await waiting;
  assert.equal(authorized.state, 'TRANSACTION_STATE_AUTHORIZED');
  const reply = await sign({ request: asked, sad: authorized.sad });
  assert.ok(k.verifyPrehashed(publicKey, asked.hashes[0], reply.signatures[0], dir));
});

test('1000 signatures over one stream', async () => {
  const asked = new Map();
  for (let part = 0; part < 4; part++) {
    const hashes = Array.from({ length: 250 }, () => crypto.randomBytes(32));
    const { sad } = await k.call(signer, 'Authorize',
      { request_id: crypto.randomUUID(), request: request(hashes), totp: { code: await code() } });
    for (const hash of hashes) {
      asked.set(crypto.randomUUID(), { request: request([hash]), sad });
    }
  }
  const stream = signer.SignStream();
  const done = new Promise((resolve, reject) => {
    const replies = new Map();
    stream.on('data', (r) => {
      replies.set(r.request_id, r);
      if (replies.size === asked.size) stream.end();
    });
    stream.on('error', reject);
    stream.on('end', () => resolve(replies));
  });
  for (const [id, fields] of asked) stream.write({ request_id: id, ...fields });
  const replies = await done;
  assert.equal(replies.size, 1000);
  let n = 0;
  for (const [id, r] of replies) {
    assert.equal(r.outcome, 'reply', JSON.stringify(r.error));
    if (n++ % 50 === 0) {
      assert.ok(k.verifyPrehashed(publicKey, asked.get(id).request.hashes[0], r.reply.signatures[0], dir));
    }
  }
});

test('the right status for each refusal', async () => {
  const refused = async (promise, status, name) => {
    const error = await promise.then(() => assert.fail('not refused'), (e) => e);
    assert.equal(error.code, status, error.message);
    assert.equal(k.errorDetail(proto.definition, error).code, name);
  };
  const once = { request_id: crypto.randomUUID(), request: request(), totp: { code: await code() } };
  const { status } = grpc;
  await refused(sign({ request: request(), totp: { code: '000000' } }), status.PERMISSION_DENIED, 'denied');
  await refused(sign({ request: request([Buffer.alloc(31, 1)]), totp: { code: '000000' } }), status.INVALID_ARGUMENT,
    'invalid');
  await refused(sign({ request: { ...request(), credential_id: 'c00000099-0000000000000000' }, totp: { code: '000000' } }),
    status.NOT_FOUND, 'not-found');
  await k.call(signer, 'Sign', once);
  await refused(sign({ request: request(), totp: once.totp }), status.PERMISSION_DENIED, 'denied');
  await refused(k.call(signer, 'Sign', { ...once, request: request() }), status.ALREADY_EXISTS, 'conflict');
  await refused(sign({ request: request(), sad: crypto.randomBytes(32) }), status.PERMISSION_DENIED, 'denied');
  const stranger = connect(proto.v1.Signer, harness.endpoints.signer, 'stranger');
  await refused(k.call(stranger, 'Info', {}), status.UNAUTHENTICATED, 'unauthenticated');
  stranger.close();
});
