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
export type SuggestionsFor = {
    ios: string[];
    android: string[];
    computer: string[];
    developer: string[];
};
export type Violation = {
    rule: string;
    found: string;
    expected: string;
    message: string;
    suggestions: string[];
    suggestions_for: SuggestionsFor;
};
export type Fix = {
    rule: string;
    found: string;
    made: string;
};
export type State = "awaiting_upload" | "queued" | "processing" | "completed" | "rejected" | "failed" | "expired";
export type UploadRequest = {
    filename: string;
    content_type: string;
    size: number;
    method?: "POST" | "PUT";
    exact_size?: boolean;
    poster_time?: number;
    on_violation?: "reject" | "fix";
    fit?: "contain" | "cover";
};
export type UploadTarget = {
    method: "POST" | "PUT";
    url: string;
    fields?: Record<string, string>;
    headers?: Record<string, string>;
    expires_at: string;
    max_bytes: number;
};
export type Links = {
    status: string;
    metadata: string;
};
export type Ticket = {
    id: string;
    url: string;
    state: State;
    upload: UploadTarget;
    links: Links;
};
export type ClipFacts = {
    size?: number;
    duration?: number;
    width?: number;
    height?: number;
    rotation?: number;
    codec?: string;
    fps?: number;
    color_primaries?: string;
    color_transfer?: string;
    color_space?: string;
    on_violation?: "reject" | "fix";
};
export type Preflight = {
    accepted: boolean;
    violations: Violation[];
    fixes?: Fix[];
    unjudged: string[];
    fitting_bit_rate: number | null;
};
export type Ending = {
    error?: string;
    suggestions?: string[];
    suggestions_for?: SuggestionsFor;
    code?: string;
    violations?: Violation[];
};
export type Status = {
    id: string;
    state: State;
    progress: number;
    playable: boolean;
    updated_at: string;
    retry_after_ms: number | null;
    time_left_ms: number | null;
    fixes?: Fix[];
} & Ending;
export type Rendition = {
    name: string;
    codec: string;
    codecs: string | null;
    width: number;
    height: number;
    size_bytes: number;
    bit_rate: number | null;
    url: string;
};
export type AudioSpecs = {
    codec: string;
    profile: string;
    channels: number;
    sample_rate: number;
    bit_rate: number;
    duration: number;
    loudness_lufs: number | null;
    true_peak_dbtp: number | null;
};
export type Specs = {
    width: number;
    height: number;
    fps: number;
    duration: number;
    codec: string;
    profile: string;
    level: number | null;
    pixel_format: string;
    color_primaries: string | null;
    color_transfer: string | null;
    color_space: string | null;
    color_range: string | null;
    rotation: number;
    bit_rate: number;
    frame_count: number;
    audio: AudioSpecs | null;
};
export type StorageInfo = {
    content_type: string;
    size_bytes: number;
    etag: string;
    uploaded_at: string;
    outputs: number;
    outputs_bytes: number;
};
export type Metadata = {
    id: string;
    filename: string;
    url: string;
    state: State;
    playable: boolean;
    created_at: string;
    updated_at: string;
    playable_at: string | null;
    completed_at: string | null;
    specs: Specs | null;
    storage_info: StorageInfo | null;
    renditions: Rendition[];
    hls: string | null;
    poster: string | null;
    poster_time: number;
    blurhash: string | null;
    sprite: string | null;
    sprite_vtt: string | null;
    warnings: string[];
    fixes?: Fix[];
    links: Links;
} & Ending;
export type ListedVideo = Status & {
    filename: string;
    created_at: string;
    url: string;
    poster: string | null;
    blurhash: string | null;
    links: Links;
};
export type ClipFile = Blob & {
    name?: string;
};
export type Sent = {
    status: number;
    body: string;
};
export type SendOptions = {
    onProgress?: (share: number) => void;
    signal?: AbortSignal;
};
export type Send = (target: UploadTarget, file: any, options: SendOptions) => Promise<Sent>;
export type Cancellable = {
    signal?: AbortSignal;
};
export type OnRetry = (error: TikTokenError, waitMs: number) => void;
export type Progress = {
    state: State;
    progress: number;
    time_left_ms: number | null;
};
/** Every error: of the API, of storage, and of the network. */
export declare class TikTokenError extends Error {
    /** The API's code, S3's in snake_case, or `network`. */
    code: string;
    /** The HTTP status; 0 if there was no answer. */
    status: number;
    suggestions: string[];
    /** @type {SuggestionsFor} */
    suggestions_for: SuggestionsFor;
    violations: Violation[];
    quota: object | null;
    /** The least time to wait before another try; null if the answer names none. */
    retryAfterMs: number | null;
    /**
     * @param {string} message
     * @param {{code: string, status?: number, suggestions?: string[], suggestions_for?: SuggestionsFor,
     *   violations?: Violation[], quota?: object, retryAfterMs?: number | null, cause?: unknown}} details
     */
    constructor(message: string, details: {
        code: string;
        status?: number;
        suggestions?: string[];
        suggestions_for?: SuggestionsFor;
        violations?: Violation[];
        quota?: object;
        retryAfterMs?: number | null;
        cause?: unknown;
    });
    /** Whether the same request may succeed later. */
    get temporary(): boolean;
}
export declare class TikToken {
    #private;
    /**
     * @param {string} baseUrl  Of the API, such as `https://api.example/v1`.
     * @param {{token?: string | (() => string | Promise<string>), fetch?: typeof globalThis.fetch, send?: Send}} [options]
     *   A token is sent to the API alone, never to storage.
     */
    constructor(baseUrl: string, { token, fetch, send }?: {
        token?: string | (() => string | Promise<string>);
        fetch?: typeof globalThis.fetch;
        send?: Send;
    });
    /**
     * Would a clip like this be accepted? Nothing is stored.
     * @param {ClipFacts} facts  See also {@link preflightFromAsset}.
     * @param {Cancellable} [options]
     * @returns {Promise<Preflight>}
     */
    preflight(facts: ClipFacts, { signal }?: Cancellable): Promise<Preflight>;
    /**
     * A ticket for one file; valid for an hour.
     * @param {UploadRequest} request
     * @param {{idempotencyKey?: string} & Cancellable} [options]
     *   A repeat with the same key, such as a UUID, gets the same ticket.
     * @returns {Promise<Ticket>}
     */
    requestUpload(request: UploadRequest, { idempotencyKey, signal }?: {
        idempotencyKey?: string;
    } & Cancellable): Promise<Ticket>;
    /**
     * Ask for a ticket and send the file, again if the connection drops. Resolves once storage has the file.
     * @param {ClipFile | any} file  A File or Blob; with a `send` of your own, whatever it takes.
     * @param {{ticket?: Ticket, request?: Partial<UploadRequest>, idempotencyKey?: string,
     *   onTicket?: (ticket: Ticket) => void, onRetry?: OnRetry, retries?: number} & SendOptions} [options]
     *   `request` completes or replaces what the file says of itself; `ticket` is one that you have already. With an
     *   `idempotencyKey`, the ticket is asked for again as well.
     * @returns {Promise<Ticket>}
     */
    upload(file: ClipFile | any, { ticket, request, idempotencyKey, onTicket, onRetry, retries, ...sending }?: {
        ticket?: Ticket;
        request?: Partial<UploadRequest>;
        idempotencyKey?: string;
        onTicket?: (ticket: Ticket) => void;
        onRetry?: OnRetry;
        retries?: number;
    } & SendOptions): Promise<Ticket>;
    /**
     * Follow a video until it is finished: by the events of the service where it has a stream of them, else by asking
     * as often as it says. Errors that may pass are retried for ever.
     * @param {string} id
     * @param {{onStatus?: (status: Status) => void, onRetry?: OnRetry} & Cancellable} [options]
     *   `onStatus` is called when something has changed; abort `signal` to stop.
     * @returns {Promise<Status>}  The last one.
     */
    follow(id: string, { onStatus, onRetry, signal }?: {
        onStatus?: (status: Status) => void;
        onRetry?: OnRetry;
    } & Cancellable): Promise<Status>;
    /**
     * @param {string} id
     * @param {Cancellable} [options]
     * @returns {Promise<Status>}
     */
    status(id: string, { signal }?: Cancellable): Promise<Status>;
    /**
     * Everything known about a video. With tokens, its links are good for an hour or more: then ask again.
     * @param {string} id
     * @param {Cancellable} [options]
     * @returns {Promise<Metadata>}
     */
    metadata(id: string, { signal }?: Cancellable): Promise<Metadata>;
    /**
     * Your own videos, newest first; only where tokens are required. Pass `after` to get the next page.
     * @param {{limit?: number, after?: string | null} & Cancellable} [options]
     * @returns {Promise<{videos: ListedVideo[], after: string | null}>}
     */
    list({ limit, after, signal }?: {
        limit?: number;
        after?: string | null;
    } & Cancellable): Promise<{
        videos: ListedVideo[];
        after: string | null;
    }>;
    /**
     * Delete a video, its upload and every output. One that is gone already is no error.
     * @param {string} id
     * @param {Cancellable} [options]
     */
    remove(id: string, { signal }?: Cancellable): Promise<void>;
    /**
     * @param {Cancellable} [options]
     * @returns {Promise<any>}  See docs/operations.md; `status` is `ok` or `degraded`.
     */
    health({ signal }?: Cancellable): Promise<any>;
}
/**
 * What an Expo or React Native picker says of a clip, as facts for `preflight`. Pickers report 0, null or nothing
 * for what they do not know; that is left out.
 * @param {{duration?: number | null, width?: number | null, height?: number | null, rotation?: number | null,
 *   fileSize?: number | null}} asset  An asset of expo-image-picker: `duration` is in milliseconds.
 * @returns {ClipFacts}
 */
export declare function preflightFromAsset({ duration, width, height, rotation, fileSize }: {
    duration?: number | null;
    width?: number | null;
    height?: number | null;
    rotation?: number | null;
    fileSize?: number | null;
}): ClipFacts;
