// SPDX-License-Identifier: Apache-2.0
// A Kyso client on npm's gRPC, written from proto/PROTOCOL.md and the .proto files alone.
'use strict';

const crypto = require('node:crypto');
const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const OPTIONS = { keepCase: true, longs: String, enums: String, defaults: true, oneofs: true };

function load(protoDir) {
  const files = ['kyso/v1/signer.proto', 'kyso/v1/approver.proto', 'kyso/v1/types.proto'];
  const definition = loader.loadSync(files, { ...OPTIONS, includeDirs: [protoDir] });
  return { definition, v1: grpc.loadPackageDefinition(definition).kyso.v1 };
}

function credentials(ca, client) {
  return grpc.credentials.createSsl(fs.readFileSync(ca), fs.readFileSync(client.key), fs.readFileSync(client.cert));
}

/** One unary call as a promise. */
function call(stub, method, request, seconds = 15) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + seconds * 1000);
    stub[method](request, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

/** RFC 6238 over a base32 secret. */
function totp({ secret, digits, hash }, step) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let bits = '';
  for (const c of secret.replace(/=+$/, '')) bits += alphabet.indexOf(c).toString(2).padStart(5, '0');
  const seed = Buffer.from(bits.match(/.{8}/g).map((b) => parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = crypto.createHmac(hash, seed).update(counter).digest();
  const value = mac.readUInt32BE(mac[mac.length - 1] & 15) & 0x7fffffff;
  return String(value % 10 ** digits).padStart(digits, '0');
}

const SCHEMES = ['SIGNATURE_SCHEME_UNSPECIFIED', 'SIGNATURE_SCHEME_ECDSA', 'SIGNATURE_SCHEME_RSA_PKCS1',
  'SIGNATURE_SCHEME_RSA_PSS', 'SIGNATURE_SCHEME_EDDSA'];
const HASHES = ['HASH_ALGORITHM_UNSPECIFIED', 'HASH_ALGORITHM_SHA256', 'HASH_ALGORITHM_SHA384', 'HASH_ALGORITHM_SHA512'];

function field(bytes) {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function integer(value, size) {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(value));
  return b.subarray(8 - size);
}

/** PROTOCOL.md, "The transaction digest", from a PendingTransaction. */
function txDigest(t) {
  const scheme = SCHEMES.indexOf(t.algorithm.scheme);
  const hash = HASHES.indexOf(t.algorithm.hash);
  const pss = scheme === 3;
  const mgf = pss ? HASHES.indexOf(t.algorithm.pss.mgf_hash) || hash : 0;
  const salt = pss ? t.algorithm.pss.salt_length : 0;
  const texts = [t.server_id, t.client, t.relying_party, t.transaction_id, t.subject_id, t.credential_id];
  const fields = [...texts.map((s) => Buffer.from(s)), integer(t.credential_epoch, 4), t.key_spki_sha256,
    Buffer.concat([integer(scheme, 1), integer(hash, 1), integer(mgf, 1), integer(salt, 2)]),
    integer(t.hashes.length, 4), ...t.hashes, crypto.createHash('sha256').update(t.display_text).digest(),
    integer(t.not_after, 8), t.nonce];
  return crypto.createHash('sha256').update(Buffer.concat([Buffer.from('kyso.v1.tx\0'), ...fields.map(field)])).digest();
}

/** What a device signs, and its signature: ES256 in DER, Ed25519 raw. */
function deviceSign(keyPem, digest, decision, code) {
  const challenge = crypto.createHash('sha256').update(Buffer.concat([Buffer.from('kyso.v1.approval\0'), digest,
    Buffer.from([decision, code.length]), Buffer.from(code)])).digest();
  const key = crypto.createPrivateKey(keyPem);
  return crypto.sign(key.asymmetricKeyType === 'ed25519' ? null : 'sha256', challenge, key);
}

/** The error detail of a refusal: the last field of google.rpc.Status is taken apart by hand. */
function errorDetail(definition, error) {
  const [packed] = error.metadata.get('grpc-status-details-bin');
  if (!packed) return null;
  const any = fieldOf(packed, 3);
  return definition['kyso.v1.ErrorDetail'] && decodeDetail(fieldOf(any, 2));
}

function decodeDetail(bytes) {
  const detail = { code: '', retry: 0, retry_after_ms: 0 };
  const code = fieldOf(bytes, 1);
  if (code) detail.code = code.toString();
  detail.retry = fieldOf(bytes, 2) || 0;
  detail.retry_after_ms = fieldOf(bytes, 3) || 0;
  return detail;
}

function fieldOf(bytes, wanted) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[at++];
      value += (b & 127) * 2 ** shift;
      if (b < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    let value = varint();
    if ((tag & 7) === 2) {
      const end = at + value;
      value = bytes.subarray(at, end);
      at = end;
    }
    if (tag >> 3 === wanted) return value;
  }
  return null;
}

/** Verifies a DER ECDSA signature over a SHA-256 digest with the openssl command: Node has no prehashed verification. */
function verifyPrehashed(spkiDer, digest, signature, dir) {
  const at = (name) => `${dir}/${name}`;
  fs.writeFileSync(at('pub.der'), spkiDer);
  fs.writeFileSync(at('digest'), digest);
  fs.writeFileSync(at('sig'), signature);
  const { spawnSync } = require('node:child_process');
  return spawnSync('openssl', ['pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-inkey', at('pub.der'), '-in', at('digest'),
    '-sigfile', at('sig')]).status === 0;
}

module.exports = { grpc, load, credentials, call, totp, txDigest, deviceSign, errorDetail, verifyPrehashed };
