/**
 * A client of TikToken for web pages and React Native: one file, no dependency. Copy it.
 *
 *     const api = new TikToken("https://api.example", { token: () => session.idToken() });
 *     const { accepted, violations } = await api.preflight(preflightFromAsset(asset));
 *     const { id } = await api.upload(file, { onProgress: (share) => … });
 *     const status = await api.follow(id, { onStatus: (status) => … });
 *     const { hls, url } = await api.metadata(id);
 *
 * The fields are those of the wire: docs/api.md explains them.
 * @module
 */

/**
 * @typedef {{ios: string[], android: string[], computer: string[], developer: string[]}} SuggestionsFor
 * @typedef {{rule: string, found: string, expected: string, message: string, suggestions: string[],
 *   suggestions_for: SuggestionsFor}} Violation
 * @typedef {{rule: string, found: string, made: string}} Fix  One change, so that a clip keeps the spec.
 * @typedef {"awaiting_upload" | "queued" | "processing" | "completed" | "rejected" | "failed" | "expired"} State
 *
 * @typedef {{filename: string, content_type: string, size: number, method?: "POST" | "PUT", exact_size?: boolean,
 *   poster_time?: number, on_violation?: "reject" | "fix", fit?: "contain" | "cover"}} UploadRequest
 * @typedef {{method: "POST" | "PUT", url: string, fields?: Record<string, string>, headers?: Record<string, string>,
 *   expires_at: string, max_bytes: number}} UploadTarget
 * @typedef {{status: string, metadata: string}} Links
 * @typedef {{id: string, url: string, state: State, upload: UploadTarget, links: Links}} Ticket
 *
 * @typedef {{size?: number, duration?: number, width?: number, height?: number, rotation?: number, codec?: string,
 *   fps?: number, color_primaries?: string, color_transfer?: string, color_space?: string,
 *   on_violation?: "reject" | "fix"}} ClipFacts
 * @typedef {{accepted: boolean, violations: Violation[], fixes?: Fix[], unjudged: string[],
 *   fitting_bit_rate: number | null}} Preflight
 *
 * @typedef {{error?: string, suggestions?: string[], suggestions_for?: SuggestionsFor, code?: string,
 *   violations?: Violation[]}} Ending  Only of a video that is rejected, failed or expired.
 * @typedef {{id: string, state: State, progress: number, playable: boolean, updated_at: string,
 *   retry_after_ms: number | null, time_left_ms: number | null, fixes?: Fix[]} & Ending} Status
 *
 * @typedef {{name: string, codec: string, codecs: string | null, width: number, height: number, size_bytes: number,
 *   bit_rate: number | null, url: string}} Rendition
 * @typedef {{codec: string, profile: string, channels: number, sample_rate: number, bit_rate: number,
 *   duration: number, loudness_lufs: number | null, true_peak_dbtp: number | null}} AudioSpecs
 * @typedef {{width: number, height: number, fps: number, duration: number, codec: string, profile: string,
 *   level: number | null, pixel_format: string, color_primaries: string | null, color_transfer: string | null,
 *   color_space: string | null, color_range: string | null, rotation: number, bit_rate: number, frame_count: number,
 *   audio: AudioSpecs | null}} Specs
 * @typedef {{content_type: string, size_bytes: number, etag: string, uploaded_at: string, outputs: number,
 *   outputs_bytes: number}} StorageInfo
 * @typedef {{id: string, filename: string, url: string, state: State, playable: boolean, created_at: string,
 *   updated_at: string, playable_at: string | null, completed_at: string | null, specs: Specs | null,
 *   storage_info: StorageInfo | null, renditions: Rendition[], hls: string | null, poster: string | null,
 *   poster_time: number, blurhash: string | null, sprite: string | null, sprite_vtt: string | null,
 *   warnings: string[], fixes?: Fix[], links: Links} & Ending} Metadata
 * @typedef {Status & {filename: string, created_at: string, url: string, poster: string | null,
 *   blurhash: string | null, links: Links}} ListedVideo
 *
 * @typedef {Blob & {name?: string}} ClipFile  A File, or any Blob.
 * @typedef {{status: number, body: string}} Sent  Storage's answer; its body is S3's XML if it is an error.
 * @typedef {{onProgress?: (share: number) => void, signal?: AbortSignal}} SendOptions  share: 0 to 1 of the bytes.
 * @typedef {(target: UploadTarget, file: any, options: SendOptions) => Promise<Sent>} Send
 *   Sends the file as the ticket says; rejects if the network fails. Expo: an upload task of its file system.
 * @typedef {{signal?: AbortSignal}} Cancellable
 * @typedef {(error: TikTokenError, waitMs: number) => void} OnRetry  Called before each pause.
 * @typedef {{state: State, progress: number, time_left_ms: number | null}} Progress
 */

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 30_000;
const ANSWER_MS = 35_000; // for a whole request: API Gateway gives up after 29 s, so the connection is dead
const SILENCE_MS = 45_000; // of an event stream, whose heart beats every 15 s: it is dead
const STALL_MS = 60_000; // without a byte sent, or without an answer to the last: an upload is dead
const RETRIED = [408, 429, 500, 502, 503, 504, 507];
/** S3's, whatever its status: an earlier PUT of the same file still goes on; the connection stalled, or broke off. */
const DROPPED = ["conditional_request_conflict", "request_timeout", "incomplete_body"];

