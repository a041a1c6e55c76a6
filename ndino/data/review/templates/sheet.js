"use strict";
(() => {
  const body = document.body, find = (id) => document.getElementById(id);
  const cards = [...document.querySelectorAll("article")];
  const KEYS = { 1: "good", 2: "bad", 3: "unsure" }, NAMES = { good: "good", bad: "bad", unsure: "cannot say" };
  const place = `ndino review ${body.dataset.sheet}`;
  let kept = true, state = { reviewer: "", verdicts: {} }, current = 0;

  try {
    const found = JSON.parse(localStorage.getItem(place));
    if (found) state = { reviewer: String(found.reviewer || ""), verdicts: found.verdicts || {} };
  } catch { kept = false; }

  const verdictOf = (card) => state.verdicts[card.dataset.id];
  const firstOpen = (from) => {
    for (let step = 0; step < cards.length; step++) {
      const index = (from + step) % cards.length;
      if (!verdictOf(cards[index])) return index;
    }
    return -1;
  };
  const keep = () => {
    try { localStorage.setItem(place, JSON.stringify(state)); } catch { kept = false; }
  };
  const say = (text) => { find("notice").textContent = text; };

  function draw() {
    cards.forEach((card, index) => { card.hidden = index !== current; });
    find("done").hidden = current !== cards.length;
    const verdict = current < cards.length ? verdictOf(cards[current]) : undefined;
    document.querySelectorAll(".verdict").forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.verdict === verdict));
      button.disabled = current === cards.length;
    });
    const judged = cards.filter(verdictOf), bar = document.querySelector(".bar");
    find("bar").style.width = `${100 * judged.length / cards.length}%`;
    bar.setAttribute("aria-valuenow", String(judged.length));
    const parts = Object.keys(NAMES).map((one) => `${judged.filter((card) => verdictOf(card) === one).length} ${NAMES[one]}`);
    find("counts").textContent = `${judged.length} of ${cards.length} judged: ${parts.join(", ")}`;
    if (!kept) say("This browser keeps nothing between visits: save before you close the page.");
  }

  function go(to) {
    current = Math.max(0, Math.min(cards.length, to));
    draw();
    window.scrollTo(0, 0);
  }

  function judge(verdict) {
    if (current === cards.length) return;
    state.verdicts[cards[current].dataset.id] = verdict;
    keep();
    say("");
    const open = firstOpen(current + 1);
    go(open < 0 ? cards.length : open);
  }

  function save() {
    if (!state.reviewer) {
      say("Write your name first.");
      find("reviewer").focus();
      return;
    }
    const rows = cards.filter(verdictOf).map((card) => (
      { id: card.dataset.id, source: card.dataset.source, verdict: verdictOf(card) }));
    const content = { review: body.dataset.sheet, data: body.dataset.digest, reviewer: state.reviewer, of: cards.length, rows };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1) + "\n"], { type: "application/json" }));
    const name = state.reviewer.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    link.download = `verdicts-${body.dataset.folder}-${name}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    say(`Saved ${rows.length} verdicts.`);
  }

  find("reviewer").value = state.reviewer;
  find("reviewer").addEventListener("input", (event) => {
    state.reviewer = event.target.value.trim();
    keep();
  });
  document.querySelectorAll(".verdict").forEach((button) => {
    button.addEventListener("click", () => judge(button.dataset.verdict));
  });
  find("save").addEventListener("click", save);
  find("back").addEventListener("click", () => go(current - 1));
  find("next").addEventListener("click", () => go(current + 1));
  document.addEventListener("keydown", (event) => {
    if (event.target === find("reviewer")) {
      if (event.key === "Enter") event.target.blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (KEYS[event.key]) judge(KEYS[event.key]);
    else if (event.key === "ArrowLeft") go(current - 1);
    else if (event.key === "ArrowRight") go(current + 1);
    else if (event.key === "s" || event.key === "S") save();
    else return;
    event.preventDefault();
  });

  const open = firstOpen(0);
  go(open < 0 ? cards.length : open);
})();
