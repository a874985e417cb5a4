// What expo-auth-session asks of React Native and of Expo's other packages, by the browser's own means.
// Metro, React Native's bundler, defines it.
globalThis.__DEV__ = false;

export const Platform = { OS: 'ios', select: (values) => values.ios ?? values.default };
export class CodedError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// expo-constants, expo-linking, expo-web-browser: a sign-in of their own, which the tests do not use.
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
