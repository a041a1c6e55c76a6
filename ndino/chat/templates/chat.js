"use strict";
// Texts of people and models are only ever set as textContent. Nothing is stored.
const $ = (id) => document.getElementById(id);
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const choose = (name, value) => { document.querySelector(`input[name="${name}"][value="${value}"]`).checked = true; };
const POLL = 700; // milliseconds between questions whether the models are loaded
const page = { languages: [], columns: [], image: null, adding: null, other: null, busy: null, camera: null };

async function request(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer (remedy: start ndino chat again)");
  }
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({ error: `the server says ${answer.status}` }));
  throw new Error(error);
}

const say = (text) => { $("status").textContent = text; };
const complain = (error) => { $("fault").textContent = error ? error.message : ""; };

// Models and languages.

function addColumn(model, number) {
  const part = $("column").content.cloneNode(true).firstElementChild;
  part.setAttribute("aria-label", model.name);
  part.querySelector("h2").textContent = model.name;
  part.querySelector(".source").textContent = model.source;
  part.querySelector(".copy").addEventListener("click", () => copySample(page.columns[number]));
  $("columns").append(part);
  page.columns.push({ part, number, name: model.name, served: model.served, rounds: [], state: "" });
}

function showState(column, model) {
  column.state = model.state;
  const line = column.part.querySelector(".state");
  line.textContent = { loading: "is being loaded …", ready: "", failed: model.message }[model.state];
  line.classList.toggle("fault", model.state === "failed");
}

// A server may have been started since.
async function refresh(column) {
  try {
    showState(column, (await (await request("state")).json()).models[column.number]);
  } catch (error) {
    complain(error);
  }
}

async function start() {
  const state = await (await request("state")).json();
  state.models.forEach(addColumn);
  page.languages = state.languages;
  page.most = state.most_bytes;
  for (const { code, name } of state.languages) $("language").append(new Option(name, code, false, code === state.language));
  for (const example of state.examples) addExample(example);
  showLanguage();
  follow(state);
}

function follow(state) {
  state.models.forEach((model, number) => showState(page.columns[number], model));
  const waiting = state.models.filter((model) => model.state === "loading").length;
  say(waiting ? `Loading ${waiting} of ${state.models.length} models …` : "Ready.");
  if (waiting) setTimeout(() => request("state").then((answer) => answer.json()).then(follow).catch(complain), POLL);
}

function showLanguage() {
  const language = page.languages.find(({ code }) => code === $("language").value);
  $("question").lang = language.code;
  $("hint").textContent = chosen("length") === "short" ? `“\u2068${language.short}\u2069” follows the question.` : "The question is asked as it is.";
  $("hint").lang = "en";
}

// The image.

const addImage = (file, name) => { page.adding = readImage(file, name); };

async function readImage(file, name) {
  complain(null);
  say("Reading the image …");
  try {
    // A server that refuses a file while it is being sent cannot say so.
    if (file.size > page.most) {
      const [size, most] = [file.size, page.most].map((bytes) => bytes.toLocaleString("en"));
      throw new Error(`the file has ${size} bytes, and ${most} are taken (remedy: choose a smaller one)`);
    }
    const headers = { "X-Name": encodeURIComponent(name || "") };
    showImage(await (await request("images", { method: "POST", body: file, headers })).json());
  } catch (error) {
    complain(error);
    say("");
  }
}

function showImage(image) {
  page.image = image;
  page.other = null;
  choose("shown", "right");
  say(page.columns.some(({ rounds }) => rounds.length) ? "The image is chosen: a new conversation." : "The image is chosen.");
  startAnew();
  showChosen();
}

function showChosen() {
  const image = chosen("shown") === "another" ? page.other : page.image;
  $("shown").hidden = $("save").hidden = !image;
  if (!image) return;
  const which = image === page.other ? "Another image" : "Right image";
  $("shown").src = `images/${image.id}`;
  $("shown").alt = `${which}: ${image.name}`;
  $("caption").textContent = `${which}: ${image.name}, ${image.width} × ${image.height} pixels`;
  $("save").href = `images/${image.id}/file`;
  $("save").download = image.name;
}

function addExample(example) {
  const [item, button, image] = ["li", "button", "img"].map((name) => document.createElement(name));
  button.type = "button";
  image.src = `images/${example.id}`;
  image.alt = "";
  button.setAttribute("aria-label", `Example: ${example.question}`);
  button.title = example.question;
  button.append(image);
  button.addEventListener("click", () => {
    complain(null);
    showImage(example);
    $("question").value = example.question;
    $("question").focus();
  });
  item.append(button);
  $("examples").querySelector("ul").append(item);
  $("examples").hidden = false;
}

