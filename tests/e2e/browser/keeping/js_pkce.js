// js-pkce. The library stores nothing: the app keeps the tokens.
import PKCE from 'js-pkce';
import { app } from './app.js';

app(({ issuer, client_id, scope, redirectUri }) => {
  const pkce = new PKCE({
    client_id,
    redirect_uri: redirectUri,
    authorization_endpoint: `${issuer}/oauth2/authorize`,
    token_endpoint: `${issuer}/oauth2/token`,
    requested_scopes: scope,
  });
  let tokens;
  return {
    signIn: () => window.location.assign(pkce.authorizeUrl()),
    async callback() {
      tokens = await pkce.exchangeForAccessToken(window.location.href);
    },
    async refresh() {
      tokens = await pkce.refreshAccessToken(tokens.refresh_token);
    },
    held: () => [tokens.access_token, tokens.refresh_token],
  };
});
