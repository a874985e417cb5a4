// The least React app around aries.js. That file is the example of Aries' page: it defines login and handleCallback.
import { useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

function Login() {
  return <button onClick={() => login()}>Sign in with Aries</button>;
}

function Callback() {
  useEffect(() => {
    handleCallback();
  }, []);
  return <p>One moment …</p>;
}

function Dashboard() {
  const [user, setUser] = useState(null);
  useEffect(() => {
    (async () => {
      const { api } = await (await fetch('/config.json')).json();
      const headers = { Authorization: `Bearer ${sessionStorage.getItem('access_token')}` };
      const answer = await fetch(`${api}/v1/users/me`, { headers });
      setUser(answer.ok ? await answer.json() : { name: 'nobody' });
    })();
  }, []);
  return user && <h1>Welcome, {user.name}</h1>;
}

const routes = { '/': Login, '/callback': Callback, '/dashboard': Dashboard };
const Route = routes[window.location.pathname];
createRoot(document.getElementById('root')).render(<Route />);