/** @type {Record<string, string>} */
const TYPES = { mp4: "video/mp4", mov: "video/quicktime", m4v: "video/x-m4v", "3gp": "video/3gpp" };

/** Every error: of the API, of storage, and of the network. */
export class TikTokenError extends Error {
  /**
   * @param {string} message
   * @param {{code: string, status?: number, suggestions?: string[], suggestions_for?: SuggestionsFor,
   *   violations?: Violation[], quota?: object, retryAfterMs?: number | null, cause?: unknown}} details
   */
  constructor(message, details) {
    super(message, { cause: details.cause });
    this.name = "TikTokenError";
    /** The API's code, S3's in snake_case, or `network`. */
    this.code = details.code;
    /** The HTTP status; 0 if there was no answer. */
    this.status = details.status ?? 0;
    this.suggestions = details.suggestions ?? [];
    /** @type {SuggestionsFor} */
    this.suggestions_for = details.suggestions_for ?? { ios: [], android: [], computer: [], developer: [] };
    this.violations = details.violations ?? [];
    this.quota = details.quota ?? null;
    /** The least time to wait before another try; null if the answer names none. */
    this.retryAfterMs = details.retryAfterMs ?? null;
  }

  /** Whether the same request may succeed later. */
  get temporary() {
    if (DROPPED.includes(this.code)) return true;
    return this.status === 0 || (RETRIED.includes(this.status) && this.code !== "quota_exceeded");
  }
}

export class TikToken {
  /** @type {(path: string, init?: RequestInit & {json?: object}) => Promise<Response>} */
  #request;
  /** @type {Send} */
  #send;
  /** @type {EventStream} */
  #events;

