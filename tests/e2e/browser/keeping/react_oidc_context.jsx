// react-oidc-context. Its hook tells a component of the session.
import { createRoot } from 'react-dom/client';
import { AuthProvider, useAuth } from 'react-oidc-context';
import { app } from './app.js';

app(({ issuer, client_id, scope, redirectUri }) => {
  const settings = { authority: issuer, client_id, redirect_uri: redirectUri, scope, automaticSilentRenew: false };
  let auth;
  const Session = () => {
    auth = useAuth();
    return <output>{auth.isAuthenticated ? 'signed in' : 'signed out'}</output>;
  };
  const place = document.body.appendChild(document.createElement('div'));
  createRoot(place).render(<AuthProvider {...settings}><Session /></AuthProvider>);
  const rendered = async (condition) => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  return {
    async signIn() {
      // The button may come before React's first rendering.
      await rendered(() => auth);
      await auth.signinRedirect();
    },
    // The provider redeems the code by itself.
    callback: () => rendered(() => auth?.isAuthenticated),
    // The hook throws nothing. It reports the failure in `error`.
    async refresh() {
      const user = await auth.signinSilent();
      if (user) return rendered(() => auth.user?.access_token === user.access_token);
      await rendered(() => auth.error);
      throw auth.error;
    },
    held: () => auth.user && auth.isAuthenticated && [auth.user.access_token, auth.user.refresh_token],
  };
});