async function useCamera() {
  if (page.camera) return closeCamera();
  complain(null);
  try {
    page.camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    return complain(new Error(`no camera: ${error.message} (remedy: allow it, or choose a file)`));
  }
  $("video").srcObject = page.camera;
  $("shown").hidden = true;
  $("video").hidden = false;
  $("camera").textContent = "Close the camera";
  await $("video").play();
  $("take").hidden = false;
}

function closeCamera() {
  for (const track of page.camera ? page.camera.getTracks() : []) track.stop();
  page.camera = $("video").srcObject = null;
  $("video").hidden = $("take").hidden = true;
  $("camera").textContent = "Use the camera";
  showChosen();
}

async function takeImage() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("video").videoWidth, $("video").videoHeight];
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  const file = await new Promise((done) => canvas.toBlob(done, "image/png"));
  closeCamera();
  addImage(file, "");
}

// Questions and answers. The control exchanges the image and nothing else: its answers are no part of later rounds.

// The conversation: an empty answer is no part of it either.
const conversation = (column) => column.rounds.filter((one) => !one.of && one.complete && one.answer.trim());
const told = (rounds) => rounds.map(({ question, short, language, answer }) => ({ question, short, language, answer }));

function before(column, round) {
  const own = conversation(column);
  const place = column.rounds.indexOf(round.of || round);
  return told(own.filter((one) => place < 0 || column.rounds.indexOf(one) < place));
}

function addRound(column, asked, image) {
  const part = $("round").content.cloneNode(true).firstElementChild;
  const of = asked.control ? column.rounds.filter((one) => !one.of && one.key === asked.key).pop() : undefined;
  const round = { ...asked, of: asked.control ? of || {} : undefined, answer: "", complete: false, part };
  part.querySelector(".question").textContent = asked.question;
  part.querySelector(".question").lang = part.querySelector(".answer").lang = asked.language;
  for (const name of [".question", ".answer"]) part.querySelector(name).dir = "auto";
  if (asked.control) {
    part.querySelector(".control img").src = `images/${image.id}`;
    part.querySelector(".control img").alt = image.name;
  } else {
    part.querySelector(".control").remove();
    column.part.querySelector(".sample").hidden = true; // it lacks this round
  }
  column.rounds.push(round);
  column.part.querySelector(".rounds").append(part);
  return round;
}

function showStep(round, step) {
  const figures = round.part.querySelector(".figures");
  if ("error" in step) {
    figures.textContent = step.error;
    figures.classList.add("fault");
  } else if ("waiting" in step) {
    figures.textContent = `waits for ${step.waiting} other answer${step.waiting > 1 ? "s" : ""} …`;
  } else if ("text" in step) {
    round.answer += step.text;
    round.part.querySelector(".answer").textContent = round.answer.trim();
    round.figures = `${step.tokens} token${step.tokens === 1 ? "" : "s"}, ${speed(step)}the first after ${step.first.toFixed(2)} s`;
    figures.textContent = round.figures;
  } else if ("end" in step) {
    round.complete = true;
    const notes = [round.figures, step.end === "limit" && "cut at the limit", !round.answer.trim() && "the answer is empty"];
    figures.textContent = notes.filter(Boolean).join("; ");
  }
}

// The first token comes with the reading of the image, which its seconds say.
const speed = ({ tokens, seconds }) => (tokens > 1 && seconds > 0 ? `${((tokens - 1) / seconds).toFixed(1)} tokens/s, ` : "");

