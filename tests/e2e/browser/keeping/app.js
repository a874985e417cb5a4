// Shared by the apps of this folder. Each app adds its library's sign-in, its tokens and its refresh.
export function app(make) {
  const ready = (async () => {
    const config = await (await fetch('/config.json')).json();
    return { config, library: await make({ ...config, redirectUri: `${window.location.origin}/callback` }) };
  })();

  // The test calls the steps by name.
  window.steps = {
    async callback() {
      await (await ready).library.callback();
    },

    // The access token and the refresh token.
    async held() {
      return (await ready).library.held();
    },

    // Returns the name of the failure's exception, or null after a success.
    async refresh() {
      try {
        await (await ready).library.refresh();
        return null;
      } catch (error) {
        return error.name;
      }
    },

    async account() {
      const { config, library } = await ready;
      const [access] = await library.held();
      const answer = await fetch(config.account, { headers: { Authorization: `Bearer ${access}` } });
      return answer.status;
    },
  };

  document.getElementById('sign-in').addEventListener('click', async () => (await ready).library.signIn());
}
