// Writes vectors.json, the language-neutral test vectors of every scheme, to standard output:
//
//   node make_vectors.mjs > vectors.json
//
// Signatures come from Node's crypto; check_vectors.py goes over the result with Python's hmac and an Ed25519 of its own.
// Keys and times are fixed, so that the output is the same bytes each time.
import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { createHash, createHmac, createPrivateKey, createPublicKey, sign as signEd25519 } from 'node:crypto';

const T = 1614265330; // the time in the specification's example
const YEAR = 365 * 24 * 3600;

// --- bodies

const text = (s) => Buffer.from(s, 'utf8');
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
const repeated = new Map(); // a large body -> [the bytes that are repeated, how often]
function repeat(bytes, count) {
  const body = Buffer.concat(Array(count).fill(bytes));
  repeated.set(body, [bytes, count]);
  return body;
}

const bodies = {
  spec: text('{"test": 2432232314}'),
  hello: text('Hello, World!'),
  empty: Buffer.alloc(0),
  json: text('{"a":1,"b":"é"}'),
  'JSON with blanks': text('{"a": 1, "b": "é"}'),
  'UTF-8': text('{"app":"hé","zh":"部署","rocket":"🚀"}'),
  'every byte': everyByte,
  'not UTF-8': Buffer.from([0xff, 0xfe, 0xc3, 0x28]),
  NUL: Buffer.from([0]),
  'byte order mark': text('\ufeff{}'),
  'line end': text('{"a":1}\n'),
  'CR LF inside': text('{"a":\r\n1}\r\n'),
  dots: text('1.2.x'),
  'form-encoded': text('payload=%7B%22a%22%3A1%7D'),
  '64 KiB': repeat(everyByte, 256),
};

// What a signature of bodies.json must not cover.
const reencoded = {
  'with blanks': bodies['JSON with blanks'],
  'in another order': text('{"b":"é","a":1}'),
  'with an escape': text('{"a":1,"b":"\\u00e9"}'),
  'with a line end after it': text('{"a":1,"b":"é"}\n'),
  'with CR LF after it': text('{"a":1,"b":"é"}\r\n'),
  'with 1.0 for 1': text('{"a":1.0,"b":"é"}'),
  'with a decomposed accent': text('{"a":1,"b":"e\u0301"}'),
  'with a byte order mark': text('\ufeff{"a":1,"b":"é"}'),
  'cut off': text('{"a":1,"b":"é"'),
  'left out': Buffer.alloc(0),
};

// --- keys

const b64 = (buf) => buf.toString('base64');
const secretOf = (bytes) => `whsec_${b64(bytes)}`;
const counting = (from, n) => Buffer.from(Array.from({ length: n }, (_, i) => (from + i) & 0xff));

const spec = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
const standardNew = secretOf(counting(0, 32));
const standardOld = secretOf(counting(100, 32));
const literal = 'a literal secret, its bytes are the key';
const literalNew = 'the new literal secret of a rotation';
const literalOld = 'the old literal secret of a rotation';
const everybody = "It's a Secret to Everybody"; // GitHub's own example

// The keys of RFC 8032, section 7.1.
const pair = ed25519('9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60', 'd75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a');
const pairNew = ed25519('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb', '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
const pairOld = ed25519('c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7', 'fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025');

function ed25519(seedHex, publicHex) {
  const seed = Buffer.from(seedHex, 'hex');
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' });
  const pub = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x, 'base64url');
  assert.equal(pub.toString('hex'), publicHex);
  return { key, seed, pub, whsk: `whsk_${b64(Buffer.concat([seed, pub]))}`, whskSeed: `whsk_${b64(seed)}`, whpk: `whpk_${b64(pub)}` };
}

// --- signatures

const mac = (algorithm, key, ...parts) => createHmac(algorithm, key).update(Buffer.concat(parts.map((p) => (Buffer.isBuffer(p) ? p : text(p))))).digest();
const decoded = (whsec) => Buffer.from(whsec.slice('whsec_'.length), 'base64');
const flip = (buf, at = 0) => { const out = Buffer.from(buf); out[at] ^= 1; return out; };

// One entry of a Standard list: key is a whsec_ text, or a pair from ed25519.
function standardEntry(key, id, ts, body) {
  const message = Buffer.concat([text(`${id}.${ts}.`), body]);
  return typeof key === 'string' ? `v1,${b64(mac('sha256', decoded(key), message))}` : `v1a,${b64(signEd25519(null, message, key.key))}`;
}
const standardHeaders = (list, id, ts) => [['Webhook-Id', id], ['Webhook-Timestamp', String(ts)], ['Webhook-Signature', list]];
const timestampedMAC = (key, ts, body) => mac('sha256', key, `${ts}.`, body).toString('hex');
const timestampedHeaders = (signature, ts, prefix = 'X-Webhook', id = 'whk_1') => [[`${prefix}-Id`, id], [`${prefix}-Timestamp`, String(ts)], [`${prefix}-Signature`, signature]];
const stripeValue = (keys, ts, body) => `t=${ts}${keys.map((k) => `,v1=${timestampedMAC(k, ts, body)}`).join('')}`;

// --- the cases

const cases = [];
const names = new Set();
const keyOf = (k) => (typeof k === 'string' ? { text: k } : k);

function add(name, c) {
  assert(!names.has(name), name);
  names.add(name);
  const body = c.body ?? Buffer.alloc(0);
  const out = { name, scheme: c.scheme, options: c.options ?? {}, keys: c.keys.map(keyOf), now: c.now ?? T, headers: c.headers ?? [], body: encodeBody(body) };
  if (c.reason) {
    Object.assign(out, { valid: false, reason: c.reason });
  } else {
    Object.assign(out, { valid: true, expect: { id: '', timestamp: 0, key: 0, principal: '', ...c.expect } });
    if (c.sign) out.sign = c.sign;
  }
  cases.push(out);
}

function encodeBody(body) {
  if (repeated.has(body)) {
    const [bytes, count] = repeated.get(body);
    return { base64: b64(bytes), repeat: count };
  }
  const out = { base64: b64(body) };
  if (body.length && !/[\u0000-\u0008\u000b-\u001f\ufeff\ufffd]/.test(body.toString('utf8'))) out.text = body.toString('utf8');
  return out;
}

// A timestamp's text that is refused, although what was signed has the same text in it.
const timestampForms = {
  empty: '', zero: '0', negative: '-1', 'with a plus': `+${T}`, 'with a zero before it': `0${T}`, 'with a fraction': `${T}.0`,
  'with a blank before it': ` ${T}`, 'with a blank after it': `${T} `, 'with a tab after it': `${T}\t`, 'in milliseconds': `${T}000`,
  'of 12 digits': '100000000000', 'greatest int64': '9223372036854775807', 'least int64': '-9223372036854775808',
  'wraps around to now': String(2n ** 64n + BigInt(T)), 'with an exponent': '1e9', hexadecimal: '0x60376c32', NaN: 'NaN',
  'in full-width digits': '１６１４２６５３３０', 'with a letter O': '161426533O', 'with underscores': '1_614_265_330', 'as a date': '2021-02-25T15:02:10Z',
};
const ages = [ // [name, signed time from now, tolerance or undefined for the default, reason or undefined]
  ['at the old end of the tolerance', -300, undefined, undefined], ['a second too old', -301, undefined, 'too_old'],
  ['at the new end of the tolerance', 300, undefined, undefined], ['a second too new', 301, undefined, 'too_new'],
  ['a year ago', -YEAR, undefined, 'too_old'], ['a year ahead', YEAR, undefined, 'too_new'],
  ['in 1970', 1 - T, undefined, 'too_old'], ['of 11 digits', 99999999999 - T, undefined, 'too_new'],
  ['within a tolerance of a second', -1, 1, undefined], ['outside a tolerance of a second', -2, 1, 'too_old'],
  ['within a tolerance of a day', 86400, 86400, undefined],
];

