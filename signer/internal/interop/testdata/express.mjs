// A receiver as Express services have it. It prints its port, and then each event that it handles.
import express from 'express';
import crypto from 'node:crypto';

const WEBHOOK_SECRET = process.env.WEBHOOK_SECRET;
const app = express();
const handleDeployEvent = async (event) => console.log(event.event);

app.use('/webhooks', express.raw({ type: 'application/json' }));
app.post('/webhooks/deploy', (req, res) => {
  const signature = req.headers['x-webhook-signature'];
  const timestamp = req.headers['x-webhook-timestamp'];
  if (!verifySignature(req.body, signature, timestamp)) {
    return res.status(401).json({ error: 'Invalid signature' });
  }
  res.status(200).json({ received: true });
  handleDeployEvent(JSON.parse(req.body)).catch(console.error);
});

function verifySignature(payload, signature, timestamp) {
  const now = Math.floor(Date.now() / 1000);
  if (Math.abs(now - parseInt(timestamp)) > 300) return false;
  const expected = crypto.createHmac('sha256', WEBHOOK_SECRET).update(`${timestamp}.${payload}`).digest('hex');
  return crypto.timingSafeEqual(Buffer.from(signature), Buffer.from(expected));
}

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit()).resume(); // ends with the test that started it
