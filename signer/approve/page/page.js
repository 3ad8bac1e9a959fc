// SPDX-License-Identifier: Apache-2.0
// The citizens' page: makes a passkey, logs in with it, shows what would be signed, and signs the decision. The transaction digest
// is computed here from the fields that are shown (proto/PROTOCOL.md), so that what is signed is what is seen.
"use strict";

const TEXTS = {
  vi: {
    language: "Ngôn ngữ", enrol_title: "Tạo khóa truy cập", enrol_text: "Khóa truy cập (passkey) nằm trong thiết bị này hoặc trong khóa bảo mật của bạn. Bạn sẽ dùng nó để xác nhận mỗi lần ký.",
    enrol_go: "Tạo khóa truy cập", enrol_done: "Đã tạo khóa truy cập.", enrol_later: "Khóa dùng được từ: ",
    login_title: "Đăng nhập", login_text: "Dùng khóa truy cập của bạn để xem yêu cầu ký.", login_go: "Đăng nhập bằng khóa truy cập", logout_go: "Đăng xuất",
    idle_title: "Không có yêu cầu nào", idle_text: "Trang này tự cập nhật khi có yêu cầu ký.",
    request_title: "Yêu cầu ký", relying_party: "Bên yêu cầu", display_text: "Nội dung", documents: "Mã băm của tài liệu", until: "Có hiệu lực đến",
    choose: "Chọn số mà bên yêu cầu đang hiển thị cho bạn", approve_go: "Đồng ý ký", reject_go: "Từ chối", not_me_go: "Không phải tôi yêu cầu",
    not_me_text: "Tài khoản của bạn sẽ bị khóa cho đến khi nhân viên mở lại.", not_me_yes: "Khóa tài khoản của tôi",
    details: "Chi tiết", client: "Kết nối", credential: "Chứng thư", transaction: "Giao dịch", digest: "Mã băm của giao dịch", result_go: "Tiếp tục", no_text: "(không có)",
    approved_title: "Đã đồng ý", approved_text: "Bên yêu cầu có thể ký ngay bây giờ.", rejected_title: "Đã từ chối", rejected_text: "Không có gì được ký.",
    locked_title: "Đã khóa tài khoản", locked_text: "Không có gì được ký. Hãy liên hệ với nhà cung cấp của bạn.",
    wrong_title: "Sai số", wrong_text: "Số bạn chọn không đúng nên yêu cầu đã bị hủy. Không có gì được ký.",
    over_title: "Yêu cầu đã kết thúc", over_text: "Yêu cầu đã hết hạn, bị hủy hoặc đã được trả lời.",
    denied: "Khóa truy cập không được chấp nhận.", conflict: "Liên kết này đã được dùng, hoặc khóa đã được đăng ký.", busy: "Quá nhiều yêu cầu. Hãy thử lại sau một phút.",
    unavailable: "Dịch vụ tạm thời không sẵn sàng. Hãy thử lại.", inactive: "Chứng thư của bạn hiện không hoạt động.", link: "Liên kết không đúng hoặc đã hết hạn.", choose_one: "Hãy chọn một số.",
    cancelled: "Bạn đã dừng, hoặc thiết bị không có khóa truy cập phù hợp.", no_passkeys: "Trình duyệt này không hỗ trợ khóa truy cập.", login: "Phiên đã hết. Hãy đăng nhập lại.",
  },
  en: {
    language: "Language", enrol_title: "Make a passkey", enrol_text: "The passkey lives in this device or in your security key. You will confirm each signature with it.",
    enrol_go: "Make a passkey", enrol_done: "The passkey has been made.", enrol_later: "It can be used from: ",
    login_title: "Log in", login_text: "Use your passkey to see what you are asked to sign.", login_go: "Log in with a passkey", logout_go: "Log out",
    idle_title: "Nothing to sign", idle_text: "This page shows a request as soon as there is one.",
    request_title: "Request to sign", relying_party: "Who asks", display_text: "What for", documents: "Hashes of the documents", until: "Valid until",
    choose: "Choose the number that they show you", approve_go: "Approve", reject_go: "Reject", not_me_go: "I did not ask for this",
    not_me_text: "Your account will be locked until the staff opens it again.", not_me_yes: "Lock my account",
    details: "Details", client: "Connection", credential: "Credential", transaction: "Transaction", digest: "Digest of the transaction", result_go: "Go on", no_text: "(nothing)",
    approved_title: "Approved", approved_text: "They can sign now.", rejected_title: "Rejected", rejected_text: "Nothing was signed.",
    locked_title: "Your account is locked", locked_text: "Nothing was signed. Please contact your provider.",
    wrong_title: "Wrong number", wrong_text: "That was not the number, so the request has been ended. Nothing was signed.",
    over_title: "The request is over", over_text: "It has expired, was cancelled or has been answered.",
    denied: "The passkey was not accepted.", conflict: "This link has been used, or the key is registered already.", busy: "Too many requests. Please try again in a minute.",
    unavailable: "The service is not available now. Please try again.", inactive: "Your credential is not active.", link: "The link is wrong or has expired.", choose_one: "Please choose a number.",
    cancelled: "You stopped, or this device has no passkey that fits.", no_passkeys: "This browser cannot use passkeys.", login: "Your session has ended. Please log in again.",
  },
};
const PENDING = 1, REJECTED = 4;
const POLL_MS = 2000;