// signedBy says, for each case of a rotation, which key signed and what the verifier holds.
const rotations = [ // [name, signing keys, verifying keys, index of the match or -1]
  ['old signs, old verifies', ['old'], ['old'], 0], ['old signs, new verifies', ['old'], ['new'], -1], ['old signs, both verify', ['old'], ['new', 'old'], 1],
  ['new signs, old verifies', ['new'], ['old'], -1], ['new signs, new verifies', ['new'], ['new'], 0], ['new signs, both verify', ['new'], ['new', 'old'], 0],
  ['both sign, old verifies', ['new', 'old'], ['old'], 0], ['both sign, new verifies', ['new', 'old'], ['new'], 0], ['both sign, both verify', ['new', 'old'], ['new', 'old'], 0],
];
const retired = [ // the old key signed
  ['old key at its end', T, 1], ['old key a second past its end', T - 1, -1],
];

// --- Standard

const specID = 'msg_p5jXN8AQM9LWM0D4loKWxJek';

function standard(name, c) {
  const { id = specID, ts = T, body = bodies.spec, keys = [spec], signers = keys, list, headers, ...rest } = c;
  const entries = list ?? signers.map((k) => standardEntry(k, id, ts, body)).join(' ');
  const keyTexts = keys.map((k) => (k.pub ? k.whpk : k));
  add(`Standard: ${name}`, { scheme: 'Standard', keys: keyTexts, body, headers: headers ?? standardHeaders(entries, id, ts), ...(rest.reason ? {} : { expect: { id, timestamp: Number(ts) } }), ...rest });
}

