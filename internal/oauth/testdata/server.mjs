// An OAuth server for the tests of package oauth: npm's oidc-provider on a free port of
// 127.0.0.1. It prints one line of JSON that says where it is and what it has issued,
// and ends when its standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [mailbox, clientSecret] = process.argv.slice(2);
const resource = 'urn:example:mail';
const opaqueResource = 'urn:example:mail:opaque';

const listener = createServer();
await new Promise((done) => listener.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${listener.address().port}`;

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

// Each client is registered for one way to authenticate, and the server insists on it.
const client = (id, method, ...grants) => ({
  client_id: id,
  client_secret: clientSecret,
  token_endpoint_auth_method: method,
  grant_types: grants,
  response_types: grants.includes('authorization_code') ? ['code'] : [],
  redirect_uris: grants.includes('authorization_code') ? ['https://service.example.com/back'] : [],
});

const provider = new Provider(issuer, {
  clients: [
    client('basic', 'client_secret_basic', 'client_credentials'),
    client('post', 'client_secret_post', 'client_credentials'),
    client('opaque', 'client_secret_basic', 'client_credentials'),
    client('consented', 'client_secret_basic', 'authorization_code', 'refresh_token'),
    client('rotating', 'client_secret_basic', 'authorization_code', 'refresh_token'),
    client('mailserver', 'client_secret_basic'),
  ],
  jwks: { keys: [{ ...key, kid: 'first', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['unused'] },
  scopes: ['openid', 'offline_access', 'mail'],
  clientBasedCORS: () => false,
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (_, { clientId }) => (clientId === 'opaque' ? opaqueResource : resource),
      useGrantedResource: () => true,
      getResourceServerInfo: (_, indicator) => ({
        scope: 'mail',
        audience: indicator,
        accessTokenTTL: 3600,
        accessTokenFormat: indicator === opaqueResource ? 'opaque' : 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  ttl: { RefreshToken: 86400, Grant: 86400 },
  rotateRefreshToken: ({ oidc }) => oidc.client.clientId === 'rotating',
  findAccount: (_, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
  extraTokenClaims: (_, token) => (token.accountId ? { upn: token.accountId } : undefined),
});

// What the mailbox's owner would have consented to in a browser.
async function consent(clientId) {
  const grant = new provider.Grant({ accountId: mailbox, clientId });
  grant.addOIDCScope('openid offline_access');
  grant.addResourceScope(resource, 'mail');
  const token = new provider.RefreshToken({
    accountId: mailbox,
    client: await provider.Client.find(clientId),
    grantId: await grant.save(),
    gty: 'authorization_code',
    resource,
    scope: 'openid offline_access mail',
  });
  return token.save();
}

listener.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({
  issuer,
  refreshToken: await consent('consented'),
  rotatingToken: await consent('rotating'),
}));
