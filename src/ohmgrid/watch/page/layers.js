// A card for each layer: map, histogram, counts.

import { drawCells, drawHistogram, palette } from "./charts.js";
import { decimal, exact, number } from "./run.js";

// name, text, what it is
const COUNTS = [
  ["pulses_up", "pulses up", "Coincidences of two pulses that raised a weight by a step"],
  ["pulses_down", "pulses down", "Coincidences of two pulses that lowered a weight by a step"],
];
const CLIPPED = [
  ["adc_forward", "clipped outputs (ADC)", "Forward: results beyond the range of the analog-to-digital converter, cut to it"],
  ["activation", "clipped activations", "Forward: values beyond the number format between layers, cut to it"],
  ["adc_backward", "clipped errors (ADC)", "Backward: results beyond the range of the analog-to-digital converter, cut to it"],
  ["error", "clipped errors", "Backward: values beyond the number format between layers, cut to it"],
];
const UPDATES = [
  ["updates", "updates", "Examples that asked this layer to change"],
  ["below_pulse", "below one pulse", "Updates that ask for less than one pulse even where they are largest: they act by chance"],
  ["clipped_trains", "with full trains", "Updates that ask for more pulses than a train has: they are cut"],
];

// Of the plus and the minus devices of pairs, and of the devices of cells of several: of more, from the first again.
const DEVICE_INKS = ["high", "low", "good", "warn"];
const deviceInk = (i) => DEVICE_INKS[i % DEVICE_INKS.length];

function made(tag, { text, title, kind } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (title) element.title = title;
  if (kind) element.className = kind;
  element.append(...children);
  return element;
}

class Layer {
  constructor(number, [rows, cols], hello) {
    this.number = number;
    this.shape = [rows, cols];
    this.hello = hello;
    this.reach = { now: 0, change: 0 };
    this.cells = made("canvas", { kind: "cells" });
    this.cells.setAttribute("role", "img");
    this.bar = made("canvas");
    this.least = made("span");
    this.most = made("span");
    this.bars = made("canvas");
    this.bars.setAttribute("role", "img");
    this.rows = new Map();
    const title = "A square is a weight, or the mean of a block of them. Rows are output lines, columns input lines; the last column is the bias";
    const map = made("figure", { kind: "map" },
      made("figcaption", { text: `${rows} output lines down, ${cols} input lines across (last: bias)`, title }),
      this.cells, made("div", { kind: "scale" }, this.least, this.bar, this.most));
    const histogram = made("figure", { kind: "histogram" },
      (this.legend = made("figcaption", {}, "Weights", made("span", { kind: "key fill", text: "now" }),
        ...(hello.start.length ? [made("span", { kind: "key two", text: "at the start" })] : []))),
      this.bars);
    this.card = made("article", { kind: "layer" },
      made("h3", { text: `Layer ${number}` }, made("span", { text: `${cols - 1} inputs and bias → ${rows} outputs, ${exact(rows * cols)} weights` })),
      made("div", { kind: "parts" }, map, histogram, made("div", { kind: "counts" }, this.table())));
  }

  table() {
    const head = made("thead", {}, made("tr", {}, made("th", { text: "Counted in training" }),
      made("th", { text: "per second", title: "Of training, over about the last second" }), made("th", { text: "so far" })));
    const bounds = [made("td", { text: "–" }), made("td", { text: "–" })];
    this.atBounds = bounds[1];
    const name = made("th", { text: "devices at a bound", title: "Part of this layer's devices that can go no further, when the last epoch ended" });
    const last = made("tbody", { kind: "rates" }, made("tr", {}, name, ...bounds));
    const bodies = [COUNTS, CLIPPED, UPDATES].map((group) => made("tbody", { kind: "rates" },
      ...group.map(([name, text, title]) => {
        const cells = [made("td", { text: "–" }), made("td", { text: "–" })];
        this.rows.set(name, cells);
        return made("tr", {}, made("th", { text, title }), ...cells);
      })));
    return made("table", {}, head, ...bodies, last);
  }

  drawCounts(run) {
    for (const [name, [rate, total]] of this.rows) {
      const count = (update) => update.counters[name][this.number];
      rate.textContent = run.state === "running" ? number(run.speed(count)) : "–";
      total.textContent = number(count(run.update));
      total.title = exact(count(run.update));
    }
    const row = run.rows[run.rows.length - 1];
    if (row && row.layers) this.atBounds.textContent = `${(100 * row.layers[this.number].at_bounds).toFixed(1)} %`;
  }

  drawMap(picture, start, shown, colours) {
    let values = picture.values;
    if (shown === "change" && start) values = values.map((value, i) => value - start.values[i]);
    // A legend that only grows can be read.
    let most = shown === "change" || !start ? 0 : start.reach;
    for (const value of values) most = Math.max(most, Math.abs(value));
    const reach = (this.reach[shown] = Math.max(this.reach[shown], most) || 1);
    drawCells(this.cells, values, picture.rows, picture.cols, reach, colours);
    const size = this.cells.clientWidth * (this.shape[0] / this.shape[1]);
    this.cells.style.height = `${Math.max(70, Math.min(230, size))}px`;
    drawCells(this.bar, Float32Array.from({ length: 255 }, (_, i) => i - 127), 1, 255, 127, colours);
    this.least.textContent = `−${decimal(reach)}`;
    this.most.textContent = `+${decimal(reach)} weight units`;
    this.cells.setAttribute("aria-label", `Map of layer ${this.number}: ${shown === "change" ? "change since the start" : "weights"}, from ${-reach} to ${reach}`);
    this.bars.setAttribute("aria-label", `Histogram of the weights of layer ${this.number}`);
    picture.devices.forEach((device, i) => {
      if (!this.named) this.legend.append(made("span", { kind: `key ${deviceInk(i)}`, text: device.name }));
    });
    this.named = true;
    drawHistogram(this.bars, picture, start, this.hello, picture.devices.map((device, i) => [device, deviceInk(i)]));
  }
}

export class Layers {
  constructor(place) {
    this.place = place;
    this.cards = [];
  }

  begin(hello) {
    this.cards = hello.shapes.map((shape, number) => new Layer(number, shape, hello));
    this.place.replaceChildren(...this.cards.map((layer) => layer.card));
  }

  drawCounts(run) {
    for (const layer of this.cards) layer.drawCounts(run);
  }

  drawMaps(run, shown) {
    const colours = palette();
    this.cards.forEach((layer, i) => layer.drawMap(run.weights.layers[i], run.start[i], shown, colours));
  }
}