  /**
   * @param {string} baseUrl  Of the API, such as `https://api.example/v1`.
   * @param {{token?: string | (() => string | Promise<string>), fetch?: typeof globalThis.fetch, send?: Send}} [options]
   *   A token is sent to the API alone, never to storage.
   */
  constructor(baseUrl, { token = "", fetch = globalThis.fetch.bind(globalThis), send } = {}) {
    const base = baseUrl.replace(/\/+$/, "");
    this.#send = send ?? ("XMLHttpRequest" in globalThis ? sendByXhr : sendByFetch(fetch));
    this.#request = async (path, { json, headers, ...init } = {}) => {
      const bearer = typeof token === "function" ? await token() : token;
      const sent = {
        ...(json && { "Content-Type": "application/json" }),
        ...(bearer && { Authorization: `Bearer ${bearer}` }),
        ...headers,
      };
      const body = json && JSON.stringify(json);
      const answer = await overNetwork(() => fetch(base + path, { ...init, headers: sent, body }), init.signal);
      if (answer.ok || answer.status === 304) return answer;
      throw await errorOfApi(answer);
    };
    this.#events = new EventStream((signal) => this.#request("/events", { signal }), `events of ${base}`);
  }

  /**
   * Would a clip like this be accepted? Nothing is stored.
   * @param {ClipFacts} facts  See also {@link preflightFromAsset}.
   * @param {Cancellable} [options]
   * @returns {Promise<Preflight>}
   */
  preflight(facts, { signal } = {}) {
    return this.#json("/preflight", { method: "POST", json: facts, signal });
  }

  /**
   * A ticket for one file; valid for an hour.
   * @param {UploadRequest} request
   * @param {{idempotencyKey?: string} & Cancellable} [options]
   *   A repeat with the same key, such as a UUID, gets the same ticket.
   * @returns {Promise<Ticket>}
   */
  requestUpload(request, { idempotencyKey, signal } = {}) {
    /** @type {Record<string, string>} */
    const headers = idempotencyKey ? { "Idempotency-Key": idempotencyKey } : {};
    return this.#json("/upload", { method: "POST", json: request, headers, signal });
  }

  /**
   * Ask for a ticket and send the file, again if the connection drops. Resolves once storage has the file.
   * @param {ClipFile | any} file  A File or Blob; with a `send` of your own, whatever it takes.
   * @param {{ticket?: Ticket, request?: Partial<UploadRequest>, idempotencyKey?: string,
   *   onTicket?: (ticket: Ticket) => void, onRetry?: OnRetry, retries?: number} & SendOptions} [options]
   *   `request` completes or replaces what the file says of itself; `ticket` is one that you have already. With an
   *   `idempotencyKey`, the ticket is asked for again as well.
   * @returns {Promise<Ticket>}
   */
  async upload(file, { ticket, request, idempotencyKey, onTicket, onRetry, retries = 5, ...sending } = {}) {
    const { signal } = sending;
    const described = { filename: file.name ?? "clip", content_type: contentType(file), size: file.size, ...request };
    let given = ticket;
    if (given) onTicket?.(given);
    for (let tries = 1; ; tries += 1) {
      try {
        if (!given) {
          given = await this.requestUpload(described, { idempotencyKey, signal });
          onTicket?.(given);
        }
        await this.#sendOnce(given.upload, file, sending);
        return given;
      } catch (error) {
        const isRepeatable = given || idempotencyKey;
        if (!isRepeatable || !isTemporary(error) || tries > retries) throw error;
        await pauseAfter(error, tries, { onRetry, signal });
        if (given && (await this.#hasArrived(given.id, sending))) return given;
      }
    }
  }

  /**
   * Follow a video until it is finished: by the events of the service where it has a stream of them, else by asking
   * as often as it says. Errors that may pass are retried for ever.
   * @param {string} id
   * @param {{onStatus?: (status: Status) => void, onRetry?: OnRetry} & Cancellable} [options]
   *   `onStatus` is called when something has changed; abort `signal` to stop.
   * @returns {Promise<Status>}  The last one.
   */
  async follow(id, { onStatus, onRetry, signal } = {}) {
    /** @type {Status | undefined} */
    let status;
    /** @type {News | undefined} */
    let news;
    let etag = "";
    try {
      for (let failures = 0; ; ) {
        try {
          const headers = etag ? { "If-None-Match": etag } : undefined;
          const { answer, said } = await this.#ask(videoPath(id, "/status"), { headers, signal });
          let waitMs = retryAfterMs(answer); // all that a 304 says
          if (said) {
            status = /** @type {Status} */ (said);
            etag = answer.headers.get("ETag") ?? "";
            waitMs = status.retry_after_ms;
            onStatus?.(status);
          }
          failures = 0;
          if (waitMs === null && status) return status;
          news ??= this.#events.join(id);
          let progress;
          while ((progress = await news.wait(waitMs ?? MAX_PAUSE_MS, signal))) {
            if (!status?.playable && progress.state !== status?.state) break; // its status has `fixes`
            if (status) onStatus?.((status = { ...status, ...progress }));
          }
        } catch (error) {
          if (!isTemporary(error)) throw error;
          await pauseAfter(error, (failures += 1), { onRetry, signal });
        }
      }
    } finally {
      if (news) this.#events.leave(news);
    }
  }

  /**
   * @param {string} id
   * @param {Cancellable} [options]
   * @returns {Promise<Status>}
   */
  status(id, { signal } = {}) {
    return this.#json(videoPath(id, "/status"), { signal });
  }

  /**
   * Everything known about a video. With tokens, its links are good for an hour or more: then ask again.
   * @param {string} id
   * @param {Cancellable} [options]
   * @returns {Promise<Metadata>}
   */
  metadata(id, { signal } = {}) {
    return this.#json(videoPath(id, "/metadata"), { signal });
  }

  /**
   * Your own videos, newest first; only where tokens are required. Pass `after` to get the next page.
   * @param {{limit?: number, after?: string | null} & Cancellable} [options]
   * @returns {Promise<{videos: ListedVideo[], after: string | null}>}
   */
  list({ limit = 20, after, signal } = {}) {
    const query = new URLSearchParams({ limit: String(limit), ...(after && { after }) });
    return this.#json(`/videos?${query}`, { signal });
  }

  /**
   * Delete a video, its upload and every output. One that is gone already is no error.
   * @param {string} id
   * @param {Cancellable} [options]
   */
  async remove(id, { signal } = {}) {
    try {
      await this.#ask(videoPath(id), { method: "DELETE", signal });
    } catch (error) {
      if (!(error instanceof TikTokenError && error.code === "unknown_video")) throw error;
    }
  }

  /**
   * @param {Cancellable} [options]
   * @returns {Promise<any>}  See docs/operations.md; `status` is `ok` or `degraded`.
   */
  async health({ signal } = {}) {
    try {
      return await this.#json("/health", { signal });
    } catch (error) {
      const report = error instanceof TikTokenError && error.status === 503 ? error.cause : null;
      if (report && typeof report === "object" && "dependencies" in report) return report;
      throw error;
    }
  }

  /**
   * @param {string} path
   * @param {RequestInit & {json?: object}} [init]
   * @returns {Promise<any>}
   */
  async #json(path, init) {
    return (await this.#ask(path, init)).said;
  }

  /**
   * @param {string} path
   * @param {RequestInit & {json?: object}} [init]
   * @returns {Promise<{answer: Response, said: any}>}  `said` is undefined where the answer has no body.
   */
  #ask(path, { signal, ...init } = {}) {
    return within(ANSWER_MS, signal, async (limited) => {
      const answer = await this.#request(path, { ...init, signal: limited });
      const isEmpty = answer.status === 204 || answer.status === 304;
      return { answer, said: isEmpty ? undefined : await overNetwork(() => answer.json(), limited) };
    });
  }

  /** @param {UploadTarget} target @param {any} file @param {SendOptions} options */
  async #sendOnce(target, file, options) {
    if (options.signal?.aborted) throw reasonOf(options.signal);
    const sent = await overNetwork(() => this.#send(target, file, options), options.signal);
    const isThere = target.method === "PUT" && sent.status === 412; // an earlier try has arrived after all
    if (!isThere && (sent.status < 200 || sent.status > 299)) throw errorOfStorage(sent);
  }

  /** Whether an upload whose answer was lost has been noticed. @param {string} id @param {Cancellable} options */
  async #hasArrived(id, { signal }) {
    try {
      return (await this.status(id, { signal })).state !== "awaiting_upload";
    } catch (error) {
      if (isTemporary(error)) return false; // sending it twice does no harm
      throw error;
    }
  }
}

