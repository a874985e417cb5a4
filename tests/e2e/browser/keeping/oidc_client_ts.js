// oidc-client-ts. It holds the tokens in the page's sessionStorage.
import { UserManager } from 'oidc-client-ts';
import { app } from './app.js';

app(({ issuer, client_id, scope, redirectUri }) => {
  const settings = { authority: issuer, client_id, redirect_uri: redirectUri, scope, loadUserInfo: false };
  const manager = new UserManager({ ...settings, automaticSilentRenew: false });
  return {
    signIn: () => manager.signinRedirect(),
    callback: () => manager.signinCallback(),
    refresh: () => manager.signinSilent(),
    async held() {
      const user = await manager.getUser();
      return user && [user.access_token, user.refresh_token];
    },
  };
});
