// Fetching safetensors, decoding half precision, and a page-wide cache bounded in bytes.

const PAGE_BYTES = 200 * 2 ** 20;
const TYPES = { F32: Float32Array, U8: Uint8Array, I16: Int16Array, I32: Int32Array, F16: Uint16Array };

/** The server no longer holds these tensors: Python has to make a new trace. */
export class Expired extends Error {}

// Half → single through a table: 256 KB, one load a number, and no need for Float16Array, which older browsers lack.
let table = null;

function halves() {
  if (table) return table;
  table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 0) table[bits] = sign * fraction * 2 ** -24;
    else if (exponent === 31) table[bits] = fraction ? NaN : sign * Infinity;
    else table[bits] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
  return table;
}

/** Bits of half-precision numbers → single precision, into `out` where given. */
export function decodeHalf(bits, start = 0, count = bits.length, out = new Float32Array(count)) {
  const values = halves();
  for (let i = 0; i < count; i++) out[i] = values[bits[start + i]];
  return out;
}

/** {about, tensors: name → {shape, data, half}, size}; `about` is the JSON under "loupe". Views into `buffer`, nothing copied. */
export function parse(buffer) {
  if (buffer.byteLength < 8) throw new Error("the tensors are truncated");
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (8 + length > buffer.byteLength) throw new Error("the tensors are truncated");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const Type = TYPES[entry.dtype];
    if (!Type) throw new Error(`the tensor ${name} has the unknown type ${entry.dtype}`);
    const [from, to] = entry.data_offsets;
    const start = 8 + length + from;
    if (8 + length + to > buffer.byteLength) throw new Error("the tensors are truncated");
    const data =
      start % Type.BYTES_PER_ELEMENT === 0
        ? new Type(buffer, start, (to - from) / Type.BYTES_PER_ELEMENT)
        : new Type(buffer.slice(start, 8 + length + to));
    tensors[name] = { shape: entry.shape, data, half: entry.dtype === "F16" };
  }
  return { about: JSON.parse(header.__metadata__?.loupe ?? "{}"), tensors, size: buffer.byteLength };
}

/** A tensor in single precision (decoded when it was half). */
export const single = (tensor) => (tensor.half ? decodeHalf(tensor.data) : tensor.data);

async function download(url, { signal, progress } = {}) {
  const response = await fetch(url, { signal });
  if (response.status === 410) throw new Expired("the server no longer holds these tensors");
  if (!response.ok) throw new Error(`${response.status}: ${(await response.text()).slice(0, 200)}`);
  const total = Number(response.headers.get("Content-Length")) || 0;
  if (!total || !response.body) return response.arrayBuffer();
  const bytes = new Uint8Array(total);
  const reader = response.body.getReader();
  let received = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (received + value.length > total) throw new Error("more bytes arrived than were announced");
    bytes.set(value, received);
    received += value.length;
    progress?.(received / total);
  }
  if (received < total) throw new Error("the tensors are truncated");
  return bytes.buffer;
}

// url → {value, promise, holders}. Insertion order is age; what a mounted viewer holds is never dropped.
const cache = new Map();

const weight = (entry) => entry.value?.bytes ?? entry.value?.size ?? 0; // of a stage it grows when tables are made

export function cacheBytes() {
  let sum = 0;
  for (const entry of cache.values()) sum += weight(entry);
  return sum;
}

function shrink() {
  let used = cacheBytes();
  for (const [url, entry] of cache) {
    if (used <= PAGE_BYTES) return;
    if (entry.holders.size === 0 && entry.value) {
      cache.delete(url);
      used -= weight(entry);
    }
  }
}

/**
 * The tensors at `url`, through `prepare(parsed)`, from the cache or the server. `holder` keeps them until `release`.
 * `prepare` returns any object; its `bytes` property, where given, is what the cache counts.
 */
export async function load(url, holder, prepare = (parsed) => parsed, options = {}) {
  let entry = cache.get(url);
  if (entry) {
    cache.delete(url);
    cache.set(url, entry);
  } else {
    entry = { holders: new Set(), value: null };
    entry.promise = download(url, options).then((buffer) => {
      entry.value = prepare(parse(buffer));
      shrink();
      return entry.value;
    });
    entry.promise.catch(() => cache.delete(url));
    cache.set(url, entry);
  }
  entry.holders.add(holder);
  return entry.promise;
}

/** `holder` no longer needs anything except `keep`. */
export function release(holder, keep = new Set()) {
  for (const [url, entry] of cache) if (!keep.has(url)) entry.holders.delete(holder);
  shrink();
}
