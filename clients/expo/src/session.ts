/**
 * The token of whoever is signed in, for a service that needs one: replace it by that of your own sign-in, which gets
 * another before one expires. It is asked for with each request. EXPO_PUBLIC_API_TOKEN is for trying things out:
 * whatever is called EXPO_PUBLIC_… can be read in the app by everybody who has it.
 */
export async function token(): Promise<string> {
  return process.env.EXPO_PUBLIC_API_TOKEN ?? "";
}
