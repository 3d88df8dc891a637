/** What the browser knows of a clip before a byte is sent, and whose device it is. */

const PATIENCE_MS = 4000;

/**
 * Facts for a preflight. Duration and sides are left out where this browser cannot decode the clip.
 * @param {File} file
 * @param {string} url  Of the same file, as a blob.
 */
export async function readClip(file, url) {
  const video = Object.assign(document.createElement("video"), { preload: "metadata", muted: true, src: url });
  await Promise.race([
    new Promise((resolve) => {
      video.onloadedmetadata = resolve;
      video.onerror = resolve;
    }),
    new Promise((resolve) => setTimeout(resolve, PATIENCE_MS)),
  ]);
  const { duration, videoWidth: width, videoHeight: height } = video;
  video.removeAttribute("src");
  return {
    size: file.size,
    ...(Number.isFinite(duration) && duration > 0 && { duration }),
    ...(width && height && { width, height }), // as displayed: the browser has turned the picture
  };
}

/** Whose suggestions to show first: a key of `suggestions_for`. */
export function device({ userAgent, maxTouchPoints } = navigator) {
  if (/iPhone|iPad|iPod/.test(userAgent)) return "ios";
  if (/Macintosh/.test(userAgent) && maxTouchPoints > 1) return "ios"; // an iPad says that it is a Mac
  return /Android/.test(userAgent) ? "android" : "computer";
}
