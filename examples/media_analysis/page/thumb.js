// Thumbnails of files that this page has in hand. The server keeps none: after a reload the blurhash
// stands in for them.

const SIDE = 96;
// Decoding takes memory: so many at a time.
const AT_ONCE = 2;

const waiting = [];
let busy = 0;

/** Draws a thumbnail of the file into the element's canvas, if it is a picture that can be drawn. */
export function drawThumbnail(file, element) {
  if (file.type.startsWith('image/')) {
    waiting.push({ file, element });
    next();
  }
}

async function next() {
  if (busy >= AT_ONCE || waiting.length === 0) {
    return;
  }
  busy += 1;
  const { file, element } = waiting.shift();
  try {
    const bitmap = await createImageBitmap(file, { resizeWidth: SIDE, resizeQuality: 'medium' });
    const canvas = element.querySelector('canvas');
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext('2d').drawImage(bitmap, 0, 0);
    bitmap.close();
    canvas.hidden = false;
    element.querySelector('.icon')?.remove();
  } catch {
    // No picture that a browser can draw: its icon stays.
  }
  busy -= 1;
  next();
}
