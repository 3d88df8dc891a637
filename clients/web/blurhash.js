/** BlurHash (blurha.sh): some thirty characters that stand for a picture until it is there. */

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~";

const number = (text) => [...text].reduce((sum, digit) => sum * 83 + DIGITS.indexOf(digit), 0);
const linear = (value) => (value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
const srgb = (value) => {
  const light = Math.min(1, Math.max(0, value));
  return Math.round(255 * (light <= 0.0031308 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055));
};

/** Draw `hash` over the whole of a canvas. */
export function drawBlurhash(canvas, hash) {
  const { width, height } = canvas;
  const [columns, rows] = [(number(hash[0]) % 9) + 1, Math.floor(number(hash[0]) / 9) + 1];
  const largest = (number(hash[1]) + 1) / 166;
  const mean = number(hash.slice(2, 6));
  const colours = [[mean >> 16, (mean >> 8) & 255, mean & 255].map(linear)];
  for (let at = 6; at < hash.length; at += 2) {
    const value = number(hash.slice(at, at + 2));
    const parts = [Math.floor(value / 361), Math.floor(value / 19) % 19, value % 19];
    colours.push(parts.map((part) => Math.sign(part - 9) * ((part - 9) / 9) ** 2 * largest));
  }
  const picture = new ImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const sum = [0, 0, 0];
      for (let at = 0; at < columns * rows; at += 1) {
        const weight =
          Math.cos((Math.PI * x * (at % columns)) / width) * Math.cos((Math.PI * y * Math.floor(at / columns)) / height);
        for (let part = 0; part < 3; part += 1) sum[part] += colours[at][part] * weight;
      }
      picture.data.set([...sum.map(srgb), 255], 4 * (x + y * width));
    }
  }
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
