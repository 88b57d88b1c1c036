// The page of a run: events come in, and what changed is drawn, no oftener than an eye can see.

import { drawCurves } from "./charts.js";
import { Layers } from "./layers.js";
import { Run, decimal, duration, exact, number, percent } from "./run.js";

const TEXT_MS = 100, CURVES_MS = 200, MAPS_MS = 50; // between two drawings
const ALONE_MS = 4000; // without a connection, after which the server is called gone

const STATES = {
  waiting: ["waiting", ""],
  running: ["running", ""],
  paused: ["paused", "The run is paused. It goes on with Resume, or when its last page's server ends."],
  finished: ["finished", ""],
  stopped: ["stopped", "The run was stopped, and can go on."],
  failed: ["failed", "The run ended with an error; the terminal in which it was started says which."],
  lost: ["run lost", "The process of this run ended without a word: it was killed, or its machine stopped it. What is shown is the last that it told."],
  connecting: ["no connection", "The page has lost its server and tries to reach it again."],
  alone: ["no server", "The server of this page is gone: it was stopped, or the run is over. What is shown is the last that it told."],
};

const find = (id) => document.getElementById(id);
const run = new Run(), layers = new Layers(find("layers"));
const dirty = { text: true, curves: true, maps: true }, drawn = { text: 0, curves: 0, maps: 0 };
let connection = "open", lostAt = 0, arrivals = [], shown = "now";

function soil(...names) {
  for (const name of names) dirty[name] = true;
}

// A word as a shell takes it.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

function drawState() {
  const state = connection === "open" ? run.state : connection;
  const [text, notice] = STATES[state];
  const badge = find("state");
  badge.textContent = text;
  badge.className = `badge ${state}`;
  const folder = run.hello?.folder && quoted(run.hello.folder), engine = run.hello?.engine;
  const on = engine ? ` --engine ${quoted(engine)}` : "";
  const go = state === "stopped" && folder ? ` Go on with: ohmgrid train --resume --out ${folder}${on}` : "";
  const again = (state === "alone" || state === "lost") && folder ? ` Show it again: ohmgrid watch ${folder}` : "";
  find("notice").textContent = notice + go + again;
  find("notice").hidden = !notice;
  const button = find("pause"), paused = run.state === "paused";
  const label = paused ? "Resume" : "Pause";
  if (button.textContent !== label) button.textContent = label;
  button.disabled = connection !== "open" || !run.isLive;
  document.title = run.hello ? `${text}: ${run.hello.data} ${run.hello.net} – ohmgrid` : "ohmgrid";
}

function drawHello() {
  const { data, net, device, engine, activation, lr, batch, seed, folder } = run.hello;
  const name = data.split("/").at(-1);
  find("what").textContent = `${name}, net ${net}, device ${device}, ${engine ? `engine ${engine}` : "from its checkpoint"}`;
  find("what").title = data;
  find("facts").textContent = `${activation}, learning rate ${lr}, mini-batches of ${batch}, seed ${seed}${folder ? `, ${folder}` : ""}`;
}

function drawText() {
  drawState();
  const now = performance.now();
  arrivals = arrivals.filter((at) => at > now - 1000);
  find("updates").textContent = run.state === "running" ? `${arrivals.length} updates/s` : "";
  const { hello, update, rows } = run;
  if (!hello || !update) return;
  const tests = rows.map((row) => row.test_accuracy), last = rows.at(-1);
  find("test").textContent = percent(tests.at(-1));
  const best = tests.reduce((most, one) => Math.max(most, one), 0);
  find("test-best").textContent = tests.length ? `best ${percent(best)}` : "after the first test";
  // Between two epochs the last one speaks.
  const closed = !update.position && last;
  find("train").textContent = percent(closed ? last.train_accuracy : update.position ? update.hits / update.position : null);
  const loss = closed ? last.train_loss : update.position ? update.loss / update.position : null;
  find("loss").textContent = loss === null ? "–" : loss.toFixed(4);
  find("rate").textContent = run.state === "paused" ? "–" : number(run.examplesPerS);
  find("seconds").textContent = `${duration(update.seconds)} of training`;
  find("epoch").textContent = `${exact(Math.min(update.epoch + (run.isLive ? 1 : 0), hello.epochs))} of ${exact(hello.epochs)}`;
  const done = update.epoch >= hello.epochs ? 1 : hello.examples ? update.position / hello.examples : 0;
  find("progress").value = done;
  layers.drawCounts(run);
}

