import { Platform } from "react-native";

import type { SuggestionsFor, Violation } from "./tiktoken";

type Reader = "ios" | "android" | "computer";

/** Who reads the app: in a browser, the phone that runs it. */
export function reader(): Reader {
  if (Platform.OS === "ios" || Platform.OS === "android") return Platform.OS;
  const { userAgent, maxTouchPoints } = navigator;
  const isIpad = userAgent.includes("Macintosh") && maxTouchPoints > 1;
  if (isIpad || /iPhone|iPad|iPod/.test(userAgent)) return "ios";
  return userAgent.includes("Android") ? "android" : "computer";
}

/** What this reader can do; what anybody can, where there is nothing of one's own. */
export function adviceFor(told: { suggestions: string[]; suggestions_for: SuggestionsFor }): string[] {
  const own = told.suggestions_for[reader()];
  return own.length ? own : told.suggestions;
}

/** Whether the service would convert the clip: then every violation offers that to developers. */
export function canConvert(violations: Violation[]): boolean {
  const isOffered = ({ suggestions_for: { developer } }: Violation) => developer.some((text) => text.includes('"on_violation"'));
  return violations.length > 0 && violations.every(isOffered);
}
