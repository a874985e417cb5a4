// @axa-fr/oidc-client without its service worker: it holds the tokens in the page's sessionStorage.
import { OidcClient } from '@axa-fr/oidc-client';
import { app } from './app.js';

// The library repeats a 503 without a pause. This function waits for the broker's Retry-After.
async function patientFetch(url, options) {
  for (;;) {
    const answer = await fetch(url, options);
    if (answer.status !== 503) return answer;
    const seconds = Number(answer.headers.get('Retry-After')) || 1;
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  }
}

app(({ issuer, client_id, scope, redirectUri }) => {
  const settings = { authority: issuer, client_id, redirect_uri: redirectUri, scope };
  const client = OidcClient.getOrCreate(() => (window.patient ? patientFetch : fetch.bind(window)))(settings);

  // Resolves with the name of the error, or null, once the library has refreshed by itself.
  window.steps.renewed = () =>
    new Promise((resolve) => {
      client.subscribeEvents((name, { error }) => {
        if (name === 'refreshTokensAsync_error') resolve(error.name);
        if (name === 'token_renewed') resolve(null);
      });
      // A day on, the access token has expired, and the library's own timer notices. The library reads the end from
      // the token, in the broker's time. Earlier tests have moved the broker's clock ahead by less than a day.
      const { getTime } = Date.prototype;
      Date.prototype.getTime = function inADay() {
        return getTime.call(this) + 86_400_000;
      };
    });

  return {
    signIn: () => client.loginAsync(),
    callback: () => client.loginCallbackAsync(),
    refresh: () => client.renewTokensOrThrowAsync(),
    held: () => client.tokens && [client.tokens.accessToken, client.tokens.refreshToken],
  };
});
