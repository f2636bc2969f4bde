"use strict";
// Everything that comes from the text or the model is put in as text (textContent), never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const count = data.labels.length;
const triangle = (count * (count + 1)) / 2;
const bytes = data.attention === null ? null : Uint8Array.from(atob(data.attention), (each) => each.charCodeAt(0));
const sinks = data.sink === null ? null : Uint8Array.from(atob(data.sink), (each) => each.charCodeAt(0));
const state = { layer: 0, head: 0, token: count - 1, key: -1, held: false };

function weight(layer, head, query, key) {
  if (key > query) return 0;
  const root = bytes[(layer * data.heads + head) * triangle + (query * (query + 1)) / 2 + key] / 255;
  return root * root; // stored as square roots, so that small weights keep their digits
}
const sink = (layer, head, query) => sinks[(layer * data.heads + head) * count + query] / 255;
const shown = (value) => (value > 0 && value < 0.005 ? "<0.01" : value.toFixed(2));
const named = (token) => `\u2068${data.labels[token]}\u2069 at ${token}`; // isolated: it may run from right to left

function make(tag, text, className) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

let colours;
function readColours() {
  const style = getComputedStyle(document.documentElement);
  const triple = (name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number);
  colours = { low: triple("--low"), high: triple("--high"),
    accent: style.getPropertyValue("--accent"), soft: style.getPropertyValue("--soft") };
}
const mixed = (share) => colours.low.map((low, channel) => Math.round(low + (colours.high[channel] - low) * share));
const heat = (value) => mixed(Math.sqrt(value));
function fill(element, colour) {
  const bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 135;
  element.style.background = `rgb(${colour.join(" ")})`;
  element.style.color = bright ? "#10151c" : "#ffffff";
}
const paint = (element, value) => fill(element, heat(value));

// The text: a chip for each token, coloured by what the current one reads of it.
function makeTokens() {
  data.labels.forEach((label, token) => {
    const chip = make("button", label);
    chip.type = "button";
    chip.dataset.token = token;
    chip.title = `token ${token}, id ${data.ids[token]}`;
    $("tokens").append(chip);
    if (label.endsWith("↵")) $("tokens").append(make("br"));
  });
}
function showTokens() {
  $("tokens").classList.toggle("held", state.held);
  for (const chip of $("tokens").querySelectorAll("button")) {
    const token = Number(chip.dataset.token);
    chip.setAttribute("aria-current", String(token === state.token));
    chip.tabIndex = token === state.token ? 0 : -1;
    chip.classList.toggle("after", token > state.token);
    if (bytes) paint(chip, weight(state.layer, state.head, state.token, token));
  }
}

// The heat map of one head, and small ones of all heads of the layer.
const map = { cell: 0, left: 0, top: 0, turned: false, image: null };
function makeMap() {
  const room = Math.min($("map").parentElement.clientWidth, 760);
  const letters = Math.min(9, Math.max(...data.labels.map((each) => [...each].length)));
  const margin = 14 + Math.ceil(7.5 * letters), ratio = window.devicePixelRatio || 1;
  map.cell = Math.max(2, Math.min(26, Math.floor((room - margin) / count)));
  map.turned = letters > 1;
  map.left = map.top = map.cell >= 9 ? margin : 4;
  const size = map.left + map.cell * count + 2;
  Object.assign($("map"), { width: size * ratio, height: size * ratio });
  Object.assign($("map").style, { width: `${size}px`, height: `${size}px` });
}
function showMap() {
  const canvas = $("map"), ratio = window.devicePixelRatio || 1, { cell, left, top } = map;
  const draw = canvas.getContext("2d");
  draw.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw.clearRect(0, 0, canvas.width, canvas.height);
  draw.imageSmoothingEnabled = false;
  draw.drawImage(map.image, left, top, cell * count, cell * count);
  draw.strokeStyle = colours.soft;
  draw.lineWidth = 0.5;
  draw.beginPath();
  draw.moveTo(left, top);
  for (let step = 0; step < count; step++) {
    draw.lineTo(left + (step + 1) * cell, top + step * cell);
    draw.lineTo(left + (step + 1) * cell, top + (step + 1) * cell);
  }
  draw.lineTo(left, top + count * cell);
  draw.closePath();
  draw.stroke();
  if (cell >= 9) showMapLabels(draw);
  draw.strokeStyle = colours.accent;
  draw.lineWidth = 1.5;
  draw.strokeRect(left, top + state.token * cell, (state.token + 1) * cell, cell);
  draw.lineWidth = 2.5;
  draw.strokeRect(left + state.key * cell, top + state.token * cell, cell, cell);
}
function showMapLabels(draw) {
  const { cell, left, top } = map;
  draw.font = `${Math.min(12, cell)}px ui-monospace, "DejaVu Sans Mono", monospace`;
  draw.textBaseline = "middle";
  data.labels.forEach((label, token) => {
    const text = [...label].slice(0, 9).join(""), middle = (token + 0.5) * cell;
    draw.fillStyle = token === state.token ? colours.accent : colours.soft;
    draw.textAlign = "right";
    draw.fillText(text, left - 5, top + middle);
    draw.fillStyle = token === state.key ? colours.accent : colours.soft;
    draw.save();
    draw.translate(left + middle, top - (map.turned ? 5 : 10));
    if (map.turned) draw.rotate(-Math.PI / 2);
    draw.textAlign = map.turned ? "left" : "center";
    draw.fillText(text, 0, 0);
    draw.restore();
  });
}
function picture(layer, head) {
  const canvas = make("canvas"); // a pixel for each weight
  Object.assign(canvas, { width: count, height: count });
  const draw = canvas.getContext("2d"), image = draw.createImageData(count, count);
  for (let query = 0; query < count; query++)
    for (let key = 0; key <= query; key++)
      image.data.set([...heat(weight(layer, head, query, key)), 255], 4 * (query * count + key));
  draw.putImageData(image, 0, 0);
  return canvas;
}
function showHeads() {
  $("heads").replaceChildren();
  $("heads-title").hidden = $("heads").hidden = data.heads < 2;
  for (let head = 0; head < data.heads && data.heads > 1; head++) {
    const button = make("button");
    button.type = "button";
    button.dataset.head = head;
    button.setAttribute("aria-label", `head ${head}`);
    button.append(picture(state.layer, head), make("div", `head ${head}`));
    $("heads").append(button);
  }
}
function showReadout() {
  const { layer, head, token, key } = state;
  const value = weight(layer, head, token, key);
  $("readout").dataset.weight = value;
  $("readout").textContent = `Layer ${layer}, head ${head}: ${named(token)} reads ${named(key)} with weight ${shown(value)}.` +
    (sinks && sink(layer, head, token) > 0 ? ` Its sink takes ${shown(sink(layer, head, token))}, so its row sums to less than 1.` : "");
  $("pattern").textContent = data.patterns[layer];
  const order = [...Array(token + 1).keys()].sort((a, b) => weight(layer, head, token, b) - weight(layer, head, token, a));
  $("reads").replaceChildren(...order.slice(0, 6).map((each) => {
    const line = make("li"), bar = make("div", undefined, "bar"), fill = make("i"), share = weight(layer, head, token, each);
    fill.style.width = `${100 * share}%`;
    bar.append(fill);
    line.append(make("b", `${each} ${data.labels[each]}`), bar, make("span", shown(share), "number"));
    return line;
  }));
  for (const button of $("heads").children) button.setAttribute("aria-pressed", String(Number(button.dataset.head) === head));
}
