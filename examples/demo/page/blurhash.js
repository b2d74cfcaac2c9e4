// Draws a BlurHash (https://blurha.sh): a picture's lowest frequencies in some thirty characters.

const DIGITS =
  '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz#$%*+,-.:;=?@[]^_{|}~';
// More pixels would only be smoother than the eye can tell.
const LONGER_SIDE = 32;

/** Draws the hash of a picture of this size; tells whether it could be read. */
export function drawBlurhash(canvas, hash, width, height) {
  const components = decode(hash);
  if (!components) {
    return false;
  }
  const scale = LONGER_SIDE / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  fill(image, components);
  context.putImageData(image, 0, 0);
  return true;
}

function decode(hash) {
  const values = [...hash].map((digit) => DIGITS.indexOf(digit));
  const columns = (values[0] % 9) + 1;
  const rows = Math.floor(values[0] / 9) + 1;
  if (values.length !== 4 + 2 * columns * rows || values.includes(-1)) {
    return null;
  }
  const number = (from, to) => values.slice(from, to).reduce((sum, value) => sum * 83 + value, 0);
  const largest = (values[1] + 1) / 166;
  const colours = [average(number(2, 6))];
  for (let at = 6; at < values.length; at += 2) {
    colours.push(detail(number(at, at + 2), largest));
  }
  return { columns, rows, colours };
}

function average(value) {
  return [value >> 16, (value >> 8) & 255, value & 255].map(toLinear);
}

function detail(value, largest) {
  return [Math.floor(value / 361), Math.floor(value / 19) % 19, value % 19].map((part) => {
    const signed = (part - 9) / 9;
    return Math.sign(signed) * signed * signed * largest;
  });
}

function fill({ data, width, height }, { columns, rows, colours }) {
  const across = waves(columns, width);
  const down = waves(rows, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const sum = [0, 0, 0];
      for (let row = 0; row < rows; row += 1) {
        for (let column = 0; column < columns; column += 1) {
          const weight = across[column][x] * down[row][y];
          const colour = colours[row * columns + column];
          sum.forEach((_, part) => {
            sum[part] += colour[part] * weight;
          });
        }
      }
      data.set([...sum.map(toByte), 255], 4 * (y * width + x));
    }
  }
}

function waves(number, length) {
  return Array.from({ length: number }, (_, frequency) =>
    Array.from({ length }, (_, at) => Math.cos((Math.PI * frequency * at) / length)),
  );
}

function toLinear(byte) {
  const value = byte / 255;
  return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
}

function toByte(linear) {
  const value = Math.min(1, Math.max(0, linear));
  const encoded = value <= 0.0031308 ? value * 12.92 : 1.055 * value ** (1 / 2.4) - 0.055;
  return Math.round(encoded * 255);
}
