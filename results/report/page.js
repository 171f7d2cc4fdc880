"use strict";
(() => {
  const data = JSON.parse(document.getElementById("records").textContent);
  const names = [...data.fields, ...data.blanks.map((_, index) => `param.${index}`)];
  const records = data.rows.map((row) => Object.fromEntries(row.map((value, index) => [names[index], value])));
  const byNumber = new Map(records.map((record) => [record.number, record]));
  const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(4)) : value);
  const blanksOf = (record) => data.blanks.map((name, index) => [name, record[`param.${index}`]]).filter(([, value]) => value !== null);
  const keyOf = (record) => JSON.stringify(blanksOf(record));
  const element = (id) => document.getElementById(id);
  const thin = "\u202f";
  let selected = null;

  // Numbers in words, as in words.py.
  const number = (value) => {
    if (typeof value !== "number") return "–";
    if (Number.isInteger(value) || Math.abs(value) >= 100) return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, thin);
    return String(Number(value.toPrecision(3)));
  };
  const percent = (value) => (typeof value === "number" ? `${(100 * value).toFixed(1)}${thin}%` : "–");
  const counts = new Set([...data.counts, "seconds", "number"]);
  const show = (name, value) => {
    if (data.shares.includes(name)) return percent(value);
    const plain = counts.has(name) || typeof value !== "number" || Number.isInteger(value) || Math.abs(value) < 1e-3 || Math.abs(value) >= 1e5;
    return plain ? number(value) : String(Number(value.toPrecision(5)));
  };
  const text = (value) => (value === null || value === undefined ? "" : String(value));

  const make = (tag, content, attributes = {}) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    for (const part of [content].flat()) node.append(part);
    return node;
  };

  // The panel: one candidate in full.
  const panel = element("panel");
  const pairs = (rows) => make("dl", rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
  const fillPanel = (record) => {
    const parts = [make("h3", `Candidate ${record.number}`)];
    const tags = [make("span", record.fidelity, { class: `tag ${record.fidelity}` })];
    if (record.state !== "ok") tags.push(" ", make("span", record.state, { class: `tag ${record.state}` }));
    if (record.front) tags.push(" ", make("span", "on the front", { class: "tag front" }));
    parts.push(make("p", tags));
    if (record.error) parts.push(make("p", record.error));
    const metrics = data.metrics.filter((name) => record[name] !== null);
    parts.push(pairs([...metrics.map((name) => [data.short[name], show(name, record[name])]), ...(record.seconds ? [["seconds", number(record.seconds)]] : [])]));
    parts.push(make("h4", "Choices"), pairs(blanksOf(record).map(([name, value]) => [name, text(short(value))])));
    const key = keyOf(record);
    const others = records.filter((other) => other !== record && keyOf(other) === key);
    for (const other of others) {
      const button = make("button", `${other.fidelity} score`, { type: "button", class: "link", "data-candidate": other.number });
      parts.push(make("p", ["Also: ", button, ` ${show(data.quality, other[data.quality])}`]));
    }
    const finalist = data.finalists.find((one) => one.number === record.number || one.trained === record.number);
    if (finalist) parts.push(make("p", make("a", `Finalist ${finalist.number} in detail`, { href: `#finalist-${finalist.number}` })));
    panel.replaceChildren(...parts);
    panel.dataset.shown = record.number;
  };
  const select = (value, { scroll = false } = {}) => {
    const record = byNumber.get(Number(value));
    if (!record) return;
    selected = record.number;
    if (panel) fillPanel(record);
    for (const button of document.querySelectorAll("td button[data-candidate]"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.candidate) === selected));
    highlight();
    if (panel && scroll) {
      const box = panel.getBoundingClientRect();
      if (box.top < 0 || box.top > window.innerHeight - 160) panel.scrollIntoView({ block: "start" });
    }
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-candidate]");
    if (button) select(button.dataset.candidate, { scroll: true });
  });

  // The figure: accuracy, or what is drawn upwards instead, against a cost; one trace a fidelity, front as a step line.
  const y = data.quality;
  const upwards = data.senses[y] || 1;
  const figure = element("figure");
  const cost = element("cost");
  const scored = records.filter((record) => record.state === "ok" && record[y] !== null);
  const SHAPES = { supernet: ["circle", "--blue"], trained: ["diamond", "--red"], adapted: ["square", "--purple"], proxy: ["triangle-up", "--green"] };
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const safe = (value) => text(value).slice(0, 60).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const hover = (record) => {
    const blanks = blanksOf(record).map(([name, value]) => `${safe(name)}  <b>${safe(short(value))}</b>`);
    const more = blanks.length > 12 ? [`and ${blanks.length - 12} more`] : [];
    const named = ["spikes", "energy_nj", ...data.objectives].filter((name, index, all) => name !== y && all.indexOf(name) === index && typeof record[name] === "number");
    const facts = named.map((name) => `${show(name, record[name])} ${name === "energy_nj" ? "nJ" : safe(data.short[name])}`);
    const quality = y === "accuracy" ? percent(record[y]) : `${show(y, record[y])} ${safe(data.short[y])}`;
    return [`<b>Candidate ${record.number}</b>, ${record.fidelity}`, [quality, ...facts].join(" · "), ...blanks.slice(0, 12), ...more].join("<br>");
  };
  const frontOf = (points, x) => {
    const sense = data.senses[x] || -1;
    const ordered = [...points].sort((a, b) => sense * (b[x] - a[x]) || upwards * (b[y] - a[y]));
    let best = -Infinity;
    return ordered.filter((point) => upwards * point[y] > best && ((best = upwards * point[y]), true));
  };
  const ticksOf = (low, high, least) => {
    for (const mantissas of [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1)
        for (const mantissa of mantissas) ticks.push(mantissa * 10 ** power);
      const inside = ticks.filter((tick) => tick >= low && tick <= high);
      if (inside.length >= least) return inside;
    }
    const step = 10 ** Math.floor(Math.log10((high - low) / 3));
    const width = [5, 2, 1].map((factor) => factor * step).find((size) => (high - low) / size >= 3) || step;
    const ticks = [];
    for (let tick = Math.ceil(low / width) * width; tick <= high; tick += width) ticks.push(Number(tick.toPrecision(6)));
    return ticks;
  };
  const draw = () => {
    const x = cost.value;
    const points = scored.filter((record) => record[x] !== null);
    const values = points.map((point) => point[x]);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    const logarithmic = low > 0 && data.counts.includes(x) && x !== "timesteps";
    const marker = (name, extra) => ({ symbol: SHAPES[name][0], color: color(SHAPES[name][1]), ...extra });
    const traces = [];
    const trace = (chosen, extra) => traces.push({
      type: "scatter", mode: "markers", x: chosen.map((point) => point[x]), y: chosen.map((point) => point[y]),
      customdata: chosen.map((point) => point.number), text: chosen.map(hover), hovertemplate: "%{text}<extra></extra>", ...extra,
    });
    for (const one of data.finalists) {
      const [from, to] = [byNumber.get(one.number), byNumber.get(one.trained)];
      if (from && to && points.includes(from) && points.includes(to))
        traces.push({ type: "scatter", mode: "lines", x: [from[x], to[x]], y: [from[y], to[y]], line: { color: color("--soft"), width: 1.3, dash: "dot" }, hoverinfo: "skip", showlegend: false });
    }
    for (const fidelity of Object.keys(SHAPES)) {
      const mine = points.filter((point) => point.fidelity === fidelity);
      if (!mine.length) continue;
      const front = frontOf(mine, x);
      const ends = (data.senses[x] || -1) < 0 ? high : low;
      traces.push({ type: "scatter", mode: "lines", x: [...front.map((point) => point[x]), ends], y: [...front.map((point) => point[y]), front[front.length - 1][y]], line: { shape: "hv", color: color(SHAPES[fidelity][1]), width: 1.8 }, hoverinfo: "skip", showlegend: false, name: `${fidelity} front` });
      const size = fidelity === "trained" && mine.length < 100 ? 12 : 8;
      trace(mine.filter((point) => !point.front), { name: fidelity, legendgroup: fidelity, marker: marker(fidelity, { size: mine.length > 1000 ? size - 3 : size - 1, opacity: Math.max(0.15, Math.min(0.4, 250 / mine.length)) }) });
      trace(mine.filter((point) => point.front), { name: `${fidelity}, on the front`, legendgroup: fidelity, marker: marker(fidelity, { size: size + 1, line: { color: color("--card"), width: 1.2 } }) });
    }
    const narrow = figure.clientWidth < 480;
    const bottom = points.reduce((least, point) => Math.min(least, point[y]), Infinity);
    const top = points.reduce((most, point) => Math.max(most, point[y]), -Infinity);
    const margin = Math.max(0.06 * (top - bottom), data.shares.includes(y) ? 0.004 : 0.004 * Math.abs(top), 1e-9);
    const range = [bottom - margin, top + margin];
    element("better").textContent = `${upwards > 0 ? "Up" : "Down"} and to the ${(data.senses[x] || -1) < 0 ? "left" : "right"}`;
    const axis = { gridcolor: color("--grid"), linecolor: color("--line"), zeroline: false, ticks: "outside", tickcolor: color("--line"), automargin: true };
    const xaxis = { ...axis, title: { text: safe(data.labels[x]), standoff: 12 }, type: logarithmic ? "log" : "linear" };
    if (logarithmic) {
      const ratio = Math.max(high / low, 1.05);
      const [from, to] = [low / ratio ** 0.05, high * ratio ** 0.05];
      const ticks = ticksOf(from, to, narrow ? 3 : 4);
      Object.assign(xaxis, { range: [Math.log10(from), Math.log10(to)], tickvals: ticks, ticktext: ticks.map(number), tickangle: 0 });
    }
    Plotly.react(figure, traces.filter((one) => one.x.length), {
      margin: { l: 52, r: 14, t: narrow ? 66 : 40, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: color("--ink") }, hovermode: "closest",
      xaxis, yaxis: { ...axis, range, title: narrow ? undefined : { text: safe(data.labels[y]), standoff: 10 }, tickformat: data.shares.includes(y) ? ".1~%" : undefined },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--line"), activecolor: color("--blue") },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hoverlabel: { align: "left", bgcolor: color("--card"), bordercolor: color("--line"), font: { color: color("--ink") } },
    }, { responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]], toImageButtonOptions: { format: "svg", filename: "front" } });
    highlight();
  };
  const RING = "M-11,0C-11,-6 -6,-11 0,-11C6,-11 11,-6 11,0C11,6 6,11 0,11C-6,11 -11,6 -11,0Z"; // a circle, in pixels
  function highlight() {
    if (!figure || !figure.data) return;
    const record = byNumber.get(selected);
    const shown = record && record.state === "ok" && record[y] !== null && record[cost.value] !== null;
    const ring = shown && { type: "path", path: RING, xsizemode: "pixel", ysizemode: "pixel", xanchor: record[cost.value], yanchor: record[y], line: { color: color("--ink"), width: 2 } };
    Plotly.relayout(figure, { shapes: shown ? [ring] : [] });
  }
  if (figure && scored.length) {
    const costs = data.metrics.filter((name) => name !== y && scored.some((record) => record[name] !== null));
    const varied = costs.filter((name) => data.objectives.includes(name) || new Set(scored.map((record) => record[name])).size > 1);
    const offered = varied.length ? varied : costs.length ? costs : ["number"]; // a single figure: how it rose
    data.labels.number = "candidate";
    offered.sort((a, b) => data.objectives.includes(b) - data.objectives.includes(a));
    cost.replaceChildren(...offered.map((name) => make("option", data.labels[name], { value: name })));
    draw();
    figure.on("plotly_click", (event) => {
      const point = event.points.find((one) => one.customdata !== undefined);
      if (point) select(point.customdata);
    });
    cost.addEventListener("change", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  }

  // Tickets: accuracy against sparsity or a cost, one line a method; the dense twin as a level with its noise.
  const ticketFigure = element("ticket-figure");
  const MARKS = ["circle", "diamond", "square", "triangle-up", "triangle-down", "cross", "x", "star", "pentagon"];
  const TONES = ["--blue", "--red", "--green", "--purple", "--soft"];
  if (ticketFigure && data.tickets.length) {
    const [whose, against] = [element("ticket-finalist"), element("ticket-cost")];
    const axes = { sparsity: "sparsity", energy_nj: data.labels.energy_nj, with_memory_nj: "energy with memory (nJ)", sops: data.labels.sops, spikes: data.labels.spikes, find: "cost of finding it (samples × T)" };
    whose.replaceChildren(...data.tickets.map((one) => make("option", String(one.number), { value: one.number })));
    against.replaceChildren(...Object.entries(axes).map(([name, label]) => make("option", label, { value: name })));
    const drawTickets = () => {
      const one = data.tickets.find((entry) => String(entry.number) === whose.value);
      const [x, traces, shapes] = [against.value, [], []];
      const methods = [...new Set(one.tickets.map((ticket) => ticket.series))].sort();
      methods.forEach((method, index) => {
        const mine = one.tickets.filter((ticket) => ticket.series === method && ticket[x] !== null && ticket.val_accuracy !== null).sort((a, b) => a[x] - b[x]);
        const tone = color(TONES[index % TONES.length]);
        traces.push({ type: "scatter", mode: mine.length > 1 ? "lines+markers" : "markers", name: method, x: mine.map((ticket) => ticket[x]), y: mine.map((ticket) => ticket.val_accuracy), line: { color: tone, width: 1.5 }, marker: { symbol: MARKS[index % MARKS.length], size: 10, color: tone },
          text: mine.map((ticket) => `<b>${safe(ticket.name)}</b><br>${percent(ticket.val_accuracy)} at sparsity ${percent(ticket.sparsity)}<br>${number(ticket.spikes)} spikes · ${number(ticket.energy_nj)} nJ`), hovertemplate: "%{text}<extra></extra>" });
      });
      one.twins.forEach((twin, index) => {
        const tone = color("--ink");
        if (twin.val_noise) shapes.push({ type: "rect", xref: "paper", x0: 0, x1: 1, y0: twin.val_accuracy - twin.val_noise, y1: twin.val_accuracy + twin.val_noise, fillcolor: tone, opacity: 0.08, line: { width: 0 } });
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: twin.val_accuracy, y1: twin.val_accuracy, line: { color: tone, width: 1.2, dash: "dash" } });
        traces.push({ type: "scatter", mode: "markers", name: index ? "dense, trained otherwise" : "dense", x: [twin[x]], y: [twin.val_accuracy], marker: { symbol: "circle-open", size: 11, color: tone, line: { width: 2 } }, hovertemplate: `<b>dense</b><br>${percent(twin.val_accuracy)}<br>${number(twin.spikes)} spikes · ${number(twin.energy_nj)} nJ<extra></extra>` });
      });
      const positive = traces.every((trace) => trace.x.every((value) => value > 0));
      const axis = { gridcolor: color("--grid"), linecolor: color("--line"), zeroline: false, ticks: "outside", tickcolor: color("--line"), automargin: true };
      Plotly.react(ticketFigure, traces, {
        margin: { l: 52, r: 14, t: 40, b: 48 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", shapes,
        font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: color("--ink") }, hovermode: "closest",
        xaxis: { ...axis, title: { text: axes[x], standoff: 12 }, type: positive && x !== "sparsity" ? "log" : "linear", tickformat: x === "sparsity" ? ".0%" : undefined, nticks: 6 },
        yaxis: { ...axis, title: { text: data.labels.accuracy || "validation accuracy", standoff: 10 }, tickformat: ".1~%" },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: color("--line"), activecolor: color("--blue") },
        legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, hoverlabel: { align: "left", bgcolor: color("--card"), bordercolor: color("--line"), font: { color: color("--ink") } },
      }, { responsive: true, displaylogo: false, modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]] });
    };
    drawTickets();
    whose.addEventListener("change", drawTickets);
    against.addEventListener("change", drawTickets);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawTickets);
  }

  // The table of all candidates: sorted, filtered, a page at a time.
  const table = element("candidate-table");
  if (table) {
    const columns = [
      ["number", "candidate"], ["state", "state"], ["fidelity", "fidelity"], ["front", "front"],
      ...data.varied.map((name) => [name, data.short[name]]), ...(records.some((record) => record.seconds) ? [["seconds", "seconds"]] : []),
      ...data.blanks.map((name, index) => [`param.${index}`, name]),
      ...(records.some((record) => record.error) ? [["error", "error"]] : []),
    ];
    const numeric = new Set([...data.metrics, "seconds"]);
    const haystack = new Map(records.map((record) => [record, [record.number, record.state, record.fidelity, record.front ? "front" : "", ...blanksOf(record).flatMap(([name, value]) => [text(value), `${name}=${text(value)}`]), record.error].join(" ").toLowerCase()]));
    const order = { name: "number", sign: 1 };
    let page = 0;
    const compare = (a, b) => {
      const [one, other] = [a[order.name], b[order.name]];
      if (one === null || other === null) return (one === null) - (other === null) || a.number - b.number;
      const sign = typeof one === "string" || typeof other === "string" ? String(one).localeCompare(String(other)) : one - other;
      return order.sign * sign || a.number - b.number;
    };
    const cell = (record, name) => {
      if (name === "number") return make("td", make("button", String(record.number), { type: "button", "data-candidate": record.number, "aria-pressed": String(record.number === selected), "aria-label": `Show candidate ${record.number}` }));
      if (name === "state" || name === "fidelity") return make("td", make("span", record[name], { class: `tag ${record[name]}` }));
      if (name === "front") return make("td", record.front ? make("span", "front", { class: "tag front" }) : "");
      if (numeric.has(name)) return make("td", show(name, record[name]), { class: "n" });
      return make("td", text(name.startsWith("param.") ? short(record[name]) : record[name]), name === "error" ? { class: "error", title: record.error } : {});
    };
    const heads = columns.map(([name, label]) => {
      const head = make("th", make("button", label, { type: "button" }), numeric.has(name) ? { class: "n" } : {});
      head.firstChild.addEventListener("click", () => {
        order.sign = order.name === name ? -order.sign : numeric.has(name) && (data.senses[name] || -1) > 0 ? -1 : 1;
        order.name = name;
        page = 0;
        list();
      });
      return head;
    });
    table.tHead.append(make("tr", heads));
    const list = () => {
      const words = element("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
      const [state, fidelity, only] = [element("state").value, element("fidelity").value, element("only-front").checked];
      const chosen = records.filter((record) => (!state || record.state === state) && (!fidelity || record.fidelity === fidelity) && (!only || record.front) && words.every((word) => haystack.get(record).includes(word)));
      chosen.sort(compare);
      const size = Number(element("rows").value);
      const last = Math.max(0, Math.ceil(chosen.length / size) - 1);
      page = Math.min(Math.max(page, 0), last);
      const shown = chosen.slice(page * size, (page + 1) * size);
      table.tBodies[0].replaceChildren(...shown.map((record) => make("tr", columns.map(([name]) => cell(record, name)))));
      heads.forEach((head, index) => head.setAttribute("aria-sort", columns[index][0] === order.name ? (order.sign > 0 ? "ascending" : "descending") : "none"));
      element("position").textContent = chosen.length ? `${page * size + 1}–${page * size + shown.length} of ${number(chosen.length)}` : "no candidate matches";
      element("previous").disabled = page === 0;
      element("next").disabled = page === last;
    };
    for (const name of ["state", "fidelity"])
      element(name).append(...[...new Set(records.map((record) => record[name]))].sort().map((value) => make("option", value, { value })));
    for (const id of ["filter", "state", "fidelity", "only-front", "rows"])
      element(id).addEventListener("input", () => { page = 0; list(); });
    element("previous").addEventListener("click", () => { page -= 1; list(); });
    element("next").addEventListener("click", () => { page += 1; list(); });
    list();
  }
  if (data.start !== null) select(data.start);
})();
