// What the apps of this folder share. Each says how its library signs in, what it holds, and how it refreshes.
export function app(make) {
  const ready = (async () => {
    const config = await (await fetch('/config.json')).json();
    return { config, library: await make({ ...config, redirectUri: `${window.location.origin}/callback` }) };
  })();

  // The browser's driver takes the steps by name.
  window.steps = {
    async callback() {
      await (await ready).library.callback();
    },

    // The access token and the refresh token.
    async held() {
      return (await ready).library.held();
    },

    // How the app learns of it: by an exception's name, or by nothing.
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
