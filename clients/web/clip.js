/** What the browser knows of a clip before a byte is sent, and whose device it is. */

const PATIENCE_MS = 4000;

/**
 * Facts for a preflight, and a small still. What this browser cannot decode has neither sides nor a still.
 * @param {File} file
 * @param {string} url  Of the same file, as a blob.
 */
export async function readClip(file, url) {
  const video = Object.assign(document.createElement("video"), { preload: "auto", muted: true, src: url });
  await Promise.race([
    new Promise((resolve) => {
      video.onloadeddata = resolve;
      video.onerror = resolve;
    }),
    new Promise((resolve) => setTimeout(resolve, PATIENCE_MS)),
  ]);
  const { duration, videoWidth: width, videoHeight: height } = video;
  const still = video.readyState > 1 && width ? stillOf(video) : null;
  video.removeAttribute("src");
  const facts = {
    size: file.size,
    ...(Number.isFinite(duration) && duration > 0 && { duration }),
    ...(width && height && { width, height }), // as displayed: the browser has turned the picture
  };
  return { facts, still };
}

/** The first picture as a JPEG of some kilobytes, for the list: what is rejected has no poster. */
function stillOf(video) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 120, height: 213 });
  const scale = Math.max(canvas.width / video.videoWidth, canvas.height / video.videoHeight);
  const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
  canvas.getContext("2d").drawImage(video, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
  return canvas.toDataURL("image/jpeg", 0.7);
}

/** Whose suggestions to show first: a key of `suggestions_for`. */
export function device({ userAgent, maxTouchPoints } = navigator) {
  if (/iPhone|iPad|iPod/.test(userAgent)) return "ios";
  if (/Macintosh/.test(userAgent) && maxTouchPoints > 1) return "ios"; // an iPad says that it is a Mac
  return /Android/.test(userAgent) ? "android" : "computer";
}
