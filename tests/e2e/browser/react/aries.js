// Login: generate challenge and redirect
async function login() {
const codeVerifier = crypto.randomUUID().replace(/-/g, '') + crypto.randomUUID().replace(/-/g, '');
sessionStorage.setItem('pkce_code_verifier', codeVerifier);
const encoder = new TextEncoder();
const hash = await crypto.subtle.digest('SHA-256', encoder.encode(codeVerifier));
const codeChallenge = btoa(String.fromCharCode(...new Uint8Array(hash)))
.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
const state = crypto.randomUUID();
sessionStorage.setItem('oauth_state', state);
const params = new URLSearchParams({
response_type: 'code',
client_id: 'YOUR_CLIENT_ID',
redirect_uri: `${window.location.origin}/callback`,
scope: 'user:information account:information',
state,
code_challenge: codeChallenge,
code_challenge_method: 'S256',
});
window.location.href = `https://app.aries.com/oauth2/authorize?${params}`;
}
// Callback: exchange code for tokens
async function handleCallback() {
const params = new URLSearchParams(window.location.search);
if (params.get('state') !== sessionStorage.getItem('oauth_state')) {
alert('Invalid state');
return;
}
const code = params.get('code');
const codeVerifier = sessionStorage.getItem('pkce_code_verifier');
const res = await fetch('https://api.aries.com/v1/oauth2/token', {
method: 'POST',
headers: { 'Content-Type': 'application/json' },
body: JSON.stringify({
client_id: 'YOUR_CLIENT_ID',
grant_type: 'code',
code, redirect_uri: `${window.location.origin}/callback`,
code_verifier: codeVerifier,
}),
});
const tokens = await res.json();
sessionStorage.setItem('access_token', tokens.access_token);
sessionStorage.removeItem('pkce_code_verifier');
sessionStorage.removeItem('oauth_state');
window.location.href = '/dashboard';
}
