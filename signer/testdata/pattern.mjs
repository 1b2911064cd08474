// The common HMAC pattern as a Node service writes it, with Node's own crypto: hex HMAC-SHA256 over "timestamp.body".
//
//   node pattern.mjs receive   an HTTP server on a free loopback port, which it prints; SECRET is the key
//   node pattern.mjs sign      reads a body from standard input and prints the headers as JSON
import { createServer } from 'node:http';
import { createHmac, timingSafeEqual } from 'node:crypto';
import { Buffer } from 'node:buffer';

const secret = process.env.SECRET;
const mac = (timestamp, body) =>
  createHmac('sha256', secret).update(Buffer.concat([Buffer.from(`${timestamp}.`), body])).digest('hex');

async function all(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function accepts(headers, body) {
  const signature = headers['x-webhook-signature'];
  const timestamp = headers['x-webhook-timestamp'];
  if (!signature || Math.abs(Date.now() / 1000 - Number.parseInt(timestamp, 10)) > 300) return false;
  const given = Buffer.from(signature);
  const wanted = Buffer.from(mac(timestamp, body));
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

if (process.argv[2] === 'receive') {
  const server = createServer(async (req, res) => {
    const ok = accepts(req.headers, await all(req)); // the raw bytes, as express.raw() hands them over
    res.writeHead(ok ? 200 : 401, { 'Content-Type': 'application/json' });
    res.end(JSON.stringify(ok ? { received: true } : { error: 'Invalid signature' }));
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
  process.stdin.on('end', () => server.close()).resume(); // ends with the test that started it
} else {
  const body = await all(process.stdin);
  const timestamp = String(Math.floor(Date.now() / 1000));
  console.log(JSON.stringify({ 'X-Webhook-Timestamp': timestamp, 'X-Webhook-Signature': mac(timestamp, body) }));
}
