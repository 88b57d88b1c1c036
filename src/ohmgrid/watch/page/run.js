// What the page knows of a run: the last message of each kind, the history, and speeds.

const WINDOW_S = 1;   // of training time, over which speeds are means
const SAMPLE_S = 0.1; // between two samples, at least

export class Run {
  constructor() {
    this.state = "waiting";
    this.begin(null);
  }

  begin(hello) {
    this.hello = hello;
    this.update = null;
    this.rows = [];
    this.weights = null;
    this.start = hello ? hello.start.map(decoded) : [];
    this.samples = [];
  }

  takeUpdate(update) {
    this.rows.length = Math.min(this.rows.length, update.first);
    for (const row of update.rows) this.rows.push(row);
    // A run whose line was lost goes back to its checkpoint.
    if (this.update && update.seconds < this.update.seconds) this.samples = [];
    this.update = update;
    const last = this.samples.at(-1);
    if (!last || update.seconds >= last.seconds + SAMPLE_S) this.samples.push(update);
    // The two newest ones stay, however far apart: a slow engine has an update in some seconds.
    while (this.samples.length > 2 && this.samples[1].seconds < update.seconds - WINDOW_S) {
      this.samples.shift();
    }
  }

  takeWeights(weights) {
    this.weights = { examples: weights.examples, layers: weights.layers.map(decoded) };
  }

  // What was counted in a second of training; null where nobody knows.
  speed(count) {
    const first = this.samples[0], now = this.update;
    if (!now || !first || now.seconds <= first.seconds) return null;
    return (count(now) - count(first)) / (now.seconds - first.seconds);
  }

  get examplesPerS() {
    const now = this.update;
    if (!now) return null;
    return this.speed((one) => one.examples) ?? (now.seconds ? now.examples / now.seconds : null);
  }

  // Points of a curve: a row for each epoch, and the epoch under way as far as it is.
  points(name) {
    const found = [];
    for (const row of this.rows) if (row[name] !== null) found.push([row.epoch, row[name]]);
    const now = this.update, size = this.hello.examples;
    if (now && now.position && size && name !== "test_accuracy") {
      const sum = name === "train_loss" ? now.loss : now.hits;
      found.push([now.epoch + now.position / size, sum / now.position]);
    }
    return found;
  }

  get isLive() {
    return this.state === "running" || this.state === "paused";
  }
}

// A picture with its map as an array of weights.
function decoded(picture) {
  const text = atob(picture.map), values = new Float32Array(text.length), unit = picture.reach / 127;
  for (let i = 0; i < text.length; i++) values[i] = ((text.charCodeAt(i) << 24) >> 24) * unit;
  return { ...picture, values };
}

const compact = new Intl.NumberFormat("en", { notation: "compact", minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const number = (value) => (value === null ? "–" : Math.abs(value) < 10000 ? whole.format(value) : compact.format(value));
export const exact = (value) => whole.format(value);
export const percent = (value) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(2)} %`);
export const decimal = (value) => (Math.abs(value) >= 10 ? value.toFixed(1) : value.toPrecision(3).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, ""));
export function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  return hours ? `${hours} h ${minutes % 60} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
}
