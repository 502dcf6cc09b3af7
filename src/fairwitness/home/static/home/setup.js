// What improves the set-up's forms; they work without it.

// A form that has to ask a camera or a hub says so while it waits, and is not sent twice.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button:not([type=button])")) button.setAttribute("aria-disabled", "true");
    for (const note of form.querySelectorAll("[data-while]")) note.hidden = false;
  });
}
// Coming back by the browser's own button shows the page as it was left.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-disabled]")) button.removeAttribute("aria-disabled");
    for (const note of form.querySelectorAll("[data-while]")) note.hidden = true;
  }
});

// A slider beside a number: either moves the other, and the map reads the number.
const told = document.getElementById("heading-told");
const directions = (told?.dataset.directions ?? "").split("|");
for (const slider of document.querySelectorAll("input.slide")) {
  const number = document.getElementById(slider.dataset.for);
  const say = () => {
    const degrees = Number(number.value);
    if (slider.dataset.for === "heading" && told && number.value && Number.isFinite(degrees)) {
      told.textContent = `${Math.round(((degrees % 360) + 360) % 360)}° · ${directions[Math.round((((degrees % 360) + 360) % 360) / 45) % 8]}`;
    }
  };
  slider.addEventListener("input", () => {
    number.value = slider.value;
    number.dispatchEvent(new Event("input", { bubbles: true }));
  });
  number.addEventListener("input", () => {
    slider.value = number.value;
    say();
  });
  say();
}

// The zone of this browser, one press away: never filled in unasked, for a wrong one shows the wrong minutes.
for (const button of document.querySelectorAll("[data-zone-of-browser]")) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!zone) continue;
  button.querySelector("b").textContent = zone;
  button.hidden = false;
  button.addEventListener("click", () => {
    document.getElementById(button.dataset.for).value = zone;
  });
}