/** What the stream says of one video. */
class News {
  /** @type {((progress?: Progress) => void) | null} */
  #wake = null;
  #isThere = false;

  /** @param {string} id @param {() => boolean} isLive */
  constructor(id, isLive) {
    this.id = id;
    this.isLive = isLive;
  }

  /** Something has happened, or its encoding has come this far. @param {Progress} [progress] */
  tell(progress) {
    const wake = this.#wake;
    this.#wake = null;
    if (wake) wake(progress);
    else if (!progress) this.#isThere = true; // while its status is read
  }

  /**
   * Wait for news; no longer than `waitMs` while no stream is open.
   * @param {number} waitMs
   * @param {AbortSignal} [signal]
   * @returns {Promise<Progress | undefined>}  undefined: read its status.
   */
  async wait(waitMs, signal) {
    try {
      if (!this.#isThere) return await pause(this.isLive() ? null : waitMs, signal, (wake) => (this.#wake = wake));
      this.#isThere = false;
    } finally {
      this.#wake = null;
    }
  }
}

/**
 * The service's events, by one request for all videos that are followed, while any is. A deployment on AWS has none.
 * Whenever it opens and whenever it ends, every status is read once: so nothing is missed between two streams.
 *
 * Of the tabs of a browser, which opens six connections to a host at most, one has the stream. The others poll.
 */
class EventStream {
  /** @type {Set<News>} */
  #followed = new Set();
  /** @type {AbortController | null} */
  #session = null;
  #isLive = false;
  #isThere = true;
  #request;
  #name;