async function askColumn(column, asked, image, signal) {
  const failed = column.state === "failed";
  if (failed && !column.served) return;
  const round = addRound(column, asked, image);
  const answer = round.part.querySelector(".answer");
  answer.setAttribute("aria-busy", "true");
  const { question, short, language } = asked;
  const body = JSON.stringify({ model: column.number, image: image && image.id, rounds: before(column, round), question, short, language });
  try {
    const reader = (await request("answer", { method: "POST", body, signal })).body.getReader();
    const decoder = new TextDecoder();
    for (let rest = "", done = false; !done;) {
      const part = await reader.read();
      done = part.done;
      rest += decoder.decode(part.value || new Uint8Array(), { stream: !done });
      const lines = rest.split("\n");
      rest = lines.pop();
      for (const line of lines) showStep(round, JSON.parse(line));
    }
    if (!round.complete && !round.part.querySelector(".figures.fault")) showStep(round, { error: "the answer broke off (remedy: ask again)" });
  } catch (error) {
    if (error.name === "AbortError") {
      round.complete = Boolean(round.answer);
      round.part.querySelector(".figures").textContent = `${round.figures ? `${round.figures}; ` : ""}stopped`;
    } else {
      showStep(round, { error: error.message });
    }
  }
  answer.setAttribute("aria-busy", "false");
  if (failed) await refresh(column);
  column.part.querySelector(".copy").disabled = !conversation(column).length;
}

async function askAll(asked, image) {
  const stop = new AbortController();
  page.busy = stop;
  complain(null);
  $("ask").disabled = true;
  $("stop").disabled = false;
  say("The models answer …");
  await Promise.all(page.columns.map((column) => askColumn(column, asked, image, stop.signal)));
  if (page.busy !== stop) return;
  page.busy = null;
  $("ask").disabled = false;
  $("stop").disabled = true;
  say(stop.signal.aborted ? "Stopped." : "All answers are complete.");
}

async function ask() {
  await page.adding;
  if (page.busy) return;
  const question = $("question").value.trim();
  if (!question) return complain(new Error("the question is empty (remedy: write one)"));
  const control = chosen("shown") === "another" && page.image !== null;
  const asked = { question, short: chosen("length") === "short", language: $("language").value, control };
  asked.key = JSON.stringify([question, asked.short, asked.language]);
  page.last = asked;
  $("question").value = "";
  await askAll(asked, control ? page.other : page.image);
}

async function exchange() {
  const another = chosen("shown") === "another";
  complain(null);
  if (another && !page.other) {
    try {
      if (!page.image) throw new Error("there is no image yet (remedy: choose one)");
      page.other = await (await request(`another/${page.image.id}`)).json();
    } catch (error) {
      choose("shown", "right");
      return complain(error);
    }
  }
  showChosen();
  // The last question is asked again, unless it was already.
  if (page.busy || !page.last || $("question").value.trim() || page.last.control === another) return;
  const again = { ...page.last, control: another };
  const known = page.columns.some(({ rounds }) => rounds.some((one) => one.key === again.key && one.control === another));
  page.last = again;
  if (!known) await askAll(again, another ? page.other : page.image);
}

function startAnew() {
  stopAll();
  page.last = null;
  for (const column of page.columns) {
    column.rounds = [];
    column.part.querySelector(".rounds").replaceChildren();
    column.part.querySelector(".copy").disabled = true;
    column.part.querySelector(".sample").hidden = true;
  }
}

function stopAll() {
  if (page.busy) page.busy.abort();
}

async function copySample(column) {
  const rounds = told(conversation(column));
  complain(null);
  try {
    const body = JSON.stringify({ image: page.image && page.image.id, rounds });
    const { sample } = await (await request("sample", { method: "POST", body })).json();
    const shown = column.part.querySelector(".sample");
    shown.value = sample;
    shown.hidden = false;
    try {
      await navigator.clipboard.writeText(sample);
      say(`The conversation with ${column.name} is copied as a line of LLaVA JSON.`);
    } catch {
      shown.select();
      say("The browser does not let the page copy: the sample is selected.");
    }
  } catch (error) {
    complain(error);
  }
}

$("form").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
$("question").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask(); }
});
document.addEventListener("keydown", (event) => { if (event.key === "Escape") stopAll(); });
$("stop").addEventListener("click", stopAll);
$("new").addEventListener("click", () => { startAnew(); $("question").focus(); });
$("language").addEventListener("change", showLanguage);
for (const input of document.getElementsByName("length")) input.addEventListener("change", showLanguage);
for (const input of document.getElementsByName("shown")) input.addEventListener("change", exchange);
$("file").addEventListener("change", () => {
  if ($("file").files[0]) addImage($("file").files[0], $("file").files[0].name);
});
$("file").addEventListener("click", () => { $("file").value = ""; }); // the same file may be chosen again
$("camera").addEventListener("click", useCamera);
$("take").addEventListener("click", takeImage);
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) { event.preventDefault(); addImage(file, ""); }
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) addImage(event.dataTransfer.files[0], event.dataTransfer.files[0].name);
  });
}
start().catch(complain);
