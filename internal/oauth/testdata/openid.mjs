// An OpenID provider for tests: npm's oidc-provider on a free port of 127.0.0.1, where
// anybody logs in under the e-mail address that they type. Its arguments are the client's
// secret, "thin" to keep claims out of ID tokens (they are at the UserInfo endpoint then), and
// the client's redirect URIs. It prints one line of JSON that says where it is, and ends when
// its standard input does.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [clientSecret, tokens, ...redirectURIs] = process.argv.slice(2);

const listener = createServer();
await new Promise((done) => listener.listen(0, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${listener.address().port}`;

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'jitaccess',
    client_secret: clientSecret,
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: redirectURIs,
    // Of the first redirect URI's origin.
    backchannel_logout_uri: new URL('/oidc/backchannel-logout', redirectURIs[0]).href,
    backchannel_logout_session_required: true,
  }],
  features: { backchannelLogout: { enabled: true } },
  acrValues: ['phr', 'pwd'],
  jwks: { keys: [{ ...key, kid: 'first', use: 'sig', alg: 'RS256' }] },
  cookies: { keys: ['unused'] },
  clientBasedCORS: () => false,
  pkce: { required: () => true, methods: ['S256'] },
  scopes: ['openid', 'email', 'profile', 'groups'],
  claims: { openid: ['sub', 'auth_time', 'acr', 'amr'], email: ['email', 'email_verified'], profile: ['name'], groups: ['groups'] },
  conformIdTokenClaims: tokens === 'thin',
  findAccount: (_, accountId) => ({
    accountId,
    claims: () => ({
      sub: `id of ${accountId}`,
      name: accountId.split('@')[0],
      email: accountId,
      email_verified: !accountId.startsWith('unverified'),
      groups: ['staff', `of-${accountId.split('@')[0]}`],
    }),
  }),
});

// Everybody is authenticated as the client asks, and else with a password.
const { interactionFinished } = provider;
provider.interactionFinished = async function finished(request, response, result, options) {
  const { params } = await this.interactionDetails(request, response);
  const acr = params.acr_values?.split(' ')[0] ?? 'pwd';
  const login = result.login && { ...result.login, acr, amr: acr === 'pwd' ? ['pwd'] : ['hwk', 'mfa'] };
  return interactionFinished.call(this, request, response, login ? { ...result, login } : result, options);
};

// Its pages ask nobody else for a font.
provider.use(async (ctx, next) => {
  await next();
  if (typeof ctx.body === 'string') ctx.body = ctx.body.replace(/@import url\([^)]*\);/, '');
});

listener.on('request', provider.callback());
process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
