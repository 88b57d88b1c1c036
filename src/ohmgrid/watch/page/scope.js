// An oscilloscope: the newest frames of a system in continuous time.

import { colour, drawAxes } from "./charts.js";

const FRAMES = 200; // that are shown
const COLOURS = ["one", "two", "good", "warn", "bad", "low", "high", "faint"];

const find = (id) => document.getElementById(id);
let hello = null, frames = [], state = "waiting", due = false;

function drawn(context, points, toX, toY) {
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  points.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](toX(x), toY(y)));
  context.stroke();
}

// The range of some numbers, with room beside it.
function range(values) {
  const low = Math.min(...values), high = Math.max(...values), room = 0.05 * (high - low) || 0.1;
  return [low - room, high + room];
}

function draw() {
  due = false;
  if (!hello || !frames.length) return;
  const times = frames.flatMap((one) => one.times), values = frames.flatMap((one) => one.values);
  const traces = hello.names.map((_, k) => values.map((row) => row[k]));
  const y = range(traces.flat());
  const plot = drawAxes(find("traces"), {
    x: [times[0], Math.max(times.at(-1), times[0] + hello.step)], y, xLabel: `time (${hello.unit})`, yLabel: "state",
  });
  traces.forEach((trace, k) => {
    plot.context.strokeStyle = colour(COLOURS[k]);
    drawn(plot.context, trace.map((value, i) => [times[i], value]), plot.toX, plot.toY);
  });
  const [name, other] = hello.names, [first] = traces;
  const lag = Math.max(1, Math.round((hello.lag * times.length) / (times.at(-1) - times[0] || 1)));
  const [across, up] = hello.lag ? [first.slice(0, -lag), first.slice(lag)] : [first, traces[1]];
  if (up.length < 2) return;
  const phase = drawAxes(find("phase"), {
    x: range(across), y: range(up), yLabel: hello.lag ? name : other,
    xLabel: hello.lag ? `${name}, ${+hello.lag.toPrecision(3)} ${hello.unit} before` : name,
  });
  phase.context.strokeStyle = colour("one");
  drawn(phase.context, up.map((value, i) => [across[i], value]), phase.toX, phase.toY);
}

function soon() {
  if (!due) requestAnimationFrame(draw);
  due = true;
}

function showState(now) {
  state = now;
  find("state").textContent = state;
  find("state").className = `badge ${state}`;
  find("pause").textContent = state === "paused" ? "Resume" : "Pause";
  find("pause").disabled = state !== "running" && state !== "paused";
}

const events = new EventSource("events");
events.addEventListener("hello", (event) => {
  hello = JSON.parse(event.data);
  frames = [];
  find("what").textContent = document.title = hello.title;
  find("facts").textContent = `a sample every ${hello.step} ${hello.unit}`;
  find("names").replaceChildren(...hello.names.map((name, k) => {
    const key = document.createElement("span");
    key.textContent = `${name} `;
    key.style.color = colour(COLOURS[k]);
    return key;
  }));
});
events.addEventListener("frame", (event) => {
  frames.push(JSON.parse(event.data));
  frames = frames.slice(-FRAMES);
  soon();
});
events.addEventListener("state", (event) => showState(JSON.parse(event.data).state));
events.addEventListener("error", () => showState("no connection"));
addEventListener("resize", soon);
find("pause").addEventListener("click", () => fetch(state === "paused" ? "resume" : "pause", { method: "POST" }));