function standardCases() {
  const good = standardEntry(spec, specID, T, bodies.spec);
  assert.equal(good, 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=');
  const again = { id: specID, at: T };
  standard("the specification's own example", { sign: again });
  for (const [name, body] of Object.entries(bodies)) standard(`body: ${name}`, { body, sign: again });
  for (const [name, n] of [['24', 24], ['64', 64]]) standard(`key of ${name} bytes`, { keys: [secretOf(counting(7, n))], sign: again });
  standard('header names in lower case', { headers: standardHeaders(good, specID, T).map(([n, v]) => [n.toLowerCase(), v]) });
  standard('headers that do not matter', { headers: [...standardHeaders(good, specID, T), ['Content-Type', 'text/plain'], ['X-Webhook-Signature', 'x'], ['Webhook-Signature-Version', '2']] });
  standard('principal', { options: { principal: 'acme' }, expect: { id: specID, timestamp: T, principal: 'acme' } });
  for (const [name, body] of Object.entries(reencoded)) {
    standard(`JSON body ${name}`, { body, list: standardEntry(spec, specID, T, bodies.json), reason: 'no_match' });
  }
  for (const [name, id] of [['one byte', 'a'], ['255 bytes', 'a'.repeat(255)], ['punctuation', '!"#$%&\'()*+,-/:;<=>?@[\\]^_`{|}~']]) standard(`ID: ${name}`, { id, sign: { id, at: T } });
  for (const [name, id] of [['empty', ''], ['a dot', 'a.1'], ['a blank', 'a b'], ['a blank after it', `${specID} `], ['not ASCII', 'é'], ['DEL', 'a\x7f'], ['NUL', 'a\0'], ['a line end', 'a\n'], ['256 bytes', 'a'.repeat(256)]]) {
    standard(`ID: ${name}`, { id, reason: 'malformed' });
  }
  standard('signed bytes of another ID, time and body', { headers: standardHeaders(standardEntry(spec, 'a', T, text('2.x')), `a.${T}`, 2), body: text('x'), reason: 'malformed' });
  standard('another ID', { headers: standardHeaders(good, 'msg_other', T), reason: 'no_match' });
  standard('another time', { headers: standardHeaders(good, specID, T + 1), reason: 'no_match' });
  for (const [name, ts] of Object.entries(timestampForms)) standard(`timestamp ${name}`, { ts, reason: 'malformed' });
  for (const [name, offset, tolerance, reason] of ages) standard(`timestamp ${name}`, { ts: T + offset, options: tolerance ? { tolerance } : {}, reason });
  const headers = standardHeaders(good, specID, T);
  headers.forEach(([header, value], i) => {
    standard(`without ${header}`, { headers: headers.filter((_, j) => j !== i), reason: 'missing_header' });
    standard(`${header} twice`, { headers: [...headers, [header, value]], reason: 'malformed' });
    standard(`${header} twice, the second another`, { headers: [...headers, [header.toLowerCase(), i === 1 ? '1' : 'x']], reason: 'malformed' });
  });
  standard('no headers', { headers: [], reason: 'missing_header' });
  standardSignatures(good);
  standardLists(good);
  standardKeys(good);
}

function standardSignatures(good) {
  const list = (name, value, reason) => standard(`signature ${name}`, { list: value, reason });
  const entry = good.slice(3);
  list('empty', '', 'no_match');
  list('version alone', 'v1,', 'no_match');
  list('without version', entry, 'no_match');
  list('with an empty version', `,${entry}`, 'no_match');
  list('of another version', `v2,${entry}`, 'no_match');
  list('with an upper-case version', `V1,${entry}`, 'no_match');
  list('HMAC as v1a', `v1a,${entry}`, 'no_match');
  list('without padding', good.slice(0, -1), 'no_match');
  list('in the URL-safe alphabet', good.replaceAll('+', '-').replaceAll('/', '_'), 'no_match');
  list('with trailing bits', good.replace('1OE=', '1OF='), 'no_match');
  list('in hexadecimal', `v1,${mac('sha256', decoded(spec), `${specID}.${T}.`, bodies.spec).toString('hex')}`, 'no_match');
  list('with a line end inside', `${good.slice(0, 20)}\n${good.slice(20)}`, 'no_match');
  list('with line ends for its last characters', `${good.slice(0, 43)}\n\n\n\n`, 'no_match');
  list('cut off', good.slice(0, -4), 'no_match');
  list('longer', `${good}AAAA`, 'no_match');
  list('with a blank before it', ` ${good}`);
  list('with a blank after it', `${good} `);
  list('with v1= in place of v1,', `v1=${entry}`, 'no_match');
  list('with another first byte', `v1,${b64(flip(Buffer.from(entry, 'base64')))}`, 'no_match');
  list('with another last byte', `v1,${b64(flip(Buffer.from(entry, 'base64'), 31))}`, 'no_match');
  list('of zeros', `v1,${b64(Buffer.alloc(32))}`, 'no_match');
  list('without the ID', `v1,${b64(mac('sha256', decoded(spec), `${T}.`, bodies.spec))}`, 'no_match');
  list('of the body alone', `v1,${b64(mac('sha256', decoded(spec), bodies.spec))}`, 'no_match');
  list('keyed with the text, not decoded', `v1,${b64(mac('sha256', spec, `${specID}.${T}.`, bodies.spec))}`, 'no_match');
  list('keyed with the base64, not decoded', `v1,${b64(mac('sha256', spec.slice(6), `${specID}.${T}.`, bodies.spec))}`, 'no_match');
  list('keyed with nothing', `v1,${b64(mac('sha256', '', `${specID}.${T}.`, bodies.spec))}`, 'no_match');
}

function standardLists(good) {
  const list = (name, value, reason) => standard(`list: ${name}`, { list: value, reason });
  const other = `v1,${b64(Buffer.alloc(32, 1))}`;
  const v1a = `v1a,${b64(Buffer.alloc(64, 1))}`;
  list('the good one first', `${good} ${other}`);
  list('the good one last', `${other} ${good}`);
  list('the good one twice', `${good} ${good}`);
  list('beside a v1a', `${v1a} ${good}`);
  list('beside an unknown version', `v9,%%% ${good}`);
  list('16 signatures', `${`${other} `.repeat(15)}${good}`);
  list('17 signatures', `${`${other} `.repeat(16)}${good}`, 'malformed');
  list('17 entries, the good one first', `${good}${' v9,x'.repeat(16)}`, 'malformed');
  list('8 KiB', `v9,${'x'.repeat(8192 - 4 - good.length)} ${good}`);
  list('8 KiB and one byte', `v9,${'x'.repeat(8193 - 4 - good.length)} ${good}`, 'malformed');
  list('two blanks between', `${good}  ${other}`);
  list('a tab between', `${good}\t${other}`, 'no_match');
  list('a comma between', `${good},${other}`, 'no_match');
  list('a short one after the good one', `${good} v1,AAAA`);
  list('the good one between a short one and an unknown version', `v1,AAAA ${good} v2,xyz`);
  list('the good one after 15 that are skipped', `${'v1,AAAA '.repeat(15)}${good}`);
  list('the good one after 16 that are skipped', `${'v1,AAAA '.repeat(16)}${good}`, 'malformed');
  list('15 blanks before the good one', `${' '.repeat(15)}${good}`);
  list('16 blanks before the good one', `${' '.repeat(16)}${good}`, 'malformed');
  list('skipped entries alone', 'v1,AAAA v1a,AAAA x', 'no_match');
  list('a short v1a after the good one', `${good} v1a,AAAA`);
  list('unknown versions alone', 'v9,x v8,y', 'no_match');
}

function standardKeys() {
  const by = { old: standardOld, new: standardNew };
  rotations.forEach(([name, signers, keys, at]) => {
    standard(`rotation: ${name}`, {
      keys: keys.map((k) => by[k]), signers: signers.map((k) => by[k]), ...(at < 0 ? { reason: 'no_match' } : { expect: { id: specID, timestamp: T, key: at } }),
      ...(String(signers) === String(keys) ? { sign: { id: specID, at: T } } : {}),
    });
  });
  for (const [name, end, at] of retired) {
    standard(`rotation: ${name}`, {
      keys: [standardNew, { text: standardOld, not_after: end }], signers: [standardOld], ...(at < 0 ? { reason: 'no_match' } : { expect: { id: specID, timestamp: T, key: at } }),
    });
  }
  for (const [name, key] of Object.entries({
    empty: '', 'the prefix alone': 'whsec_', 'without prefix': spec.slice(6), 'upper-case prefix': `WHSEC_${spec.slice(6)}`, 'prefix doubled': `whsec_${spec}`,
    'line end': `${spec}\n`, 'blank before it': ` ${spec}`, 'URL-safe alphabet': `whsec_${'-_--'.repeat(8)}`, 'without padding': `whsec_${'A'.repeat(34)}`,
    'not base64': `whsec_${'!'.repeat(32)}`, 'trailing bits': `whsec_${'A'.repeat(34)}B=`, '23 bytes': secretOf(counting(0, 23)), '65 bytes': secretOf(counting(0, 65)), 'a literal text': literal,
  })) standard(`key: ${name}`, { keys: [key], list: '', headers: [], reason: 'invalid_secret' });
  standard('key: twice the same', { keys: [spec, spec], headers: [], reason: 'invalid_config' });
}

// --- Standard with Ed25519

function ed25519Cases() {
  const again = { id: specID, at: T };
  const one = (name, c) => standard(`Ed25519: ${name}`, { keys: [pair], ...c });
  const good = standardEntry(pair, specID, T, bodies.spec);
  for (const [name, body] of Object.entries(bodies)) one(`body: ${name}`, { keys: [pair.whsk], signers: [pair], body, sign: again });
  one('public key', {});
  one('private key of 32 bytes', { keys: [pair.whskSeed], signers: [pair], sign: again });
  for (const [name, body] of Object.entries(reencoded)) one(`JSON body ${name}`, { body, list: standardEntry(pair, specID, T, bodies.json), reason: 'no_match' });
  one('another ID', { headers: standardHeaders(good, 'msg_other', T), reason: 'no_match' });
  one('another time', { headers: standardHeaders(good, specID, T + 1), reason: 'no_match' });
  one('too old', { ts: T - 301, reason: 'too_old' });
  one('too new', { ts: T + 301, reason: 'too_new' });
  const raw = Buffer.from(good.slice(4), 'base64');
  const list = (name, value, reason) => one(`signature ${name}`, { list: value, reason });
  const of = (buf) => `v1a,${b64(buf)}`;
  list('with another first byte', of(flip(raw)), 'no_match');
  list('with another last byte', of(flip(raw, 63)), 'no_match');
  list('with another 33rd byte', of(flip(raw, 32)), 'no_match');
  list('of zeros', of(Buffer.alloc(64)), 'no_match');
  list('with its scalar and the group order added', of(addOrder(raw)), 'no_match');
  list('as v1', `v1,${good.slice(4)}`, 'no_match');
  list('without padding', good.slice(0, -2), 'no_match');
  const withBoth = standardEntry(pair, specID, T, bodies.json);
  assert.match(withBoth, /[+/]/);
  one('signature in the URL-safe alphabet', { body: bodies.json, list: withBoth.replaceAll('+', '-').replaceAll('/', '_'), reason: 'no_match' });
  list('of 63 bytes', of(raw.subarray(0, 63)), 'no_match');
  list('of 65 bytes', of(Buffer.concat([raw, Buffer.alloc(1)])), 'no_match');
  list('with trailing bits', `${good.slice(0, -3)}${String.fromCharCode(good.charCodeAt(good.length - 3) + 1)}==`, 'no_match');
  list('with an upper-case version', `V1A,${good.slice(4)}`, 'no_match');
  list('after a spoiled v1', `v1,AAAA ${good}`);
  one('three keys', { keys: [pair, pairNew, pairOld], headers: [], reason: 'invalid_config' });
  list('beside a v1 nobody has the key of', `${standardEntry(spec, specID, T, bodies.spec)} ${good}`);
  list('16th of a list', `${`${of(flip(raw))} `.repeat(15)}${good}`);
  list('17th of a list', `${`${of(flip(raw))} `.repeat(16)}${good}`, 'malformed');
  list('second distinct one of a list', `${of(flip(raw))} v1a,AAAA ${of(flip(raw))} ${good}`);
  list('third distinct one of a list', `${of(flip(raw))} ${of(flip(raw, 1))} ${good}`, 'no_match');
  list('HMAC keyed with the public key', `v1,${b64(mac('sha256', pair.pub, `${specID}.${T}.`, bodies.spec))}`, 'no_match');
  list("HMAC keyed with the public key's text", `v1,${b64(mac('sha256', pair.whpk, `${specID}.${T}.`, bodies.spec))}`, 'no_match');
  const by = { old: pairOld, new: pairNew };
  rotations.forEach(([name, signers, keys, at]) => {
    one(`rotation: ${name}`, {
      keys: keys.map((k) => by[k]), signers: signers.map((k) => by[k]), ...(at < 0 ? { reason: 'no_match' } : { expect: { id: specID, timestamp: T, key: at } }),
    });
  });
  one('rotation: both sign again', { keys: [pairNew.whsk, pairOld.whsk], signers: [pairNew, pairOld], sign: again });
  for (const [name, end, at] of retired) {
    one(`rotation: ${name}`, { keys: [pairNew, { text: pairOld.whpk, not_after: end }], signers: [pairOld], ...(at < 0 ? { reason: 'no_match' } : { expect: { id: specID, timestamp: T, key: at } }) });
  }
  for (const [name, key] of Object.entries({
    'private key of 31 bytes': `whsk_${b64(counting(0, 31))}`, 'public half of another': `whsk_${b64(Buffer.concat([pair.seed, pairNew.pub]))}`,
    'private key, nothing but the prefix': 'whsk_', 'private key with a line end': `${pair.whsk}\n`, 'private key without padding': pair.whsk.slice(0, -2),
    'public key of 31 bytes': `whpk_${b64(counting(0, 31))}`, 'public key of 64 bytes': `whpk_${b64(counting(0, 64))}`, 'public key with its prefix doubled': `whpk_${pair.whpk}`,
  })) one(`key: ${name}`, { keys: [key], headers: [], list: '', reason: 'invalid_secret' });
}

// addOrder gives the other scalar that a careless verifier takes for the same signature.
function addOrder(raw) {
  let s = 0n;
  for (let i = 63; i >= 32; i--) s = (s << 8n) | BigInt(raw[i]);
  s += 2n ** 252n + 27742317777372353535851937790883648493n;
  const out = Buffer.from(raw);
  for (let i = 32; i < 64; i++, s >>= 8n) out[i] = Number(s & 0xffn);
  assert.equal(s, 0n);
  return out;
}

function mixedCases() {
  const one = (name, c) => standard(`HMAC and Ed25519: ${name}`, c);
  const both = [spec, pair];
  const again = { id: specID, at: T };
  one('both sign, both verify', { keys: both });
  one('both sign again', { keys: [spec, pair.whsk], signers: both, sign: again });
  one('both sign again, Ed25519 first', { keys: [pair.whsk, spec], signers: [pair, spec], sign: again, expect: { id: specID, timestamp: T, key: 1 } });
  one('both sign, HMAC verifies', { keys: [spec], signers: both });
  one('both sign, Ed25519 verifies', { keys: [pair], signers: both });
  one('HMAC signs, both verify', { keys: both, signers: [spec] });
  one('Ed25519 signs, both verify', { keys: both, signers: [pair], expect: { id: specID, timestamp: T, key: 1 } });
  one('HMAC signs, Ed25519 verifies', { keys: [pair], signers: [spec], reason: 'no_match' });
  one('Ed25519 signs, HMAC verifies', { keys: [spec], signers: [pair], reason: 'no_match' });
  one('both sign, the HMAC of another body', { keys: both, list: `${standardEntry(spec, specID, T, bodies.hello)} ${standardEntry(pair, specID, T, bodies.spec)}`, expect: { id: specID, timestamp: T, key: 1 } });
  one('both sign another body', { keys: both, list: both.map((k) => standardEntry(k, specID, T, bodies.hello)).join(' '), reason: 'no_match' });
  one('versions swapped', { keys: both, list: both.map((k) => standardEntry(k, specID, T, bodies.spec)).map((e) => (e.startsWith('v1a') ? `v1${e.slice(3)}` : `v1a${e.slice(2)}`)).join(' '), reason: 'no_match' });
}

// --- Timestamped

function timestampedCases() {
  const one = (name, c) => {
    const { ts = T, body = bodies.spec, keys = [literal], signer = keys[0], signature, options = {}, headers, id = 'whk_1', ...rest } = c;
    const value = signature ?? (options.signature_prefix ?? '') + timestampedMAC(keyOf(signer).text, ts, body);
    add(`Timestamped: ${name}`, { scheme: 'Timestamped', keys, body, options, headers: headers ?? timestampedHeaders(value, ts, options.header_prefix, id), ...(rest.reason ? {} : { expect: { timestamp: Number(ts) } }), ...rest });
  };
  const again = { id: 'whk_1', at: T };
  const good = timestampedMAC(literal, T, bodies.spec);
  assert.equal(good, '47b96387a4610ad264a45e314d2a188c38bd47a5ae04f8482f651a42f551d13e'); // by OpenSSL
  for (const [name, body] of Object.entries(bodies)) one(`body: ${name}`, { body, sign: again });
  for (const [name, key] of [['16 bytes', '0123456789abcdef'], ['1024 bytes', 'x'.repeat(1024)], ['with whsec_, which is part of it', spec], ['UTF-8', 'ein Schlüssel 🔑 mit Umlaut'], ['blanks inside', everybody]]) {
    one(`key: ${name}`, { keys: [key], sign: again });
  }
  one('headers of X-Temps', { options: { header_prefix: 'X-Temps' }, sign: again });
  one('headers of X-Temps, in lower case', { options: { header_prefix: 'X-Temps' }, headers: timestampedHeaders(good, T, 'x-temps') });
  one('headers of X-Webhook for X-Temps', { options: { header_prefix: 'X-Temps' }, headers: timestampedHeaders(good, T), reason: 'missing_header' });
  one('headers of X-Temps for X-Webhook', { headers: timestampedHeaders(good, T, 'X-Temps'), reason: 'missing_header' });
  one('sha256= before the hex', { options: { signature_prefix: 'sha256=' }, sign: again });
  one('sha256= before the hex, not asked for', { signature: `sha256=${good}` });
  one('no sha256= where signing writes it', { options: { signature_prefix: 'sha256=' }, signature: good });
  one('principal', { options: { principal: 'acme' }, expect: { timestamp: T, principal: 'acme' } });
  one('no ID', { headers: timestampedHeaders(good, T).slice(1) });
  one('another ID, which is not signed', { headers: timestampedHeaders(good, T, 'X-Webhook', 'whk_other') });
  one('ID twice, which is not signed', { headers: [...timestampedHeaders(good, T), ['X-Webhook-Id', 'whk_2']] });
  for (const [name, body] of Object.entries(reencoded)) one(`JSON body ${name}`, { body, signature: timestampedMAC(literal, T, bodies.json), reason: 'no_match' });
  one('another time', { headers: timestampedHeaders(good, T + 1), reason: 'no_match' });
  one('a digit moved from the body to the time', { ts: T, headers: timestampedHeaders(timestampedMAC(literal, Math.floor(T / 10), text('0.x')), T), body: text('x'), reason: 'no_match' });
  for (const [name, ts] of Object.entries(timestampForms)) one(`timestamp ${name}`, { ts, reason: 'malformed' });
  for (const [name, offset, tolerance, reason] of ages) one(`timestamp ${name}`, { ts: T + offset, options: tolerance ? { tolerance } : {}, reason });
  const [, stamp, signature] = timestampedHeaders(good, T);
  one('without timestamp', { headers: [signature], reason: 'missing_header' });
  one('without signature', { headers: [stamp], reason: 'missing_header' });
  one('no headers', { headers: [], reason: 'missing_header' });
  one('timestamp twice', { headers: [stamp, signature, stamp], reason: 'malformed' });
  one('signature twice', { headers: [stamp, signature, signature], reason: 'malformed' });
  one('signature twice, the second another', { headers: [stamp, signature, ['x-webhook-signature', '0'.repeat(64)]], reason: 'malformed' });
  for (const [name, value, reason = 'malformed'] of [
    ['empty', ''], ['sha256= alone', 'sha256='], ['sha256= doubled', `sha256=sha256=${good}`], ['in upper case', good.toUpperCase()], ['SHA256=', `SHA256=${good}`],
    ['sha1=', `sha1=${mac('sha1', literal, `${T}.`, bodies.spec).toString('hex')}`], ['v1=', `v1=${good}`], ['cut off', good.slice(0, 62)], ['of 63 digits', good.slice(0, 63)], ['longer', `${good}00`],
    ['not hex', `g${good.slice(1)}`], ['with 0x', `0x${good}`], ['blank before it', ` ${good}`], ['blank after it', `${good} `], ['in base64', b64(Buffer.from(good, 'hex'))], ['a list', `${good},${good}`],
    ['with another first digit', `5${good.slice(1)}`, 'no_match'], ['with another last digit', `${good.slice(0, -1)}f`, 'no_match'], ['of zeros', '0'.repeat(64), 'no_match'],
    ['of the body alone', mac('sha256', literal, bodies.spec).toString('hex'), 'no_match'], ['with the ID before it', mac('sha256', literal, `whk_1.${T}.`, bodies.spec).toString('hex'), 'no_match'],
    ['with a colon for the dot', mac('sha256', literal, `${T}:`, bodies.spec).toString('hex'), 'no_match'],
  ]) one(`signature ${name}`, { signature: value, reason });
  one('whsec_ key, decoded', { keys: [spec], signature: mac('sha256', decoded(spec), `${T}.`, bodies.spec).toString('hex'), reason: 'no_match' });
  one('whsec_ key, without whsec_', { keys: [spec], signature: timestampedMAC(spec.slice(6), T, bodies.spec), reason: 'no_match' });
  // Only the first active key signs: rotations in which both do are those in which the new one does.
  const by = { old: literalOld, new: literalNew };
  rotations.filter(([, signers]) => signers.length === 1).forEach(([name, signers, keys, at]) => {
    one(`rotation: ${name}`, { keys: keys.map((k) => by[k]), signer: by[signers[0]], ...(at < 0 ? { reason: 'no_match' } : { expect: { timestamp: T, key: at }, ...(at === 0 ? { sign: again } : {}) }) });
  });
  for (const [name, end, at] of retired) {
    one(`rotation: ${name}`, { keys: [literalNew, { text: literalOld, not_after: end }], signer: literalOld, ...(at < 0 ? { reason: 'no_match' } : { expect: { timestamp: T, key: at } }) });
  }
  one('rotation: the new key has taken over', { keys: [{ text: literalOld, not_after: T - 1 }, literalNew], signer: literalNew, expect: { timestamp: T, key: 1 }, sign: again });
  for (const [name, key] of Object.entries({ empty: '', '15 bytes': '0123456789abcde', '1025 bytes': 'x'.repeat(1025), 'line end': '0123456789abcdef\n', 'blank before it': ' 0123456789abcdef', NUL: '0123456789abcdef\0', 'private Ed25519 key': pair.whsk, 'public Ed25519 key': pair.whpk })) {
    one(`key: ${name}`, { keys: [key], headers: [], reason: 'invalid_secret' });
  }
}

// --- Stripe

function stripeCases() {
  const one = (name, c) => {
    const { ts = T, body = bodies.spec, keys = [literal], signers = keys, value, options = {}, headers, ...rest } = c;
    const header = [options.header ?? 'Stripe-Signature', value ?? stripeValue(signers.map((k) => keyOf(k).text), ts, body)];
    add(`Stripe: ${name}`, { scheme: 'Stripe', keys, body, options, headers: headers ?? [header], ...(rest.reason ? {} : { expect: { timestamp: Number(ts) } }), ...rest });
  };
  const again = { id: 'whk_1', at: T };
  const good = timestampedMAC(literal, T, bodies.spec);
  const zeros = '0'.repeat(64);
  for (const [name, body] of Object.entries(bodies)) one(`body: ${name}`, { body, sign: again });
  one('key with whsec_, which is part of it', { keys: [spec], sign: again });
  one('another header', { options: { header: 'X-Deploy-Signature' }, sign: again });
  one('another header, in lower case', { options: { header: 'X-Deploy-Signature' }, headers: [['x-deploy-signature', stripeValue([literal], T, bodies.spec)]] });
  one('the default header where another is wanted', { options: { header: 'X-Deploy-Signature' }, headers: [['Stripe-Signature', stripeValue([literal], T, bodies.spec)]], reason: 'missing_header' });
  one('principal', { options: { principal: 'acme' }, expect: { timestamp: T, principal: 'acme' } });
  for (const [name, body] of Object.entries(reencoded)) one(`JSON body ${name}`, { body, value: stripeValue([literal], T, bodies.json), reason: 'no_match' });
  for (const [name, ts] of Object.entries(timestampForms)) one(`timestamp ${name}`, { ts, reason: 'malformed' });
  for (const [name, offset, tolerance, reason] of ages) one(`timestamp ${name}`, { ts: T + offset, options: tolerance ? { tolerance } : {}, reason });
  one('no header', { headers: [], reason: 'missing_header' });
  const header = ['Stripe-Signature', stripeValue([literal], T, bodies.spec)];
  one('header twice', { headers: [header, header], reason: 'malformed' });
  one('header twice, the second another', { headers: [header, ['stripe-signature', `t=${T},v1=${zeros}`]], reason: 'malformed' });
  const filled = `t=${T},v1=${good},x=`;
  for (const [name, value, reason] of [
    ['the signature first', `v1=${good},t=${T}`], ['the good one last', `t=${T},v1=${zeros},v1=${good}`], ['the good one first', `t=${T},v1=${good},v1=${zeros}`],
    ['beside other versions', `t=${T},v0=${zeros},v1=${good},x=y`], ['16 signatures', `t=${T}${`,v1=${zeros}`.repeat(15)},v1=${good}`],
    ['17 signatures', `t=${T}${`,v1=${zeros}`.repeat(16)},v1=${good}`, 'malformed'], ['18 entries', `t=${T},v1=${good}${',v0=x'.repeat(16)}`, 'malformed'],
    ['8 KiB', `${filled}${'x'.repeat(8192 - filled.length)}`], ['8 KiB and one byte', `${filled}${'x'.repeat(8193 - filled.length)}`, 'malformed'],
    ['empty', '', 'malformed'], ['no t', `v1=${good}`, 'malformed'], ['two t', `t=${T},t=${T},v1=${good}`, 'malformed'], ['two different t', `t=${T},v1=${good},t=1`, 'malformed'],
    ['t alone', `t=${T}`, 'no_match'], ['v0 alone', `t=${T},v0=${good}`, 'no_match'], ['upper-case version', `t=${T},V1=${good}`, 'no_match'], ['a blank after the comma', `t=${T}, v1=${good}`, 'no_match'], ['two headers joined by a proxy', `t=${T},v1=${good}, t=${T},v1=${good}`, 'malformed'],
    ['upper-case hex', `t=${T},v1=${good.toUpperCase()}`, 'no_match'], ['a short one after the good one', `t=${T},v1=${good},v1=00`], ['a comma at the end', `t=${T},v1=${good},`],
    ['an entry without =', `t=${T},v1=${good},x`], ['an empty value', `t=${T},v1=`, 'no_match'], ['an empty name', `t=${T},=x,v1=${good}`], ['semicolons', `t=${T};v1=${good}`, 'malformed'],
    ['another time', `t=${T + 1},v1=${good}`, 'no_match'], ['zeros', `t=${T},v1=${zeros}`, 'no_match'], ['sha256= in it', `t=${T},v1=sha256=${good}`, 'no_match'], ['a blank before t', ` t=${T},v1=${good}`, 'malformed'], ['a tab after t', `t\t=${T},v1=${good}`, 'malformed'], ['skipped entries alone', `t=${T},v1=00,x`, 'no_match'], ['the good one after 16 that are skipped', `t=${T}${',x'.repeat(16)},v1=${good}`, 'malformed'], ['the good one after 15 that are skipped', `t=${T}${',x'.repeat(15)},v1=${good}`],
    ['the body alone signed', `t=${T},v1=${mac('sha256', literal, bodies.spec).toString('hex')}`, 'no_match'],
    ['v1a with a good HMAC', `t=${T},v1a=${good}`, 'no_match'],
  ]) one(`list: ${name}`, { value, reason });
  // Buildkite's layout: the same under other names.
  const buildkite = { header: 'X-Buildkite-Signature', time_field: 'timestamp', signature_field: 'signature' };
  const named = (name, value, c = {}) => one(`field names: ${name}`, { options: buildkite, value, ...c });
  named('good', `timestamp=${T},signature=${good}`, { sign: again });
  named('two signatures', `timestamp=${T},signature=${zeros},signature=${good}`);
  named('beside unknown fields', `x=y,timestamp=${T},v1=${zeros},signature=${good}`);
  named("Stripe's time", `t=${T},signature=${good}`, { reason: 'malformed' });
  named("Stripe's signature", `timestamp=${T},v1=${good}`, { reason: 'no_match' });
  named('two times', `timestamp=${T},timestamp=${T},signature=${good}`, { reason: 'malformed' });
  named('a blank before the time', ` timestamp=${T},signature=${good}`, { reason: 'malformed' });
  named('upper case', `Timestamp=${T},signature=${good}`, { reason: 'malformed' });
  named('too old', `timestamp=${T - 301},signature=${timestampedMAC(literal, T - 301, bodies.spec)}`, { ts: T - 301, reason: 'too_old' });
  one('their names for the default', { value: `timestamp=${T},signature=${good}`, reason: 'malformed' });
  const by = { old: literalOld, new: literalNew };
  rotations.forEach(([name, signers, keys, at]) => {
    one(`rotation: ${name}`, {
      keys: keys.map((k) => by[k]), signers: signers.map((k) => by[k]), ...(at < 0 ? { reason: 'no_match' } : { expect: { timestamp: T, key: at } }), ...(String(signers) === String(keys) ? { sign: again } : {}),
    });
  });
  for (const [name, end, at] of retired) {
    one(`rotation: ${name}`, { keys: [literalNew, { text: literalOld, not_after: end }], signers: [literalOld], ...(at < 0 ? { reason: 'no_match' } : { expect: { timestamp: T, key: at } }) });
  }
}

// --- the schemes that sign the body alone

function bodyOnlyCases() {
  const hex256 = (key, body) => mac('sha256', key, body).toString('hex');
  assert.equal(hex256(everybody, bodies.hello), '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17');
  for (const s of [
    { label: 'GitHub', scheme: 'GitHub', header: 'X-Hub-Signature-256', encode: (k, b) => `sha256=${hex256(k, b)}`, wrong: (g) => [['without sha256=', g.slice(7)], ['SHA256=', `SHA256=${g.slice(7)}`], ['sha1=', `sha1=${g.slice(7, 47)}`], ['upper-case hex', `sha256=${g.slice(7).toUpperCase()}`], ['sha256= doubled', `sha256=${g}`], ['sha256= alone', 'sha256='], ['a list', `${g},${g}`]] },
    { label: 'Bitbucket', scheme: 'GitHub', options: { header: 'X-Hub-Signature' }, header: 'X-Hub-Signature', encode: (k, b) => `sha256=${hex256(k, b)}`, wrong: (g) => [['without sha256=', g.slice(7)]] },
    { label: 'Vercel', scheme: 'BodyOnly', options: { header: 'X-Vercel-Signature', hash: 'sha1' }, header: 'X-Vercel-Signature', encode: (k, b) => mac('sha1', k, b).toString('hex'), wrong: (g) => [['sha1=', `sha1=${g}`], ['upper-case hex', g.toUpperCase()], ['SHA-256', hex256(everybody, bodies.hello)], ['longer', `${g}00`]] },
    { label: 'Heroku', scheme: 'BodyOnly', options: { header: 'Heroku-Webhook-Hmac-Sha256', encoding: 'base64' }, header: 'Heroku-Webhook-Hmac-Sha256', encode: (k, b) => b64(mac('sha256', k, b)), wrong: (g) => [['without padding', g.slice(0, -1)], ['URL-safe alphabet', g.replaceAll('/', '_')], ['trailing bits', g.replace('hc=', 'hd=')], ['in hexadecimal', hex256(everybody, bodies.hello)], ['line ends for its last characters', `${g.slice(0, 40)}\n\n\n\n`]] },
    { label: 'CircleCI', scheme: 'BodyOnly', options: { header: 'Circleci-Signature', signature_prefix: 'v1=' }, header: 'Circleci-Signature', encode: (k, b) => `v1=${hex256(k, b)}`, wrong: (g) => [['without v1=', g.slice(3)], ['V1=', `V1=${g.slice(3)}`], ['v2=', `v2=${g.slice(3)}`], ['sha256=', `sha256=${g.slice(3)}`], ['upper-case hex', `v1=${g.slice(3).toUpperCase()}`], ['v1= alone', 'v1='], ['in base64', `v1=${b64(Buffer.from(g.slice(3), 'hex'))}`]] },
    { label: 'Gogs', scheme: 'BodyOnly', options: { header: 'X-Gogs-Signature' }, header: 'X-Gogs-Signature', encode: hex256, wrong: (g) => [['sha256=', `sha256=${g}`], ['upper-case hex', g.toUpperCase()]] },
    { label: 'prefix and base64', scheme: 'BodyOnly', options: { header: 'Authorization', signature_prefix: 'HMAC ', encoding: 'base64' }, header: 'Authorization', encode: (k, b) => `HMAC ${b64(mac('sha256', k, b))}`, wrong: (g) => [['without HMAC', g.slice(5)], ['hmac', `hmac ${g.slice(5)}`], ['two blanks', `HMAC  ${g.slice(5)}`]] },
  ]) bodyOnlyScheme(s);
}

function bodyOnlyScheme({ label, scheme, header, options = {}, encode, wrong }) {
  const one = (name, { body = bodies.hello, keys = [everybody], signer = everybody, value, headers, ...rest }) =>
    add(`${label}: ${name}`, { scheme, keys, body, options, headers: headers ?? [[header, value ?? encode(signer, body)]], ...rest });
  const good = encode(everybody, bodies.hello);
  for (const [name, body] of Object.entries(bodies)) one(`body: ${name}`, { body });
  one('header name in lower case', { headers: [[header.toLowerCase(), good]] });
  one('a delivery ID that is not signed', { headers: [[header, good], ['X-GitHub-Delivery', '72d3162e-cc78-11e3-81ab-4c9367dc0958']] });
  one('years later', { now: T + 10 * YEAR });
  for (const [name, body] of Object.entries(reencoded).slice(0, 5)) one(`JSON body ${name}`, { body, value: encode(everybody, bodies.json), reason: 'no_match' });
  one('no header', { headers: [], reason: 'missing_header' });
  one('header twice', { headers: [[header, good], [header, good]], reason: 'malformed' });
  one('another key', { signer: literal, reason: 'no_match' });
  one('empty key', { value: encode('', bodies.hello), reason: 'no_match' });
  for (const [name, value] of [['empty', ''], ['a blank before it', ` ${good}`], ['a blank after it', `${good} `], ['cut off', good.slice(0, -2)], ...wrong(good)]) one(`signature ${name}`, { value, reason: 'malformed' });
  for (const [name, keys, signer, at] of [
    ['old signs, both verify', [literalNew, literalOld], literalOld, 1], ['new signs, both verify', [literalNew, literalOld], literalNew, 0], ['old signs, new verifies', [literalNew], literalOld, -1],
    ...retired.map(([n, end, i]) => [n, [literalNew, { text: literalOld, not_after: end }], literalOld, i]),
  ]) one(`rotation: ${name}`, { keys, signer, ...(at < 0 ? { reason: 'no_match' } : { expect: { key: at } }) });
  one('key: 15 bytes', { keys: ['0123456789abcde'], headers: [], reason: 'invalid_secret' });
}

// --- credentials that sign nothing

function apiKeyCases() {
  const apiKey = (t, principal, more) => ({ text: t, principal, hash: `sha256:${createHash('sha256').update(t).digest('hex')}`, ...more });
  const acme = apiKey(`acme_${'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.repeat(2).slice(0, 52)}`, 'acme');
  const zeta = apiKey(`zeta_${'765432ZYXWVUTSRQPONMLKJIHGFEDCBA'.repeat(2).slice(0, 52)}`, 'zeta');
  const one = (name, { keys = [acme, zeta], value, headers, ...rest }) => add(`APIKeys: ${name}`, { scheme: 'APIKeys', keys, headers: headers ?? [['Authorization', value]], ...rest });
  const again = { id: 'whk_1', at: T };
  one('the first key', { value: `Bearer ${acme.text}`, expect: { principal: 'acme' }, sign: again });
  one('the second key', { value: `Bearer ${zeta.text}`, expect: { key: 1, principal: 'zeta' } });
  one('bearer in lower case', { value: `bearer ${acme.text}`, expect: { principal: 'acme' } });
  one('two blanks', { value: `Bearer  ${acme.text}`, expect: { principal: 'acme' } });
  one('five blanks', { value: `Bearer     ${acme.text}`, expect: { principal: 'acme' } });
  one('BEARER in upper case', { value: `BEARER ${acme.text}`, expect: { principal: 'acme' } });
  one('header name in lower case', { headers: [['authorization', `Bearer ${acme.text}`]], expect: { principal: 'acme' } });
  one('any body', { value: `Bearer ${acme.text}`, body: bodies['every byte'], expect: { principal: 'acme' } });
  one('16 bytes', { keys: [apiKey('0123456789abcdef', 'acme')], value: 'Bearer 0123456789abcdef', expect: { principal: 'acme' }, sign: again });
  one('4096 bytes', { keys: [apiKey('x'.repeat(4096), 'acme')], value: `Bearer ${'x'.repeat(4096)}`, expect: { principal: 'acme' } });
  one('another header, which holds the key alone', { options: { header: 'X-Api-Key' }, headers: [['X-Api-Key', acme.text]], expect: { principal: 'acme' }, sign: again });
  one('another header with Bearer', { options: { header: 'X-Api-Key' }, headers: [['X-Api-Key', `Bearer ${acme.text}`]], reason: 'invalid_api_key' });
  one('Authorization where another header is wanted', { options: { header: 'X-Api-Key' }, headers: [['Authorization', `Bearer ${acme.text}`]], reason: 'invalid_api_key' });
  one('at its end', { keys: [acme, { ...zeta, not_after: T }], value: `Bearer ${zeta.text}`, expect: { key: 1, principal: 'zeta' } });
  one('a second past its end', { keys: [acme, { ...zeta, not_after: T - 1 }], value: `Bearer ${zeta.text}`, reason: 'invalid_api_key' });
  for (const [name, value] of [
    ['empty', ''], ['Bearer alone', 'Bearer'], ['Bearer and a blank', 'Bearer '], ['Bearer and blanks', 'Bearer   '], ['a tab after the blank', `Bearer \t${acme.text}`], ['a tab for the blank', `Bearer\t${acme.text}`], ['a blank after it', `Bearer ${acme.text} `],
    ['a blank before it', ` Bearer ${acme.text}`], ['a line end after it', `Bearer ${acme.text}\n`], ['in lower case', `Bearer ${acme.text.toLowerCase()}`], ['cut off', `Bearer ${acme.text.slice(0, -1)}`], ['longer', `Bearer ${acme.text}A`],
    ['another first byte', `Bearer b${acme.text.slice(1)}`], ['another last byte', `Bearer ${acme.text.slice(0, -1)}2`], ['without Bearer', acme.text], ['Basic', `Basic ${b64(text(`x:${acme.text}`))}`], ['Token', `Token ${acme.text}`],
    ['its hash', `Bearer ${acme.hash}`], ['its hash in hex', `Bearer ${acme.hash.slice(7)}`], ['two keys in one header', `Bearer ${acme.text}, Bearer ${zeta.text}`], ['4097 bytes', `Bearer ${'x'.repeat(4097)}`], ['not ASCII', `Bearer ${acme.text}é`],
    ['quoted', `Bearer "${acme.text}"`], ['unknown', 'Bearer unknown_ABCDEFGHIJKLMNOPQRSTUVWXYZ'],
  ]) one(name, { value, reason: 'invalid_api_key' });
  one('no header', { headers: [], reason: 'invalid_api_key' });
  one('header twice', { headers: [['Authorization', `Bearer ${acme.text}`], ['Authorization', `Bearer ${acme.text}`]], reason: 'invalid_api_key' });
  one('header twice, the second another', { headers: [['Authorization', `Bearer ${acme.text}`], ['Authorization', `Bearer ${zeta.text}`]], reason: 'invalid_api_key' });
  for (const [name, key] of [['empty', ''], ['15 bytes', '0123456789abcde'], ['a blank', '0123456789 abcdef'], ['a line end', '0123456789abcdef\n'], ['not ASCII', 'é'.repeat(20)], ['4097 bytes', 'x'.repeat(4097)]]) {
    one(`key: ${name}`, { keys: [{ text: key, principal: 'acme' }], headers: [], reason: 'invalid_secret' });
  }
  gitLabCases();
}

function gitLabCases() {
  const token = 'a-plain-gitlab-token';
  const one = (name, { keys = [{ text: token, principal: 'acme' }], value, headers, ...rest }) => add(`GitLabToken: ${name}`, { scheme: 'GitLabToken', keys, headers: headers ?? [['X-Gitlab-Token', value]], ...rest });
  one('the token', { value: token, expect: { principal: 'acme' } });
  one('any body', { value: token, body: bodies.json, expect: { principal: 'acme' } });
  one('header name in lower case', { headers: [['x-gitlab-token', token]], expect: { principal: 'acme' } });
  one('event headers that are not signed', { headers: [['X-Gitlab-Event', 'Deployment Hook'], ['X-Gitlab-Token', token]], expect: { principal: 'acme' } });
  for (const [name, value] of [['empty', ''], ['longer', `${token}x`], ['cut off', token.slice(0, -1)], ['in upper case', token.toUpperCase()], ['a blank after it', `${token} `], ['a blank before it', ` ${token}`], ['Bearer', `Bearer ${token}`], ['another', 'a-different-gitlab-token']]) {
    one(name, { value, reason: 'invalid_api_key' });
  }
  one('no header', { headers: [], reason: 'invalid_api_key' });
  one('header twice', { headers: [['X-Gitlab-Token', token], ['X-Gitlab-Token', token]], reason: 'invalid_api_key' });
  one('in Authorization', { headers: [['Authorization', `Bearer ${token}`]], reason: 'invalid_api_key' });
  one('key: 15 bytes', { keys: [{ text: '0123456789abcde', principal: 'acme' }], headers: [], reason: 'invalid_secret' });
}

// --- the primitives, as published: RFC 4231, RFC 2202, RFC 8032

function primitives() {
  const hmac = (source, algorithm, key, message, want) => {
    assert.equal(mac(algorithm, key, message).toString('hex'), want, source);
    return { source, algorithm: `hmac-${algorithm}`, key: b64(key), message: b64(message), result: want };
  };
  const fill = (byte, n) => Buffer.alloc(n, byte);
  const pairs = [[pair, '', 'e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b'],
    [pairNew, '72', '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00'],
    [pairOld, 'af82', '6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a']];
  return [
    hmac('RFC 4231, case 1', 'sha256', fill(0x0b, 20), text('Hi There'), 'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7'),
    hmac('RFC 4231, case 2', 'sha256', text('Jefe'), text('what do ya want for nothing?'), '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'),
    hmac('RFC 4231, case 3', 'sha256', fill(0xaa, 20), fill(0xdd, 50), '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe'),
    hmac('RFC 4231, case 4', 'sha256', counting(1, 25), fill(0xcd, 50), '82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b'),
    hmac('RFC 4231, case 6', 'sha256', fill(0xaa, 131), text('Test Using Larger Than Block-Size Key - Hash Key First'), '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'),
    hmac('RFC 4231, case 7', 'sha256', fill(0xaa, 131), text('This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.'), '9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2'),
    hmac('RFC 2202, SHA-1 case 1', 'sha1', fill(0x0b, 20), text('Hi There'), 'b617318655057264e28bc0b6fb378c8ef146be00'),
    hmac('RFC 2202, SHA-1 case 2', 'sha1', text('Jefe'), text('what do ya want for nothing?'), 'effcdf6ae5eb2fa2d27416d5f184df9c259a7c79'),
    ...pairs.map(([p, message, want], i) => {
      const bytes = Buffer.from(message, 'hex');
      assert.equal(signEd25519(null, bytes, p.key).toString('hex'), want);
      return { source: `RFC 8032, section 7.1, test ${i + 1}`, algorithm: 'ed25519', key: b64(p.seed), public: b64(p.pub), message: b64(bytes), result: want };
    }),
  ];
}

const about = [
  'Test vectors for the signature schemes of deployment webhooks. Written by make_vectors.mjs, checked by check_vectors.py; do not edit.',
  'A case is one request. options: tolerance (seconds, default 300), header and header_prefix (names), signature_prefix (what stands before the signature; Timestamped signs with it and takes it, sha256= and none), encoding (base64, default hex), hash (sha1, default sha256), time_field and signature_field (names, default t and v1), principal.',
  'keys: in their order; text is a whsec_ secret (base64 of the key), a whsk_ or whpk_ Ed25519 key, a literal secret (its UTF-8 bytes are the key) or an API key (with hash, its SHA-256); not_after is the last second of use.',
  'now is the verifier\'s clock in Unix seconds. headers are [name, value] pairs as a verifier sees them: names in any case, a name twice for a header that occurs twice.',
  'body: base64, to be repeated so many times if repeat is there; text is the same for people to read.',
  'A valid case must be accepted with what expect says: the signed ID or "", the signed time or 0, the index of the key that matched, the principal.',
  'With sign, signing the body with these keys for this ID and this time gives exactly these headers.',
  'reason of an invalid case: missing_header, malformed, no_match, too_old, too_new, invalid_api_key; or, before any request is seen, invalid_secret (a key is refused) and invalid_config (the keys together are).',
  'primitives are published vectors of the algorithms themselves: keys and messages in base64, results in hex.',
];

standardCases();
ed25519Cases();
mixedCases();
timestampedCases();
stripeCases();
bodyOnlyCases();
apiKeyCases();

// One case a line: readable, and a change shows as the cases that changed.
const lines = (list) => `[\n${list.map((x) => `    ${JSON.stringify(x)}`).join(',\n')}\n  ]`;
process.stdout.write(`{\n  "about": ${lines(about)},\n  "primitives": ${lines(primitives())},\n  "cases": ${lines(cases)}\n}\n`);
console.error(`${cases.length} cases, ${cases.filter((c) => c.valid).length} valid`);