function drawAllCurves() {
  const { hello, update, rows } = run;
  if (!hello || !update) return;
  // The axis is as long as the run is, rounded up: a run of a thousand epochs begins as well.
  const at = Math.max(1, update.epoch + (update.position ? 1 : 0));
  const epochs = Math.min(Math.max(hello.epochs, 1), Math.max(10, 2 ** Math.ceil(Math.log2(at))));
  const test = run.points("test_accuracy"), train = run.points("train_accuracy");
  const least = [...test, ...train].reduce((low, [, value]) => Math.min(low, value), 1);
  const low = Math.min(0.9, Math.floor(least * 10) / 10);
  drawCurves(find("accuracy"), [{ points: test, colour: "one" }, { points: train, colour: "two" }],
    { epochs, y: [low, 1], yLabel: "%", yText: (value) => `${Math.round(100 * value)}`, level: hello.chance });
  find("chance-key").hidden = !(hello.chance > low);
  const losses = run.points("train_loss");
  const most = losses.reduce((high, [, value]) => Math.max(high, value), 0.01);
  drawCurves(find("losses"), [{ points: losses, colour: "two" }], { epochs, y: [0, most * 1.05], yLabel: hello.loss === "squared" ? "squared error" : hello.loss, level: 0 });
  const last = rows.at(-1);
  if (!last) return;
  find("accuracy").setAttribute("aria-label", `Accuracy by epoch: ${percent(last.test_accuracy)} of the test examples after epoch ${last.epoch}`);
  if (last.train_loss !== null) find("losses").setAttribute("aria-label", `Training loss by epoch: ${decimal(last.train_loss)} in epoch ${last.epoch}`);
}

function drawAllMaps() {
  if (!run.weights) return;
  layers.drawMaps(run, shown);
  find("age").textContent = `after ${exact(run.weights.examples)} examples`;
}

const DRAW = { text: [drawText, TEXT_MS], curves: [drawAllCurves, CURVES_MS], maps: [drawAllMaps, MAPS_MS] };

function frame(now) {
  if (connection === "connecting" && now - lostAt > ALONE_MS) {
    connection = "alone";
    soil("text");
  }
  for (const [name, [draw, every]] of Object.entries(DRAW)) {
    if (!dirty[name] || now - drawn[name] < every) continue;
    dirty[name] = false;
    drawn[name] = now;
    draw();
  }
  requestAnimationFrame(frame);
}

function connect() {
  const source = new EventSource("events");
  const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  on("hello", (hello) => {
    run.begin(hello);
    layers.begin(hello);
    drawHello();
    soil("text", "curves", "maps");
  });
  on("update", (update) => {
    run.takeUpdate(update);
    arrivals.push(performance.now());
    soil("text", "curves");
  });
  on("weights", (weights) => {
    run.takeWeights(weights);
    soil("maps");
  });
  on("state", ({ state }) => {
    run.state = state;
    soil("text", "curves");
  });
  source.onopen = () => {
    connection = "open";
    soil("text");
  };
  source.onerror = () => {
    if (connection === "open") {
      connection = "connecting";
      lostAt = performance.now();
      soil("text");
    }
    // A browser gives up where the server refuses; the server may come back under this address.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 1000);
  };
}

// The run says itself when it has paused.
find("pause").addEventListener("click", () => {
  fetch(run.state === "paused" ? "resume" : "pause", { method: "POST" }).catch(() => {});
});
find("shown").addEventListener("change", (event) => {
  shown = event.target.value;
  soil("maps");
});
const redraw = () => soil("text", "curves", "maps");
addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
setInterval(() => soil("text"), 500);
connect();
requestAnimationFrame(frame);
