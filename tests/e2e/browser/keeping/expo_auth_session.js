// expo-auth-session without a phone below it. The library stores nothing: the app keeps the tokens.
import { AuthRequest, exchangeCodeAsync, fetchDiscoveryAsync, refreshAsync } from 'expo-auth-session';
import { app } from './app.js';

app(async ({ issuer, client_id: clientId, scope, redirectUri }) => {
  const discovery = await fetchDiscoveryAsync(issuer);
  let tokens;
  return {
    async signIn() {
      const request = new AuthRequest({ clientId, redirectUri, scopes: scope.split(' '), usePKCE: true });
      const url = await request.makeAuthUrlAsync(discovery);
      // On a phone the app lives on. Here the browser leaves the page.
      sessionStorage.setItem('verifier', request.codeVerifier);
      window.location.assign(url);
    },
    async callback() {
      const code = new URL(window.location).searchParams.get('code');
      const extraParams = { code_verifier: sessionStorage.getItem('verifier') };
      tokens = await exchangeCodeAsync({ clientId, code, redirectUri, extraParams }, discovery);
    },
    async refresh() {
      tokens = await refreshAsync({ clientId, refreshToken: tokens.refreshToken }, discovery);
    },
    held: () => [tokens.accessToken, tokens.refreshToken],
  };
});
