// A command line app on AppAuth-JS, after its README and its own Node.js example. It reads a step from each line of
// its standard input, takes the step, and writes the outcome. Tokens appear as hashes, for comparison.
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import {
  AuthorizationNotifier,
  AuthorizationRequest,
  AuthorizationServiceConfiguration,
  BaseTokenRequestHandler,
  GRANT_TYPE_AUTHORIZATION_CODE,
  GRANT_TYPE_REFRESH_TOKEN,
  RevokeTokenRequest,
  TokenRequest,
  setFlag,
} from '@openid/appauth';
import { NodeBasedHandler, NodeCrypto, NodeRequestor } from '@openid/appauth/built/src/node_support';

const { issuer, clientId, redirectUri, scope, account } = JSON.parse(process.argv[2]);

// The library's log holds tokens, and would mix with the answers.
setFlag('IS_LOG', false);

const requestor = new NodeRequestor();
const tokenHandler = new BaseTokenRequestHandler(requestor);
let configuration;
let authorization;
let tokens;
let before;

const steps = {
  async discover() {
    configuration = await AuthorizationServiceConfiguration.fetchFromIssuer(issuer, requestor);
    return configuration.toJson();
  },

  // Listens on the redirect URI's port and opens the browser.
  authorize({ state }) {
    return new Promise((resolve) => {
      const notifier = new AuthorizationNotifier();
      const handler = new NodeBasedHandler(Number(new URL(redirectUri).port));
      handler.setAuthorizationNotifier(notifier);
      notifier.setAuthorizationListener((request, response, error) => {
        authorization = { request, code: response?.code };
        const answered = response ?? error;
        resolve({ code: Boolean(response?.code), error: error?.error, same_state: answered.state === request.state });
      });
      const request = { client_id: clientId, redirect_uri: redirectUri, scope, state };
      handler.performAuthorizationRequest(configuration, new AuthorizationRequest(request, new NodeCrypto()));
    });
  },

  redeem() {
    return ask({
      grant_type: GRANT_TYPE_AUTHORIZATION_CODE,
      code: authorization.code,
      extras: { code_verifier: authorization.request.internal.code_verifier },
    });
  },

  refresh() {
    before = tokens;
    return ask({ grant_type: GRANT_TYPE_REFRESH_TOKEN, refresh_token: tokens.refreshToken });
  },

  // Repeats the refresh with the old token, as after a lost answer.
  refresh_again() {
    return ask({ grant_type: GRANT_TYPE_REFRESH_TOKEN, refresh_token: before.refreshToken });
  },

  async account() {
    const answer = await fetch(account, { headers: { Authorization: `Bearer ${tokens.accessToken}` } });
    return { status: answer.status };
  },

  async revoke() {
    const request = new RevokeTokenRequest({ token: tokens.refreshToken, client_id: clientId });
    return { revoked: await tokenHandler.performRevokeTokenRequest(configuration, request) };
  },

  // Returns the app's current tokens.
  tokens() {
    return told(tokens);
  },
};

async function ask(request) {
  const base = { client_id: clientId, redirect_uri: redirectUri };
  tokens = await tokenHandler.performTokenRequest(configuration, new TokenRequest({ ...base, ...request }));
  return told(tokens);
}

function told({ accessToken, refreshToken, tokenType, scope: granted }) {
  const fresh = tokens.isValid();
  return { access: hash(accessToken), refresh: hash(refreshToken), type: tokenType, scope: granted, fresh };
}

function hash(token) {
  return createHash('sha256').update(token).digest('hex');
}

async function main() {
  for await (const line of createInterface({ input: process.stdin })) {
    const { step, ...options } = JSON.parse(line);
    let outcome;
    try {
      outcome = { result: await steps[step](options) };
    } catch (error) {
      outcome = { raised: { type: error.constructor.name, message: error.message } };
    }
    console.log(JSON.stringify(outcome));
  }
}

main();
