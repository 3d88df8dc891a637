import { getRandomBytes } from "expo-crypto";

import { adviceFor, canConvert } from "./advice";
import type { Clip } from "./clip";
import { device } from "./device";
import { forgetPending, savePending, type Pending, type Refusal } from "./pending";
import type { Settings } from "./settings";
import { TikTokenError, type ClipFacts, type Fix, type Metadata, type Preflight, type Status, type TikToken } from "./tiktoken";

/** Where a clip is on its way: what the app shows. */
export type Stage =
  | { name: "start" }
  | { name: "working"; step: Step; share: number; uri: string | null; problem: TikTokenError | null; fixes?: Fix[] }
  | { name: "playing"; metadata: Metadata; status: Status; problem: TikTokenError | null }
  | ({ name: "refused" } & Refusal)
  | { name: "stopped"; error: string; advice: string[]; canRetry: boolean };

export type Step = "preflight" | "sending" | "checking" | "converting";

/** `api` is of the service at `server`. */
export type Tools = { server: string; api: TikToken; report: (stage: Stage) => void; signal: AbortSignal };

/** How long a clip waits for its preflight: until then, nothing of it is kept. */
const PREFLIGHT_MS = 5000;
/** Tickets are good for an hour; whoever was offline for longer gets another. */
const MAX_TICKETS = 3;
const PAUSE_MS = 3000;
/** How far `progress` goes until a clip that is converted plays. */
const CONVERTED_PERCENT = 50;
const SIGN_IN = [
  "Sign in, then try again: your clip is kept.",
  ...(__DEV__ ? ["For developers: src/session.ts gives the token."] : []),
];
const STALE = ["access_denied", "expired_token", "unknown_video"];

/** A new clip: judge what is known of it, keep it for a restart, and send it. */
export async function begin(clip: Clip, settings: Settings, tools: Tools): Promise<void> {
  const { server, report, signal } = tools;
  await telling(tools, async () => {
    report({ name: "working", step: "preflight", share: 0, uri: clip.uri, problem: null });
    await discard(); // an earlier clip, which was kept to be converted
    const wish = settings.converts ? toFix(settings) : ({ on_violation: "reject" } as const);
    const { on_violation } = wish;
    const verdict = await judge({ ...clip.facts, on_violation }, tools);
    const violations = verdict?.violations ?? [];
    if (violations.length && !canConvert(violations)) {
      report({ name: "refused", violations, isSent: false }); // without a copy: it may be huge
      return;
    }
    const size = await keep(clip);
    if (signal.aborted) return;
    const request = {
      filename: clip.name,
      content_type: clip.contentType,
      size,
      method: "PUT",
      exact_size: true,
      ...wish,
    } as const;
    const pending: Pending = { server, key: newKey(), request };
    if (violations.length) {
      await refuse(pending, { violations, isSent: false }, report);
      return;
    }
    await savePending(pending);
    await finish(pending, tools);
  });
}

/** Go on with an upload: after a restart of the app, or when its user wants another try. */
export async function resume(pending: Pending, tools: Tools): Promise<void> {
  const { server, refusal } = pending;
  if (refusal) tools.report({ name: "refused", ...refusal });
  // Its owner has named another service since: there, it begins anew.
  else await telling(tools, async () => finish(server === tools.server ? pending : await renew(pending, tools), tools));
}

/** Upload a clip that was rejected once more, and have it converted. */
export async function convert(pending: Pending, settings: Settings, tools: Tools): Promise<void> {
  await telling(tools, async () => {
    const request = { ...pending.request, ...toFix(settings) };
    await finish(await renew({ ...pending, request }, tools), tools);
  });
}

/** Give up a clip that is on its way: the service must not publish it either, if it can be told. */
export async function cancel(pending: Pending, api: TikToken): Promise<void> {
  await discard();
  if (pending.ticket) await api.remove(pending.ticket.id).catch(() => {}); // without a file, it expires
}

