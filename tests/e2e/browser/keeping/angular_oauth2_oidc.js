// angular-oauth2-oidc in an Angular app without components. It holds the tokens in the page's sessionStorage.
import '@angular/compiler';
import { provideHttpClient } from '@angular/common/http';
import { createApplication } from '@angular/platform-browser';
import { OAuthService, provideOAuthClient } from 'angular-oauth2-oidc';
import { app } from './app.js';

app(async ({ issuer, client_id: clientId, scope, redirectUri }) => {
  const { injector } = await createApplication({ providers: [provideHttpClient(), provideOAuthClient()] });
  const oauth = injector.get(OAuthService);
  // Aries has no ID tokens, and the broker of the tests no TLS.
  const settings = { responseType: 'code', oidc: false, requireHttps: false };
  oauth.configure({ ...settings, issuer, clientId, scope, redirectUri });
  await oauth.loadDiscoveryDocument();
  return {
    signIn: () => oauth.initCodeFlow(),
    callback: () => oauth.tryLoginCodeFlow(),
    refresh: () => oauth.refreshToken(),
    held: () => [oauth.getAccessToken(), oauth.getRefreshToken()],
  };
});