const $ = (id) => document.getElementById(id);
let language = "vi";
let link = null;      // {authenticator, code} of an enrolment link
let shown = null;     // the transaction on the page, as the server told it
let credential = null; // of the passkey that logged in
let timer = 0;

// --- bytes ---------------------------------------------------------------------------------------

const utf8 = (text) => new TextEncoder().encode(text);
const toBase64 = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes)));
const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

function joined(parts) {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const p of parts) {
    all.set(p, at);
    at += p.length;
  }
  return all;
}

function number(value, size) { // big-endian; values stay below 2^53
  const bytes = new Uint8Array(size);
  for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
  return bytes;
}

async function txDigest(t) {
  const a = t.algorithm, pss = a.scheme === 3;
  const algorithm = [a.scheme, a.hash, pss ? a.mgf_hash || a.hash : 0, ...number(pss ? a.salt_length : 0, 2)];
  const fields = [
    ...[t.server_id, t.client, t.relying_party, t.transaction_id, t.subject_id, t.credential_id].map(utf8),
    number(t.credential_epoch, 4), fromBase64(t.key_spki_sha256), Uint8Array.from(algorithm), number(t.hashes.length, 4),
    ...t.hashes.map(fromBase64), await sha256(utf8(t.display_text)), number(t.not_after, 8), fromBase64(t.nonce),
  ];
  return sha256(joined([utf8("kyso.v1.tx\0"), ...fields.flatMap((f) => [number(f.length, 4), f])]));
}

async function approvalChallenge(t, decision, code) {
  return sha256(joined([utf8("kyso.v1.approval\0"), await txDigest(t), Uint8Array.of(decision, code.length), utf8(code)]));
}

// --- the server ------------------------------------------------------------------------------------

class Refused extends Error {}

async function call(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Refused("unavailable");
  }
  const said = await answer.json().catch(() => ({ error: "unavailable" }));
  if (!answer.ok) throw new Refused(said.error);
  return said;
}

// --- the passkey -------------------------------------------------------------------------------------

async function assertion(challenge) {
  const got = await navigator.credentials.get({
    publicKey: {
      challenge, rpId: location.hostname, userVerification: "required",
      allowCredentials: credential ? [{ type: "public-key", id: credential }] : [],
    },
  });
  return {
    credential: got.rawId,
    owner: got.response.userHandle ? new TextDecoder().decode(got.response.userHandle) : "",
    word: {
      data: toBase64(got.response.authenticatorData), client: toBase64(got.response.clientDataJSON),
      signature: toBase64(got.response.signature),
    },
  };
}

async function enrol() {
  const made = await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)), rp: { id: location.hostname, name: "Kyso" },
      user: { id: utf8(link.authenticator), name: "Kyso", displayName: "Kyso" },
      pubKeyCredParams: [{ type: "public-key", alg: -7 }], attestation: "none",
      authenticatorSelection: { residentKey: "required", requireResidentKey: true, userVerification: "required" },
    },
  });
  const said = await call("/api/enrol", { ...link, public_key: toBase64(made.response.getPublicKey()) }).catch((e) => {
    throw e.message === "denied" || e.message === "not-found" ? new Refused("link") : e;
  });
  link = null;
  history.replaceState(null, "", "/");
  show("login");
  const later = said.usable_from * 1000 > Date.now();
  say("notice", text("enrol_done") + (later ? " " + text("enrol_later") + time(said.usable_from) : ""));
}

async function login() {
  const { challenge } = await call("/api/login/begin", {});
  const got = await assertion(fromBase64(challenge));
  await call("/api/login", { authenticator: got.owner, challenge, assertion: got.word });
  credential = got.credential;
  await look();
}

// --- what is shown ---------------------------------------------------------------------------------------

const text = (name) => TEXTS[language][name];
const time = (seconds) => new Date(seconds * 1000).toLocaleString(language === "vi" ? "vi-VN" : "en-GB");

function translate() {
  document.documentElement.lang = language;
  for (const e of document.querySelectorAll("[data-text]")) e.textContent = text(e.dataset.text);
  for (const e of document.querySelectorAll("[data-label]")) e.setAttribute("aria-label", text(e.dataset.label));
  for (const l of ["vi", "en"]) $(l).setAttribute("aria-pressed", String(l === language));
  if (shown) fill(shown);
}

