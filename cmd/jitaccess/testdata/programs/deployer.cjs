// A program that asks for somebody's approval, waits for it, and checks what it is handed. It
// writes the id of the approval first, and at the end what it collected.
const { readFileSync } = require('node:fs');
const { createPublicKey, verify } = require('node:crypto');

// The code that makes a token is taken as it stands.
const source = readFileSync(`${__dirname}/generate-token.js`, 'utf8');
const generateToken = new Function('require', 'process', 'Buffer', 'claimValue', source + '\nreturn authToken;');
const token = () => generateToken(require, process, Buffer, 'CHG-7');

const api = process.env.API_HOST;
async function call(method, path, body, header = 'x-nl3-authorization-token') {
  const headers = { [header]: (header === 'authorization' ? 'Bearer ' : '') + token() };
  if (body) headers['content-type'] = typeof body === 'string' ? 'application/x-www-form-urlencoded' : 'application/json';
  const answer = await fetch(api + path, { method, headers, body: typeof body === 'object' ? JSON.stringify(body) : body });
  const said = await answer.json();
  if (!answer.ok) throw new Error(`${answer.status} ${JSON.stringify(said)}`);
  return said;
}

async function main() {
  let approval = await call('POST', '/v1/approvals', { template: 'production-deploy', data: { version: 'v1.2', cluster: 'eu' }, reason: 'Release', minutes: 20 });
  console.log(JSON.stringify({ id: approval.id }));
  while (approval.status === 'pending') {
    approval = await call('GET', `/v1/approvals/${approval.id}?wait=20`, undefined, 'authorization');
  }
  const { keys } = await (await fetch(api + '/.well-known/jwks.json')).json();
  const [header, claims, signature] = approval.access_token.split('.');
  const key = keys.find((k) => k.kid === JSON.parse(Buffer.from(header, 'base64url')).kid);
  const good = verify('sha256', Buffer.from(`${header}.${claims}`), { key: createPublicKey({ key, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
    Buffer.from(signature, 'base64url'));
  const introspected = await call('POST', '/v1/introspect', 'token=' + encodeURIComponent(approval.access_token));
  console.log(JSON.stringify({ status: approval.status, good, active: introspected.active, claims: JSON.parse(Buffer.from(claims, 'base64url')) }));
}
main().catch((e) => { console.error(e); process.exit(1); });
