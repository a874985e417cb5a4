// A single-page app on oidc-client-ts, after its documentation. The test calls the steps by name.
import { UserManager } from 'oidc-client-ts';

// Aries has no ID tokens and no userinfo endpoint, so the scope lacks `openid` and loadUserInfo is off.
const settings = (config) => ({
  authority: config.issuer,
  client_id: config.client_id,
  redirect_uri: `${window.location.origin}/callback`,
  response_type: 'code',
  scope: config.scope,
  loadUserInfo: false,
});

const ready = (async () => {
  const config = await (await fetch('/config.json')).json();
  return { config, manager: new UserManager(settings(config)) };
})();

let before;

window.steps = {
  async callback() {
    const { manager } = await ready;
    return told(await manager.signinCallback());
  },

  async user() {
    const { manager } = await ready;
    const user = await manager.getUser();
    return user && told(user);
  },

  async refresh() {
    const { manager } = await ready;
    before = await manager.getUser();
    return told(await manager.signinSilent());
  },

  // Repeats the refresh with the old tokens, as after a lost answer.
  async refreshAgain() {
    const { manager } = await ready;
    await manager.storeUser(before);
    return told(await manager.signinSilent());
  },

  async account() {
    const { config, manager } = await ready;
    const user = await manager.getUser();
    const answer = await fetch(config.account, { headers: { Authorization: `Bearer ${user.access_token}` } });
    return answer.status;
  },

  async revoke() {
    const { manager } = await ready;
    before = await manager.getUser();
    await manager.revokeTokens();
  },

  // Refreshes with the revoked token.
  async refreshRevoked() {
    const { manager } = await ready;
    await manager.storeUser(before);
    try {
      await manager.signinSilent();
    } catch (error) {
      return { name: error.name, error: error.error };
    }
  },
};

function told({ access_token: access, refresh_token: refresh, token_type: type, scope, expires_in: seconds }) {
  return { access, refresh, type, scope: scope.split(' '), seconds };
}

document.getElementById('sign-in').addEventListener('click', async () => {
  const { manager } = await ready;
  await manager.signinRedirect();
});