/** Forget the clip, and its copy. */
export async function discard(): Promise<void> {
  await forgetPending();
  await device.discard();
}

/** What is known of a clip, judged; null if there is no answer: whatever is wrong, the clip is kept before it is told. */
async function judge(facts: ClipFacts, { api, signal }: Tools): Promise<Preflight | null> {
  const patience = new AbortController();
  const stop = () => patience.abort();
  const timer = setTimeout(stop, PREFLIGHT_MS);
  signal.addEventListener("abort", stop);
  try {
    return await api.preflight(facts, { signal: patience.signal });
  } catch (error) {
    if (signal.aborted) throw error;
    return null;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
}

/** Copy the clip, since pickers and cameras leave theirs where the system tidies up; its size in bytes. */
async function keep({ uri }: Clip): Promise<number> {
  let size = 0;
  try {
    size = await device.keep(uri);
  } catch (error) {
    throw new Trouble("The clip cannot be copied.", ["Make room on this device, then try again.", String(error)]);
  }
  if (size === 0) throw new Trouble("The clip is empty.", ["Choose another one."], { canRetry: false });
  return size;
}

const toFix = ({ fills }: Settings) => ({ on_violation: "fix", fit: fills ? "cover" : "contain" }) as const;

/** Not randomUUID: browsers have none on plain http. */
const newKey = () => Array.from(getRandomBytes(16), (byte) => byte.toString(16).padStart(2, "0")).join("");

async function finish(pending: Pending, tools: Tools): Promise<void> {
  try {
    await deliverUntilOver(pending, tools);
  } catch (error) {
    if (!(error instanceof TikTokenError && error.violations.length)) throw error;
    await refuse(pending, { violations: error.violations, isSent: false }, tools.report); // no ticket was given
  }
}

async function deliverUntilOver(pending: Pending, tools: Tools): Promise<void> {
  for (let tickets = 1; ; tickets += 1) {
    const id = await deliver(pending, tools).catch((error) => {
      if (!isStale(error) || tickets === MAX_TICKETS) throw error;
      return null;
    });
    const ending = id && (await follow(id, tools).catch((error) => unlessDeleted(error, pending, tools)));
    if (ending && ending.last.state !== "expired") return conclude(ending, pending, tools);
    pending = await renew(pending, tools);
    if (ending && tickets === MAX_TICKETS) throw errorOf(ending.last);
  }
}

/** Who deleted it may have meant to: so it is sent again on request alone. */
async function unlessDeleted(error: unknown, pending: Pending, tools: Tools): Promise<never> {
  if (!(error instanceof TikTokenError && error.code === "unknown_video")) throw error;
  await renew(pending, tools);
  throw new Trouble("The service no longer has this clip.", ["It was deleted there. Try again to send it once more."]);
}

/** For another try, with a ticket of its own. */
async function renew(pending: Pending, { server }: Tools): Promise<Pending> {
  const renewed = { ...pending, server, key: newKey(), ticket: undefined, isSent: false, refusal: undefined };
  await savePending(renewed);
  return renewed;
}

/** Until storage has the clip; the video's id. */
async function deliver(pending: Pending, tools: Tools): Promise<string> {
  const { api, report, signal } = tools;
  if (pending.isSent && pending.ticket) return pending.ticket.id;
  const uri = await device.kept();
  let share = 0;
  const tell = (problem: TikTokenError | null = null) => {
    report({ name: "working", step: "sending", share, uri, problem });
  };
  tell();
  if (pending.ticket) {
    const { id } = pending.ticket;
    const status = await api.status(id, { signal }).catch(unlessOffline);
    if (status && status.state !== "awaiting_upload") {
      await note({ ...pending, isSent: true }, tools);
      return id;
    }
  }
  if (!uri) {
    if (!signal.aborted) await discard();
    throw new Trouble("The clip is gone.", ["Choose it again."], { canRetry: false });
  }
  const ticket = await api.upload(await device.open(uri), {
    ticket: pending.ticket,
    request: pending.request,
    idempotencyKey: pending.key,
    retries: Infinity,
    signal,
    onTicket: (given) => void note({ ...pending, ticket: given }, tools),
    onProgress: (sent) => {
      share = sent;
      tell();
    },
    onRetry: tell,
  });
  await note({ ...pending, ticket, isSent: true }, tools);
  return ticket.id;
}

/** Save how far it has come. If that fails, a restart finds out by its key, and by its status. */
async function note(pending: Pending, { signal }: Tools): Promise<void> {
  if (!signal.aborted) await savePending(pending).catch(() => {});
}

type Ending = { last: Status; metadata: Metadata | null };

async function follow(id: string, { api, report, signal }: Tools): Promise<Ending> {
  const uri = await device.kept();
  let status: Status | null = null;
  let metadata: Metadata | null = null;
  const tell = (problem: TikTokenError | null = null) => {
    const fixes = status?.fixes;
    const share = Math.min(1, (status?.progress ?? 0) / CONVERTED_PERCENT);
    if (status?.playable && metadata) report({ name: "playing", metadata, status, problem });
    else if (fixes) report({ name: "working", step: "converting", share, uri, problem, fixes });
    else report({ name: "working", step: "checking", share: 1, uri, problem });
  };
  let isOver = false;
  tell();
  const last = await api.follow(id, {
    signal,
    onStatus: (news) => {
      status = news;
      tell();
      if (!status.playable || metadata) return;
      const found = (answer: Metadata) => {
        if (isOver) return; // it comes late, and knows less
        metadata = answer;
        tell();
      };
      api.metadata(id, { signal }).then(found, () => {}); // the next status asks again
    },
    onRetry: tell,
  });
  isOver = true;
  while (last.state === "completed") {
    const answer = await api.metadata(id, { signal }).catch((error) => {
      if (unlessOffline(error) === null) tell(error);
      return null;
    });
    if (answer) return { last, metadata: answer };
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return { last, metadata: null };
}

async function conclude({ last, metadata }: Ending, pending: Pending, tools: Tools): Promise<void> {
  const { report } = tools;
  if (metadata) {
    report({ name: "playing", metadata, status: last, problem: null });
    await discard();
  } else if (last.state === "rejected") {
    await refuse(pending, { violations: last.violations ?? [], isSent: true }, report);
  } else {
    await renew(pending, tools); // so that trying again sends it once more
    throw errorOf(last);
  }
}

/** Keep the clip only if it can be converted. */
async function refuse(pending: Pending, refusal: Refusal, report: Tools["report"]): Promise<void> {
  if (canConvert(refusal.violations)) await savePending({ ...pending, refusal });
  else await discard();
  report({ name: "refused", ...refusal });
}

const errorOf = ({ error = "The clip could not be processed.", code = "unknown", ...details }: Status) =>
  new TikTokenError(error, { code, ...details });

/** What is not the service's to tell. */
class Trouble extends Error {
  readonly canRetry: boolean;

  constructor(
    message: string,
    readonly advice: string[],
    { canRetry = true } = {},
  ) {
    super(message);
    this.canRetry = canRetry;
  }
}

/** Whatever goes wrong is shown, with a way on. */
async function telling({ report, signal }: Tools, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof TikTokenError) {
      const advice = error.status === 401 ? SIGN_IN : adviceFor(error);
      report({ name: "stopped", error: error.message, advice, canRetry: true });
    } else if (error instanceof Trouble) {
      report({ name: "stopped", error: error.message, advice: error.advice, canRetry: error.canRetry });
    } else {
      report({ name: "stopped", error: "Something went wrong.", advice: [String(error)], canRetry: true });
    }
  }
}

/** Without a connection, what only informs us can be left out. */
function unlessOffline(error: unknown): null {
  if (error instanceof TikTokenError && error.temporary) return null;
  throw error;
}

const isStale = (error: unknown) => error instanceof TikTokenError && STALE.includes(error.code);
