// The logit lens: a row for each layer, a column for each token; below it the likeliest ones of the current token.
const stages = ["embeddings", ...Array.from({ length: data.lens.id.length - 1 }, (_, layer) => `after layer ${layer}`)];

function makeHeader(table) {
  const head = make("thead"), line = make("tr");
  line.append(make("th", ""));
  data.labels.forEach((label, token) => {
    const cell = make("th", label);
    cell.dataset.token = token;
    cell.title = `${label} (token ${token})`;
    line.append(cell);
  });
  head.append(line);
  table.append(head, make("tbody"));
}
function makeLens() {
  $("h-lens").textContent = data.classes ? "The class, layer by layer" : "The next token, layer by layer (logit lens)";
  $("lens-hint").textContent = data.classes
    ? "The likeliest class at each position, if the layers behind were left out. The last row is what the model says."
    : "The likeliest next token, if the layers behind were left out: the last norm and the head applied to the stream after each layer. " +
      "The last row is what the model predicts. Bold and underlined: the token that does come next.";
  makeHeader($("lens"));
  stages.forEach((stage, row) => {
    const line = make("tr");
    line.append(make("th", stage));
    for (let token = 0; token < count; token++) {
      const best = data.lens.id[row][token][0], probability = data.lens.probability[row][token][0];
      const cell = make("td", data.names[best]);
      cell.dataset.token = token;
      cell.dataset.value = probability;
      cell.title = `${stage}: ${data.names[best]} ${shown(probability)}`;
      if (data.lens.rank[row][token] === 0) cell.classList.add("right");
      line.append(cell);
    }
    $("lens").tBodies[0].append(line);
  });
}
function showLens() {
  for (const cell of $("lens").querySelectorAll("td")) paint(cell, Number(cell.dataset.value));
}
function showDetail() {
  const token = state.token, table = $("detail");
  const known = !data.classes && token + 1 < count;
  $("detail-title").textContent = data.classes
    ? `At ${named(token)}`
    : `After ${named(token)}` + (known ? `, where ${named(token + 1)} comes next` : ", the end of the text");
  const head = make("thead"), line = make("tr"), places = data.lens.id[0][token].length;
  line.append(make("th", ""));
  if (known) line.append(make("th", "the true one"), make("th", "likelier ones"));
  for (let place = 1; place <= places; place++) line.append(make("th", `${place}.`));
  head.append(line);
  const body = make("tbody");
  stages.forEach((stage, row) => {
    const line = make("tr");
    line.append(make("th", stage));
    if (known) line.append(make("td", shown(data.lens.true[row][token])), make("td", String(data.lens.rank[row][token])));
    data.lens.id[row][token].forEach((id, place) => {
      const probability = data.lens.probability[row][token][place];
      const cell = make("td", `${data.names[id]} ${shown(probability)}`);
      paint(cell, probability);
      if (known && place === data.lens.rank[row][token]) cell.classList.add("right");
      line.append(cell);
    });
    body.append(line);
  });
  table.replaceChildren(head, body);
}

// Mixtures of experts.
function makeRouting() {
  makeHeader($("routing"));
  for (const [layer, choices] of Object.entries(data.routing)) {
    const line = make("tr");
    line.append(make("th", `layer ${layer}`));
    for (let token = 0; token < count; token++) {
      const cell = make("td");
      cell.dataset.token = token;
      choices.expert[token].forEach((expert, place) => {
        const part = make("span", String(expert), choices.dropped[token][place] ? "dropped" : "");
        part.dataset.gate = choices.gate[token][place];
        cell.append(part);
      });
      line.append(cell);
    }
    $("routing").tBodies[0].append(line);
    $("loads").append(make("span", `layer ${layer}`));
    const loads = make("div", undefined, "row");
    choices.load.forEach((load, expert) => loads.append(make("span", `expert ${expert}: ${load}`)));
    $("loads").append(loads);
  }
}
function showRouting() {
  for (const part of $("routing").querySelectorAll("span")) fill(part, mixed(Number(part.dataset.gate)));
}
function showRoutingReadout() {
  const said = Object.entries(data.routing).map(([layer, choices]) => {
    const parts = choices.expert[state.token].map((expert, place) =>
      `expert ${expert} (${choices.dropped[state.token][place] ? "dropped" : shown(choices.gate[state.token][place])})`);
    return `layer ${layer} sends it to ${parts.join(" and ")}`;
  });
  $("routing-readout").textContent = `${named(state.token)}: ${said.join("; ")}.`;
}
