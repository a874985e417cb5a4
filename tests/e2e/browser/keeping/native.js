// expo-auth-session's needs of React Native and of Expo's other packages, met by the browser.

// Metro, React Native's bundler, defines this name.
globalThis.__DEV__ = false;

export const Platform = { OS: 'ios', select: (values) => values.ios ?? values.default };
export class CodedError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// expo-constants, expo-linking, expo-web-browser: parts of their own sign-in. The tests do not use it.
export default {};
export const ExecutionEnvironment = {};
export const dismissAuthSession = () => {};
export const openAuthSessionAsync = () => {};
export const createURL = () => '';
export const parse = () => ({});
export const resolveScheme = () => '';
export const hasCustomScheme = () => false;
export const collectManifestSchemes = () => [];

// expo-crypto
export const CryptoDigestAlgorithm = { SHA256: 'SHA-256' };
export const CryptoEncoding = { BASE64: 'base64', HEX: 'hex' };
export const getRandomValues = (bytes) => crypto.getRandomValues(bytes);
export async function digestStringAsync(algorithm, text) {
  const digest = await crypto.subtle.digest(algorithm, new TextEncoder().encode(text));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}