function say(where, what) {
  for (const id of ["notice", "problem"]) $(id).hidden = true;
  if (!what) return;
  $(where).textContent = what;
  $(where).hidden = false;
  $(where).scrollIntoView({ block: "nearest" });
}

function show(name) {
  const same = !$(name).hidden;
  for (const s of document.querySelectorAll("section")) s.hidden = s.id !== name;
  if (same) return;
  say("notice", "");
  $(name).querySelector("h1").focus();
}

function result(name) {
  shown = null;
  $("result_title").textContent = text(name + "_title");
  $("result_text").textContent = text(name + "_text");
  show("result");
}

async function fill(t) {
  for (const id of ["relying_party", "client"]) $(id).textContent = t[id];
  $("display_text").textContent = t.display_text || text("no_text");
  $("credential").textContent = t.credential_id;
  $("transaction").textContent = t.transaction_id;
  $("until").textContent = time(t.not_after);
  $("hashes").replaceChildren(...t.hashes.map((h) => {
    const item = document.createElement("li");
    item.textContent = hex(fromBase64(h));
    return item;
  }));
  $("digest").textContent = hex(await txDigest(t));
}

function open(t) {
  shown = t;
  $("choices").replaceChildren(...t.choices.map((code) => {
    const label = document.createElement("label"), input = document.createElement("input");
    Object.assign(input, { type: "radio", name: "code", value: code, required: true });
    label.append(input, code);
    return label;
  }));
  $("not_me").hidden = true;
  $("not_me_ask").setAttribute("aria-expanded", "false");
  fill(t);
  show("request");
}

// Asks what is pending, shows it, and asks again while nothing needs the citizen.
async function look() {
  clearTimeout(timer);
  try {
    const { transactions } = await call("/api/pending");
    const now = transactions[0];
    if (shown && (!now || now.transaction_id !== shown.transaction_id)) return result("over");
    if (now && !shown) open(now);
    if (!now) show("idle");
  } catch (e) {
    if (e.message === "login") return leave(credential ? "login" : "");
    say("problem", text(e.message) || text("unavailable"));
  }
  timer = setTimeout(look, POLL_MS);
}

function leave(why) {
  clearTimeout(timer);
  shown = credential = null;
  show("login");
  if (why) say("problem", text(why));
}

async function decide(decision, number_, code) {
  const t = shown;
  const word = number_ === 2 ? undefined : (await assertion(await approvalChallenge(t, number_, code))).word;
  try {
    await call("/api/decide", { transaction: t.transaction_id, decision, code, assertion: word });
    return result({ approve: "approved", reject: "rejected", not_me: "locked" }[decision]);
  } catch (e) {
    if (e.message === "tx-ended") return result("over");
    const { state } = e.message === "denied" ? await call("/api/transaction/" + t.transaction_id) : { state: PENDING };
    if (state === REJECTED) return result("wrong");
    if (state !== PENDING) return result("over");
    throw e;
  }
}

// --- what the citizen does ---------------------------------------------------------------------------------

function on(id, event, act) {
  $(id).addEventListener(event, async (e) => {
    e.preventDefault();
    clearTimeout(timer); // one thing at a time
    say("problem", "");
    for (const b of document.querySelectorAll("main button")) b.disabled = true;
    try {
      await act();
    } catch (x) {
      say("problem", x instanceof Refused ? text(x.message) || text("unavailable") : text("cancelled"));
    }
    for (const b of document.querySelectorAll("main button")) b.disabled = false;
    if (shown) timer = setTimeout(look, POLL_MS);
  });
}

on("enrol_go", "click", enrol);
on("login_go", "click", login);
on("logout_go", "click", async () => {
  await call("/api/logout", {});
  leave("");
});
on("form", "submit", async () => {
  const code = new FormData($("form")).get("code");
  if (!code) throw new Refused("choose_one");
  await decide("approve", 1, code);
});
on("reject_go", "click", () => decide("reject", 2, ""));
on("not_me_go", "click", () => decide("not_me", 3, ""));
on("not_me_ask", "click", async () => {
  $("not_me").hidden = !$("not_me").hidden;
  $("not_me_ask").setAttribute("aria-expanded", String(!$("not_me").hidden));
});
on("result_go", "click", look);
for (const l of ["vi", "en"]) $(l).addEventListener("click", () => {
  language = l;
  translate();
});

if (!navigator.language.startsWith("vi")) language = "en";
translate();
const found = /^#([\w-]+)\.(\d+)$/.exec(location.hash);
if (!window.PublicKeyCredential) {
  say("problem", text("no_passkeys"));
} else if (found) {
  link = { authenticator: found[1], code: found[2] };
  show("enrol");
} else {
  look();
}