  /** @param {(signal: AbortSignal) => Promise<Response>} request @param {string} name  The same in every tab. */
  constructor(request, name) {
    this.#request = request;
    this.#name = name;
  }

  /** @param {string} id */
  join(id) {
    const news = new News(id, () => this.#isLive);
    this.#followed.add(news);
    if (this.#isLive) news.tell(); // what has happened since its status was read
    if (!this.#session && this.#isThere) this.#listenAlone((this.#session = new AbortController()));
    return news;
  }

  /** @param {News} news */
  leave(news) {
    this.#followed.delete(news);
    if (this.#followed.size) return;
    this.#session?.abort();
    this.#session = null;
    this.#isLive = false;
  }

  /** @param {AbortController} session */
  async #listenAlone(session) {
    const locks = "document" in globalThis ? navigator.locks : undefined; // none over http from another machine
    if (!locks) return await this.#listen(session);
    await locks.request(this.#name, { signal: session.signal }, () => this.#listen(session)).catch(() => {}); // aborted
  }

  /** @param {AbortController} session */
  async #listen(session) {
    const { signal } = session;
    for (let failures = 0; !signal.aborted && this.#isThere; ) {
      try {
        const answer = await this.#request(signal);
        if (!answer.body) break; // React Native's own fetch cannot stream
        await overNetwork(() => this.#read(/** @type {ReadableStream} */ (answer.body), session), signal);
        failures = 0;
        throw new TikTokenError("The event stream has ended.", { code: "network" });
      } catch (error) {
        const failed = error instanceof TikTokenError ? error : new TikTokenError("No events.", { code: "network" });
        if (failed.status === 404) break;
        if (session === this.#session && this.#isLive) this.#tellAll({ isLive: false });
        await pauseAfter(failed, (failures += 1), { signal }).catch(() => {}); // aborted
      }
    }
    if (!signal.aborted) this.#isThere = false;
  }

  /** @param {ReadableStream} body @param {AbortController} session */
  async #read(body, session) {
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (let text = ""; ; ) {
      const silence = setTimeout(() => reader.cancel(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silence));
      if (done || session !== this.#session) return;
      if (!this.#isLive) this.#tellAll({ isLive: true });
      const blocks = (text + decoder.decode(value, { stream: true })).split("\n\n");
      text = blocks.pop() ?? "";
      blocks.forEach((block) => this.#take(block));
    }
  }

  /** @param {string} block  One message, or a comment. */
  #take(block) {
    const [name, data] = ["event", "data"].map((field) => new RegExp(`^${field}: (.*)$`, "m").exec(block)?.[1]);
    if (!data) return;
    const told = JSON.parse(data);
    const { id, ...progress } = name === "progress" ? told : { id: told.data.id };
    for (const news of this.#followed) if (news.id === id) news.tell(name === "progress" ? progress : undefined);
  }

  /** @param {{isLive: boolean}} how */
  #tellAll({ isLive }) {
    this.#isLive = isLive;
    for (const news of this.#followed) news.tell();
  }
}

/**
 * What an Expo or React Native picker says of a clip, as facts for `preflight`. Pickers report 0, null or nothing
 * for what they do not know; that is left out.
 * @param {{duration?: number | null, width?: number | null, height?: number | null, rotation?: number | null,
 *   fileSize?: number | null}} asset  An asset of expo-image-picker: `duration` is in milliseconds.
 * @returns {ClipFacts}
 */
export function preflightFromAsset({ duration, width, height, rotation, fileSize }) {
  // Many pickers swap the sides of a turned clip or not, and do not say which: only the file can tell then.
  const upright = width && height && (rotation != null || height > width);
  return {
    ...(fileSize && { size: fileSize }),
    ...(duration && { duration: duration / 1000 }),
    ...(upright && { width, height, ...(rotation && { rotation }) }),
  };
}

/** @param {{type?: string, mimeType?: string, name?: string}} file */
function contentType({ type, mimeType, name = "" }) {
  const said = mimeType ?? type ?? "";
  return said.includes("/") ? said : (TYPES[name.toLowerCase().split(".").pop() ?? ""] ?? "video/mp4");
}

/** @param {string} id @param {string} [rest] */
const videoPath = (id, rest = "") => `/videos/${encodeURIComponent(id)}${rest}`;

/** @param {UploadTarget} target @param {Blob} file @returns {Blob | FormData} */
function uploadBody({ method, fields = {} }, file) {
  if (method === "PUT") return file;
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("file", file); // last: storage ignores what follows it
  return form;
}

/** @type {Send}  The only way for a web page to see the progress of an upload. */
function sendByXhr(target, file, { onProgress, signal }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    xhr.open(target.method, target.url);
    for (const [name, value] of Object.entries(target.headers ?? {})) xhr.setRequestHeader(name, value);
    const lost = () => reject(new TypeError("The connection was lost."));
    const abort = () => xhr.abort();
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let stalled;
    const moved = () => {
      clearTimeout(stalled);
      stalled = setTimeout(() => (lost(), abort()), STALL_MS);
    };
    xhr.upload.onprogress = ({ loaded, total }) => {
      moved();
      onProgress?.(total ? loaded / total : 0);
    };
    xhr.onload = () => resolve({ status: xhr.status, body: xhr.responseText });
    xhr.onerror = lost;
    xhr.onabort = () => reject(reasonOf(signal));
    signal?.addEventListener("abort", abort);
    xhr.onloadend = () => {
      clearTimeout(stalled);
      signal?.removeEventListener("abort", abort);
    };
    moved();
    xhr.send(uploadBody(target, file));
  });
}

/** @param {typeof globalThis.fetch} fetch @returns {Send}  Where there is no XMLHttpRequest; without progress. */
function sendByFetch(fetch) {
  return async (target, file, { onProgress, signal }) => {
    const { method, url, headers } = target;
    const answer = await fetch(url, { method, headers, body: uploadBody(target, file), signal });
    onProgress?.(1);
    return { status: answer.status, body: await answer.text() };
  };
}

/**
 * Do something that needs the network; what that throws becomes a TikTokenError, unless `signal` caused it.
 * @template T
 * @param {() => Promise<T>} act
 * @param {AbortSignal | null} [signal]
 * @returns {Promise<T>}
 */
async function overNetwork(act, signal) {
  try {
    return await act();
  } catch (cause) {
    if (signal?.aborted) throw reasonOf(signal);
    throw new TikTokenError("The service cannot be reached.", { code: "network", cause });
  }
}

/**
 * Do something that ends when `signal` aborts, or else after so long.
 * @template T
 * @param {number} limitMs
 * @param {AbortSignal | null | undefined} signal
 * @param {(limited: AbortSignal) => Promise<T>} act
 * @returns {Promise<T>}
 */
async function within(limitMs, signal, act) {
  if (signal?.aborted) throw reasonOf(signal);
  const limited = new AbortController();
  /** @type {(error: unknown) => void} */
  let end = () => {};
  /** @type {Promise<never>} */
  const ended = new Promise((_, reject) => {
    end = (error) => {
      reject(error);
      limited.abort(error);
    };
  });
  const abort = () => end(reasonOf(signal ?? undefined));
  const timer = setTimeout(end, limitMs, new TikTokenError("The service does not answer.", { code: "network" }));
  signal?.addEventListener("abort", abort);
  try {
    return await Promise.race([act(limited.signal), ended]); // `fetch` may be one that ignores signals
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** @param {Response} answer */
async function errorOfApi(answer) {
  const body = await answer.json().catch(() => ({}));
  const { error = `The service answered ${answer.status}.`, code = "unknown", ...details } = body;
  const waits = { status: answer.status, retryAfterMs: retryAfterMs(answer), cause: body };
  return new TikTokenError(error, { code, ...details, ...waits });
}

/** @param {Sent} sent */
function errorOfStorage({ status, body }) {
  const of = (/** @type {string} */ tag) => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(body)?.[1];
  const code = (of("Code") ?? "storage_error").replace(/(?<=[a-z])(?=[A-Z])/g, "_").toLowerCase();
  return new TikTokenError(of("Message") ?? `Storage answered ${status}.`, { code, status });
}

/** @param {AbortSignal} [signal]  React Native's has no reason. */
const reasonOf = (signal) => signal?.reason ?? Object.assign(new Error("Aborted."), { name: "AbortError" });

/** @param {unknown} error @returns {error is TikTokenError} */
const isTemporary = (error) => error instanceof TikTokenError && error.temporary;

/** @param {Response} answer */
function retryAfterMs(answer) {
  const seconds = Number(answer.headers.get("Retry-After") || NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}

/**
 * Wait longer after each failure in a row, and at least as long as the service asks.
 * @param {TikTokenError} error
 * @param {number} failures
 * @param {{onRetry?: OnRetry, signal?: AbortSignal}} options
 */
async function pauseAfter(error, failures, { onRetry, signal }) {
  const longestMs = Math.min(FIRST_PAUSE_MS * 2 ** (failures - 1), MAX_PAUSE_MS);
  const spreadMs = longestMs * (0.5 + Math.random() / 2); // so that not all clients return at once
  const waitMs = Math.max(spreadMs, error.retryAfterMs ?? 0);
  onRetry?.(error, waitMs);
  await pause(waitMs, signal);
}

/**
 * @param {number | null} waitMs  null: until it is woken.
 * @param {AbortSignal} [signal]
 * @param {(wake: (news?: any) => void) => void} [wakeable]  Gets what ends the pause early.
 * @returns {Promise<any>}  What it was woken with.
 */
function pause(waitMs, signal, wakeable) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(reasonOf(signal));
    const wake = (/** @type {any} */ news) => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      resolve(news);
    };
    const abort = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = waitMs === null ? undefined : setTimeout(wake, waitMs);
    signal?.addEventListener("abort", abort, { once: true });
    wakeable?.(wake);
  });
}
