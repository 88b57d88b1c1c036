// Curves, histograms and colours, on canvases that fit the screen's dots.

const MOST_POINTS = 1500; // of a curve: more would be closer than dots
const FONT = '11px system-ui, "DejaVu Sans", sans-serif';

export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Return the context of a canvas, in CSS pixels, cleared, with its width and height.
export function surface(canvas) {
  const dots = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
    canvas.width = Math.round(width * dots);
    canvas.height = Math.round(height * dots);
  }
  const context = canvas.getContext("2d");
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  return { context, width, height };
}

// Round places of an axis: about `count` of them in low..high.
export function ticks(low, high, count, whole = false) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-6; i++) found.push(i * step);
  return { places: found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

// Draw axes; return functions from values to places.
export function drawAxes(canvas, { x, y, xLabel, yLabel, yText, xWhole = false }) {
  const { context, width, height } = surface(canvas);
  const left = 44, right = 10, top = 18, bottom = 32;
  const inner = { width: width - left - right, height: height - top - bottom };
  const toX = (value) => left + ((value - x[0]) / (x[1] - x[0] || 1)) * inner.width;
  const toY = (value) => top + inner.height - ((value - y[0]) / (y[1] - y[0] || 1)) * inner.height;
  context.strokeStyle = colour("line");
  context.fillStyle = colour("faint");
  context.lineWidth = 1;
  const rows = ticks(y[0], y[1], Math.max(2, inner.height / 24));
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of rows.places) {
    const at = Math.round(toY(value)) + 0.5;
    context.beginPath();
    context.moveTo(left, at);
    context.lineTo(width - right, at);
    context.stroke();
    context.fillText(yText ? yText(value) : value.toFixed(rows.digits), left - 6, at);
  }
  const columns = ticks(x[0], x[1], Math.max(2, inner.width / 60), xWhole);
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const value of columns.places) {
    context.fillText(value.toFixed(columns.digits).replace("-", "−"), toX(value), height - bottom + 5);
  }
  context.textBaseline = "alphabetic";
  context.fillText(xLabel, left + inner.width / 2, height - 3);
  context.textAlign = "left";
  context.fillText(yLabel, 2, 10);
  return { context, toX, toY, inner };
}

function thinned(points) {
  const step = Math.ceil(points.length / MOST_POINTS);
  return step <= 1 ? points : points.filter((_, i) => i % step === 0 || i === points.length - 1);
}

// Draw curves over epochs. curves: [{points: [[epoch, value]], colour}], level: a dotted line.
export function drawCurves(canvas, curves, { epochs, y, yLabel, yText, level }) {
  const plot = drawAxes(canvas, { x: [0, epochs], y, xLabel: "epoch", yLabel, yText, xWhole: true });
  const { context, toX, toY } = plot;
  if (level > y[0]) {
    context.strokeStyle = colour("faint");
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(toX(0), toY(level));
    context.lineTo(toX(epochs), toY(level));
    context.stroke();
    context.setLineDash([]);
  }
  for (const curve of curves) {
    const points = thinned(curve.points);
    context.strokeStyle = context.fillStyle = colour(curve.colour);
    context.lineWidth = 2;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach(([epoch, value], i) => context[i ? "lineTo" : "moveTo"](toX(epoch), toY(value)));
    context.stroke();
    for (const [epoch, value] of points.length <= 30 ? points : points.slice(-1)) {
      context.beginPath();
      context.arc(toX(epoch), toY(value), 3, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

// Join bins so that at most `most` are left; counts begin at bin `first` of `bins`.
function joined(picture, low, each) {
  const found = [];
  picture.counts.forEach((count, i) => {
    const at = Math.floor((picture.first + i - low) / each);
    found[at] = (found[at] || 0) + count;
  });
  return found;
}

// Draw a histogram of weights as bars; the one at the start, and those of devices, as lines.
export function drawHistogram(canvas, now, start, { bins, full }, devices = []) {
  const lines = [...(start ? [[start, "two"]] : []), ...devices];
  const all = [now, ...lines.map(([one]) => one)];
  const low = Math.min(...all.map((one) => one.first));
  const high = Math.max(...all.map((one) => one.first + one.counts.length));
  // Bars of at least some dots.
  const each = Math.max(1, Math.ceil((high - low) / Math.max(8, canvas.clientWidth / 6)));
  const bars = joined(now, low, each), steps = lines.map(([one]) => joined(one, low, each));
  const length = Math.ceil((high - low) / each), unit = (2 * full) / bins;
  const edge = (bar) => (low + bar * each) * unit - full;
  const highest = Math.max(1, ...[bars, ...steps].flat().filter(Boolean));
  const { context, toX, toY } = drawAxes(canvas, {
    x: [edge(0), edge(length)], y: [0, highest * 1.05], xLabel: "weight (weight units)", yLabel: "weights",
    yText: (value) => (value >= 10000 ? `${+(value / 1000).toPrecision(3)}k` : `${+value.toPrecision(6)}`),
  });
  const floor = toY(0);
  context.fillStyle = colour("fill");
  for (let i = 0; i < length; i++) {
    const left = toX(edge(i)), top = toY(bars[i] || 0);
    context.fillRect(left, top, Math.max(1, toX(edge(i + 1)) - left - 1), floor - top);
  }
  context.lineWidth = 1.5;
  steps.forEach((line, which) => {
    context.strokeStyle = colour(lines[which][1]);
    context.beginPath();
    for (let i = 0; i < length; i++) {
      const top = toY(line[i] || 0);
      context[i ? "lineTo" : "moveTo"](toX(edge(i)), top);
      context.lineTo(toX(edge(i + 1)), top);
    }
    context.stroke();
  });
}

function rgb(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

// Colours of -127..127 as 255 triples: from low over the middle to high.
export function palette() {
  const [low, middle, high] = ["low", "middle", "high"].map((name) => rgb(colour(name)));
  return Array.from({ length: 255 }, (_, i) => {
    const part = Math.abs(i - 127) / 127, end = i < 127 ? low : high;
    return middle.map((from, channel) => Math.round(from + (end[channel] - from) * part));
  });
}

// Paint values into a canvas, a dot each; the page makes the dots larger.
export function drawCells(canvas, values, rows, cols, reach, colours) {
  if (canvas.width !== cols || canvas.height !== rows) {
    canvas.width = cols;
    canvas.height = rows;
  }
  const context = canvas.getContext("2d"), image = context.createImageData(cols, rows);
  for (let i = 0; i < values.length; i++) {
    const level = Math.max(-127, Math.min(127, Math.round((values[i] / reach) * 127)));
    const [red, green, blue] = colours[level + 127];
    image.data.set([red, green, blue, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
