// A clip's journey by a client that openapi-typescript made of openapi.json: node journey.js URL CLIP
import { readFile } from "node:fs/promises";
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const [url, clip] = process.argv.slice(2) as [string, string];
const api = createClient<paths>({ baseUrl: url });
const file = new Blob([await readFile(clip)]);

function fail(reason: unknown): never {
  throw new Error(JSON.stringify(reason));
}

const asked = await api.POST("/upload", {
  body: { filename: "cat.mp4", content_type: "video/mp4", size: file.size, external_id: "ts" },
});
if (!asked.data) fail(asked.error.code);
if (!("upload" in asked.data)) fail("not a ticket");
const { id, upload } = asked.data;

const form = new FormData();
for (const [name, value] of Object.entries(upload.fields ?? {})) form.append(name, value);
form.append("file", file);
const sent = await fetch(upload.url, { method: "POST", body: form });
if (!sent.ok) fail(await sent.text());

async function completed(video_id: string) {
  for (;;) {
    const { data, error } = await api.GET("/videos/{video_id}/status", { params: { path: { video_id } } });
    if (!data) fail(error);
    switch (data.state) {
      case "awaiting_upload":
      case "queued":
      case "processing":
        await new Promise((done) => setTimeout(done, data.retry_after_ms));  // a number in these states
        break;
      case "rejected":
        return fail(data.violations.map((violation) => violation.message));
      case "failed":
      case "expired":
        return fail(data.code);
      default:
        return data;
    }
  }
}

const { progress } = await completed(id);
const { data: video } = await api.GET("/videos/{video_id}", { params: { path: { video_id: id } } });
await api.DELETE("/videos/{video_id}", { params: { path: { video_id: id } } });
const gone = await api.GET("/videos/{video_id}", { params: { path: { video_id: id } } });
console.log(JSON.stringify({ progress, width: video?.specs?.width, own: video?.external_id, gone: gone.error?.code }));
